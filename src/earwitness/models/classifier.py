"""The classifier: front end + backbone + head + class names; predict, save, load."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from earwitness.audio.frontend import FRONT_ENDS, FrontEnd
from earwitness.core.arrays import Float32Array
from earwitness.core.brief import brief
from earwitness.core.device import filled_up, without_tf32
from earwitness.core.errors import EarwitnessError, UsageError, printable
from earwitness.core.files import write_tensors
from earwitness.core.run_folder import IDENTITY, METADATA
from earwitness.models.adapter import NONE, Coat
from earwitness.models.class_names import class_index
from earwitness.models.headed import Headed
from earwitness.models.hierarchy import Parents
from earwitness.models.network import Network
from earwitness.models.origin import Origin
from earwitness.models.registry import BACKBONES

FORMAT = 1
Learner = Network | Headed
Build = Callable[[dict[str, Any]], "Classifier"]
# Log-mel cells in one batch of inference. Larger batches fall out of a processor's caches and are slower.
BATCH_CELLS = 400_000
WAVEFORM, SPECTROGRAM = "waveform", "spectrogram"


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A trained network with everything that is needed to use it.

    Parameters
    ----------
    network
        In evaluation mode; another's network in a :class:`earwitness.models.adapter.Coat`.
    front_end
        What turns sound into its input.
    classes
        Names, in the order of the network's scores.
    backbone
        Registry name; the file's or function's of another's model.
    segment_frames
        Frames that the network sees at once.
    overlap
        Overlap of consecutive segments in percent, when a recording is cut.
    tail
        Whether a last segment ends flush with a recording where the others leave a tail.
    activation
        ``"softmax"`` where one class is right, ``"sigmoid"`` where several may be, ``"none"`` where the network's
        answers are final.
    parents
        For each class, the positions of those that it is nested in (Bark in Dog); empty where classes stand side by
        side.
    segment_samples
        Samples that a network over waveforms sees at once, ``segment_frames`` hops and less than one more; 0 for a
        network over spectrograms. The front end then tells the levels of the cells on which it is explained.
    origin
        Of a model that others trained: where it comes from; None of ours.
    """

    network: Network | Coat
    front_end: FrontEnd
    classes: tuple[str, ...]
    backbone: str
    segment_frames: int
    overlap: float
    activation: str = "softmax"
    tail: bool = True
    parents: Parents = ()
    segment_samples: int = 0
    origin: Origin | None = None

    __repr__ = brief

    @property
    def takes(self) -> str:
        """What the network takes: ``"waveform"`` or ``"spectrogram"``."""
        return WAVEFORM if self.segment_samples else SPECTROGRAM

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next((weight.device for weight in self.network.parameters()), torch.device("cpu"))

    @property
    def own_network(self) -> Learner:
        """The network as one with an embedding and a head that can learn.

        Raises
        ------
        UsageError
            It is another's.
        """
        if isinstance(self.network, Network | Headed):
            return self.network
        raise UsageError(f"{self.backbone}: is another's network, used as it is; it cannot be trained here")

    @property
    def segment_seconds(self) -> float:
        """Length of a segment."""
        return self.segment_frames * self.front_end.clock.frame_seconds

    def with_segments(self, segment_frames: int, overlap: float) -> Classifier:
        """Return the same classifier for segments of another length or overlap."""
        longer = self.takes == WAVEFORM and segment_frames != self.segment_frames
        samples = segment_frames * self.front_end.hop if longer else self.segment_samples
        return replace(self, segment_frames=segment_frames, overlap=overlap, segment_samples=samples)

    def logits(self, values: Float32Array | Tensor, batch_size: int | None = None) -> Tensor:
        """Return class scores before the activation.

        Parameters
        ----------
        values
            Log-mel segments, shape (n, frames, bands); of a network over waveforms samples, shape (n, samples).
        batch_size
            Segments at once; None chooses by size.

        Returns
        -------
        Shape (n, classes), float32, on the CPU.

        Raises
        ------
        UsageError
            The segments have another shape.
        """
        tensor = self._checked(values)
        return self._answers(self.network, tensor, batch_size or at_once(tensor.shape[1:].numel()))

    def embeddings(self, values: Float32Array | Tensor) -> Tensor:
        """Return what the head gets, shape (n, embedding), float32, on the CPU; parameters and errors as for logits."""
        tensor = self._checked(values)
        return self._answers(self.own_network.embed, tensor, at_once(tensor.shape[1:].numel()))

    def logits_of(self, embeddings: Tensor, cells: int) -> Tensor:
        """Return the logits of embeddings of segments of so many cells, or samples: the bits that :meth:`logits` gives.

        They are the same only where the segments were asked together, for a batch's size may change the last bit.
        """
        return self._answers(self.own_network.head, embeddings, at_once(cells))

    def _checked(self, values: Float32Array | Tensor) -> Tensor:
        """Return segments as a tensor, or refuse those that the network cannot take."""
        tensor = torch.as_tensor(values)
        waves = self.takes == WAVEFORM
        if tensor.ndim != (2 if waves else 3) or (not waves and tensor.shape[2] != self.front_end.bands):
            wanted = "(n, samples)" if waves else f"(n, frames, {self.front_end.bands})"
            raise UsageError(f"segments of shape {tuple(tensor.shape)}: {self.backbone} takes {wanted}")
        return tensor

    def _answers(self, asked: Callable[[Tensor], Tensor], tensor: Tensor, size: int) -> Tensor:
        """Return what the network, or a part of it, answers to rows, so many at a time."""
        self.network.eval()
        with torch.inference_mode(), without_tf32(self.device):
            batches = (part.to(self.device) for part in torch.split(tensor, size))
            parts = [asked(filled_up(batch))[: len(batch)].float().cpu() for batch in batches]
        return torch.cat(parts) if parts else torch.zeros(0, len(self.classes))

    def activate(self, logits: Tensor) -> Tensor:
        """Return probabilities, shape (n, classes), of logits; a network's final answers are left as they are."""
        if self.activation == NONE:
            return logits
        return logits.softmax(dim=-1) if self.activation == "softmax" else logits.sigmoid()

    def probabilities(self, values: Float32Array | Tensor, batch_size: int | None = None) -> Tensor:
        """Return class probabilities, shape (n, classes), of segments as :meth:`logits` takes them."""
        return self.activate(self.logits(values, batch_size))

    def class_index(self, name: str) -> int:
        """Return a class's position; "rooster" finds "Chicken, rooster".

        Raises
        ------
        UsageError
            The classifier has no such class, or several.
        """
        return class_index(self.classes, name)

    @property
    def _of_others(self) -> dict[str, Any]:
        """What a file must know of a backbone that others trained."""
        if self.origin is None:
            return {}
        head = self.own_network
        assert isinstance(head, Headed)
        return {"origin": self.origin.as_dict(), "frozen": head.frozen, "embedding": head.linear.in_features}

    def save(self, path: Path | str, identity: str | None = None) -> None:
        """Write weights and description to one safetensors file, atomically, with the identity of the run, if any."""
        description = {
            "format": FORMAT,
            "backbone": self.backbone,
            "classes": list(self.classes),
            "front_end": asdict(self.front_end),
            "segment_frames": self.segment_frames,
            "overlap": self.overlap,
            "activation": self.activation,
            "tail": self.tail,
            **({"parents": self.parents} if self.parents else {}),
            **self._of_others,
            **({} if identity is None else {IDENTITY: identity}),
        }
        write_tensors(path, self.network.state_dict(), {METADATA: json.dumps(description)})


def load(path: Path | str, device: torch.device | str = "cpu", build: Build | None = None) -> Classifier:
    """Read a classifier that :meth:`Classifier.save` wrote.

    Parameters
    ----------
    path
        The file.
    device
        Where it is to work.
    build
        Returns a classifier with untrained weights from the metadata of a model file whose backbone others trained;
        None refuses such a file.

    Raises
    ------
    EarwitnessError
        The file is missing, damaged, not ours, or of a newer format.
    """
    where = printable(path)
    if not Path(path).is_file():
        raise UsageError(f"{where}: no such model file")
    try:
        with safe_open(path, framework="pt") as stored:
            description = json.loads((stored.metadata() or {})[METADATA])
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
            newer = description["format"] > FORMAT
        if newer:
            raise EarwitnessError(f"{where}: was written by a newer earwitness; update this one")
        if "origin" not in description:
            classifier = from_description(description)
        elif build is not None:
            classifier = build(description)
        else:
            raise UsageError(f"{where}: is a head over a model of others; open its run folder")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EarwitnessError(f"{where}: is not an earwitness model ({error}); train it again") from error
    try:
        classifier.network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise EarwitnessError(f"{where}: its weights do not fit {description['backbone']} ({reason})") from error
    return ready(classifier, device)


def ready(classifier: Classifier, device: torch.device | str) -> Classifier:
    """Return a classifier where it is to work, its weights in the order in which it was trained and works fastest."""
    classifier.network.to(device).eval()
    if not isinstance(classifier.network, Coat):  # whose network may rely on its own order
        classifier.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return classifier


def from_description(description: dict[str, Any]) -> Classifier:
    """Return a classifier with untrained weights from the metadata of a model file."""
    backbone = BACKBONES[description["backbone"]]
    front_end = FrontEnd(**description["front_end"])
    if front_end != FRONT_ENDS.get(front_end.name):
        raise EarwitnessError(f"the model's front end {front_end.name!r} differs from this version's of that name")
    classes = tuple(description["classes"])
    return Classifier(
        network=backbone.build(len(classes)).eval(),
        front_end=front_end,
        classes=classes,
        backbone=description["backbone"],
        segment_frames=int(description["segment_frames"]),
        overlap=float(description["overlap"]),
        activation=description["activation"],
        tail=bool(description.get("tail", False)),  # version 0.1.0 had none
        parents=tuple(tuple(above) for above in description.get("parents", ())),
    )


def at_once(cells: int) -> int:
    """Return how many segments of so many cells are asked together."""
    return max(1, BATCH_CELLS // max(1, cells))


def segment_frames(classifier: Classifier, frames: int) -> int:
    """Return the length of a segment: a tagger sees a short file as it is, not filled up with silence."""
    if classifier.activation != "sigmoid":
        return classifier.segment_frames
    return min(classifier.segment_frames, max(frames, classifier.front_end.segment_frames))
