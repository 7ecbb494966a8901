"""From a name (SPEC) to a classifier: a model file, ``file.py:function``, a folder of Hugging Face Transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path
from typing import Any

import torch
from torch import nn

from earwitness.audio.frontend import FrontEnd
from earwitness.core.device import without_tf32
from earwitness.core.errors import UsageError, first_line, printable
from earwitness.core.run_folder import no_model_folder
from earwitness.models.adapter import BANDS, CHANNEL, FRAMES, INNER, SAMPLES, Coat
from earwitness.models.class_names import numbered
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.description import Description
from earwitness.models.foreign.factory import is_factory, made
from earwitness.models.foreign.hugging_face import is_folder, opened
from earwitness.models.foreign.identity import origin_of
from earwitness.models.foreign.reading import ENDINGS, described, read_classes, read_description, read_words
from earwitness.models.foreign.runtimes import (
    EXPORTED,
    REASON,
    SCRIPTED,
    Runnable,
    is_opaque,
    run_exported,
    run_scripted,
)
from earwitness.models.foreign.sessions import ONNX, run_onnx

FILES = (*ONNX, *EXPORTED, *SCRIPTED)
LAYERS_NAMED = 4
LENGTHS = ("segment_seconds", "segment_frames", "segment_samples")  # ways to say one thing
CLASS_FILES = ("{stem}.txt", "{stem}.labels.txt", "{stem}-labels.txt", "labels.txt", "classes.txt")


def is_foreign(spec: str) -> bool:
    """Return whether a name is that of a foreign model: a model file, a user's code, or a folder of Transformers."""
    return Path(spec).suffix.lower() in FILES or is_factory(spec) or is_folder(Path(spec))


def load_foreign(
    spec: str,
    device: torch.device,
    *,
    description: Path | Mapping[str, Any] | Description | None = None,
    classes: Path | Sequence[str] | None = None,
) -> Classifier:
    """Return a foreign model as a classifier.

    Parameters
    ----------
    spec
        A model file, ``package.module:function`` or ``file.py:function``, or a folder of Hugging Face Transformers.
    device
        Where it runs, as far as it can.
    description
        What it takes and answers; None takes the file beside the model that has its name and ends with .toml or .yaml.
        Of a folder, words that take the place of its own.
    classes
        Names, or a text file with one a line; None takes those of the description, of the model file, or of a text file
        beside it.

    Raises
    ------
    UsageError
        There is no such model or description, or they do not fit each other.
    EarwitnessError
        The file is damaged, or the user's code fails.
    """
    model = open_foreign(spec, device, description)
    known, answers = model.known, model.answers("classes").shape[1]
    named = model.class_names(classes)
    if not named:
        named = numbered(answers)
    if (twice := next((name for name in named if named.count(name) > 1), None)) is not None:
        raise UsageError(f"{printable(spec)}: the class {printable(twice)} is named twice; give each its own name")
    if len(named) != answers:
        raise UsageError(
            f"{printable(spec)}: answers {answers} numbers, and {len(named)} classes are named; name each in its order"
        )
    return Classifier(
        network=model.coat,
        front_end=model.front_end,
        classes=named,
        backbone=Path(spec).resolve().name if is_folder(Path(spec)) else Path(spec).name,
        segment_frames=known.frames(),
        overlap=known.overlap,
        activation=known.activation,
        segment_samples=model.samples,
        origin=origin_of(spec, model.runnable.network, known),
    )


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A foreign model that can be asked, whatever it answers.

    Parameters
    ----------
    spec
        As for :func:`load_foreign`.
    known
        What it takes, with what its own input tells.
    runnable
        The network.
    coat
        The network in its coat.
    front_end, samples
        What turns sound into segments; samples of one, 0 where it takes spectrograms.
    device
        Where it runs, as far as it can.
    """

    spec: str
    known: Description
    runnable: Runnable
    coat: Coat
    front_end: FrontEnd
    samples: int
    device: torch.device

    def answers(self, what: str) -> torch.Tensor:
        """Return what it answers to a segment of silence, shape (1, ``what``).

        Raises
        ------
        UsageError
            It cannot take the segment, or answers something else than a row of finite numbers.
        """
        silent = _silent(self.front_end, self.known.frames(), self.samples, self.device)
        return _answers(self.spec, self.coat, silent, what)

    def class_names(self, given: Path | Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the names that are given, or those of the description, the file, or a text file beside it, if any.

        Raises
        ------
        UsageError
            A file of names cannot be read.
        """
        return _classes(self.spec, self.known, self.runnable, given)


def open_foreign(
    spec: str,
    device: torch.device,
    description: Path | Mapping[str, Any] | Description | None = None,
    *,
    embedding: bool = False,
) -> Opened:
    """Return a foreign model that can be asked; parameters and errors are those of :func:`load_foreign`.

    With ``embedding``, a folder's network answers what its own head would get; other models answer what they do.
    """
    if is_factory(spec):
        network, own = made(spec)
        known, runnable = _description(spec, description, own), Runnable(network=network.to(device).eval())
    elif is_folder(Path(spec)):
        network, words = opened(Path(spec), embedding=embedding)
        known, runnable = _over(spec, words, description), Runnable(network=network.to(device).eval())
    else:
        runnable = _run_file(Path(spec), device, lambda: _description(spec, description, None))
        known = _description(spec, description, None)
    if (known.inputs or known.step_samples) and Path(spec).suffix.lower() not in ONNX:
        raise UsageError(f"{printable(spec)}: inputs and step_samples are for ONNX files; a function gives its own")
    known = _fitted(spec, known, runnable)
    _check_layer(spec, runnable.network, known.feature_layer)
    coat = Coat(
        runnable.network,
        known.layout,
        feature_layer=known.feature_layer,
        batch=known.batch,
        output=known.output,
        pooled=known.pooled,
        prepare=known.preparation(),
        tokens=known.token_layout(),
    )
    return Opened(
        spec=spec,
        known=known,
        runnable=runnable,
        coat=coat,
        front_end=replace(known.front_end(), segment_frames=known.shortest_frames()),
        samples=known.samples() if known.takes_waveforms else 0,
        device=device,
    )


def _check_layer(spec: str, network: nn.Module, layer: str) -> None:
    """Refuse a feature layer that a network whose layers can be looked at does not have."""
    names = [name for name, _ in network.named_modules() if name]
    if not layer or is_opaque(network) or {layer, layer.removeprefix(INNER)} & set(names):
        return
    near = get_close_matches(layer, names, n=1)
    told = f"did you mean {near[0]}?" if near else f"its last layers are {', '.join(names[-LAYERS_NAMED:]) or 'none'}"
    raise UsageError(f"{printable(spec)}: feature_layer {printable(layer)}: the network has no such layer; {told}")


def _over(spec: str, own: Mapping[str, Any], given: Path | Mapping[str, Any] | Description | None) -> Description:
    """Return the description of what a folder says of itself, but for the words that are given."""
    if isinstance(given, Description):
        return given
    place = Path(spec).resolve()
    beside = (place.with_name(place.name + ending) for ending in ENDINGS)
    path = given if isinstance(given, Path) else next((each for each in beside if each.is_file()), None)
    words = given if isinstance(given, Mapping) else {} if path is None else read_words(path)
    lengths = LENGTHS if set(LENGTHS) & set(words) else ()
    try:
        return described({name: value for name, value in own.items() if name not in lengths} | dict(words))
    except UsageError as error:
        raise UsageError(f"{printable(spec if path is None else path)}: {error}") from error


def _run_file(path: Path, device: torch.device, describe: Callable[[], Description]) -> Runnable:
    """Return the network of a model file."""
    if path.is_dir():
        raise UsageError(no_model_folder(path))
    if not path.is_file():
        raise UsageError(f"{printable(path)}: no such model file")
    if path.suffix.lower() in ONNX:
        return run_onnx(path, device, describe)
    return run_exported(path, device) if path.suffix.lower() in EXPORTED else run_scripted(path, device)


def _description(
    spec: str, given: Path | Mapping[str, Any] | Description | None, own: Description | None
) -> Description:
    if isinstance(given, Description):
        return given
    if given is not None:
        return described(given) if isinstance(given, Mapping) else read_description(given)
    if own is not None:
        return own
    beside = [Path(spec).with_suffix(ending) for ending in ENDINGS]
    found = next((path for path in beside if path.is_file()), None)
    if found is None:
        raise UsageError(
            f"{printable(spec)}: what does it take? write {printable(beside[0])} with sample_rate, hop, window, bands, "
            "scale, log ... (docs/your-model.md), or name a description"
        )
    return read_description(found)


def _fitted(spec: str, known: Description, runnable: Runnable) -> Description:
    """Return the description with what the model's own input tells, or refuse what contradicts it."""
    if known.takes_waveforms:
        known = _with_samples(spec, known, runnable)
    shape, front_end = runnable.shape, known.front_end()
    if shape:
        if len(shape) != len(known.layout) + 1:
            raise UsageError(
                f"{printable(spec)}: takes {_told(shape)}, and the layout has {len(known.layout)} axes after the batch "
                f"({', '.join(known.layout)})"
            )
        sizes = dict(zip(known.layout, shape[1:], strict=True))
        wanted = {BANDS: front_end.bands, CHANNEL: 1, FRAMES: known.frames() or sizes.get(FRAMES)}
        wanted[SAMPLES] = known.samples()
        for axis, size in sizes.items():
            if size is not None and size != wanted[axis]:
                fits = (each for each in permutations(known.layout) if _fits(shape, each, wanted))
                other = next((f" (layout = {json.dumps(each)} fits)" for each in fits), "")
                raise UsageError(
                    f"{printable(spec)}: takes {_told(shape)} ({', '.join(('batch', *known.layout))}), and the "
                    f"description gives {wanted[axis]} as {axis}; check layout, bands and the segment's length"
                    + (other or (f" (segment_frames = {size})" if axis == FRAMES else ""))
                )
        if not known.frames() and sizes.get(FRAMES):
            known = replace(known, segment_frames=int(sizes[FRAMES] or 0))
        if shape[0] is not None and not known.batch:
            known = replace(known, batch=shape[0])
    if not known.frames():
        other = "segment_samples" if known.takes_waveforms else "segment_frames"
        raise UsageError(f"{printable(spec)}: how long is a segment? name segment_seconds or {other}")
    return known


def _fits(shape: Sequence[int | None], layout: Sequence[str], wanted: Mapping[str, int | None]) -> bool:
    """Return whether a file's input, whose first axis is the batch, is of the wanted sizes in a layout."""
    return all(size in (None, wanted[axis]) for axis, size in zip(layout, shape[1:], strict=True))


def _with_samples(spec: str, known: Description, runnable: Runnable) -> Description:
    """Return the description of a model over waveforms with the layout and the length that its own input tells."""
    shape = runnable.shape
    if len(shape) == 3 and known.layout == (SAMPLES,):
        known = replace(known, layout=(CHANNEL, SAMPLES))
    if len(shape) == len(known.layout) + 1 and not known.samples():
        known = replace(known, segment_samples=shape[1 + known.layout.index(SAMPLES)] or 0)
    hop = known.front_end().hop
    if 0 < known.samples() < hop:
        raise UsageError(f"{printable(spec)}: a segment of {known.samples()} samples is shorter than a hop of {hop}")
    return known


def _told(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)


def _classes(spec: str, known: Description, runnable: Runnable, given: Path | Sequence[str] | None) -> tuple[str, ...]:
    if given is not None:
        return read_classes(given) if isinstance(given, Path) else tuple(given)
    if isinstance(known.classes, str):
        return read_classes(Path(known.classes))
    if known.classes or runnable.classes or is_factory(spec) or is_folder(Path(spec)):
        return known.classes or runnable.classes
    path = Path(spec)
    beside = (path.parent / name.format(stem=path.stem) for name in CLASS_FILES)
    return next((read_classes(each) for each in beside if each.is_file()), ())


def check_segments(classifier: Classifier) -> None:
    """Refuse segments of a length that another's network cannot take.

    Raises
    ------
    UsageError
        Naming the network and its reason.
    """
    assert isinstance(classifier.network, Coat)
    given = classifier.segment_frames, classifier.segment_samples
    _answers(classifier.backbone, classifier.network, _silent(classifier.front_end, *given, classifier.device))


def _silent(front_end: FrontEnd, frames: int, samples: int, device: torch.device) -> torch.Tensor:
    """Return a segment of silence, shape (1, samples), or (1, frames, bands) where samples are 0."""
    if samples:
        return torch.zeros(1, samples, device=device)
    return torch.full((1, frames, front_end.bands), front_end.silence, device=device)


def _answers(spec: str, coat: Coat, silent: torch.Tensor, what: str = "classes") -> torch.Tensor:
    """Return what the network answers to a segment of silence, shape (1, numbers)."""
    try:
        with torch.inference_mode(), without_tf32(silent.device):
            found = coat(silent)
    except UsageError:
        raise
    except Exception as error:
        size = "{} samples".format(*silent.shape[1:])
        if not coat.takes_samples:
            size = "{} frames and {} bands".format(*silent.shape[1:])
        reason = first_line(error, REASON)
        raise UsageError(
            f"{printable(spec)}: cannot take a segment of {size} as {', '.join(coat.axes)} ({reason}); check layout, "
            f"{'' if coat.takes_samples else 'bands '}and the segment's length"
        ) from error
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 1:
        told = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise UsageError(
            f"{printable(spec)}: answers {told} to one segment, where (1, {what}) is expected; name output, or "
            f"pooled where it answers for several moments (1, moments, {what})"
        )
    if not bool(found.isfinite().all()):
        raise UsageError(f"{printable(spec)}: answers what is not finite to silence; check log, floor and mean")
    return found
