"""Folders of Hugging Face Transformers: AST, wav2vec2, HuBERT and Whisper as classifiers that can be explained."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path

import captum.attr
import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import earwitness as ew
import tiny_transformers
from command import earwitness
from earwitness.audio.logmel import log_mel, log_mel_stream
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.binding import bound, shown_layer
from earwitness.explainers.inference.shown import showing
from earwitness.explainers.registry import parse
from earwitness.inspection.files import score_file
from earwitness.models.foreign.backbone import load_backbone
from earwitness.models.foreign.sound import score_waveform
from earwitness.models.prediction import score_recording
from tiny_sounds import LABELS, write_sounds
from tiny_transformers import BANDS, CLASSES, FRAMES, KINDS, PATCH, RATE, STRIDE, burst, saved, transformers


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind with random weights."""
    place = tmp_path_factory.mktemp("models")
    return {name: make(place / name) for name, make in KINDS.items()}


def written(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


# ---- scores -------------------------------------------------------------------------------------------------------


def their_scores(folder: Path, samples: np.ndarray) -> list[float]:
    """Return what Transformers' own pipeline says of samples, in the order of the classes."""
    pipeline = transformers.pipeline(
        "audio-classification",
        model=transformers.AutoModelForAudioClassification.from_pretrained(folder),
        feature_extractor=transformers.AutoFeatureExtractor.from_pretrained(folder),
        device="cpu",
    )
    found = {each["label"]: each["score"] for each in pipeline(samples.copy(), top_k=None)}
    return [found[name] for name in CLASSES]


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.3])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_transformers(folders, tmp_path, kind, seconds):
    model = ew.load_model(folders[kind])
    assert model.classes == CLASSES
    classifier, samples = model.classifier, burst(seconds=seconds, at=0.2)
    scored = score_file(classifier, written(tmp_path / "some.wav", samples))
    length = {"ast": FRAMES * 160 + 240, "whisper": RATE}.get(kind, 5 * RATE)
    firsts = scored.start_frames * classifier.front_end.hop
    assert len(firsts) == (2 if seconds > 1.0 and kind in ("ast", "whisper") else 1)
    for row, first in enumerate(firsts):
        if kind == "whisper" and len(firsts) > 1:
            continue  # theirs mirrors each segment's ends, where ours has what the recording goes on with
        theirs = their_scores(folders[kind], samples[first : first + length])
        np.testing.assert_allclose(scored.scores[row], theirs, atol=1e-4)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_quiet_sound_is_scaled_as_theirs_is(folders, tmp_path, kind):
    samples = 1e-4 * burst()
    scored = score_file(ew.load_model(folders[kind]).classifier, written(tmp_path / "quiet.wav", samples))
    np.testing.assert_allclose(scored.scores[0], their_scores(folders[kind], samples), atol=1e-4)


@pytest.mark.parametrize("samples", [300, 7_999, 8_001, 15_999, 16_000, 16_001, 40_000])
@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_a_recording_in_blocks_has_the_same_spectrogram(folders, kind, samples):
    front_end = ew.load_model(folders[kind]).classifier.front_end
    sound = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    whole = log_mel(front_end, torch.from_numpy(sound)).numpy()
    assert len(whole) == front_end.frames(samples)
    blocks = np.split(sound, range(0, samples, 777)[1:])
    parts = [np.zeros((0, BANDS), np.float32), *log_mel_stream(front_end, blocks)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_a_whisper_on_a_longer_recording_differs_at_edges_alone(folders):
    front_end = ew.load_model(folders["whisper"]).classifier.front_end
    samples = torch.from_numpy(burst(seconds=2.0))
    whole, half = log_mel(front_end, samples), log_mel(front_end, samples[:RATE])
    assert (len(whole), len(half)) == (200, 100)
    torch.testing.assert_close(whole[:98], half[:98])
    assert not torch.equal(whole[98:100], half[98:])


@pytest.mark.parametrize(
    ("problem", "activation"),
    [
        (None, "softmax"),
        ("single_label_classification", "softmax"),
        ("multi_label_classification", "sigmoid"),
        ("regression", "none"),
    ],
)
def test_the_activation_is_the_pipelines(tmp_path, problem, activation):
    folder = KINDS["ast"](tmp_path / "model", problem_type=problem)
    model = ew.load_model(folder)
    assert model.classifier.activation == activation
    scored = score_file(model.classifier, written(tmp_path / "some.wav", burst()))
    np.testing.assert_allclose(scored.scores[0], their_scores(folder, burst()), atol=1e-4)


def test_weights_in_a_pickle_are_read_without_unpickling_code(folders, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(folders["ast"], folder)
    network = transformers.AutoModelForAudioClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    scored = score_file(ew.load_model(folder).classifier, written(tmp_path / "some.wav", burst()))
    np.testing.assert_allclose(scored.scores[0], their_scores(folders["ast"], burst()), atol=1e-4)
    torch.save({"classifier.dense.weight": Trap(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    with pytest.raises(EarwitnessError, match="old: cannot be loaded"):
        ew.load_model(folder)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Something that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


# ---- descriptions -------------------------------------------------------------------------------------------------


def test_a_description_changes_what_it_names(folders, tmp_path):
    folder = folders["wav2vec2"]
    assert ew.load_model(folder).segment_seconds == 5.0
    assert ew.load_model(folder, segment_seconds=2.0).segment_seconds == 2.0
    told = ew.load_model(
        folder, description={"segment_samples": 8_000, "activation": "sigmoid"}, classes=["a", "b", "c"]
    )
    assert (told.segment_seconds, told.classifier.activation, told.classes) == (0.5, "sigmoid", ("a", "b", "c"))
    own = tmp_path / "own.toml"
    own.write_text("segment_seconds = 1.5\noverlap = 50\n")
    assert ew.load_model(folder, description=own).classifier.overlap == 50.0
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model.toml").write_text("segment_seconds = 0.25\n")
    assert ew.load_model(tmp_path / "model").segment_seconds == 0.25
    own.write_text("segment_second = 1.5\n")
    with pytest.raises(UsageError, match=r"own.toml: segment_second: .*did you mean segment_seconds"):
        ew.load_model(folder, description=own)


@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_segments_of_another_length_are_refused_where_the_network_takes_one(folders, kind):
    with pytest.raises(UsageError, match=f"{kind}: cannot take a segment of 50 frames"):
        ew.load_model(folders[kind], segment_seconds=0.5)


# ---- what is refused ----------------------------------------------------------------------------------------------


def without(folder: Path, name: str):
    (folder / name).unlink()


def another_kind(folder: Path, kind: str):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": kind}))


def headless(folder: Path):
    network = transformers.ASTModel.from_pretrained(folder)
    saved(folder, network, transformers.AutoFeatureExtractor.from_pretrained(folder))


def other_features(folder: Path):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({"feature_extractor_type": "ClapFeatureExtractor"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: without(folder, "preprocessor_config.json"), "has no preprocessor_config.json"),
        (lambda folder: without(folder, "model.safetensors"), "has no weights"),
        (lambda folder: another_kind(folder, "bert"), "of the kind bert, which classifies no sound"),
        (lambda folder: another_kind(folder, "no-such-kind"), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "names no model_type"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"damaged"), "cannot be loaded"),
        (headless, "has no weights for classifier.dense.bias and others"),
        (other_features, "ClapFeatureExtractor, which is not known here"),
    ],
    ids=["preprocessor", "weights", "text", "unknown", "config", "damaged", "headless", "features"],
)
def test_what_is_no_audio_classifier_is_refused_in_one_line(folders, tmp_path, capfd, change, message):
    folder = tmp_path / "model"
    shutil.copytree(folders["ast"], folder)
    change(folder)
    with pytest.raises(EarwitnessError, match=message) as told:
        ew.load_model(folder)
    assert str(told.value).startswith(str(folder))
    assert "\n" not in str(told.value)
    assert capfd.readouterr() == ("", "")


def test_transformers_is_asked_for_where_it_is_missing(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"needs transformers; pip install 'earwitness\[transformers\]'"):
        ew.load_model(folders["ast"])


def test_bands_without_a_bin_are_no_matter(tmp_path):
    """Published checkpoints have 128 bands, of which the lowest have none; theirs warns of it each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = KINDS["ast"](tmp_path / "model", bands=128)
        theirs = their_scores(folder, burst())
    scored = score_file(ew.load_model(folder).classifier, written(tmp_path / "some.wav", burst()))
    np.testing.assert_allclose(scored.scores[0], theirs, atol=1e-4)


def test_loading_leaves_their_settings_as_they_were(folders, capfd):
    logging = transformers.utils.logging
    logging.enable_progress_bar()
    level = logging.get_verbosity()
    ew.load_model(folders["ast"])
    assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == (True, level)
    assert capfd.readouterr() == ("", "")
    logging.disable_progress_bar()
    ew.load_model(folders["ast"])
    assert not logging.is_progress_bar_enabled()


# ---- every method -------------------------------------------------------------------------------------------------

NOT_DEFINED = {
    "deeplift": "has no rule for attention, which multiplies signals with each other; ask inputxgradient",
    "guidedbackprop": "changes gradients at ReLUs, and this transformer has none; ask saliency",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_that_is_defined_can_be_asked(folders, kind):
    model = ew.load_model(folders[kind])
    network, before = model.classifier.network, state_of(model.classifier.network)
    wanted = dict(NOT_DEFINED)
    if kind in ("wav2vec2", "hubert"):
        model = model.with_segments(0.25)
        wanted["fullgrad"] = "biases of a network over waveforms lie at no frequency"
    found = ew.check_model(model, progress=False)
    refused = {name: why for name, why in found.methods.items() if why}
    assert refused.keys() == wanted.keys()
    for name, why in wanted.items():
        assert why in refused[name]
    assert found.warnings == ()
    assert state_of(network) == before
    assert network.inner.config._attn_implementation == "sdpa"


def state_of(network):
    """Return what may not change of a network: hooks, attributes, weights."""
    return {
        name: (
            len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks),
            frozenset(vars(module)),
            tuple(float(weight.detach().sum()) for weight in module.parameters(recurse=False)),
        )
        for name, module in network.named_modules()
    }


def test_guided_backpropagation_takes_a_transformer_with_relus(tmp_path):
    model = ew.load_model(KINDS["ast"](tmp_path / "model", hidden_act="relu"))
    assert explained(model, "guidedbackprop").diagnostics["relus"] == 2


def segment_of(model, sound=None):
    """Return a recording's first segment."""
    sound = burst() if sound is None else sound
    if model.classifier.takes == "waveform":
        return score_waveform(model.classifier, sound).take([0])
    spectrogram = log_mel(model.classifier.front_end, torch.from_numpy(sound)).numpy()
    return score_recording(model.classifier, spectrogram).take([0])


def explained(model, method, sound=None, target=1):
    (found,) = parse(method).attribute(model.prepared, segment_of(model, sound), [[Target(target)]])
    return found


# ---- against Captum -----------------------------------------------------------------------------------------------


def asked_through_the_wrapper(model, segment):
    """Return the function from cells (spectrogram or gains) to logits that gradients are taken of, and its input."""
    if model.classifier.takes != "waveform":
        return model.prepared.network, torch.from_numpy(segment.values)
    with bound(model.prepared, segment) as one:
        return one.network.under, torch.ones(1, *segment.values.shape[1:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["saliency", "inputxgradient", "integratedgradients:steps=16,budget=0"])
def test_gradients_are_captums(folders, kind, method):
    model = ew.load_model(folders[kind])
    found, (asked, x) = explained(model, method), asked_through_the_wrapper(model, segment_of(model))
    x.requires_grad_()
    silence = torch.full_like(x, 0.0 if kind in ("wav2vec2", "hubert") else model.classifier.front_end.silence)
    if method == "saliency":
        expected = captum.attr.Saliency(asked).attribute(x, target=1, abs=False)
    elif method == "inputxgradient":
        expected = captum.attr.InputXGradient(asked).attribute(x, target=1)
    else:
        expected = captum.attr.IntegratedGradients(asked).attribute(x, silence, target=1, n_steps=16)
    peak = float(expected.detach().abs().max())
    assert peak > 0
    np.testing.assert_allclose(found.values, expected[0].detach().numpy(), atol=1e-4 * peak)


@pytest.mark.parametrize("kind", KINDS)
def test_grad_cam_is_captums(folders, kind):
    model, segment = ew.load_model(folders[kind]), segment_of(ew.load_model(folders[kind]))
    found, name = explained(model, "gradcam"), model.classifier.network.feature_layer
    if kind in ("wav2vec2", "hubert"):
        with bound(model.prepared, segment, 0, name) as one:
            network = one.network
    else:
        network = showing(model.prepared.network, name)
    shown = network.get_submodule(shown_layer(model.classifier.network, name))
    x = torch.from_numpy(segment.values).requires_grad_()
    expected = captum.attr.LayerGradCam(network, shown).attribute(x, target=1)[0, 0].detach()
    expected = expected.T if kind == "whisper" else expected
    np.testing.assert_allclose(found.native, expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("summed", [False, True])
def test_grad_cam_takes_every_way_from_a_block_to_the_answer(tmp_path, summed):
    folder = KINDS["wav2vec2"](tmp_path / "model", use_weighted_layer_sum=summed)
    model = ew.load_model(folder)
    x = model.classifier.network.prepare(torch.from_numpy(segment_of(model).samples))
    own = transformers.AutoModelForAudioClassification.from_pretrained(folder)
    leaves = []

    def begin(_module, _inputs, output):
        leaves.append(output.detach().requires_grad_())
        return leaves[0]

    own.wav2vec2.encoder.layers[0].register_forward_hook(begin)
    (gradient,) = torch.autograd.grad(own(x).logits[0, 1], leaves[0])
    expected = (gradient.mean(dim=1, keepdim=True) * leaves[0]).sum(dim=2).detach().numpy().T
    for _ in range(2):  # theirs hooks the blocks in its first pass
        np.testing.assert_allclose(explained(model, "gradcam").native, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["ast", "whisper"])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "ablationcam", "attentionrelevance"])
def test_many_segments_are_explained_as_each_alone(folders, kind, method):
    model = ew.load_model(folders[kind])
    sound = np.tile(burst(), 20) * np.linspace(0.1, 1.0, 20 * RATE, dtype=np.float32)
    spectrogram = log_mel(model.classifier.front_end, torch.from_numpy(sound)).numpy()
    segments = score_recording(model.classifier, spectrogram).take(range(20))
    every = parse(method).attribute(model.prepared, segments, [[Target(1)]] * 20)
    for row in (0, 7, 19):
        (alone,) = parse(method).attribute(model.prepared, segments.take([row]), [[Target(1)]])
        np.testing.assert_allclose(every[row].native, alone.native, atol=1e-4 * np.abs(alone.native).max())


# ---- tokens -------------------------------------------------------------------------------------------------------


def test_the_tokens_of_an_ast_lie_where_their_patches_do(folders):
    model = ew.load_model(folders["ast"])
    embed = model.classifier.network.inner.audio_spectrogram_transformer.embeddings.patch_embeddings
    tokens, quiet = model.classifier.network.tokens, torch.zeros(1, FRAMES, BANDS)
    along, across = (FRAMES - PATCH) // STRIDE + 1, (BANDS - PATCH) // STRIDE + 1
    for frame, band in [(0, 0), (41, 3), (60, 9), (94, 15), (10, 12)]:
        loud = quiet.clone()
        loud[0, frame, band] = 1.0
        changed = (embed(loud) - embed(quiet)).detach()
        grid = tokens.laid(torch.cat([torch.zeros(1, 2, changed.shape[2]), changed], dim=1))
        assert grid.shape[2:] == (along, across)
        seen = grid[0].abs().sum(dim=0) > 0
        for row, column in np.ndindex(along, across):
            covers = 0 <= frame - row * STRIDE < PATCH and 0 <= band - column * STRIDE < PATCH
            assert bool(seen[row, column]) == covers
    found = explained(model, "gradcam")
    assert found.native.shape == (along, across)
    middles = np.arange(along) * STRIDE + PATCH / 2  # in frames
    np.testing.assert_allclose(found.frame_edges[1:-1], (middles[1:] + middles[:-1]) / 2)
    np.testing.assert_allclose(found.band_edges[1:-1], (np.arange(1, across) * STRIDE) + PATCH / 2 - STRIDE / 2)


@pytest.mark.parametrize(("kind", "moments"), [("wav2vec2", 98), ("hubert", 98), ("whisper", 50)])
def test_other_tokens_are_moments(folders, kind, moments):
    assert explained(ew.load_model(folders[kind]), "hirescam").native.shape == (moments, 1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("wav2vec2.encoder.layers.7", "layer 'wav2vec2.encoder.layers.7' is unknown"),
        ("wav2vec2.feature_extractor.conv_layers.1", "where tokens of 16 numbers are expected"),
    ],
)
def test_layers_without_tokens_are_refused(folders, layer, message):
    with pytest.raises(UsageError, match=message):
        explained(ew.load_model(folders["wav2vec2"]), f"gradcam:layer={layer}")


def test_a_convolution_of_a_wav2vec2_has_moments_too(folders):
    layer = "wav2vec2.feature_extractor.conv_layers.1.conv"
    assert explained(ew.load_model(folders["wav2vec2"]), f"hirescam:layer={layer}").native.shape == (98, 1)


# ---- attention ----------------------------------------------------------------------------------------------------


def by_hand(network, x, target):
    """Return rollout and relevance, shape (tokens, tokens), by the papers' words, in NumPy but for the gradients."""
    network.set_attn_implementation("eager")
    found = network(x, output_attentions=True)
    gradients = torch.autograd.grad(found.logits[0, target], found.attentions)
    rolled = relevance = np.eye(found.attentions[0].shape[-1])
    for each, gradient in zip(found.attentions, gradients, strict=True):
        weights, slope = each[0].detach().double().numpy(), gradient[0].double().numpy()
        rolled = (0.5 * weights.mean(axis=0) + 0.5 * np.eye(len(rolled))) @ rolled
        relevance = relevance + np.maximum(slope * weights, 0).mean(axis=0) @ relevance
    return rolled, relevance - np.eye(len(relevance))


@pytest.mark.parametrize("kind", KINDS)
def test_rollout_and_relevance_are_the_papers(folders, kind):
    model = ew.load_model(folders[kind])
    segment, classifier = segment_of(model), model.classifier
    given = torch.from_numpy(segment.values if segment.samples is None else segment.samples)
    x = classifier.network.prepare(given)
    own = transformers.AutoModelForAudioClassification.from_pretrained(folders[kind])
    rolled, relevance = by_hand(own, x.transpose(1, 2) if kind == "whisper" else x, 1)
    for method, flow in (("rollout", rolled), ("attentionrelevance", relevance)):
        # Two class tokens, whose mean is the answer's, and then all moments of a band after another; or moments.
        classed = kind == "ast"
        expected = flow[:2].mean(axis=0)[2:].reshape(5, -1).T if classed else flow.mean(axis=0)[:, None]
        found = explained(model, method).native
        np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


def test_relevance_depends_on_the_class_and_rollout_does_not(folders):
    model = ew.load_model(folders["ast"])
    first, second = (explained(model, "rollout", target=target).values for target in (0, 1))
    np.testing.assert_array_equal(first, second)
    first, second = (explained(model, "attentionrelevance", target=target).values for target in (0, 1))
    assert np.abs(first - second).max() > 0.01 * np.abs(first).max()


# ---- axes ---------------------------------------------------------------------------------------------------------

HERTZ = {"low": 500.0, "high": 3_000.0}


@pytest.fixture(scope="module")
def taught(folders):
    """Models that have learned to tell a low burst and a high one, anywhere, from silence."""

    def teach(kind):
        model = ew.load_model(folders[kind])
        network, draws = model.classifier.network, np.random.default_rng(0)
        labels = torch.arange(30) % 3
        sounds = [
            burst(HERTZ.get(CLASSES[label], 0.0), draws.uniform(0.1, 0.9), noise=0.0) for label in labels.tolist()
        ]
        x = torch.from_numpy(np.stack(sounds))
        if model.classifier.takes == "spectrogram":
            x = log_mel(model.classifier.front_end, x)[:, : model.classifier.segment_frames]
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(100):
            loss = torch.nn.functional.cross_entropy(network(x), labels)
            if loss < 0.05:
                break
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return model

    return {kind: teach(kind) for kind in ("ast", "wav2vec2", "whisper")}


@pytest.mark.parametrize("kind", ["ast", "wav2vec2", "whisper"])
@pytest.mark.parametrize("name", HERTZ)
@pytest.mark.parametrize("at", [0.25, 0.7])
def test_evidence_lies_where_the_burst_is(taught, kind, name, at):
    """Elsewhere silence is hidden by silence, so nothing but the axes can put it in another place."""
    sound, target = burst(HERTZ[name], at, noise=0.0), CLASSES.index(name)
    found = explained(taught[kind], "occlusion:mask=20%,stride=10%,fill=floor", sound, target)
    frame, band = np.unravel_index(found.values.argmax(), found.values.shape)
    assert found.times[frame] == pytest.approx(at, abs=0.2)
    assert abs(np.log2(found.frequencies[band] / HERTZ[name])) < 1.2


# ---- the whole way ------------------------------------------------------------------------------------------------


def test_folders_are_explained_listened_to_and_checked(folders, tmp_path):
    sound, folder = written(tmp_path / "some.wav", burst()), str(folders["whisper"])
    left = earwitness("check-model", folder, str(sound))
    assert left.code == 0
    assert "Not by deeplift: has no rule for attention" in left.out
    asked = ["--method", "gradcam", "--method", "attentionrelevance"]
    left = earwitness("explain", str(sound), "--model", folder, *asked, "--out", str(tmp_path / "explained"))
    assert left.code == 0
    assert "Attention relevance for" in left.out  # its verdict
    assert (tmp_path / "explained" / "some.png").is_file()
    left = earwitness("listen", str(sound), "--model", folder, "--method", "rollout", "--out", str(tmp_path / "sounds"))
    assert left.code == 0
    assert list((tmp_path / "sounds").glob("*.wav"))
    left = earwitness("explain", str(sound), "--model", folder, "--method", "deeplift")
    assert (left.code, left.err.count("\n")) == (2, 1)


# ---- training -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("labelled") / "sounds", clips=5, seconds=1.2)


def test_the_embedding_of_a_folder_is_what_its_own_head_gets(tmp_path):
    backbone = load_backbone(str(tiny_transformers.wav2vec2(tmp_path / "folder")), {"segment_seconds": 1.0})
    assert backbone.embedding == 16
    samples = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32))
    network = transformers.Wav2Vec2Model.from_pretrained(tmp_path / "folder").eval()
    with torch.inference_mode():
        plain = (samples - samples.mean(dim=1, keepdim=True)) / samples.var(dim=1, correction=0, keepdim=True).sqrt()
        wanted = network(plain).last_hidden_state.mean(dim=1)
        found = backbone.opened.coat(samples)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize(("kind", "freeze"), [("ast", True), ("wav2vec2", True), ("wav2vec2", False)])
def test_a_folder_is_trained_on(labelled, tmp_path, kind, freeze):
    """Frozen under a new head, or in all its layers; one that never classified anything will do."""
    folder = getattr(tiny_transformers, kind)(tmp_path / "folder")
    without_head(folder)
    with pytest.raises(UsageError, match="train --backbone"):
        ew.load_model(folder)
    description = {} if kind == "ast" else {"segment_seconds": 1.0}
    asked = ew.Request(
        data=labelled,
        out=tmp_path / "run",
        backbone=str(folder),
        description=description,
        freeze=freeze,
        changes={"epochs": 2 if not freeze else 40},
    )
    trained = ew.train(asked, progress=False)
    assert trained.metrics.files == 3
    with safe_open(trained.run.model, framework="np") as stored:
        assert any("inner." in name for name in stored.keys()) is not freeze  # noqa: SIM118
    found = ew.explain(next(labelled.rglob("*.wav")), tmp_path / "run", methods=["gradcam", "rollout"], verdicts=False)
    assert found["rollout"].values.max() > 0
    assert set(found.scores) == set(LABELS)


def without_head(folder: Path) -> None:
    """Leave out the weights of the layers that classify, as checkpoints of pretraining are without them."""
    with safe_open(folder / "model.safetensors", framework="pt") as stored:
        kept = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    kept = {name: value for name, value in kept.items() if not name.startswith(("classifier", "projector"))}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
