"""Everything runs on a GPU, and finds there what it finds on the processor: on a pretended one, so that CI can tell."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny_run
import tiny_sounds
from command import earwitness, write_sounds
from earwitness.core import files
from earwitness.core.device import choose_device
from earwitness.core.run_folder import RunFolder
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.inference.scoring import as_input
from earwitness.explainers.perturbation.occlusion import Occlusion
from earwitness.explainers.perturbation.recording import explain_recording
from earwitness.explainers.registry import METHODS, parse, without_attention
from earwitness.models.classifier import ready
from earwitness.training.loop import train
from earwitness.training.recipes import RECIPES
from earwitness.trust.metrics.faithfulness import faithfulness
from earwitness.trust.metrics.reinitialise import settle
from earwitness.trust.scoreboard import analytic, cases, collect, planted, tiny_models
from explain_toys import real, real_segments
from pretend_gpu import GPU, pretended_gpu

# Rounding differs where copies of the network are made for the processor alone; a share of the map's peak.
ROUNDING = 1e-4
# Samples and the like, as few as show whether a method runs.
CHEAP = {
    "integratedgradients": "steps=8,budget=8",
    "kernelshap": "samples=120",
    "lime": "samples=64",
    "occlusion": "mask=40%,stride=40%",
    "rise": "samples=32",
    "shapley": "samples=100",
    "smoothgrad": "samples=4",
}
TARGETS = [[Target(1), Target(2, against=0)], [Target(0)]]


def method_named(name: str) -> str:
    """Return a method with few samples, and in float32, because a processor may choose bfloat16."""
    settings = [CHEAP[name]] if name in CHEAP else []
    settings += ["precision=float32"] * ("precision" in {field.name for field in fields(METHODS[name])})
    return f"{name}:{','.join(settings)}" if settings else name


def explained(method: str, backbone: str, device: torch.device | str) -> list[Attribution]:
    mine = real(backbone)
    moved = ready(replace(mine, network=copy.deepcopy(mine.network)), device)
    return parse(method).attribute(moved, real_segments(backbone), TARGETS)


def same_maps(found: list[Attribution], wanted: list[Attribution]) -> None:
    for one, other in zip(found, wanted, strict=True):
        peak = np.abs(other.values).max()
        np.testing.assert_allclose(one.values, other.values, atol=ROUNDING * peak, rtol=0)
        assert one.score == pytest.approx(other.score, rel=1e-4, abs=1e-6)


# ---- the pretended GPU --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda x: x.numpy(), TypeError),
        (lambda x: x.detach().numpy(), TypeError),
        (lambda x: np.asarray(x), TypeError),
        (lambda x: np.stack([x, x]), TypeError),
        (lambda x: np.float32(x.mean()), TypeError),
        (lambda x: x + torch.ones(2, 3), RuntimeError),
        (lambda x: x.mean() + torch.ones(2, 3), RuntimeError),
        (lambda x: torch.cat([x, torch.ones(2, 3)]), RuntimeError),
        (lambda x: torch.ones(2, 3)[x > 0], RuntimeError),
        (lambda x: nn.Linear(3, 2)(x), RuntimeError),
        (lambda x: torch.randn(3, device=x.device, generator=torch.Generator()), RuntimeError),
    ],
)
def test_what_a_gpu_refuses_is_refused(gpu, wrong, kind):
    with pytest.raises(kind, match="cuda"):
        wrong(torch.ones(2, 3, device=gpu.device))


def test_what_a_gpu_allows_is_allowed(gpu):
    x = torch.arange(6.0).reshape(2, 3).to("cuda")
    assert x.device == GPU
    assert {each.device for each in (x * torch.tensor(2.0), x[torch.tensor([1])], x.max(0).values, *x)} == {GPU}
    x[0] = torch.zeros(3)
    np.testing.assert_array_equal(x.cpu().numpy(), [[0, 0, 0], [3, 4, 5]])
    assert float(x.sum()) == 12


def test_what_went_there_and_back_is_a_copy(gpu):
    here = torch.zeros(3)
    there = here.to(gpu.device)
    there += 1
    assert here.tolist() == [0, 0, 0]
    assert there.to("cpu").add_(1).tolist() == [2, 2, 2]
    assert there.tolist() == [1, 1, 1]
    assert there.to(gpu.device) is there


def test_a_module_goes_there_with_its_parameters_and_its_gradients(gpu):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))
    x = torch.randn(2, 1, 5, 5)
    twin, weight = copy.deepcopy(module), module[0].weight
    module.to(gpu.device).to(memory_format=torch.channels_last)
    assert weight is module[0].weight  # an optimiser may hold it
    assert isinstance(weight, nn.Parameter)
    assert {each.device for each in (*module.parameters(), *module.buffers())} == {GPU}
    module(x.to(gpu.device)).square().sum().backward()
    twin(x).square().sum().backward()
    assert weight.grad.device == GPU
    torch.testing.assert_close(weight.grad.cpu(), twin[0].weight.grad)
    assert copy.deepcopy(module)[0].weight.device == GPU
    module.load_state_dict(twin.state_dict())
    assert module.to("cpu")[0].weight.device == torch.device("cpu")


def test_draws_there_are_others_and_follow_the_seed(gpu):
    def drawn(device):
        torch.manual_seed(3)
        return torch.randn(5, device=device).tolist()

    assert drawn("cuda") == drawn("cuda") != drawn("cpu")


def test_it_is_chosen_and_gone_afterwards():
    before = torch.cuda.is_available()
    with pretended_gpu():
        assert choose_device().type == "cuda"
        assert choose_device("cuda").type == "cuda"
    assert torch.cuda.is_available() == before
    assert type(torch.zeros(1) + 1) is torch.Tensor


# ---- explaining ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", without_attention())
def test_every_method_finds_the_same_on_both(name, gpu):
    method = method_named(name)
    there = explained(method, "compact", gpu.device)
    assert gpu.moved
    assert not gpu.tf32
    same_maps(there, explained(method, "compact", "cpu"))


@pytest.mark.parametrize("name", ["gradcam", "occlusion"])
def test_mn04_is_explained_alike_on_both(name, gpu):
    there = explained(method_named(name), "mn04", gpu.device)
    same_maps(there, explained(method_named(name), "mn04", "cpu"))


def test_smoothgrad_adds_the_same_noise_on_both(gpu):
    batches = []
    for device in (gpu.device, "cpu"):
        seen: list[torch.Tensor] = []
        mine = ready(replace(real("compact"), network=copy.deepcopy(real("compact").network)), device)
        mine.network.register_forward_pre_hook(lambda _module, inputs, seen=seen: seen.append(inputs[0].detach().cpu()))
        parse("smoothgrad:samples=3,seed=5").attribute(mine, real_segments("compact"), TARGETS)
        # Rows that only fill a batch up are seen twice.
        batches.append(torch.unique(torch.cat(seen), dim=0))
    assert torch.equal(*batches)


@pytest.mark.parametrize("name", analytic.NETWORKS)
def test_networks_by_hand_run_there(name, gpu):
    known = analytic.build(name, cases=1, seed=0)
    x = torch.as_tensor(known.cases[0].log_mel)[None]
    wanted = known.classifier.network(x).detach()
    known.classifier.network.to(gpu.device)
    torch.testing.assert_close(known.classifier.network(x.to(gpu.device)).detach().cpu(), wanted)


def test_scores_are_not_made_in_tf32(gpu):
    mine, segments = real("compact"), real_segments("compact", 1)
    moved = ready(replace(mine, network=copy.deepcopy(mine.network)), gpu.device)
    assert torch.backends.cudnn.allow_tf32
    moved.network(torch.as_tensor(segments.values).to(gpu.device))
    assert gpu.tf32  # here they are
    (one,) = parse(method_named("occlusion")).attribute(mine, segments, [[Target(1)]])
    gpu.tf32.clear()
    moved.probabilities(segments.values)
    cases.probabilities(moved, segments.values)
    faithfulness(moved, segments, [one])
    explain_recording(moved, segments.values[0], [Target(1)], Occlusion(mask=0.4, stride=0.4, precision="float32"))
    settle(moved.network, [name for name, _ in moved.network.named_modules()], as_input(moved, segments.values))
    assert not gpu.tf32


@pytest.mark.parametrize("freeze", [False, True])
def test_training_multiplies_as_the_recipe_says(gpu, freeze):
    for wish in (False, None):
        recipe = replace(RECIPES["compact"], epochs=1, batch=16, precision="float32", tf32=wish)
        train(ready(tiny_sounds.new_classifier(), gpu.device), tiny_sounds.made_data(), recipe, freeze=freeze)
        assert bool(gpu.tf32) == (wish is None)


# ---- the commands -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run.make(tmp_path_factory.mktemp("asked"))


def done(*arguments: str | Path | float) -> None:
    left = earwitness(*arguments)
    assert left.code == 0, left.err


def kept(folder: Path) -> dict[str, Attribution]:
    return {path.name: Attribution.load(path) for path in sorted(folder.rglob("*.npz"))}


def on_both(tmp_path: Path, command: str, *arguments: str | Path | float) -> None:
    """Run a command on each device, and compare the maps that it wrote and their verdicts."""
    folders = {device: tmp_path / device for device in ("cpu", "auto")}
    with pretended_gpu() as gpu:
        done(command, *arguments, "--out", folders["auto"])
    assert gpu.moved
    assert not gpu.tf32
    done(command, *arguments, "--out", folders["cpu"], "--device", "cpu")
    there, here = kept(folders["auto"]), kept(folders["cpu"])
    assert there
    assert there.keys() == here.keys()
    same_maps(list(there.values()), list(here.values()))
    verdicts = [[one.verdict and one.verdict["level"] for one in found.values()] for found in (there, here)]
    assert verdicts[0] == verdicts[1]


def test_explain_with_verdicts(run, tmp_path):
    methods = [argument for name in ("gradcam", "occlusion") for argument in ("--method", method_named(name))]
    on_both(tmp_path, "explain", run.parent / "data" / "click/0.wav", "--run", run, *methods)


def test_explain_whole(run, tmp_path):
    methods = ["--method", "occlusion:mask=50%,stride=50%,precision=float32"]
    on_both(tmp_path, "explain", run.parent / "data" / "low/1@home.wav", "--run", run, "--whole", *methods)


def test_train_evaluate_inquire_and_audit(gpu, tmp_path):
    data, trained = write_sounds(tmp_path / "data", seconds=1.5), tmp_path / "run"
    done("train", data, "--out", trained, "--backbone", "compact", "--epochs", 1, "--batch", 16)
    assert files.read_json(RunFolder(trained).run_json)["device"] == "cuda"
    assert gpu.moved
    gpu.tf32.clear()
    there = files.read_csv(RunFolder(trained).predictions)
    for device in ("auto", "cpu"):
        done("evaluate", trained, "--out", tmp_path / device, "--device", device)
        again = files.read_csv(RunFolder(tmp_path / device).predictions)
        assert [row["predicted"] for row in again] == [row["predicted"] for row in there]
        np.testing.assert_allclose([float(row["score"]) for row in again], [float(row["score"]) for row in there], 1e-5)
    label = there[0]["predicted"]
    done("inquire", trained, "--class", label, "--count", 1, "--no-verdicts", "--method", method_named("lime"))
    done("audit", trained)
    done("listen", "--run", trained, "--method", method_named("gradcam"))
    assert not gpu.tf32


def test_scoreboard(run, gpu, monkeypatch, tmp_path):
    learn_little(monkeypatch)
    asked = devices_asked(monkeypatch)
    done("scoreboard", run, "--mixtures", 2, "--method", "gradcam", "--method", "rise:samples=32", "--out", tmp_path)
    assert gpu.moved
    assert not gpu.tf32
    assert set(asked) >= {collect.RECORDED, collect.PLANTED, collect.KNOWN}
    assert set().union(*asked.values()) == {"cuda"}


def learn_little(monkeypatch) -> None:
    """Let planted shortcuts, which train small networks for a minute, learn hardly at all."""
    monkeypatch.setattr(collect, "plant", partial(planted.plant, ["click"]))
    little = replace(collect.PRESETS["quick"], size=planted.Size(train=2, held_out=2, epochs=1), planted=1, known=1)
    monkeypatch.setitem(collect.PRESETS, "quick", little)
    monkeypatch.setattr(planted, "LEAST_FALL", -1.0)


def devices_asked(monkeypatch) -> dict[str, set[str]]:
    """Return, once a scoreboard was asked for, on which devices the networks of each family lay."""
    found: dict[str, set[str]] = {}
    choose = collect.choose

    def noted(classifier, source, family, *rest):
        found.setdefault(family, set()).add(torch.device(classifier.device).type)
        return choose(classifier, source, family, *rest)

    monkeypatch.setattr(collect, "choose", noted)
    return found


def test_scoreboard_without_a_run(gpu, monkeypatch, tmp_path):
    learn_little(monkeypatch)
    monkeypatch.setattr(tiny_models, "of_made_sounds", partial(tiny_models.of_made_sounds, clips=1, epochs=1))
    asked = devices_asked(monkeypatch)
    done("scoreboard", "--mixtures", 2, "--method", "saliency", "--device", "cuda", "--out", tmp_path)
    assert asked[collect.MADE] == {"cuda"}
    assert not gpu.tf32


@pytest.mark.parametrize("freeze", [False, True])
def test_training_of_all_layers_and_of_the_head_alone(gpu, freeze, tmp_path):
    recipe = replace(RECIPES["compact"], epochs=2, batch=8, precision="float32")
    learner = ready(tiny_sounds.new_classifier(), gpu.device)
    history = train(
        learner, tiny_sounds.made_data(), recipe, freeze=freeze, checkpoints=tmp_path, checkpoint_seconds=0.0
    )
    resumed = ready(tiny_sounds.new_classifier(), gpu.device)
    assert train(resumed, tiny_sounds.made_data(), recipe, freeze=freeze, checkpoints=tmp_path) == history
    for one, other in zip(learner.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)
