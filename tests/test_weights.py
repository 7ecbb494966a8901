"""Weights: which file, whether it is the published one, and whether it fits the network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.home import home_folder
from earwitness.models import weights
from earwitness.models.registry import backbone_named
from earwitness.workflows.download import download
from local_site import (
    BODY,
    HASTY,
    LIMIT,
    Site,
    home_fixture,
    left,
    one_line,
    running_site_fixture,
    site_fixture,
)

__all__ = ["home_fixture", "running_site_fixture", "site_fixture"]

# ---- weights: download and resolve ---------------------------------------------------------------------------------


@pytest.fixture
def small(site: Site, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let mn04's file be a small one, published by its whole hash, and vggish's be known by eight digits."""
    for name, digits in (("mn04", 64), ("vggish", 8)):
        digest = hashlib.sha256(BODY).hexdigest()[:digits]
        small = dataclasses.replace(weights.PUBLISHED[name], url=site.url(), sha256=digest, most_bytes=LIMIT)
        monkeypatch.setitem(weights.PUBLISHED, name, small)
    return BODY


@pytest.mark.parametrize("name", ["mn04", "vggish"])
def test_download_keeps_and_does_not_fetch_twice(site: Site, home: Path, small: bytes, name: str) -> None:
    path = download(name, patience=HASTY)
    assert path == home / "weights" / weights.PUBLISHED[name].file
    assert path.read_bytes() == small
    assert download(name, patience=HASTY) == path
    assert len(site.log) == 1
    resolved = weights.resolve(name)
    assert resolved is not None
    assert (resolved.path, resolved.published) == (path, True)
    assert resolved.sha256 == hashlib.sha256(small).hexdigest()


def test_download_from_a_mirror_is_checked_too(site: Site, home: Path, small: bytes) -> None:
    site.bodies["/mirror"] = BODY
    download("mn04", source_url=site.url("/mirror"), patience=HASTY)
    site.bodies["/bad"] = b"something else"
    with pytest.raises(EarwitnessError, match="SHA-256"):
        download("vggish", source_url=site.url("/bad"), patience=HASTY)
    assert left(home / "weights") == {"mn04_as_mAP_432.pt"}


@pytest.mark.parametrize("ask", [download, weights.resolve])
def test_damaged_copy_is_named_and_left_alone(
    site: Site, home: Path, small: bytes, ask: Callable[[str], object]
) -> None:
    path = home / "weights" / "mn04_as_mAP_432.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(EarwitnessError, match="move it away and download it again") as caught:
        ask("mn04")
    assert str(path) in one_line(caught)
    assert path.read_bytes() == b"damaged"
    assert site.log == []


def test_unreadable_or_dangling_copy_is_named(home: Path, small: bytes) -> None:
    path = home / "weights" / "mn04_as_mAP_432.pt"
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere")
    with pytest.raises(EarwitnessError, match="cannot be read"):
        download("mn04")


def test_unknown_name_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="choose one of vggish, mn04, esc10"):
        download("resnet")


def test_home_is_an_argument_else_the_variable_else_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "a"))
    assert home_folder(tmp_path / "b") == tmp_path / "b"
    assert home_folder() == tmp_path / "a"
    monkeypatch.setenv("EARWITNESS_HOME", "~/c")
    assert home_folder() == Path.home() / "c"
    monkeypatch.setenv("EARWITNESS_HOME", "")
    assert home_folder().name == "earwitness"


def test_resolve_looks_in_the_cache_then_in_shared_folders(
    home: Path, small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "mn04_as_mAP_432.pt"
    with pytest.raises(UsageError, match=r"'earwitness download mn04'.*--weights FILE.*--weights none") as caught:
        weights.resolve("mn04")
    assert str(home) in one_line(caught)
    for file_or_not in (None, tmp_path / "nowhere.pt"):
        with pytest.raises(UsageError) as caught:
            weights.resolve("mn04", file_or_not, random=False)
        assert "none" not in one_line(caught)
    monkeypatch.setenv("EARWITNESS_SHARED", str(tmp_path / "elsewhere"))
    found = []
    for folder in (Path("../shared/weights"), tmp_path / "elsewhere" / "weights", home / "weights"):
        folder.mkdir(parents=True)
        (folder / file).write_bytes(BODY)
        resolved = weights.resolve("mn04")
        assert resolved is not None
        found.append(resolved.path)
    assert found == [Path("../shared/weights", file), tmp_path / "elsewhere/weights" / file, home / "weights" / file]


def test_resolve_takes_the_file_that_is_given(home: Path, small: bytes, tmp_path: Path) -> None:
    own, copy = tmp_path / "own.pt", tmp_path / "copy.pt"
    own.write_bytes(b"mine")
    copy.write_bytes(BODY)
    resolved = [weights.resolve("mn04", path) for path in (own, copy)]
    assert [found and found.published for found in resolved] == [False, True]
    assert "only its structure is checked" in str(resolved[0])
    assert "as published" in str(resolved[1])
    impostor = tmp_path / "mn04_as_mAP_432.pt"
    impostor.write_bytes(b"mine")
    with pytest.raises(EarwitnessError, match="rename it if it is your own"):
        weights.resolve("mn04", impostor)


@pytest.mark.parametrize("name", ["mn04", "vggish", "compact"])
def test_resolve_none_means_random_weights(home: Path, name: str) -> None:
    assert weights.resolve(name, "none") is None


def test_resolve_a_backbone_that_nobody_published(home: Path, tmp_path: Path) -> None:
    assert weights.resolve("compact") is None
    (tmp_path / "own.pt").write_bytes(b"mine")
    resolved = weights.resolve("compact", tmp_path / "own.pt")
    assert resolved is not None
    assert not resolved.published


@pytest.mark.parametrize(("given", "what"), [("absent.pt", "there is no such file"), (".", "is not a file")])
def test_resolve_a_file_that_is_none(home: Path, given: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        weights.resolve("mn04", given)


# ---- weights: opening ----------------------------------------------------------------------------------------------

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3), "b": torch.ones(2)}
EXPECTED = {name: (tuple(value.shape), value.dtype) for name, value in STATE.items()}


def saved(content: object, **more: Any) -> bytes:
    box = io.BytesIO()
    torch.save(content, box, **more)
    return box.getvalue()


def opened(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    path.write_bytes(content)
    resolved = weights.resolve("compact", path)
    assert resolved is not None
    return weights.open_state_dict(resolved, EXPECTED)


@pytest.mark.parametrize("legacy", [False, True])
def test_open_gives_what_was_saved(tmp_path: Path, legacy: bool) -> None:
    content = saved(dict(reversed(STATE.items())), _use_new_zipfile_serialization=not legacy)
    state = opened(tmp_path / "x.pt", content)
    assert list(state) == list(STATE)
    assert all(torch.equal(state[name], value) for name, value in STATE.items())


def test_open_gives_plain_tensors(tmp_path: Path) -> None:
    content = STATE | {"a.weight": torch.arange(6.0).reshape(3, 2).T, "b": torch.nn.Parameter(torch.ones(2))}
    state = opened(tmp_path / "x.pt", saved(content))
    assert state["a.weight"].is_contiguous()
    assert not state["b"].requires_grad


def test_open_is_silent_about_a_newer_pickle(tmp_path: Path) -> None:
    assert len(opened(tmp_path / "x.pt", saved(STATE, pickle_protocol=3))) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a.weight": None}, "'a.weight' is missing"),
        ({"a.weight": torch.ones(3, 2)}, r"'a.weight' has shape \(3, 2\), expected \(2, 3\)"),
        ({"a.count": torch.tensor(3.0)}, r"'a.count' has dtype torch.float32, expected torch.int64"),
        ({"b": [1.0, 1.0]}, "'b' is a list, expected a tensor"),
        ({"b": torch.ones(2).to_sparse()}, "'b' is not a plain dense tensor"),
        ({"b": torch.tensor([1.0, torch.nan])}, "'b' holds NaN or infinite values"),
        ({"c\n" + "c" * 999: torch.ones(1)}, r"has an entry too many, 'c\\nccc"),
        ({5: torch.ones(1)}, "has an entry too many, '5'"),
        ({"b": torch.ones(3), "a.weight": torch.ones(1)}, "'a.weight' has shape"),  # the first in the network's order
    ],
)
def test_open_names_the_first_difference(tmp_path: Path, change: dict[Any, Any], words: str) -> None:
    state = {name: value for name, value in {**STATE, **change}.items() if value is not None}
    with pytest.raises(EarwitnessError, match=words) as caught:
        opened(tmp_path / "x.pt", saved(state))
    assert str(tmp_path / "x.pt") in one_line(caught)


class Trap:
    """What a hostile file does when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("pack", [saved, lambda trap: pickle.dumps(trap, 2), lambda trap: pickle.dumps(trap, 4)])
@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {**STATE, "b": trap}])
def test_open_runs_no_code(tmp_path: Path, pack: Callable[[object], bytes], wrap: Callable[[object], object]) -> None:
    sprung = tmp_path / "sprung"
    with pytest.raises(EarwitnessError, match=r"could run code|is not a readable PyTorch file") as caught:
        opened(tmp_path / "x.pt", pack(wrap(Trap(sprung))))
    one_line(caught)
    assert not sprung.exists()


def test_open_says_why_a_whole_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EarwitnessError, match=r"could run code; save only a state_dict\(\)"):
        opened(tmp_path / "x.pt", saved(torch.nn.Linear(2, 2)))


@pytest.mark.parametrize("content", [torch.ones(3), [STATE], 5, "text"])
def test_open_refuses_what_is_no_dict(tmp_path: Path, content: object) -> None:
    with pytest.raises(EarwitnessError, match="not the weights by name"):
        opened(tmp_path / "x.pt", saved(content))


@pytest.mark.parametrize("name", ["absent.pt", "folder"])
def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(EarwitnessError, match="cannot be read") as caught:
        weights.checked(tmp_path / name, weights.PUBLISHED["mn04"])
    one_line(caught)


GOOD = saved(STATE)
LEGACY = saved(STATE, _use_new_zipfile_serialization=False)


@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.builds(lambda good, at: good[:at], st.sampled_from([GOOD, LEGACY]), st.integers(0, len(LEGACY) - 1)),
        st.builds(
            lambda good, at, byte: good[: at % len(good)] + bytes([byte]) + good[at % len(good) + 1 :],
            st.sampled_from([GOOD, LEGACY]),
            st.integers(0, len(GOOD)),
            st.integers(0, 255),
        ),
    )
)
@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_open_of_any_bytes_gives_the_structure_or_one_line(tmp_path: Path, content: bytes) -> None:
    state, words = {}, ""
    try:
        state = opened(tmp_path / "x.pt", content)
    except EarwitnessError as error:
        words = str(error)
    structure = {name: (tuple(value.shape), value.dtype) for name, value in state.items()}
    assert (structure == EXPECTED) != bool(words)
    assert "\n" not in words


# ---- what ships, and the real files --------------------------------------------------------------------------------


def test_labels_are_the_527_of_audioset() -> None:
    labels = weights.audioset_labels()
    assert len(labels) == len(set(labels)) == 527
    assert (labels[0], labels[1], labels[-1]) == ("Speech", "Male speech, man speaking", "Field recording")


def test_shipped_tables_are_the_published_ones(shared: Path) -> None:
    ships = files("earwitness") / "resources"
    for ours, theirs in (
        ("esc10_manifest.csv", "data/esc10/ATTRIBUTION.csv"),
        ("audioset_labels.csv", "weights/audioset_class_labels_indices.csv"),
    ):
        assert (ships / ours).read_bytes() == (shared / theirs).read_bytes()


def test_published_mn04_is_found_and_opened(shared: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARWITNESS_SHARED", str(shared))
    resolved = weights.resolve("mn04")
    assert resolved is not None
    assert resolved.published
    plain = torch.load(resolved.path, weights_only=True)
    expected = {name: (tuple(value.shape), value.dtype) for name, value in plain.items()}
    state = weights.open_state_dict(resolved, expected)
    assert len(state) == 312
    assert state["classifier.5.bias"].shape == (527,)


def test_fill_makes_mn04_tag_as_published(shared: Path) -> None:
    resolved = weights.resolve("mn04", shared / "weights" / "mn04_as_mAP_432.pt")
    assert resolved is not None
    network = backbone_named("mn04").build(527).eval()
    weights.fill(network, "mn04", resolved, last_layer=True)
    with np.load(shared / "golden" / "mn04.npz") as golden, torch.inference_mode():
        logits = network(torch.from_numpy(golden["dog_mel"].T[None].copy()))[0].numpy()
        assert np.abs(logits - golden["dog_logits"]).max() < 1e-3
        top = [weights.audioset_labels()[index] for index in np.argsort(-logits)[:5]]
        assert top == list(golden["dog_top5"])


def test_fill_for_transfer_leaves_the_new_layer_alone(shared: Path) -> None:
    resolved = weights.resolve("mn04", shared / "weights" / "mn04_as_mAP_432.pt")
    assert resolved is not None
    network = backbone_named("mn04").build(10)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    weights.fill(network, "mn04", resolved)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert "features.0.0.weight" in changed
    assert not any(key.startswith(("FCFinal", "standardise")) for key in changed)
    with pytest.raises(UsageError, match="no last layer for these classes"):
        weights.fill(network, "mn04", resolved, last_layer=True)


def test_fill_vggish_needs_every_entry_and_takes_no_other(tmp_path: Path) -> None:
    network = torch.nn.Sequential(OrderedDict(features=torch.nn.Linear(2, 3), FCFinal=torch.nn.Linear(3, 4)))
    path = tmp_path / "own.pt"
    good = {"features.weight": torch.ones(3, 2), "features.bias": torch.zeros(3)}
    path.write_bytes(saved(good))
    resolved = weights.resolve("vggish", path)
    assert resolved is not None
    weights.fill(network, "vggish", resolved)
    assert torch.equal(network.state_dict()["features.weight"], torch.ones(3, 2))
    with pytest.raises(UsageError, match="no last layer"):
        weights.fill(network, "vggish", resolved, last_layer=True)
    for content, words in (
        (network.state_dict(), "has an entry too many, 'FCFinal.weight'"),
        ({"features.weight": torch.zeros(3, 2)}, "'features.bias' is missing"),
    ):
        path.write_bytes(saved(content))
        resolved = weights.resolve("vggish", path)
        assert resolved is not None
        with pytest.raises(EarwitnessError, match=words):
            weights.fill(network, "vggish", resolved)
        assert torch.equal(network.state_dict()["features.weight"], torch.ones(3, 2))


def test_fill_takes_what_was_read_when_the_file_was_chosen(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    network = torch.nn.Sequential(OrderedDict(features=torch.nn.Linear(1, 1), FCFinal=torch.nn.Linear(1, 1)))
    path.write_bytes(saved({"features.weight": torch.full((1, 1), 5.0), "features.bias": torch.zeros(1)}))
    resolved = weights.resolve("vggish", path)
    assert resolved is not None
    path.write_bytes(b"another file")
    weights.fill(network, "vggish", resolved)
    assert network.state_dict()["features.weight"].item() == 5.0
