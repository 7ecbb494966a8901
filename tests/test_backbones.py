"""Backbones: a suite that every one passes, and the published networks' own values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from earwitness.audio import decoding
from earwitness.audio.frontend import EFFICIENTAT
from earwitness.audio.logmel import log_mel
from earwitness.core.errors import UsageError
from earwitness.models.hierarchy import audioset_parents
from earwitness.models.mobilenet import round_channels
from earwitness.models.network import Standardise
from earwitness.models.pretrained import tagger, tagger_named
from earwitness.models.registry import BACKBONES, backbone_named
from earwitness.models.vggish import VGGish, initialise_he
from earwitness.models.weights import audioset_labels, resolve
from rounding import DEEP, rounding

ACTIVATIONS = (nn.ReLU, nn.Hardswish)
CLIPS = (
    "chainsaw",
    "clock_tick",
    "crackling_fire",
    "crying_baby",
    "dog",
    "helicopter",
    "rain",
    "rooster",
    "sea_waves",
    "sneezing",
)
every_backbone = pytest.mark.parametrize("name", BACKBONES)


@pytest.fixture(scope="module")
def networks():
    """One network of each kind with weights of He's scale and norms as after some training."""
    made = {}
    for name, line in BACKBONES.items():
        network = line.build(5).eval()
        initialise_he(network, 1)
        made[name] = network
    return made


def segments(name: str, count: int = 2, frames: int | None = None) -> torch.Tensor:
    front_end = BACKBONES[name].front_end
    generator = torch.Generator().manual_seed(4)
    return torch.randn(count, frames or front_end.segment_frames, front_end.bands, generator=generator)


def maps_of(network, values: torch.Tensor) -> torch.Tensor:
    """Return the output of the layer that activation maps look at."""
    kept = []
    handle = network.get_submodule(network.feature_layer).register_forward_hook(lambda *inside: kept.append(inside[2]))
    try:
        with torch.inference_mode():
            network(values)
    finally:
        handle.remove()
    return kept[0]


# ---- what every backbone is --------------------------------------------------------------------------------------


@every_backbone
def test_it_scores_segments(networks, name):
    logits = networks[name](segments(name))
    assert logits.shape == (2, 5)
    assert bool(logits.isfinite().all())
    assert float((logits[0] - logits[1]).detach().abs().max()) > 1e-3  # it hears a difference


@every_backbone
def test_scoring_is_the_head_on_the_embedding(networks, name):
    network, values = networks[name], segments(name)
    with torch.inference_mode():
        embedded = network.embed(values)
        assert embedded.shape[0] == 2
        assert embedded.ndim == 2
        torch.testing.assert_close(network.head(embedded), network(values))


@every_backbone
def test_a_batch_of_n_equals_n_batches_of_one(networks, name):
    values = segments(name, 5)
    with torch.inference_mode():
        together = networks[name](values)
        alone = torch.cat([networks[name](value[None]) for value in values])
    torch.testing.assert_close(together, alone, rtol=0, atol=rounding(alone, units=DEEP))


@every_backbone
def test_it_takes_no_segments_too(networks, name):
    with torch.inference_mode():
        assert networks[name](segments(name, 0)).shape == (0, 5)


@every_backbone
def test_other_lengths_are_heard_where_the_registry_says_so(networks, name):
    for frames in (32, 112, 500):
        if BACKBONES[name].fixed_length:
            with pytest.raises(RuntimeError):
                networks[name](segments(name, 1, frames))
        else:
            with torch.inference_mode():
                assert networks[name](segments(name, 1, frames)).shape == (1, 5)


@every_backbone
def test_the_explained_layer_is_the_last_activation_with_more_than_one_cell(networks, name):
    network = networks[name]
    layer = network.get_submodule(network.feature_layer)
    last = list(layer.modules())[-1]
    assert isinstance(last, ACTIVATIONS)
    maps = maps_of(network, segments(name))
    assert maps.ndim == 4
    assert maps.shape[0] == 2
    assert maps.shape[2] > 1
    assert maps.shape[3] > 1
    # No later activation has a map.
    seen: list[str] = []
    handles = [
        module.register_forward_hook(lambda _m, _i, out, at=at: seen.append(at) if out.ndim == 4 else None)
        for at, module in network.named_modules()
        if isinstance(module, ACTIVATIONS)
    ]
    with torch.inference_mode():
        network(segments(name))
    for handle in handles:
        handle.remove()
    assert network.get_submodule(seen[-1]) is last


@every_backbone
def test_the_grid_is_the_documented_one(networks, name):
    cells = tuple(maps_of(networks[name], segments(name)).shape[2:])
    assert cells == {"vggish": (12, 8), "compact": (12, 8), "mn04": (4, 3)}[name]


@every_backbone
@pytest.mark.parametrize("axis", ["time", "frequency"])
def test_a_moved_event_moves_along_the_named_axis(networks, name, axis):
    # Deep cells see nearly the whole segment, so the event must move far, and segments are long where they may be.
    network, bands = networks[name], BACKBONES[name].front_end.bands
    frames = 96 if BACKBONES[name].fixed_length else 384
    centres = {}
    for place in ("early", "late"):
        values = torch.zeros(1, frames, bands)
        size = frames if axis == "time" else bands
        start = 0 if place == "early" else size - size // 6
        event = slice(start, start + size // 6)
        if axis == "time":
            values[:, event] = 8.0
        else:
            values[:, :, event] = 8.0
        change = (maps_of(network, values) - maps_of(network, torch.zeros_like(values)))[0].abs().sum(dim=0)
        weight = change / change.sum()
        centres[place] = [
            float((weight.sum(dim=1 - dim) * torch.linspace(0, 1, weight.shape[dim])).sum()) for dim in (0, 1)
        ]
    moved = dict(zip(network.map_axes, np.subtract(centres["late"], centres["early"]), strict=True))
    other = {"time": "frequency", "frequency": "time"}[axis]
    assert moved[axis] > 0.05
    assert moved[axis] > 3 * abs(moved[other])


@every_backbone
def test_the_new_layers_are_parameters_of_the_head(networks, name):
    network = networks[name]
    head = {id(parameter) for parameter in network.head_parameters()}
    assert {id(network.FCFinal.weight), id(network.FCFinal.bias)} <= head
    assert head < {id(parameter) for parameter in network.parameters()}
    # What the head's parameters are, the embedding does not depend on.
    network.zero_grad()
    network.embed(segments(name)).sum().backward()
    assert all(parameter.grad is None for parameter in network.head_parameters())
    assert all(parameter.grad is not None for parameter in network.parameters() if id(parameter) not in head)
    network.zero_grad()


@every_backbone
def test_gradients_reach_the_segment(networks, name):
    values = segments(name).requires_grad_()
    networks[name](values)[:, 0].sum().backward()
    assert values.grad is not None
    assert float(values.grad.abs().sum()) > 0
    networks[name].zero_grad()


@every_backbone
def test_standardising_is_a_part_of_it(networks, name):
    network, values = networks[name], segments(name)
    with torch.inference_mode():
        expected = network(values)
        network.standardise.set(-3.0, 2.0)
        found = network(2.0 * values - 3.0)
        torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, units=DEEP))
        network.standardise.set(0.0, 1.0)


@every_backbone
def test_channels_last_changes_nothing(networks, name):
    values = segments(name)
    with torch.inference_mode():
        expected = networks[name](values)
        networks[name].to(memory_format=torch.channels_last)
        found = networks[name](values)
        torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, units=DEEP))
        networks[name].to(memory_format=torch.contiguous_format)


@pytest.mark.parametrize("name", ["mn04", "compact"])  # VGGish takes seconds to build
def test_the_same_seed_builds_the_same_network(name):
    built = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        network = BACKBONES[name].build(3)
        initialise_he(network, seed)
        built.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert torch.equal(built[0], built[1])
    assert not torch.equal(built[0], built[2])


def test_he_weights_have_hes_spread():
    network = VGGish(3)
    initialise_he(network, 0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert float(module.bias.detach().abs().max()) == 0.0
            fan_in = module.weight[0].numel()
            if module.weight.numel() > 10_000:
                assert float(module.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)


def test_an_unknown_backbone_names_the_known_ones():
    with pytest.raises(
        UsageError, match=r"'vgish': no such backbone \(did you mean vggish\?\); choose one of vggish, m"
    ):
        backbone_named("vgish")


def test_compact_is_compact():
    assert sum(parameter.numel() for parameter in BACKBONES["compact"].build(50).parameters()) < 1_000_000


def test_standardise_begins_as_nothing():
    values = torch.randn(2, 3, 4)
    assert torch.equal(Standardise()(values), values)


# ---- VGGish as published -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vggish_golden(shared):
    return dict(np.load(shared / "golden" / "vggish_network.npz"))


@pytest.fixture(scope="module")
def made_vggish(vggish_golden):
    """VGGish with the weights that golden/README.md says how to make."""
    network = VGGish(10).double().eval()
    state = network.state_dict()
    random = np.random.RandomState(0)
    for name in vggish_golden["parameter_names"]:
        shape = tuple(state[str(name)].shape)
        if name.endswith("bias"):
            state[str(name)].zero_()
        else:
            made = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            state[str(name)].copy_(torch.from_numpy(made.astype(np.float32)))
    network.load_state_dict(state)
    return network


def test_vggish_names_are_the_published_ones(vggish_golden):
    ours = [name for name, _ in VGGish(10).named_parameters() if not name.startswith("FCFinal")]
    assert ours == [str(name) for name in vggish_golden["parameter_names"]]


def test_vggish_maps_and_embeddings_are_the_reference(made_vggish, vggish_golden):
    values = torch.from_numpy(vggish_golden["patches"]).double()[:, 0]
    with torch.inference_mode():
        maps = made_vggish.features(values[:, None])
        embedded = made_vggish.embed(values)
    assert np.abs(maps.numpy() - vggish_golden["conv_output"]).max() < 1e-5
    assert np.abs(embedded.numpy() - vggish_golden["embedding"]).max() < 1e-5
    assert vggish_golden["embedding"].max() > 0.1  # so that the comparison can fail


def test_vggish_embeddings_end_in_their_relu(made_vggish, vggish_golden):
    with torch.inference_mode():
        embedded = made_vggish.embed(torch.from_numpy(vggish_golden["patches"]).double()[:, 0])
    assert float(embedded.min()) == 0.0


# ---- mn04 as published -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(6.4, 8), (9.6, 16), (16, 16), (44.8, 48), (64, 64), (12, 16), (20, 24), (1, 8)])
def test_channels_are_rounded_as_published(channels):
    given, expected = channels
    assert round_channels(given) == expected


@pytest.fixture(scope="module")
def mn04(shared):
    return tagger("mn04", resolve("mn04", shared / "weights" / "mn04_as_mAP_432.pt"))


@pytest.fixture(scope="module")
def mn04_golden(shared):
    return dict(np.load(shared / "golden" / "mn04.npz"))


@pytest.mark.parametrize("clip", CLIPS)
def test_mn04_hears_what_the_reference_hears(shared, mn04, mn04_golden, clip):
    sound = decoding.read(shared / "data" / "esc10" / str(mn04_golden[f"{clip}_file"]), EFFICIENTAT.sample_rate)
    values = log_mel(EFFICIENTAT, torch.from_numpy(sound.samples))[None]
    with torch.inference_mode():
        embedded = mn04.network.embed(values)[0].numpy()
    logits = mn04.logits(values)[0].numpy()
    assert logits.shape == (527,)
    assert embedded.shape == (384,)
    assert np.abs(logits - mn04_golden[f"{clip}_logits"]).max() < 1e-3
    assert np.abs(embedded - mn04_golden[f"{clip}_embedding"]).max() < 1e-3
    top = [mn04.classes[place] for place in np.argsort(-logits)[:5]]
    assert top == [str(label) for label in mn04_golden[f"{clip}_top5"]]


@pytest.mark.parametrize("clip", ["dog", "helicopter"])
def test_mn04_equals_the_reference_on_the_references_mel(mn04, mn04_golden, clip):
    logits = mn04.logits(torch.from_numpy(mn04_golden[f"{clip}_mel"].T.copy())[None])[0].numpy()
    assert np.abs(logits - mn04_golden[f"{clip}_logits"]).max() < 1e-4


def test_the_tagger_is_audiosets(mn04):
    assert mn04.classes == audioset_labels()
    assert mn04.parents == audioset_parents()
    assert len(mn04.classes) == 527
    assert mn04.activation == "sigmoid"
    assert mn04.segment_seconds == pytest.approx(10.0)
    assert not mn04.network.training


@pytest.mark.parametrize(("name", "line"), [("vggish", "use --backbone mn04"), ("compact", "use --backbone mn04")])
def test_backbones_without_classes_cannot_tag(name, line):
    with pytest.raises(UsageError, match=line):
        tagger(name, None)
    # Whether its weights are there does not matter then.
    with pytest.raises(UsageError, match=line):
        tagger_named(name)


def test_tagging_from_random_weights_is_refused():
    with pytest.raises(UsageError, match="leave out --weights none"):
        tagger("mn04", None)
