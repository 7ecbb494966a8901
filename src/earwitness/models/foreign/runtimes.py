"""Programs and functions that others made, as torch modules: TorchScript, torch.export, functions over arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.core.device import to_numpy
from earwitness.core.errors import EarwitnessError, first_line, printable

EXPORTED, SCRIPTED = (".pt2",), (".pt", ".pth", ".ts", ".jit", ".torchscript")
REASON = 200  # letters of what a runtime or another's code says when it fails


@dataclass(frozen=True, kw_only=True)
class Runnable:
    """A network that can be run, and what its file tells of it.

    Parameters
    ----------
    network
        From its input to its answers.
    shape
        Its input's axes with the batch: a number where it is fixed, None where it is free; empty where unknown.
    classes
        Names that the file holds; empty where it holds none.
    """

    network: nn.Module
    shape: tuple[int | None, ...] = ()
    classes: tuple[str, ...] = ()


OPAQUE = "layers inside a model file or a function cannot be looked at; give the network as file.py:make, or use others"


def is_opaque(network: nn.Module) -> bool:
    """Return whether a network runs elsewhere, so that its layers cannot be looked at."""
    return any(isinstance(each, Outside | Program | Script) for each in network.modules())


def is_outside(network: nn.Module) -> bool:
    """Return whether a network is a function over arrays, which lets no gradient through."""
    return any(isinstance(each, Outside) for each in network.modules())


class Held:
    """Something that is called and never copied; it hides modules from those who look for them."""

    def __init__(self, called: Callable[[Any], Any]) -> None:
        self.called = called

    def __call__(self, given: Any) -> Any:
        """Return what it answers."""
        return self.called(given)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Held:
        """Return the same: a session cannot be copied, and a program need not be."""
        return self


class Outside(nn.Module):
    """A function over arrays as a network: no weights, no gradients.

    Parameters
    ----------
    function
        From an array (n, ...) to one array (n, classes), or to several, by name or in order.
    kind
        The number format that it takes.
    """

    def __init__(self, function: Callable[[Any], Any], kind: Any = np.float32) -> None:
        super().__init__()
        self.function, self.kind = Held(function), kind

    def forward(self, x: Tensor) -> Any:
        """Return its answers as tensors where the input is."""
        given = np.ascontiguousarray(to_numpy(x), dtype=self.kind)
        try:
            found = self.function(given)
        except EarwitnessError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error, REASON)}"
            raise RuntimeError(f"it got an array of shape {given.shape}; {reason}") from error
        if isinstance(found, Mapping):
            return {name: _tensor(each, x) for name, each in found.items()}
        if isinstance(found, list | tuple):
            return [_tensor(each, x) for each in found]
        return _tensor(found, x)


def _tensor(found: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(found, dtype=np.float32)).to(like.device)


class Program(nn.Module):
    """A network that is no ordinary module (torch.export's cannot be put into evaluation mode, or copied)."""

    def __init__(self, program: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.program = Held(program)

    def forward(self, x: Tensor) -> Any:
        """Return its answers."""
        return self.program(x)


class Script(nn.Module):
    """A TorchScript program, which is not compiled anew for every size of batch that comes along."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, x: Tensor) -> Any:
        """Return its answers."""
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # documented, and there
            return self.program(x)


def run_exported(path: Path, device: torch.device) -> Runnable:
    """Return the network of a file of torch.export.

    Raises
    ------
    EarwitnessError
        It is none, or damaged.
    """
    try:
        program = torch.export.load(path).module()
    except Exception as error:
        raise EarwitnessError(f"{printable(path)}: is no torch.export program ({first_line(error, REASON)})") from error
    return Runnable(network=Program(program.to(device)))


def run_scripted(path: Path, device: torch.device) -> Runnable:
    """Return the network of a file of TorchScript.

    Raises
    ------
    EarwitnessError
        It is none, or damaged.
    """
    try:
        network = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:
        # Of a file of torch.save, torch.jit says that it is corrupted.
        reason = "" if _is_saved(path) else f" ({first_line(error, REASON)})"
        raise EarwitnessError(
            f"{printable(path)}: {'' if reason else 'was written by torch.save, and '}is no TorchScript program; if "
            f"it holds weights or a pickled network, write file.py with a make() that builds the network and loads "
            f"them (docs/your-model.md), or export it{reason}"
        ) from error
    return Runnable(network=Script(network.eval()))


def _is_saved(path: Path) -> bool:
    """Return whether a file is one of torch.save: an archive of a pickle, without a program's constants."""
    if not is_zipfile(path):
        return False
    with ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    return "data.pkl" in names and "constants.pkl" not in names
