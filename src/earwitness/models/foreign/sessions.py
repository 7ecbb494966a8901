"""ONNX files, run by onnxruntime: one input is explained, and the description says what the others get.

A streaming model takes a few samples at a time, with a state that it gave for those before. A segment starts from a
state of zeros, so that the answer to it does not depend on what was asked before.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earwitness.core.errors import EarwitnessError, UsageError, first_line, printable
from earwitness.models.foreign.description import ZEROS, Description
from earwitness.models.foreign.runtimes import REASON, Outside, Runnable

ONNX = (".onnx",)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FLOATS: dict[str, Any] = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
NUMBERS: dict[str, Any] = {**FLOATS, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
# Under which keys exporters keep class names in ONNX metadata.
CLASS_KEYS = ("classes", "class_names", "labels", "names", "id2label")


@dataclass(frozen=True, kw_only=True)
class Session:
    """A function from an array (n, ...) to a file's answers by name.

    Parameters
    ----------
    run
        From arrays by input to arrays by output.
    explained
        Name of the input that gets the array.
    others
        What each other input gets at first, for n segments.
    states
        Inputs that get an output of the step before, by name.
    step, context
        Samples of a step, and how many of those before it gets, too (zeros at first); 0 where a segment is one step.
    """

    run: Callable[[Mapping[str, Any]], dict[str, Any]]
    explained: str
    others: Mapping[str, Callable[[int], NDArray[Any]]]
    states: Mapping[str, str]
    step: int
    context: int

    def __call__(self, array: NDArray[Any]) -> dict[str, Any]:
        """Return the answers; of several steps (n, steps, ...)."""
        fed = {name: filling(len(array)) for name, filling in self.others.items()}
        found = []
        for part in self._steps(array) if self.step else [array]:
            found.append(self.run({self.explained: part, **fed}))
            fed.update({name: found[-1][output] for name, output in self.states.items()})
        kept = [name for name in found[0] if name not in self.states.values()]
        if not self.step:
            return {name: found[0][name] for name in kept}
        return {name: np.stack([each[name] for each in found], axis=1) for name in kept}

    def _steps(self, array: NDArray[Any]) -> Iterator[NDArray[Any]]:
        axis = 1 + int(np.argmax(array.shape[1:]))  # of the samples: a channel has a size of 1
        samples = array.shape[axis]
        if samples % self.step:
            near = max(1, round(samples / self.step)) * self.step
            raise UsageError(
                f"a segment of {samples} samples is not of whole steps of {self.step}; say segment_samples = {near}"
            )
        ends = [(0, 0)] * array.ndim
        ends[axis] = (self.context, 0)
        led = np.pad(array, ends)
        for start in range(0, samples, self.step):
            yield led.take(range(start, start + self.context + self.step), axis)


def _providers(device: torch.device, onnxruntime: Any) -> list[Any]:
    """Return what onnxruntime is to compute with, best first: without TF32, as maps are made (``core.device``)."""
    if device.type != "cuda" or CUDA not in onnxruntime.get_available_providers():
        return [CPU]
    return [(CUDA, {"device_id": device.index or 0, "use_tf32": 0}), CPU]


def run_onnx(path: Path, device: torch.device, describe: Callable[[], Description]) -> Runnable:
    """Return the network of an ONNX file.

    Parameters
    ----------
    path
        The file.
    device
        Where it is computed; a GPU that onnxruntime cannot compute on is warned of, and the processor does it.
    describe
        Returns its description, once the file is known to be a model.

    Raises
    ------
    UsageError
        onnxruntime is missing, or the description does not say what the inputs get.
    EarwitnessError
        The file is damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"{printable(path)}: needs onnxruntime; pip install 'earwitness[onnx]'") from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=_providers(device, onnxruntime))
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise EarwitnessError(f"{printable(path)}: is no usable ONNX model ({first_line(error, REASON)})") from error
    if device.type == "cuda" and CUDA not in session.get_providers():
        warnings.warn(
            f"{printable(path)}: this onnxruntime cannot compute on a GPU; the model runs on the processor "
            "(pip install onnxruntime-gpu in place of onnxruntime)",
            stacklevel=2,
        )
    inputs, outputs = session.get_inputs(), [each.name for each in session.get_outputs()]
    known = describe()
    explained = [each for each in inputs if each.name not in known.inputs]
    unknown = next((name for name in known.inputs if name not in [each.name for each in inputs]), None)
    if unknown is not None or len(explained) != 1 or explained[0].type not in FLOATS:
        told = ", ".join(f"{each.name} {each.type}{each.shape}" for each in inputs)
        raise UsageError(
            f"{printable(path)}: takes {told}; one input of floating numbers is explained, and inputs in the "
            f"description say what each other one gets{f' ({unknown} is none of them)' if unknown else ''}"
        )
    (main,) = explained
    at_once = known.step_samples + known.context_samples
    sizes = [size for size in main.shape[1:] if isinstance(size, int) and size > 1]
    if known.step_samples and sizes and sizes != [at_once]:
        raise UsageError(
            f"{printable(path)}: takes {sizes[0]} samples at once, and step_samples and context_samples are {at_once}"
        )

    def run(fed: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(outputs, session.run(outputs, fed), strict=True))

    fed = Session(
        run=run,
        explained=main.name,
        others={each.name: _filling(path, each, known.inputs[each.name], outputs) for each in inputs if each != main},
        states={name: said for name, said in known.inputs.items() if isinstance(said, str) and said != ZEROS},
        step=known.step_samples,
        context=known.context_samples,
    )
    shape = [size if isinstance(size, int) else None for size in main.shape]
    return Runnable(
        network=Outside(fed, FLOATS[main.type]),
        # A segment is of any number of steps.
        shape=tuple(None if known.step_samples and size == at_once else size for size in shape),
        classes=_classes(session.get_modelmeta().custom_metadata_map),
    )


def _filling(path: Path, given: Any, said: Any, outputs: list[str]) -> Callable[[int], NDArray[Any]]:
    """Return what an input gets for n segments; an axis of the file's that is free is theirs."""
    kind = NUMBERS.get(given.type)
    if kind is None:
        raise UsageError(f"{printable(path)}: its input {given.name} takes {given.type}, and only numbers can be given")
    if isinstance(said, str) and said != ZEROS and said not in outputs:
        raise UsageError(
            f"{printable(path)}: inputs: {given.name} {said!r}: is neither a number, 'zeros', nor an output of the "
            f"file ({', '.join(outputs)})"
        )
    value = np.asarray(0 if isinstance(said, str) else said, dtype=kind)
    free = [axis for axis, size in enumerate(given.shape) if not isinstance(size, int)]

    def filling(segments: int) -> NDArray[Any]:
        shape = tuple(segments if axis in free else size for axis, size in enumerate(given.shape))
        try:
            return np.array(np.broadcast_to(value, shape))
        except ValueError as error:
            raise UsageError(
                f"inputs: {given.name}: is of shape {value.shape}, and the file takes {given.shape}"
            ) from error

    return filling


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
