"""TF32 is off for a while, and what was set before holds again."""

from __future__ import annotations

import threading

import pytest
import torch

from command import earwitness
from earwitness.core import device
from earwitness.core.device import tf32_as, without_tf32
from earwitness.core.files import read_json
from pretend_gpu import tf32_convolves, tf32_multiplies
from tiny_sounds import write_sounds

# PyTorch 2.9 warns of the older switches, which are used before it alone.
pytestmark = pytest.mark.filterwarnings("ignore:Please use the new API:UserWarning")


@pytest.fixture(params=[True, False], ids=["newer switches", "older switches"])
def switches(request, monkeypatch):
    """Allow TF32 for everything, by the switches of either age, and put back what was set before."""
    if request.param and not device._newer():
        pytest.skip("this PyTorch has no newer switches")
    monkeypatch.setattr(device, "_newer", lambda newer=request.param: newer)
    before = device._told()
    device._tell([device._word(True)] * len(before))
    yield
    device._tell(before)


def allowed() -> tuple[bool, bool]:
    return tf32_multiplies(), tf32_convolves()


def test_tf32_is_off_within_and_as_before_after_it(switches):
    with without_tf32("cuda"):
        assert allowed() == (False, False)
        with without_tf32(torch.device("cuda", 1)):
            assert allowed() == (False, False)
        assert allowed() == (False, False)
    assert allowed() == (True, True)


def test_what_was_set_comes_back_after_an_error(switches):
    with pytest.raises(ZeroDivisionError), without_tf32("cuda"):
        raise ZeroDivisionError
    assert allowed() == (True, True)


def test_what_was_off_stays_off(switches):
    with without_tf32("cuda"):
        before = device._told()
        with without_tf32("cuda"):
            pass
        assert device._told() == before


@pytest.mark.parametrize("elsewhere", ["cpu", "mps", torch.device("cpu")])
def test_nothing_happens_on_other_devices(switches, elsewhere):
    with without_tf32(elsewhere), tf32_as(False, elsewhere):
        assert allowed() == (True, True)


def test_a_wish_of_none_leaves_what_is_set(switches):
    with tf32_as(None, "cuda"):
        assert allowed() == (True, True)


def test_a_wish_to_allow_gives_way_to_one_that_forbids(switches):
    with without_tf32("cuda"), tf32_as(True, "cuda"):
        assert allowed() == (False, False)
    with tf32_as(True, "cuda"):
        assert allowed() == (True, True)
        with without_tf32("cuda"):
            assert allowed() == (False, False)
        assert allowed() == (True, True)


def test_a_thread_that_ends_first_does_not_switch_back_for_another(switches):
    entered, leave = threading.Event(), threading.Event()

    def first():
        with without_tf32("cuda"):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(10)
    with without_tf32("cuda"):
        leave.set()
        thread.join(10)
        assert allowed() == (False, False)
    assert allowed() == (True, True)


def test_no_gpu_is_woken(switches):
    before = torch.cuda.is_initialized()
    with without_tf32("cuda"):
        pass
    assert torch.cuda.is_initialized() == before


@pytest.mark.parametrize(("option", "kept"), [("--tf32", True), ("--no-tf32", False), (None, None)])
def test_a_training_is_told_by_an_option_and_its_run_says_so(tmp_path, option, kept):
    sounds = write_sounds(tmp_path / "sounds", clips=2)
    given = [] if option is None else [option]
    asked = ("--backbone", "compact", "--epochs", 1, "--device", "cpu", "--out", tmp_path / "run", *given)
    left = earwitness("train", sounds, *asked)
    assert left.code == 0, left.err
    assert read_json(tmp_path / "run" / "run.json")["recipe"].get("tf32") is kept
    assert ("--tf32 changes nothing: TF32 is CUDA's, and this training runs on cpu" in left.err) is bool(kept)
