"""Checkpoints of an unfinished training: whole or not there, and never a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.files import remove_leftovers, write_tensors

NAME = "newest.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next iteration depends on.

    Parameters
    ----------
    network
        State dict.
    optimiser
        State dict of Adam.
    history
        The iterations so far, a dictionary each.
    """

    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    history: list[dict[str, Any]]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the newest checkpoint over the one before it, atomically."""
    tensors = {f"network.{name}": tensor for name, tensor in checkpoint.network.items()}
    for parameter, entries in checkpoint.optimiser["state"].items():
        tensors.update({f"optimiser.{parameter}.{name}": torch.as_tensor(value) for name, value in entries.items()})
    metadata = {
        "groups": json.dumps(checkpoint.optimiser["param_groups"]),
        "history": json.dumps(checkpoint.history),
    }
    write_tensors(folder / NAME, tensors, metadata)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint, and clear away what kills left beside it; None where there is none.

    Raises
    ------
    EarwitnessError
        It is damaged.
    """
    path = folder / NAME
    remove_leftovers(folder, [NAME])  # a kill during a large network's checkpoint leaves a gigabyte
    if not path.exists():
        return None
    network: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata()
            for name in stored.keys():  # noqa: SIM118 (not a mapping)
                kind, rest = name.split(".", 1)
                if kind == "network":
                    network[rest] = stored.get_tensor(name)
                else:
                    parameter, entry = rest.split(".", 1)
                    state.setdefault(int(parameter), {})[entry] = stored.get_tensor(name)
        groups, history = json.loads(metadata["groups"]), json.loads(metadata["history"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise EarwitnessError(
            f"{printable(path)}: is damaged ({error}); begin the training again with --overwrite"
        ) from error
    return Checkpoint(network, {"state": state, "param_groups": groups}, history)


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints once the training is finished."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
