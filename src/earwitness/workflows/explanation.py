"""The noun that a call to explain returns: scores, and a map for each method and class, flat."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.core.errors import UsageError
from earwitness.core.files import safe_name
from earwitness.core.progress import Progress, shown
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.findings import (
    DetectedExplanation,
    Inquiry,
    LongExplanation,
    NamedMaps,
    NamedMoments,
    WholeExplanation,
    maps_by_name,
)
from earwitness.explainers.method import Explainer
from earwitness.inspection.exports import ENDINGS, check_formats
from earwitness.inspection.files import with_verdicts
from earwitness.inspection.model import Model
from earwitness.models.class_names import classes_called
from earwitness.models.detections import Detection
from earwitness.models.prediction import ScoredRecording
from earwitness.models.reduction import reduction_of
from earwitness.sonify.listening import Listening
from earwitness.sonify.masks import SHARE, mask_of
from earwitness.trust.metrics.reinitialise import can_be_random
from earwitness.trust.verdicts.verdict import verdict_of
from earwitness.workflows.drawing import draw, drawn, exported
from earwitness.workflows.sources import lead, sources_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a model predicted for a sound file, and what each method found that this relies on.

    ``explanation["lime"]`` is the :class:`~earwitness.explainers.attribution.Attribution` of a method for the first
    class, ``explanation["lime", "rooster"]`` the one for another class, and ``explanation["lime", detection]`` the one
    for one of ``explanation.explained``, in a recording of several sounds. A method goes by its name, or, where it was
    asked for twice with different settings, by these: ``explanation["lime:samples=512"]``. A notebook shows an
    explanation as its picture.

    Parameters
    ----------
    file
        The file's path, printable.
    seconds
        Its length.
    scores
        Every class's score, best first: the mean of the segments' probabilities.
    start_seconds, end_seconds
        What was explained first: one segment, or all that was scored.
    attributions
        The maps, by method with its settings (:func:`earwitness.explainers.parameters.spec`) and class.
    segments
        How many segments of the recording were scored.
    detections
        When which class was detected, in order of time; of a recording of one segment, that segment at most.
    moments
        Beside each map, in order of time: of a whole recording, where the map tells what every moment carries, maps of
        the moments that matter most; of a recording of several sounds, maps of the class's other detections.
    answer
        What the picture is drawn from.
    notes
        Sentences that a reader must know, such as on sound that the model does not use.
    source
        Tells the file's place, the model and the classes from others; a picture of another source is not overwritten.
    path, model
        The file and what scored it, for :meth:`listen`.
    scored, explainers
        The segments with their scores, and what explained them, for :meth:`judged`; none of a whole recording.

    Examples
    --------
    >>> import earwitness as ew
    >>> explanation = ew.explain("some.wav", "runs/demo", methods=["gradcam", "saliency"], verdicts=False)
    >>> explanation.predicted, explanation.methods, explanation.classes
    ('dog', ('gradcam', 'saliency'), ('dog',))
    >>> explanation["gradcam"].method, explanation["saliency", "dog"].score_kind
    ('gradcam', 'logit')
    >>> explanation.save("pictures").name
    'some.png'
    >>> sorted(explanation.as_row())[:4]
    ['end_second', 'file', 'gradcam_chance', 'gradcam_hertz']
    """

    file: str
    seconds: float
    scores: dict[str, float]
    start_seconds: float
    end_seconds: float
    attributions: NamedMaps
    answer: Inquiry | WholeExplanation | LongExplanation | DetectedExplanation
    segments: int = 1
    detections: tuple[Detection, ...] = ()
    moments: NamedMoments = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: str = ""
    path: Path | None = field(default=None, repr=False, compare=False)
    model: Model | None = field(default=None, repr=False, compare=False)
    scored: ScoredRecording | None = field(default=None, repr=False, compare=False)
    explainers: tuple[Explainer, ...] = field(default=(), repr=False, compare=False)

    @property
    def predicted(self) -> str:
        """The class of the highest score."""
        return next(iter(self.scores))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, with their settings."""
        return tuple(dict.fromkeys(method for method, _ in self.attributions))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that were explained."""
        return tuple(dict.fromkeys(name for _, name in self.attributions))

    @property
    def explained(self) -> tuple[Detection, ...]:
        """The detections that were explained, the most important first; none of a clip or a whole recording."""
        return self.answer.explained if isinstance(self.answer, DetectedExplanation) else ()

    def __getitem__(self, key: str | tuple[str, str | Detection]) -> Attribution:
        method, name = (key, self.classes[0]) if isinstance(key, str) else key
        named = self._named(method)
        if len(named) != 1:
            wrong = "was asked for with several settings" if named else "is none of the methods that were asked"
            raise UsageError(f"{method!r}: {wrong}; take {_listed(named or self.methods)}")
        if isinstance(name, Detection):
            return self._of_detection(named[0], name)
        called = classes_called(self.classes, name)
        if len(called) != 1:
            wrong = "fits several" if called else "is none"
            asked = [list(self.scores)[each] for each in classes_called(list(self.scores), name)]
            more = f", or ask for it: explain(..., classes={asked!r})" if len(asked) == 1 and not called else ""
            wrong += f" of the classes that were explained; take {_listed(self.classes)}{more}"
            raise UsageError(f"{name!r}: {wrong}")
        return self.attributions[named[0], self.classes[called[0]]]

    def _of_detection(self, method: str, detection: Detection) -> Attribution:
        if detection not in self.explained:
            what = f"{detection.class_name} at {detection.start_seconds:.2f} s"
            raise UsageError(f"{what}: was not explained; take one of .explained, or explain more (detections=...)")
        assert isinstance(self.answer, DetectedExplanation)
        finding = self.answer.inquiry.findings[self.explained.index(detection)]
        return finding.attributions[0][self.methods.index(method)]

    def _named(self, method: str) -> list[str]:
        """Return the methods that go by a name, or by a name with settings."""
        named = [each for each in self.methods if method in (each, each.partition(":")[0])]
        # The profile over time that comes with a whole recording's map goes by its own settings alone.
        named = [each for each in named if each == method or not _profile_of_another(each, named)]
        return [method] if method in named else named  # its defaults beside other settings of the same

    def judged(self, progress: Progress | bool = True) -> Explanation:
        """Return this with a verdict on each map, which is measured now and takes longer than the maps did.

        A whole recording has no verdicts and is returned as it is; nor has a number (:meth:`Model.reduced`).
        """
        if self.model is None or self.scored is None:
            return self
        if reduction := reduction_of(self.model.classifier.network):
            note = f"no verdicts on {reduction}: they are measured on probabilities"
            return replace(self, notes=(*self.notes, note))
        several = self.answer if isinstance(self.answer, DetectedExplanation) else None
        inquiry = self.answer if several is None else several.inquiry
        assert isinstance(inquiry, Inquiry)
        inquiry = with_verdicts(self.model, self.scored, self.explainers, inquiry, shown(progress))
        maps, moments = maps_by_name(self.explainers, inquiry)
        answer = inquiry if several is None else replace(several, inquiry=inquiry)
        notes = self.notes
        if not can_be_random(self.model.classifier.network):
            left_out = "verdicts leave out the test with random weights"
            notes += (f"{left_out}: {self.model.name} has none that can be changed",)
        return replace(self, answer=answer, attributions=maps, moments=moments, notes=notes)

    def plot(self, *, upsampling: str = "nearest", overlay: bool = False, style: str = "screen") -> Figure:
        """Return the explanation as a matplotlib figure, in the house's style whatever the user's own is.

        Parameters
        ----------
        upsampling, overlay
            How maps of a segment are drawn: their own cells or ``"bicubic"``; laid over the log-mel.
        style
            ``"screen"``, or ``"paper"``: as wide as one column of a paper or two, letters of 7 to 8 points, verdicts as
            marks alone, colours whose lightness tells what speaks for a class from what speaks against it.

        Raises
        ------
        UsageError
            There is no such upsampling or style, or all of a recording was explained, which is drawn in its own cells.
        """
        return drawn(self.answer, upsampling, overlay, style)

    def listen(
        self, method: str | tuple[str, str] | None = None, *, keep: float = SHARE, by: str = "area"
    ) -> Listening:
        """Return what was explained as sound: only the evidence that a method found, and all without it.

        Parameters
        ----------
        method
            As in ``explanation[method]``; None takes the first.
        keep, by
            How much of the map counts as evidence: over 0 to 1 of its area, or of its positive mass.

        Raises
        ------
        UsageError
            There is no such map, or nothing in it speaks for its class.
        """
        found, clock = self[self.methods[0] if method is None else method], self.answer.clock
        if self.path is None:
            raise UsageError(f"{self.file}: nobody said where it lies; explain it with earwitness.explain")
        # Seconds are counted by frames; what covers the recording covers what is left after the last one, too.
        to_end = self.end_seconds + clock.frame_seconds > self.seconds
        return Listening.of(
            self.path,
            mask_of(found, clock, keep, by),
            self.start_seconds,
            None if to_end else self.end_seconds,
            classifier=None if self.model is None else self.model.classifier,
            target=found.target_label,
            about={
                "method": next(named for (named, _), each in self.attributions.items() if each is found),
                "parameters": found.parameters,
                "score_kind": found.score_kind,
                "model": "" if self.model is None else self.model.name,
            },
        )

    def save(
        self,
        folder: Path | str = "explained",
        name: str | None = None,
        *,
        upsampling: str = "nearest",
        overlay: bool = False,
        style: str = "screen",
        formats: Sequence[str] = (),
    ) -> Path:
        """Write ``NAME.png`` and ``NAME-CLASS-METHOD.npz`` into a folder; moments as ``...-METHOD-at-SECOND.npz``.

        Parameters
        ----------
        folder
            Made where it is missing.
        name
            Files of this name are replaced. None takes the sound file's, with the next number where pictures or maps of
            another file, class or model have it.
        upsampling, overlay, style
            As for :meth:`plot`.
        formats
            What else is written, as by :meth:`export`.

        Returns
        -------
        The picture's path.
        """
        check_formats(formats)

        folder = Path(folder)
        stem = name or self.name_in(folder)[0]
        look = {"upsampling": upsampling, "overlay": overlay, "style": style}
        draw(self.answer, folder / f"{stem}.png", look)
        for path, attribution in self._maps(folder, stem).items():
            replace(attribution, source=self.source).save(path)
        exported(self, folder, stem, formats, look)
        return folder / f"{stem}.png"

    def export(
        self,
        folder: Path | str,
        name: str,
        formats: Sequence[str] = ("csv",),
        *,
        upsampling: str = "nearest",
        overlay: bool = False,
        style: str = "screen",
    ) -> list[Path]:
        """Write the explanation for other programs; files of the same names are replaced.

        Parameters
        ----------
        folder, name
            Where, and the beginning of the files' names.
        formats
            ``"csv"``, ``"raven"`` and ``"audacity"`` write the regions of all maps, unless a whole recording was
            explained, and the detections (:mod:`earwitness.inspection.exports`); ``"svg"`` and ``"pdf"`` the picture.
        upsampling, overlay, style
            How the picture is drawn, as for :meth:`plot`.

        Returns
        -------
        The files.

        Raises
        ------
        UsageError
            There is no such format, or no such style.
        """
        check_formats(formats)
        look = {"upsampling": upsampling, "overlay": overlay, "style": style}
        return exported(self, Path(folder), name, formats, look)

    def name_in(self, folder: Path, taken: Container[str] = ()) -> tuple[str, bool]:
        """Return what this is called in a folder, and whether that replaces an earlier explanation of the same.

        Parameters
        ----------
        folder
            It need not exist.
        taken
            Names, case-folded, that are not to be had.
        """
        number, name = 1, self.answer.name
        while True:
            if name.casefold() not in taken:
                others = [folder / f"{name}{ending}" for ending in (".png", *ENDINGS)]
                if not any(path.exists() for path in (*others, *self._maps(folder, name))):
                    return name, False
                if self.source and sources_in(folder, name) == {self.source}:
                    return name, True
            number += 1
            name = f"{self.answer.name}-{number}"

    def _maps(self, folder: Path, stem: str) -> dict[Path, Attribution]:
        """Return the maps by where they are kept."""
        kept = {}
        for (method, label), found in self.attributions.items():
            name = f"{lead(stem, label)}{safe_name(method)}"
            kept[folder / f"{name}.npz"] = found
            for moment in self.moments.get((method, label), ()):
                kept[folder / f"{name}-at-{moment.start_seconds:.2f}.npz"] = moment
        return kept

    def as_row(self) -> dict[str, Any]:
        """Return the explanation as a plain dictionary, such as a row of a pandas table.

        ``predicted`` has ``recording_score``, the mean over the recording, and ``segment_score`` from ``start_second``
        to ``end_second``, where it was explained. There are four entries a map: where its strongest cell for the class
        lies (``_second``, ``_hertz``), its verdict and the chance that the map is right (or None). They begin with the
        method's name, and with its settings where it was asked for with several.
        """
        inquiry = self.answer.inquiry if isinstance(self.answer, DetectedExplanation) else self.answer
        there = self.scores
        if isinstance(inquiry, Inquiry):
            there = dict(zip(inquiry.classes, inquiry.findings[0].scores, strict=True))
        row: dict[str, Any] = {
            "file": self.file,
            "seconds": self.seconds,
            "start_second": self.start_seconds,
            "end_second": self.end_seconds,
            "predicted": self.predicted,
            "recording_score": self.scores[self.predicted],
            "segment_score": there[self.predicted],
        }
        for (method, name), found in self.attributions.items():
            plain = method.partition(":")[0]
            known = plain if self._named(plain) == [method] else method
            lead = known if len(self.classes) == 1 else f"{known} {name}"
            frame, band = np.unravel_index(int(found.values.argmax()), found.values.shape)
            verdict = verdict_of(found)
            row |= {
                f"{lead}_second": float(found.times[frame]),
                f"{lead}_hertz": float(found.frequencies[band]),
                f"{lead}_verdict": None if verdict is None else verdict.level,
                f"{lead}_chance": None if verdict is None else verdict.chance,
            }
        return row

    def __repr__(self) -> str:
        maps = f"{', '.join(self.methods)} for {', '.join(self.classes)}"
        return f"Explanation({self.file!r}: {self.predicted} {self.scores[self.predicted]:.3f}; {maps})"

    def _repr_png_(self) -> bytes:
        from earwitness.plots.style import png

        return png(self.plot())


def _profile_of_another(method: str, others: list[str]) -> bool:
    return "along=time" in method and any(method != other and method.startswith(other) for other in others)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return " or ".join(repr(name) for name in names)
