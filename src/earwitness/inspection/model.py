"""The noun that explanations are asked of: a classifier, prepared once for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError, printable
from earwitness.core.home import home_folder
from earwitness.core.run_folder import RunFolder
from earwitness.data import provenance
from earwitness.explainers.inference.prepared import Prepared
from earwitness.explainers.method import check_needs
from earwitness.explainers.registry import METHODS, parse
from earwitness.models.adapter import Coat
from earwitness.models.classifier import Classifier
from earwitness.models.foreign.loading import check_segments, is_foreign, load_foreign
from earwitness.models.foreign.runtimes import is_opaque, is_outside
from earwitness.models.loading import load_classifier
from earwitness.models.reduction import Reduction, reduced
from earwitness.models.registry import BACKBONES, backbone_named
from earwitness.training.request import check_overlap, check_seconds, segment_frames

FEW_NAMED = 3  # methods that are left out; more are counted, too


@dataclass(frozen=True, kw_only=True)
class Model:
    """A classifier to explain; hold on to it, for the first explanation prepares the network for all later ones.

    Several threads may use one model; they wait for each other.

    Parameters
    ----------
    name
        What it was loaded by: a run folder, or a backbone.
    classifier
        What predicts.
    cache
        Folder in which is kept what verdicts measure once of a method; it need not exist or be writable.
    recordings
        Of a run: its ``recordings.csv``, which need not be there.

    Examples
    --------
    >>> import earwitness as ew
    >>> ew.load_model("runs/demo")
    Model('runs/demo': compact, 3 classes, segments of 0.96 s)
    """

    name: str
    classifier: Classifier
    cache: Path
    recordings: Path | None = None

    @cached_property
    def trained_on(self) -> frozenset[str]:
        """Of a run, as far as it knows: the SHA-256 of each decoded sound that it was trained on."""
        return frozenset() if self.recordings is None else provenance.sounds(self.recordings)

    @cached_property
    def prepared(self) -> Prepared:
        """The classifier prepared for explaining."""
        return Prepared(self.classifier)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the network's scores."""
        return self.classifier.classes

    @property
    def segment_seconds(self) -> float:
        """How much of a recording the network sees at once."""
        return self.classifier.segment_seconds

    def askable(self, methods: Sequence[str]) -> tuple[str, ...]:
        """Return those of several methods that the network can be asked by (:func:`askable`)."""
        return askable(methods, self.classifier.network)

    @property
    def beyond(self) -> frozenset[str]:
        """The names of all methods that the network cannot be asked by; nobody is to be advised to ask them."""
        return frozenset(METHODS).difference(self.askable(tuple(METHODS)))

    def with_segments(self, seconds: float | None = None, overlap: float | None = None) -> Model:
        """Return the model for segments of another length (seconds) or overlap (percent); None leaves one as it is.

        Raises
        ------
        UsageError
            The network cannot take such segments.
        """
        if seconds is None and overlap is None:
            return self
        classifier, cache = other_segments(self.classifier, seconds, overlap), self.cache
        if classifier.segment_frames != self.classifier.segment_frames:
            cache = cache / f"segments-of-{classifier.segment_frames}"  # a method does otherwise on longer ones
        return replace(self, classifier=classifier, cache=cache)

    def reduced(self, function: Reduction, *, name: str = "", layer: str = "") -> Model:
        """Return a model of one number instead of classes, which is then what explanations explain.

        Parameters
        ----------
        function
            From the network's scores before the activation, shape (n, classes), or from the layer's answer, to a number
            a segment, shape (n,); tensors on the network's device. Gradients pass through it where it is PyTorch's.
        name
            What the number is called; None takes the function's name.
        layer
            Dotted name of a layer whose answer the function gets.

        Raises
        ------
        UsageError
            There is no such layer, it cannot be looked at, or the function returns something else.
        EarwitnessError
            The function fails.

        Examples
        --------
        >>> import earwitness as ew
        >>> model = ew.load_model("runs/demo")
        >>> margin = model.reduced(lambda scores: scores[:, 0] - scores[:, 1:].mean(dim=1), name="margin")
        >>> ew.explain("some.wav", margin, methods="gradcam").predicted
        'margin'
        """
        classifier = reduced(self.classifier, function, name, layer)
        return replace(self, classifier=classifier, name=f"{self.name} ({classifier.classes[0]})")

    def __repr__(self) -> str:
        what = f"{self.classifier.backbone}, {len(self.classes)} classes, segments of {self.segment_seconds:.2f} s"
        return f"Model({self.name!r}: {what})"


def askable(methods: Sequence[str], network: nn.Module) -> tuple[str, ...]:
    """Return those of several methods that need no layer and no gradient that a network does not have."""

    def fits(method: str) -> bool:
        try:
            check_needs(parse(method), network)
        except UsageError:
            return False
        return True

    return tuple(filter(fits, methods))


def left_out(methods: Sequence[str], fitting: Sequence[str], name: str, network: nn.Module) -> str:
    """Return a note on the methods that a network cannot be asked by, and why; empty where there are none."""
    names = [each.partition(":")[0] for each in methods if each not in fitting]
    if not names:
        return ""
    lacks = "names no feature_layer"
    if is_opaque(network):
        lacks = "has no layers to look at" + (", and lets no gradient through" if is_outside(network) else "")
    if len(names) <= FEW_NAMED:
        return f"{', '.join(names)} left out, for {name} {lacks}"
    return f"{len(names)} of {len(methods)} methods left out, for {name} {lacks}: {', '.join(names)}"


def other_segments(classifier: Classifier, seconds: float | None, overlap: float | None) -> Classifier:
    """Return a classifier for segments of another length (seconds) or overlap (percent); None leaves one as it is.

    Raises
    ------
    UsageError
        The network cannot take such segments.
    """
    frames = classifier.segment_frames
    if seconds is not None and isinstance(classifier.network, Coat):
        frames = classifier.front_end.clock.seconds_to_frame_count(check_seconds(seconds))
    elif seconds is not None:
        frames = segment_frames(backbone_named(classifier.backbone), seconds)
    other = classifier.with_segments(frames, classifier.overlap if overlap is None else check_overlap(overlap))
    if seconds is not None and isinstance(other.network, Coat):
        check_segments(other)
    return other


def load_model(
    model: Model | Path | str,
    *,
    weights: Path | str | None = None,
    description: Path | str | Mapping[str, Any] | None = None,
    classes: Path | str | Sequence[str] | None = None,
    segment_seconds: float | None = None,
    overlap: float | None = None,
    device: str = "auto",
) -> Model:
    """Load what explanations are asked of.

    Parameters
    ----------
    model
        A run folder, ``"mn04"`` with AudioSet's 527 classes, or a model that others trained: an ``.onnx``, ``.pt2`` or
        TorchScript file, a local folder of Hugging Face Transformers, or ``"file.py:function"`` or
        ``"package.module:function"``, which returns a network (a torch module, or a function over arrays) and a
        description. A folder that is a run goes before a name. A model that is loaded already is not loaded again.
    description, classes
        Of a model that others trained: what it takes and answers
        (:class:`earwitness.models.foreign.description.Description`), as a dictionary or a TOML or YAML file, and its
        class names, or a text file with one a line. None takes the files beside it. A folder of Transformers describes
        itself; what is given takes the place of single words.
    weights
        For a name: a file of its weights; None takes the published ones from where they were downloaded to.
    segment_seconds, overlap
        Another length of segments, and another overlap in percent. A run has those that it was trained with,
        AudioSet's tagger 10 s and 0 %.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    UsageError
        There is no such run or name, no weights, or the network cannot take such segments.
    EarwitnessError
        A file is damaged.

    Examples
    --------
    >>> import earwitness as ew
    >>> model = ew.load_model("runs/demo")
    >>> model.classes
    ('dog', 'helicopter', 'rain')
    """
    if not isinstance(model, Model) and Path(model).suffix == ".py":
        raise UsageError(f"{printable(model)}: name the function that makes the model, too: {printable(model)}:make")
    if not isinstance(model, Model) and is_foreign(str(model)):
        if weights is not None:
            raise UsageError(f"{printable(weights)}: {printable(model)} has its own weights; leave them out")
        loaded = model_of_others(str(model), description=description, classes=classes, device=device)
    elif description is not None or classes is not None:
        raise UsageError("a description and class names are for models of others (an .onnx file, say); leave them out")
    else:
        loaded = _loaded(model, weights, device)
    return loaded.with_segments(segment_seconds, overlap)


def model_of_others(
    spec: str,
    *,
    description: Path | str | Mapping[str, Any] | None = None,
    classes: Path | str | Sequence[str] | None = None,
    device: str = "auto",
) -> Model:
    """Return a model that others trained; parameters as for :func:`load_model`."""
    classifier = load_foreign(
        spec,
        choose_device(device),
        description=description if isinstance(description, Mapping | None) else Path(description),
        classes=Path(classes) if isinstance(classes, str) else classes,
    )
    origin = classifier.origin
    assert origin is not None
    name = origin.sha256[:16]  # what was measured of a model is not another's
    if origin.spec != origin.path:  # code may hold several
        told = f"{origin.spec} {origin.sha256} {origin.weights_sha256}"
        name = hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Model(name=printable(spec), classifier=classifier, cache=home_folder() / "models" / name / "trust")


def _loaded(model: Model | Path | str, weights: Path | str | None, device: str) -> Model:
    if isinstance(model, Model):
        return model
    path = Path(model)
    if path.is_dir() and not (RunFolder(path).started or RunFolder(path).finished) and str(model) not in BACKBONES:
        raise UsageError(
            f"{printable(path)}: is not a run folder (it holds no model.safetensors), nor one of Transformers (no "
            "config.json)"
        )
    if RunFolder(path).started or (path.is_dir() and str(model) not in BACKBONES):
        if weights is not None:
            raise UsageError(f"{printable(weights)}: a run has its own weights; leave out the weights or the run")
        return model_of_run(path, device=device)
    if str(model) not in BACKBONES:
        raise UsageError(
            f"{printable(path)}: no such run folder, and no model of this name; `earwitness train` makes a run, "
            "mn04 knows AudioSet's 527 classes, and models of others are files or folders of this machine: nothing is "
            "fetched"
        )
    return model_of_backbone(str(model), weights=weights, device=device)


def model_of_run(run: Path | str, *, device: str = "auto") -> Model:
    """Return the model of a finished training."""
    classifier = load_classifier(run, device=device)
    folder = RunFolder(Path(run))
    return Model(name=printable(run), classifier=classifier, cache=folder.trust, recordings=folder.recordings)


def model_of_backbone(name: str, *, weights: Path | str | None = None, device: str = "auto") -> Model:
    """Return a backbone with its published classes."""
    classifier = load_classifier(backbone=name, weights=None if weights is None else str(weights), device=device)
    return Model(name=name, classifier=classifier, cache=home_folder() / name / "trust")
