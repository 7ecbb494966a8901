"""Model files that others exported, as torch modules: ONNX, TorchScript, torch.export."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.core.device import to_numpy
from earwitness.core.errors import EarwitnessError, UsageError, first_line, printable

ONNX, EXPORTED, SCRIPTED = (".onnx",), (".pt2",), (".pt", ".pth", ".ts", ".jit", ".torchscript")
ONNX_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
REASON = 200  # letters of what a runtime or another's code says when it fails
# Under which keys exporters keep class names in ONNX metadata.
CLASS_KEYS = ("classes", "class_names", "labels", "names", "id2label")


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
        found = self.function(np.ascontiguousarray(to_numpy(x), dtype=self.kind))
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


def run_file(path: Path, device: torch.device) -> Runnable:
    """Return the network of a model file.

    Raises
    ------
    UsageError
        The file is missing, of no known kind, or a package that runs it is.
    EarwitnessError
        The file is damaged.
    """
    if not path.is_file():
        raise UsageError(f"{printable(path)}: no such model file")
    for endings, run in ((ONNX, _onnx), (EXPORTED, _exported), (SCRIPTED, _scripted)):
        if path.suffix.lower() in endings:
            return run(path, device)
    raise UsageError(f"{printable(path)}: is no model that can be run; name an .onnx, .pt2 or TorchScript file")


def _onnx(path: Path, device: torch.device) -> Runnable:
    del device  # onnxruntime's processor build runs everywhere
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"{printable(path)}: needs onnxruntime; pip install 'earwitness[onnx]'") from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise EarwitnessError(f"{printable(path)}: is no usable ONNX model ({first_line(error, REASON)})") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in ONNX_TYPES:
        told = ", ".join(f"{each.name} {each.type}{each.shape}" for each in inputs)
        raise UsageError(
            f"{printable(path)}: takes {told}; a model with one input of floating numbers can be explained"
        )
    name, outputs = inputs[0].name, [each.name for each in session.get_outputs()]

    def answers(array: Any) -> dict[str, Any]:
        return dict(zip(outputs, session.run(outputs, {name: array}), strict=True))

    return Runnable(
        network=Outside(answers, ONNX_TYPES[inputs[0].type]),
        shape=tuple(size if isinstance(size, int) else None for size in inputs[0].shape),
        classes=_classes(session.get_modelmeta().custom_metadata_map),
    )


def _classes(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the class names in a model's metadata: a list, a dictionary by number, or words with commas."""
    text = next((metadata[key] for key in CLASS_KEYS if metadata.get(key)), "")
    try:
        found = ast.literal_eval(text)  # exporters write Python's dictionaries and JSON's lists alike
    except (ValueError, SyntaxError):
        found = [each.strip() for each in text.replace("\n", ",").split(",") if each.strip()]
    if isinstance(found, Mapping):
        found = [found[key] for key in sorted(found, key=lambda key: int(key) if str(key).isdigit() else 0)]
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def _exported(path: Path, device: torch.device) -> Runnable:
    try:
        program = torch.export.load(path).module()
    except Exception as error:
        raise EarwitnessError(f"{printable(path)}: is no torch.export program ({first_line(error, REASON)})") from error
    return Runnable(network=Program(program.to(device)))


def _scripted(path: Path, device: torch.device) -> Runnable:
    try:
        network = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise EarwitnessError(
            f"{printable(path)}: is no TorchScript program; if it holds weights, write file.py with a make() that "
            f"builds the network and loads them (docs/your-model.md), or export it ({first_line(error, REASON)})"
        ) from error
    return Runnable(network=Script(network.eval()))
