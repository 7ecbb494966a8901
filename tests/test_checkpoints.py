"""Checkpoints: whole or not there."""

from __future__ import annotations

import pytest
import torch

from earwitness.core.errors import EarwitnessError
from earwitness.training.checkpoints import NAME, Checkpoint, read_checkpoint, remove_checkpoints, write_checkpoint
from earwitness.training.loop import train
from earwitness.training.recipes import Recipe
from tiny_sounds import made_data, new_classifier


@pytest.fixture
def checkpoint():
    parameters = [torch.nn.Parameter(torch.randn(4, 3, 3, 3)), torch.nn.Parameter(torch.randn(5))]
    optimiser = torch.optim.Adam(parameters, lr=0.1, fused=True)
    sum(parameter.square().sum() for parameter in parameters).backward()
    optimiser.step()
    network = {"a.weight": parameters[0].detach(), "b": torch.tensor(3), "c.d.e": torch.zeros(0)}
    history = [{"iteration": 1, "seconds": 0.1, "validation_loss": None}, {"iteration": 2, "seconds": 1 / 3}]
    return Checkpoint(network, optimiser.state_dict(), history)


def test_what_is_written_is_read(tmp_path, checkpoint):
    write_checkpoint(tmp_path, checkpoint)
    back = read_checkpoint(tmp_path)
    assert back is not None
    assert back.history == checkpoint.history
    assert back.network.keys() == checkpoint.network.keys()
    for name, tensor in checkpoint.network.items():
        assert torch.equal(back.network[name], tensor)
        assert back.network[name].dtype == tensor.dtype
    for number, entries in checkpoint.optimiser["state"].items():
        assert back.optimiser["state"][number].keys() == entries.keys()
        for name, value in entries.items():
            assert torch.equal(back.optimiser["state"][number][name], value)
    theirs = [{**group, "betas": list(group["betas"])} for group in checkpoint.optimiser["param_groups"]]
    assert back.optimiser["param_groups"] == theirs


def test_tensors_of_any_layout_are_written_by_their_values(tmp_path):
    weights = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    write_checkpoint(tmp_path, Checkpoint({"w": weights}, {"state": {}, "param_groups": []}, []))
    back = read_checkpoint(tmp_path)
    assert back is not None
    assert torch.equal(back.network["w"], weights)


def test_there_is_one_newest_and_nothing_beside_it(tmp_path, checkpoint):
    for _ in range(3):
        write_checkpoint(tmp_path, checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_no_checkpoint_is_none(tmp_path):
    assert read_checkpoint(tmp_path) is None
    assert read_checkpoint(tmp_path / "nowhere") is None


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path, checkpoint):
    write_checkpoint(tmp_path, checkpoint)
    (tmp_path / ".newest-ab12_xyz.safetensors").write_bytes(b"half")
    assert read_checkpoint(tmp_path) is not None
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04 something else"])
def test_a_damaged_checkpoint_says_what_to_do(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(EarwitnessError, match=r"is damaged .*--overwrite"):
        read_checkpoint(tmp_path)


def test_a_cut_checkpoint_says_what_to_do(tmp_path, checkpoint):
    write_checkpoint(tmp_path, checkpoint)
    whole = (tmp_path / NAME).read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / NAME).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(EarwitnessError, match="is damaged"):
            read_checkpoint(tmp_path)


def test_a_safetensors_file_of_others_says_what_to_do(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / NAME)
    with pytest.raises(EarwitnessError, match="is damaged"):
        read_checkpoint(tmp_path)


def test_a_training_that_cannot_write_its_checkpoint_says_so(tmp_path):
    (tmp_path / "checkpoints").write_text("a file, not a folder")
    recipe = Recipe(epochs=1, batch=64)
    with pytest.raises((EarwitnessError, OSError)):
        train(new_classifier(), made_data(), recipe, checkpoints=tmp_path / "checkpoints", checkpoint_seconds=0.0)


def test_removing_leaves_nothing(tmp_path, checkpoint):
    folder = tmp_path / "checkpoints"
    write_checkpoint(folder, checkpoint)
    (folder / ".newest-ab12_xyz.safetensors").write_bytes(b"half")
    remove_checkpoints(folder)
    assert not folder.exists()
    remove_checkpoints(folder)
