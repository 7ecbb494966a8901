"""Models over waveforms: maps on cells of the recording's own STFT, in seconds and hertz."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import earwitness as ew
from earwitness.audio.timefreq import Clock
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.explainers.attribution import Target
from earwitness.explainers.inference.binding import bound
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.registry import parse
from earwitness.models.foreign.loading import load_foreign
from earwitness.models.foreign.reading import described
from earwitness.models.foreign.sound import levels_of, score_waveform
from earwitness.models.foreign.waveform import band_shares
from earwitness.trust.metrics.faithfulness import faithfulness
from earwitness.trust.metrics.robustness import noisy, shifted

CPU = torch.device("cpu")
HERTZ, MOMENT = 1_000.0, 0.6
CLASSES = ["there", "elsewhere"]
RATES = [8_000, 16_000, 44_100]
FEW = {"occlusion": "occlusion:mask=12x6,stride=6x3", "lime": "lime:grid=12x12,samples=600"}


class Ear(nn.Module):
    """Answers by the energy of one band at one moment of a waveform, and of nothing else."""

    def __init__(self, rate: int = 16_000, seconds: float = 1.0, channel: bool = False):
        super().__init__()
        at = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
        window = torch.where((at - MOMENT).abs() < 0.05, (torch.pi * (at - MOMENT) / 0.1).cos() ** 2, 0.0)
        turns = 2 * torch.pi * HERTZ * at
        probes = torch.stack([turns.cos(), turns.sin()]) * window / window.sum()
        self.probes = nn.Parameter(probes.float())
        self.channel = channel

    def forward(self, x):
        if self.channel:
            x = x[:, 0]
        energy = (x @ self.probes.T).square().sum(dim=1) * 400
        return torch.stack([energy, torch.zeros_like(energy)], dim=1)


def said(rate=16_000, **more):
    return {"input": "waveform", "sample_rate": rate, "segment_seconds": 1.0, "classes": CLASSES, **more}


def made(tmp_path: Path, arguments: str, description: dict, kind: str = "Ear") -> str:
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from test_waveform_models import {kind}\ndef make():\n    return {kind}({arguments}), {description!r}\n"
    )
    return f"{tmp_path / 'mine.py'}:make"


def tones(rate: int, seconds: float = 1.0) -> np.ndarray:
    """Return steady tones at the ear's frequency and elsewhere, and noise: other moments and bands are as loud."""
    at = np.arange(round(rate * seconds)) / rate
    sound = 0.1 * sum(np.sin(2 * np.pi * hertz * at + 0.3) for hertz in (300.0, HERTZ, 2_700.0))
    return (sound + 0.005 * np.random.default_rng(0).standard_normal(len(at))).astype(np.float32)


def at_hand(tmp_path, rate=16_000, sound=None, **more):
    """Return a classifier and the one segment of a sound."""
    classifier = load_foreign(made(tmp_path, str(rate), said(rate, **more)), CPU)
    return classifier, score_waveform(classifier, tones(rate) if sound is None else sound).take([0])


def network_of(classifier, segments):
    """Return the network bound to the first segment."""
    with bound(Prepared(classifier), segments) as one:
        return one.network


# ---- there and back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("cells", [{}, {"bands": 0}, {"hop": 137, "window": 512}])
def test_an_unchanged_segment_gives_its_samples_back(tmp_path, rate, cells):
    classifier, segments = at_hand(tmp_path, rate, **cells)
    network, x = network_of(classifier, segments), torch.from_numpy(segments.values)
    sound = network.sound(network.gains(x))[0].numpy()
    assert sound.shape == (rate,)
    np.testing.assert_allclose(sound, segments.samples[0], atol=1e-5 * np.abs(segments.samples).max())
    np.testing.assert_allclose(network(x).detach(), classifier.logits(segments.samples), rtol=1e-4)


@pytest.mark.parametrize("sound", ["noise", "half silent"])
def test_all_cells_hidden_is_silence(tmp_path, sound):
    samples = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    if sound == "half silent":
        samples[8_000:] = 0.0
    classifier, segments = at_hand(tmp_path, sound=samples)
    network = network_of(classifier, segments)
    silent = torch.full_like(torch.from_numpy(segments.values), classifier.front_end.silence)
    heard = network.sound(network.gains(silent))
    assert float(heard.abs().max()) < 1e-6
    assert float(network.sound(torch.zeros_like(silent)).abs().max()) == 0.0


def test_bands_beyond_those_named_are_kept(tmp_path):
    classifier, segments = at_hand(tmp_path, bands=20, low_hz=500.0, high_hz=2_000.0)
    heard = network_of(classifier, segments).sound(torch.zeros(1, *segments.values.shape[1:]))[0].numpy()
    spectrum, before = (np.abs(np.fft.rfft(each)) for each in (heard, segments.samples[0]))
    assert spectrum[1_000] < 1e-3 * before[1_000]
    np.testing.assert_allclose(spectrum[[300, 2_700]], before[[300, 2_700]], rtol=1e-3)


def test_a_hidden_cell_is_gone_at_its_place_alone(tmp_path):
    classifier, segments = at_hand(tmp_path)
    clock, network = classifier.front_end.clock, network_of(classifier, segments)
    x = torch.from_numpy(segments.values.copy())
    band, frames = int(clock.hz_to_band(HERTZ)), clock.seconds_to_frame([0.4, 0.6])
    x[:, frames[0] : frames[1], band - 3 : band + 4] = classifier.front_end.silence
    heard = network.sound(network.gains(x))[0].numpy()
    for moment, there in ((0.5, False), (0.2, True), (0.8, True)):
        part = slice(int((moment - 0.05) * 16_000), int((moment + 0.05) * 16_000))
        strength = np.abs(np.fft.rfft(heard[part])) / np.abs(np.fft.rfft(segments.samples[0][part]))
        assert (strength[100] > 0.9) == there  # 1,000 Hz
        assert strength[270] == pytest.approx(1.0, abs=0.02)  # 2,700 Hz


def test_shares_of_bins_add_up_between_the_lowest_and_the_highest_band():
    clock = Clock(sample_rate=16_000, hop=160, centre=0.0, bands=30, low_hz=200.0, high_hz=4_000.0, mel_scale="htk")
    shares, hertz = band_shares(clock, 1_024), np.arange(513) * 16_000 / 1_024
    inside = (hertz >= 200) & (hertz <= 4_000)
    np.testing.assert_allclose(shares.sum(axis=1), inside, atol=1e-6)
    assert (shares >= 0).all()
    strongest = shares[inside].argmax(axis=1)
    np.testing.assert_array_equal(strongest, np.clip(clock.hz_to_band(hertz[inside]), 0, 29))


# ---- where the evidence is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "method", ["occlusion", "lime", "saliency", "inputxgradient", "integratedgradients", "smoothgrad:samples=8"]
)
def test_the_strongest_cell_is_the_one_that_the_network_uses(tmp_path, rate, method):
    classifier, segments = at_hand(tmp_path, rate)
    fill = ",fill=floor" if method in FEW else ""
    explainer = parse(FEW.get(method, method) + fill)
    (found,) = explainer.attribute(classifier, segments, [[Target(0)]])
    frame, band = np.unravel_index(found.values.argmax(), found.values.shape)
    assert found.times[frame] == pytest.approx(MOMENT, abs=0.06)
    cell = np.searchsorted(found.frequency_edges, HERTZ) - 1
    place = np.searchsorted(found.frequency_edges, found.frequencies[band]) - 1  # of the method's own cells
    assert abs(int(place) - int(cell)) <= 1
    assert found.score == pytest.approx(float(classifier.logits(segments.samples)[0, 0]), rel=1e-3)


@pytest.mark.parametrize("fill", ["floor", "mean", "band-mean", "neighbours", "noise"])
def test_every_fill_hides_a_beep(tmp_path, fill):
    at = np.arange(16_000) / 16_000
    beep = tones(16_000) - 0.1 * np.sin(2 * np.pi * HERTZ * at + 0.3) * (np.abs(at - MOMENT) > 0.06)
    classifier, segments = at_hand(tmp_path, sound=beep.astype(np.float32))
    (found,) = parse(f"{FEW['occlusion']},fill={fill}").attribute(classifier, segments, [[Target(0)]])
    frame, band = np.unravel_index(found.values.argmax(), found.values.shape)
    assert found.values[frame, band] > 0.5 * found.score
    assert found.times[frame] == pytest.approx(MOMENT, abs=0.06)
    assert abs(int(band) - int(classifier.front_end.clock.hz_to_band(HERTZ))) <= 3


# ---- gradients ----------------------------------------------------------------------------------------------------


def test_a_gradient_is_the_finite_difference_of_the_gain(tmp_path):
    classifier, segments = at_hand(tmp_path)
    network = network_of(classifier, segments)
    (found,) = parse("saliency").attribute(classifier, segments, [[Target(0)]])
    ones, step = torch.ones(1, *segments.values.shape[1:]), 0.02
    places = np.argsort(-np.abs(found.values), axis=None)[[0, 5, 20]]
    for frame, band in zip(*np.unravel_index(places, found.values.shape), strict=True):
        up, down = ones.clone(), ones.clone()
        up[0, frame, band] += step
        down[0, frame, band] -= step
        expected = float((network.under(up) - network.under(down))[0, 0]) / (2 * step)
        assert found.values[frame, band] == pytest.approx(expected, rel=0.02, abs=1e-4)
    (times,) = parse("inputxgradient").attribute(classifier, segments, [[Target(0)]])
    np.testing.assert_allclose(times.values, found.values, atol=1e-6)


def test_integrated_gradients_add_up_from_silence_to_the_sound(tmp_path):
    classifier, segments = at_hand(tmp_path)
    network = network_of(classifier, segments)
    (found,) = parse("integratedgradients:score=logit").attribute(classifier, segments, [[Target(0)]])
    cells = segments.values.shape[1:]
    ends = network.under(torch.stack([torch.ones(cells), torch.zeros(cells)]))[:, 0]
    assert found.values.sum() == pytest.approx(float(ends[0] - ends[1]), rel=1e-3)
    assert abs(found.diagnostics["gap"]) < 1e-3 * found.score
    assert "not converged" not in found.flags


def test_noise_of_gains_is_a_share_of_their_range(tmp_path):
    classifier, segments = at_hand(tmp_path)
    still, shaken = (
        parse(f"smoothgrad:samples=6,noise={noise}").attribute(classifier, segments, [[Target(0)]])[0]
        for noise in (0.0, 0.3)
    )
    (plain,) = parse("saliency").attribute(classifier, segments, [[Target(0)]])
    np.testing.assert_allclose(still.values, plain.values, atol=1e-5 * np.abs(plain.values).max())
    assert np.abs(shaken.values - plain.values).max() > 1e-3 * np.abs(plain.values).max()


# ---- layers over time ---------------------------------------------------------------------------------------------


class Layers(nn.Module):
    """Two convolutions over time that pass on what is loud; the sum of the second one's map is the score."""

    def __init__(self):
        super().__init__()
        self.first, self.act = nn.Conv1d(1, 1, 200, stride=100, bias=False), nn.ReLU()
        self.second, self.last = nn.Conv1d(1, 2, 1, bias=False), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.sin(2 * torch.pi * HERTZ * torch.arange(200) / 16_000) / 100)
            self.second.weight.copy_(torch.tensor([[[2.0]], [[0.5]]]))
            self.last.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, -1.0]]))

    def forward(self, x):
        return self.last(self.second(self.act(self.first(x[:, None]))).mean(dim=2))


def layered(tmp_path):
    return load_foreign(made(tmp_path, "", said(feature_layer="second"), "Layers"), CPU)


CAMS = [
    "gradcam",
    "gradcampp",
    "xgradcam",
    "hirescam",
    "layercam",
    "scorecam",
    "ablationcam",
    "eigencam",
    "eigengradcam",
]


@pytest.mark.parametrize("method", CAMS)
def test_a_layer_over_time_gives_a_map_of_moments(tmp_path, method):
    at = np.arange(16_000) / 16_000
    beep = 0.5 * np.sin(2 * np.pi * HERTZ * at) * (np.abs(at - MOMENT) < 0.05)
    classifier = layered(tmp_path)
    segments = score_waveform(classifier, beep.astype(np.float32)).take([0])
    (found,) = parse(method).attribute(classifier, segments, [[Target(0)]])
    assert found.native.shape == (159, 1)
    assert (found.values == found.values[:, :1]).all()  # of all bands at once
    assert found.times[int(found.values[:, 0].argmax())] == pytest.approx(MOMENT, abs=0.07)
    assert found.parameters["layer"] == "second"
    assert not hasattr(classifier.network.inner.second, "map")


def test_grad_cam_over_time_is_that_of_the_paper(tmp_path):
    classifier = layered(tmp_path)
    segments = score_waveform(classifier, tones(16_000)).take([0])
    (found,) = parse("gradcam").attribute(classifier, segments, [[Target(1)]])
    net, x = classifier.network.inner, torch.from_numpy(segments.samples)
    maps = net.second(net.act(net.first(x[:, None])))[0]
    weights = net.last.weight[1] / maps.shape[1]
    np.testing.assert_allclose(found.native[:, 0], (weights @ maps).detach(), rtol=2e-3, atol=1e-7)


def test_layers_that_have_no_map_over_time_are_refused(tmp_path):
    classifier = layered(tmp_path)
    segments = score_waveform(classifier, tones(16_000)).take([0])
    for layer, words in (
        ("last", r"'last' has no map over time \(its output is \(2,\)"),
        ("third", r"'third' is unknown; its last layers are first, act, second"),
    ):
        with pytest.raises(UsageError, match=words):
            parse(f"gradcam:layer={layer}").attribute(classifier, segments, [[Target(0)]])


class Inner(nn.Module):
    """Makes a spectrogram of its own, of bins (first axis) and frames, and convolves it."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
        self.register_buffer("window", torch.hann_window(512))

    def forward(self, x):
        spectrum = torch.stft(x, 512, 256, window=self.window, return_complex=True)
        return self.layers((spectrum.abs() + 1e-3).log()[:, None]).mean(dim=(2, 3))


def test_a_network_with_a_spectrogram_of_its_own_is_explained_by_what_needs_no_layer(tmp_path):
    classifier = load_foreign(made(tmp_path, "", said(feature_layer="layers.3"), "Inner"), CPU)
    segments = score_waveform(classifier, tones(16_000)).take([0])
    logits = classifier.logits(segments.samples)[0, 0]
    for method in (FEW["occlusion"], f"{FEW['occlusion']},precision=bfloat16", "integratedgradients"):
        (found,) = parse(f"{method},score=logit" if ":" in method else method).attribute(
            classifier, segments, [[Target(0)]]
        )
        assert found.score == pytest.approx(float(logits), rel=2e-2 if "bfloat16" in method else 1e-4)
        assert found.values.any()
    with pytest.raises(UsageError, match=r"'layers.3' has no map over time \(its output is \(2, 253, 59\)"):
        parse("gradcam").attribute(classifier, segments, [[Target(0)]])


# ---- files, batches, many segments --------------------------------------------------------------------------------


def exported(path: Path, *, batch=None, channel=False) -> Path:
    """Write an ear in the format of the path's ending."""
    network, x = Ear(channel=channel).eval(), torch.zeros(batch or 2, *([1] if channel else []), 16_000)
    if path.suffix == ".onnx":
        free = None if batch else {"x": {0: "n"}, "y": {0: "n"}}
        names = {"input_names": ["x"], "output_names": ["y"]}
        torch.onnx.export(network, (x,), str(path), dynamic_axes=free, dynamo=False, **names)
    else:
        torch.jit.trace(network, x).save(str(path))
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ear.onnx", {}),
        ("ear.onnx", {"batch": 1}),
        ("ear.onnx", {"batch": 4, "channel": True}),
        ("ear.pt", {}),
        ("ear.pt", {"channel": True}),
    ],
)
def test_files_give_the_maps_of_their_network(tmp_path, name, options):
    if name.endswith("onnx"):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    classifier, segments = at_hand(tmp_path)
    known = described(said(**({"layout": ["channel", "samples"]} if "channel" in options else {})))
    other = load_foreign(str(exported(tmp_path / name, **options)), CPU, description=known)
    methods = [FEW["occlusion"], "lime:grid=6x6,samples=100"] + (["saliency"] if name == "ear.pt" else [])
    for method in methods:
        own, theirs = (parse(method).attribute(each, segments, [[Target(0)]])[0] for each in (classifier, other))
        np.testing.assert_allclose(theirs.values, own.values, atol=1e-3 * np.abs(own.values).max())


class Counter(nn.Module):
    """Answers by the first sample of what it gets and by the sum of all so far, its state, times a gain."""

    def forward(self, x, state, gain):
        state = state + x.sum(dim=1, keepdim=True)
        return torch.cat([x[:, :1], state * gain], dim=1), state


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("context", "pooled"), [(0, "mean"), (0, "max"), (2, "max")])
def test_onnx_is_fed_step_by_step_with_constants_and_its_state(tmp_path, context, pooled):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    given = (torch.zeros(2, 4), torch.zeros(2, 1), torch.tensor(1.0))
    free = {"x": {0: "n", 1: "samples"}, "state": {0: "n"}, "y": {0: "n"}, "state_out": {0: "n"}}
    names = {"input_names": ["x", "state", "gain"], "output_names": ["y", "state_out"]}
    torch.onnx.export(Counter(), given, str(tmp_path / "count.onnx"), dynamic_axes=free, dynamo=False, **names)
    steps = {"step_samples": 4, "context_samples": context, "pooled": pooled, "segment_samples": 160}
    known = {name: value for name, value in said(160).items() if name != "segment_seconds"}
    inputs = {"inputs": {"state": "state_out", "gain": 3.0}, "window": 8, "hop": 4, "bands": 0}
    classifier = load_foreign(str(tmp_path / "count.onnx"), CPU, description=described(known | steps | inputs))
    sound = np.random.default_rng(0).standard_normal((3, 160)).astype(np.float32)
    led = np.pad(sound, ((0, 0), (context, 0)))
    parts = np.stack([led[:, start : start + 4 + context] for start in range(0, 160, 4)], axis=1)
    answers = np.stack([parts[:, :, 0], 3.0 * parts.sum(axis=2).cumsum(axis=1)], axis=2)
    expected = answers.max(axis=1) if pooled == "max" else answers.mean(axis=1)
    for _ in range(2):  # nothing is left over from before
        np.testing.assert_allclose(classifier.logits(sound), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"inputs": {"x": 1.0}}, "inputs and step_samples are for ONNX files"),
        ({"step_samples": 100, "pooled": "max"}, "inputs and step_samples are for ONNX files"),
        ({"step_samples": 100}, "say pooled"),
        (
            {"step_samples": 100, "pooled": "max", "context_samples": 101},
            "context_samples are those of the step before",
        ),
        ({"inputs": 3}, "inputs 3: has the wrong type"),
        ({"pooled": "median"}, "pooled 'median': is unknown"),
    ],
)
def test_steps_that_cannot_be_are_refused(tmp_path, more, words):
    with pytest.raises(EarwitnessError, match=words):
        load_foreign(made(tmp_path, "", said(**more)), CPU)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_onnx_says_its_length_and_its_channel(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    known = {name: value for name, value in said().items() if name != "segment_seconds"}
    path = str(exported(tmp_path / "ear.onnx", channel=True))
    classifier = load_foreign(path, CPU, description=described(known))
    assert classifier.segment_samples == 16_000
    assert classifier.segment_seconds == 1.0
    segments = score_waveform(classifier, tones(16_000)).take([0])
    with pytest.raises(UsageError, match="saliency needs gradients"):
        parse("saliency").attribute(classifier, segments, [[Target(0)]])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_segments_of_another_length_are_taken_or_refused(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = ew.load_model(exported(tmp_path / "ear.onnx"), description=said())
    with pytest.raises(UsageError, match=r"ear.onnx: cannot take a segment of 8000 samples as samples \("):
        model.with_segments(0.5)
    free = ew.load_model(made(tmp_path, "", said(), "Layers"))
    assert free.with_segments(0.5).classifier.segment_samples == 8_000
    assert free.with_segments(overlap=50.0).classifier.segment_samples == 16_000


def test_several_segments_are_explained_as_each_alone(tmp_path):
    classifier = load_foreign(made(tmp_path, "", said(overlap=50.0)), CPU)
    scored = score_waveform(classifier, tones(16_000, 2.3))
    assert len(scored.scores) == 4
    segments = scored.take([0, 3, 1])
    assert segments.start_frames.tolist() == [0, 130, 50]
    np.testing.assert_array_equal(segments.samples[1], tones(16_000, 2.3)[-16_000:])
    targets = [[Target(0)], [Target(0), Target(1)], [Target(1)]]
    together = parse(FEW["occlusion"]).attribute(classifier, segments, targets)
    alone = [
        each
        for row, listed in enumerate(targets)
        for each in parse(FEW["occlusion"]).attribute(classifier, segments.take([row]), [listed])
    ]
    assert [each.start_seconds for each in together] == [0.0, 1.3, 1.3, 0.5]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_a_short_recording_is_padded_and_its_padding_is_no_evidence(tmp_path):
    classifier, segments = at_hand(tmp_path, sound=tones(16_000, 0.7))
    assert segments.real_frames.tolist() == [70]
    assert not segments.samples[0, 11_200:].any()
    (found,) = parse("integratedgradients").attribute(classifier, segments, [[Target(0)]])
    assert "padded" in found.flags
    assert not found.values[70:].any()
    assert found.values[:70].any()


def test_levels_are_of_frames_that_begin_before_the_end(tmp_path):
    classifier, _ = at_hand(tmp_path)
    for samples, frames in ((16_000, 100), (16_001, 101), (100, 1)):
        assert levels_of(classifier.front_end, tones(16_000, samples / 16_000)).shape == (frames, 64)


def test_a_file_is_explained_from_end_to_end(tmp_path):
    sound = tmp_path / "tones.wav"
    soundfile.write(sound, tones(16_000, 1.5), 16_000)
    model = ew.load_model(made(tmp_path, "", said(overlap=50.0)))
    found = ew.explain(sound, model, methods=[FEW["occlusion"], "saliency"], at=0.5, progress=False)
    assert found.predicted == "there"
    assert found.segments == 2
    occlusion = found["occlusion"]
    frame, _ = np.unravel_index(occlusion.values.argmax(), occlusion.values.shape)
    assert occlusion.times[frame] == pytest.approx(MOMENT, abs=0.06)
    (region, *_) = occlusion.regions
    assert region.start_seconds < MOMENT < region.end_seconds
    assert region.low_hz < HERTZ < region.high_hz
    assert region.without < region.score
    assert found.save(tmp_path / "out").is_file()
    scores = found.listen("occlusion").scores
    assert scores["kept"]["there"] > scores["removed"]["there"]


# ---- whether maps may be believed ---------------------------------------------------------------------------------


def test_verdicts_are_measured_on_the_sound(tmp_path):
    sound = tmp_path / "tones.wav"
    soundfile.write(sound, tones(16_000), 16_000)
    model = ew.load_model(made(tmp_path, "", said()))
    methods = ["occlusion:mask=20%,stride=20%", "lime:grid=4x4,samples=64"]
    found = ew.explain(sound, model, methods=methods, progress=False)
    for method in ("occlusion", "lime"):
        assert {"deletion", "insertion", "shift", "noise", "kept", "agrees"} <= set(found[method].verdict["signs"])


def test_faithful_maps_of_waveforms_are_told_from_others(tmp_path):
    classifier, segments = at_hand(tmp_path)
    (good,) = parse(FEW["occlusion"]).attribute(classifier, segments, [[Target(0)]])
    bad = replace(good, values=good.values[::-1].copy(), native=good.native[::-1].copy())
    right, wrong = faithfulness(classifier, segments.take([0, 0]), [good, bad], steps=8, score="logit")
    assert right.deletion.area < wrong.deletion.area
    assert right.insertion.area > wrong.insertion.area


def test_a_shift_and_noise_change_the_sound_with_its_levels(tmp_path):
    classifier, segments = at_hand(tmp_path, sound=tones(16_000, 0.9))
    before, hop = segments.samples[0], classifier.front_end.hop
    later, earlier = (shifted(segments, frames, hop).samples[0] for frames in (2, -1))
    np.testing.assert_array_equal(later[: 14_400 - 2 * hop], before[2 * hop : 14_400])
    np.testing.assert_array_equal(earlier[hop:14_400], before[: 14_400 - hop])
    assert not later[14_400:].any()
    with pytest.raises(UsageError, match="name their hop"):
        shifted(segments, 1)
    noised = noisy(classifier, segments, -20.0)
    power = np.square(noised.samples[0] - before)[:14_400].mean() / np.square(before[:14_400]).mean()
    assert power == pytest.approx(0.01, rel=0.1)
    assert not noised.samples[0, 14_400:].any()
    np.testing.assert_array_equal(noised.values[0, 90:], segments.values[0, 90:])
    levels = levels_of(classifier.front_end, noised.samples[0])
    np.testing.assert_array_equal(noised.values[0, :90], levels[:90])
    unchanged = network_of(classifier, noised)(torch.from_numpy(noised.values))
    np.testing.assert_allclose(unchanged.detach(), classifier.logits(noised.samples), rtol=1e-4)


# ---- what is refused ----------------------------------------------------------------------------------------------


def test_what_does_not_fit_waveforms_is_one_line(tmp_path):
    sound = tmp_path / "tones.wav"
    soundfile.write(sound, tones(16_000, 1.5), 16_000)
    model = ew.load_model(made(tmp_path, "", said()))
    with pytest.raises(UsageError, match="gradcam: the network names no feature_layer; it has no layers over time"):
        ew.explain(sound, model, methods=["gradcam"], verdicts=False, progress=False)
    with pytest.raises(UsageError, match="--whole: is for models over spectrograms"):
        ew.explain(sound, model, whole=True, progress=False)
    segments = score_waveform(model.classifier, tones(16_000)).take([0])
    plain = type(segments)(segments.values, segments.start_frames, segments.real_frames, segments.files)
    with pytest.raises(UsageError, match="carry their samples"):
        parse("occlusion").attribute(model.classifier, plain, [[Target(0)]])
    segments.samples[0, 5] = np.nan
    with pytest.raises(EarwitnessError, match="samples hold NaN"):
        parse("occlusion").attribute(model.classifier, segments, [[Target(0)]])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"log": "none"}, "log: is for models over spectrograms"),
        ({"segment_frames": 10}, "segment_frames: is for models over spectrograms"),
        ({"layout": ["bands", "frames"]}, "layout bands, frames: a waveform has samples"),
        ({"segment_samples": 100}, "segment_seconds and segment_samples say the same"),
        ({"hop": 400, "window": 512}, "hop 400: is over half the window of 512"),
        ({"bands": 400}, "400 bands: some are narrower than the STFT's bins"),
        ({"window": 512, "fft": 1_024}, "the FFT is as long as the window"),
    ],
)
def test_a_description_of_cells_that_cannot_be_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        described(said(**given)).front_end()


def test_a_spectrogram_has_no_samples():
    with pytest.raises(UsageError, match="say input = 'waveform'"):
        described({"sample_rate": 16_000, "hop": 160, "window": 400, "layout": ["samples"]})


@pytest.mark.parametrize(
    ("rate", "samples", "hop"),
    [(16_000, 16_000, 160), (16_000, 512, 128), (16_000, 15_600, 156), (44_100, 44_100, 441), (16_000, 15_601, 160)],
)
def test_a_hop_of_about_ten_milliseconds_divides_the_segment(rate, samples, hop):
    known = described({"input": "waveform", "sample_rate": rate, "segment_samples": samples})
    assert known.front_end().hop == hop


# ---- the end of a recording ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "segments"), [(5.0, 5), (5.0003, 5), (1.0003, 1), (5.3, 6)])
def test_a_few_samples_more_make_no_segment_that_counts_sound_twice(tmp_path, seconds, segments):
    classifier = load_foreign(made(tmp_path, "16000", said()), CPU)
    scored = score_waveform(classifier, tones(16_000, seconds))
    assert len(scored.scores) == segments
    assert scored.start_frames[0] == 0
    if seconds < 5.3:
        assert (np.diff(scored.start_frames) == scored.segment_frames).all()
