"""The one noun that every explanation method returns, how it is kept on disk, and the grid that its map lies on."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from earwitness.audio.segments import silent_share
from earwitness.audio.timefreq import cell_edges, nearest_cells
from earwitness.core.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from earwitness.core.brief import brief
from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.files import atomic_write, safe_name

SILENT = "silent"
CONSTANT = "constant"
PADDED = "padded"
NOT_CONVERGED = "not converged"

# A map whose cells differ by less than this share of the score, or of its own size, shows float32 rounding only.
CONSTANT_TOLERANCE = 1e-6

FORMAT = "earwitness-attribution"
FORMAT_VERSION = 2
READABLE = (1, FORMAT_VERSION)  # the first had no seconds and no hertz
ARRAYS = (
    "values",
    "native",
    "frame_edges",
    "band_edges",
    "standard_error",
    "times",
    "frequencies",
    "time_edges",
    "frequency_edges",
    "features",
    "importances",
)

# What reading a file raises that is damaged, or no attribution.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile, zlib.error)


@dataclass(frozen=True)
class Target:
    """What an attribution explains: a class, or one class rather than another.

    Parameters
    ----------
    index
        Position of the class in the classifier's classes.
    against
        Position of the class that it is contrasted with (the difference of the two scores is explained), or None.
    """

    index: int
    against: int | None = None

    def label(self, classes: tuple[str, ...]) -> str:
        """Return the target in words."""
        name = classes[self.index]
        return name if self.against is None else f"{name} rather than {classes[self.against]}"


def _nothing() -> Float64Array:
    return np.zeros(0)


@dataclass(frozen=True, kw_only=True)
class Region:
    """A place where much of a map's evidence lies; see :mod:`earwitness.explainers.regions`.

    Parameters
    ----------
    start_seconds, end_seconds
        In the recording.
    low_hz, high_hz
        Hertz.
    share
        Of the map's positive evidence, 0 to 1.
    score, without
        Probability of the target, and the same with this region alone hidden (differences of two probabilities, where
        the target is one class rather than another).
    """

    start_seconds: float
    end_seconds: float
    low_hz: float
    high_hz: float
    share: float
    score: float
    without: float


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """One explanation: a signed, unnormalised array for one segment and one target, with how it was made.

    Parameters
    ----------
    values
        Shape (frames, bands), float32: the native map spread over the segment's grid by nearest neighbour, in the
        unit of the score. Positive cells speak for the target.
    native
        Shape (rows, columns), float32: the map on the grid at which the method measures it.
    frame_edges, band_edges
        Shapes (rows + 1,) and (columns + 1,), float64: edges of the native cells in frames and bands of the segment.
        Empty where the native cells are not a grid (superpixels); then ``native`` equals ``values``.
    target, target_label
        What is explained, by index and in words.
    score
        The score of the whole segment for the target.
    score_kind
        ``"logit"``, ``"log-odds"`` (of the probability) or ``"probability"``.
    method
        Registry name, such as ``"gradcam"``.
    parameters
        Every parameter of the method that was in force (JSON types).
    fill
        What hid cells were replaced by (``"mean"`` and so on), or ``""`` for methods that hide nothing.
    seed
        Seed of the random draws, or None for a method without chance.
    precision
        Number format of the network's arithmetic, such as ``"float32"``.
    forwards, backwards
        Network evaluations spent on this segment (shared by its targets).
    seconds
        Wall time spent on this segment (shared by its targets).
    diagnostics
        Numbers that the method reports about itself, such as LIME's ``r2``.
    flags
        Words for what a reader must know: ``"silent"`` (the segment holds no sound), ``"constant"`` (the map tells no
        cell from another), ``"padded"`` (part of the segment is padding), ``"not converged"`` (the samples were spent
        before the standard error fell under the tolerance).
    real_frames
        Frames that come from the recording; later ones are padding and are zero in ``values``.
    file, start_seconds
        Where the segment comes from; the name may be empty.
    regions
        Where most of the positive evidence lies, the largest share first; empty where nobody asked or it is scattered.
    source
        Tells apart what was explained (the file's place, the model, the classes) where files are called alike; empty
        where nobody asked.
    standard_error
        Shape of ``native``, float32: how far each cell's value is expected to lie from what an endless number of
        draws would give; None for methods that do not measure it.
    times, frequencies
        Shapes (frames,) and (bands,), float64: the middle of each frame in seconds of the recording, and of each band
        in hertz. Empty in a map that version 0.1.0 made, as the next two are.
    time_edges, frequency_edges
        Shapes (rows + 1,) and (columns + 1,), float64: the edges of the native cells in seconds of the recording and in
        hertz (of all frames and bands where the native cells are not a grid).
    features, importances
        Of methods that hide parts: shape (frames, bands), int64, which part each cell belongs to, from 0; and shape
        (parts,), float64, what each is worth. None for others.
    verdict
        Whether the map may be believed, with the reasons and their numbers, as JSON types
        (:meth:`earwitness.trust.verdicts.verdict.Verdict.as_dict`); None where nobody asked.

    Examples
    --------
    >>> import earwitness as ew
    >>> found = ew.explain("some.wav", "runs/demo", methods="saliency", verdicts=False)["saliency"]
    >>> found.values.shape == (len(found.times), len(found.frequencies))
    True
    >>> found.save("map.npz")
    >>> ew.Attribution.load("map.npz").target_label
    'dog'
    """

    values: Float32Array
    native: Float32Array
    frame_edges: Float64Array
    band_edges: Float64Array
    target: Target
    target_label: str
    score: float
    score_kind: str
    method: str
    parameters: dict[str, Any]
    fill: str
    seed: int | None
    precision: str
    forwards: int
    backwards: int
    seconds: float
    diagnostics: dict[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    real_frames: int = 0
    file: str = ""
    start_seconds: float = 0.0
    standard_error: Float32Array | None = None
    times: Float64Array = field(default_factory=_nothing)
    frequencies: Float64Array = field(default_factory=_nothing)
    time_edges: Float64Array = field(default_factory=_nothing)
    frequency_edges: Float64Array = field(default_factory=_nothing)
    features: Int64Array | None = None
    importances: Float64Array | None = None
    verdict: dict[str, Any] | None = None
    regions: tuple[Region, ...] = ()
    source: str = ""

    __repr__ = brief

    def save(self, path: Path | str) -> None:
        """Write the attribution to one ``.npz`` that NumPy alone can read.

        The arrays go by their field names; everything else is one JSON object, a string array without dimensions
        called ``metadata``: ``json.loads(str(np.load(path)["metadata"]))``.
        """
        arrays = {name: getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}
        metadata = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ARRAYS}
        metadata |= {"target": asdict(self.target), "regions": [asdict(each) for each in self.regions]}
        metadata |= {"format": FORMAT, "version": FORMAT_VERSION}
        text = json.dumps(metadata, allow_nan=False)
        with atomic_write(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, metadata=np.array(text), **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Attribution:
        """Read an attribution that :meth:`save` wrote.

        Raises
        ------
        EarwitnessError
            If the file is missing, damaged, or not an attribution.
        """
        try:
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                stored = {name: archive[name] for name in archive.files}
            metadata = json.loads(str(stored.pop("metadata")))
            if metadata.pop("format") != FORMAT or metadata.pop("version") not in READABLE:
                raise ValueError("another format or version")
            metadata["target"] = Target(**metadata["target"])
            metadata["flags"] = tuple(metadata["flags"])
            metadata["regions"] = tuple(Region(**each) for each in metadata.get("regions", ()))
            return cls(**stored, **metadata)
        except UNREADABLE as problem:
            reason = getattr(problem, "strerror", None) or problem
            advice = "explain the recording again"
            raise EarwitnessError(f"{printable(path)}: not a readable attribution ({reason}); {advice}") from problem


def saved_name(found: Attribution, method: str) -> str:
    """Return what a map's file is called in a folder of many, without its ending.

    The same question always names the same file.

    Parameters
    ----------
    found
        Whose file, moment and target give the name.
    method
        The method as one writes it, such as ``"lime:samples=512"``.
    """
    moment = f"{found.file}@{found.start_seconds:.2f}"
    return "__".join(map(safe_name, (moment, found.target_label, method)))


def saved_source(path: Path) -> tuple[str, str] | None:
    """Return the target in words and the source of a saved attribution; None where there is none to be read."""
    metadata = saved_metadata(path)
    return None if metadata is None else (str(metadata["target_label"]), str(metadata.get("source", "")))


def saved_kind(path: Path) -> tuple[str, str] | None:
    """Return the method and the kind of score of a saved attribution; None where there is none to be read."""
    metadata = saved_metadata(path)
    return None if metadata is None else (str(metadata["method"]), str(metadata["score_kind"]))


def saved_metadata(path: Path) -> dict[str, Any] | None:
    """Return what a saved attribution says of itself, without its arrays; None where there is none to be read."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            metadata = json.loads(str(archive["metadata"]))
        return metadata if {"target_label", "method", "score_kind"} <= set(metadata) else None
    except UNREADABLE:
        return None


@dataclass(frozen=True)
class Grid:
    """The native cells of a method, laid over a segment's (frames, bands).

    Parameters
    ----------
    frame_edges, band_edges
        Shapes (rows + 1,) and (columns + 1,): edges of the cells in frames and bands.
    frame_cells, band_cells
        Shapes (frames,) and (bands,): the row that each frame and the column that each band lies in.
    """

    frame_edges: Float64Array
    band_edges: Float64Array
    frame_cells: Int64Array
    band_cells: Int64Array

    @classmethod
    def even(cls, frames: int, bands: int, rows: int, columns: int) -> Grid:
        """Return equal cells whose edges may cut through frames and bands (a network's feature map)."""
        edges = cell_edges(frames, rows), cell_edges(bands, columns)
        return cls(*edges, nearest_cells(frames, rows), nearest_cells(bands, columns))

    @classmethod
    def whole(cls, frames: int, bands: int, rows: int, columns: int) -> Grid:
        """Return cells of whole frames and bands, as equal as possible (a grid of things to hide)."""
        frame_cells, band_cells = nearest_cells(frames, rows), nearest_cells(bands, columns)
        edges = _whole_edges(frame_cells, rows), _whole_edges(band_cells, columns)
        return cls(*edges, frame_cells, band_cells)

    @classmethod
    def around(cls, frame_centres: Float64Array, band_centres: Float64Array, frames: int, bands: int) -> Grid:
        """Return cells around given centres, parted half-way between neighbours (positions of a moving mask)."""
        frame_edges, band_edges = _midway_edges(frame_centres, frames), _midway_edges(band_centres, bands)
        return cls(frame_edges, band_edges, _cells_between(frame_edges, frames), _cells_between(band_edges, bands))

    @property
    def edges(self) -> tuple[Float64Array, Float64Array]:
        """Edges of the cells in frames and bands."""
        return self.frame_edges, self.band_edges

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of native cells."""
        return len(self.frame_edges) - 1, len(self.band_edges) - 1

    def spread(self, native: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a native map (rows, columns) on the segment's grid (frames, bands), each cell drawn as it is."""
        # Rows last: each is then copied in one piece, which is many times as fast as asking for every cell.
        return native.take(self.band_cells, axis=1).take(self.frame_cells, axis=0)

    def beyond(self, real_frames: int) -> BoolArray:
        """Return which rows lie wholly in the padding, shape (rows,)."""
        return self.frame_edges[:-1] >= real_frames


def _whole_edges(cells: Int64Array, count: int) -> Float64Array:
    return np.searchsorted(cells, np.arange(count + 1)).astype(np.float64)


def _midway_edges(centres: Float64Array, length: int) -> Float64Array:
    return np.concatenate([[0.0], (centres[1:] + centres[:-1]) / 2, [float(length)]])


def _cells_between(edges: Float64Array, length: int) -> Int64Array:
    return np.searchsorted(edges[1:-1], np.arange(length) + 0.5, side="right").astype(np.int64)


def is_silent(segment: Float32Array, real_frames: int, silence: float) -> bool:
    """Tell whether a segment (frames, bands) holds no sound: at the front end's silence, or the same everywhere."""
    return silent_share(segment, real_frames, silence) == 1.0


def is_constant(values: Float32Array, real_frames: int, score: float) -> bool:
    """Tell whether a map (frames, bands) tells no real cell from another, rounding apart."""
    real = values[:real_frames]
    if real.size == 0:
        return True
    low, high = float(real.min()), float(real.max())
    return high - low <= CONSTANT_TOLERANCE * max(abs(low), abs(high), abs(score))
