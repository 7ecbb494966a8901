"""What a foreign model takes and answers, in words and numbers; reading.py reads a file or a dictionary of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from earwitness.audio.frontend import FILLED, FrontEnd
from earwitness.audio.stft import WINDOW_SECONDS
from earwitness.audio.timefreq import EDGES
from earwitness.core.errors import UsageError
from earwitness.models.adapter import ACTIVATIONS, BANDS, CHANNEL, FRAMES, POOLS, SAMPLES
from earwitness.models.classifier import SPECTROGRAM, WAVEFORM
from earwitness.models.foreign.preparation import PER_SEGMENT, Preparation
from earwitness.models.foreign.waveform import band_shares
from earwitness.models.tokens import FREQUENCY, ORDERS, Tokens

LOGS = ("db", "log10", "natural", "none")
MAX, ZEROS = "max", "zeros"
# What programs that make spectrograms do unless told otherwise.
LIKE: dict[str, dict[str, Any]] = {
    "librosa": {
        "scale": "slaney",
        "triangles": "hertz",
        "norm": "slaney",
        "padding": "zeros",
        "log": "db",
        "floor": 1e-10,
    },
    "torchaudio": {"scale": "htk", "triangles": "hertz", "log": "none"},
    "tensorflow": {"scale": "htk", "centred": False, "power": 1, "log": "natural", "offset": 0.01},
}
# Of a model over waveforms, a description says how cells are cut for explanations; these are what it takes if not told
# otherwise, and no other words make sense. Bands of 0 are all bins of the STFT.
CELLS: dict[str, Any] = {"bands": 64, "scale": "htk", "layout": (SAMPLES,)}
CELLS_FLOOR = 1e-10  # of power, under the noise of 16 bits
OF_WAVEFORMS = (
    *("input", "sample_rate", "hop", "window", "fft", "bands", "scale", "low_hz", "high_hz", "edges_hz", "layout"),
    *("segment_seconds", "segment_samples", "overlap", "batch", "output", "activation", "feature_layer", "classes"),
    *("mean", "std", "normalise", "shortest_seconds", "tokens", "class_tokens", "token_width", "attention"),
    *("inputs", "step_samples", "context_samples", "pooled", "embedding"),
)
CHOICES = {
    "input": (SPECTROGRAM, WAVEFORM),
    "scale": ("htk", "slaney", "kaldi", "linear", EDGES),
    "log": LOGS,
    "window_function": ("hann", "hamming"),
    "padding": ("reflect", "zeros", FILLED),
    "triangles": ("mel", "hertz"),
    "norm": ("slaney", "none"),
    "normalise": (*PER_SEGMENT, "none"),
    "activation": ACTIVATIONS,
    "pooled": POOLS,
    "like": tuple(LIKE),
}


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a model takes and answers; :func:`described` reads one.

    Parameters
    ----------
    input
        ``"spectrogram"``, or ``"waveform"``: then hop, window, bands and scale are those of the cells on which it is
        explained, patches of the recording's own STFT, and all of them may be left out.
    sample_rate
        Hz.
    hop, window, fft
        Samples; of window and FFT one may be left out, and is the other's. Of a waveform, a hop of about 10 ms that
        divides the segment, and a window of about 40 ms.
    like
        ``"librosa"``, ``"torchaudio"`` or ``"tensorflow"``: those programs' own settings for all that is left out.
    bands, scale, low_hz, high_hz, edges_hz
        The filters; without bands the spectrogram has all bins of the FFT. ``high_hz`` is half the sample rate unless
        named. ``edges_hz`` are bands + 2 corner frequencies that lie on no scale.
    triangles, norm
        As for :class:`earwitness.audio.frontend.FrontEnd`.
    window_function, periodic, centred, padding, preemphasis, framewise, power
        Likewise.
    padding_value
        Of the spectrogram after the end of a recording that is shorter than a segment; None for silence.
    log
        ``"db"``, ``"log10"``, ``"natural"``, or ``"none"`` where the network takes magnitudes or powers.
    floor, offset
        The logarithm is of at least ``floor``, or of the value plus ``offset``: one of them.
    reference, top_db
        What decibels are relative to, a number or ``"max"`` of the segment; how far under its loudest cell they are
        cut off.
    mean, std, normalise
        (x - mean) / std of the result, or of the samples; ``"segment"`` takes each segment's own, ``"wav2vec2"`` does
        as that one's feature extractor.
    layout
        The axes of the network's input after the batch: channel (where it has one), frames, bands; or samples.
    segment_seconds, segment_frames, segment_samples, overlap
        What it sees at once: one of them (samples of a waveform); and the overlap of consecutive segments in percent.
    shortest_seconds
        Of a network over waveforms of any length: a recording shorter than a segment is seen as it is, down to this;
        0 has it filled up with silence to a segment.
    batch
        How many segments it takes at once, where that is fixed; 0 for any.
    output
        Which of its answers holds the classes, by name or place, where it gives several.
    embedding
        Of a backbone: that its answers are to be learned from although they look like class scores.
    pooled
        How answers of several moments, (n, moments, classes), become one: their ``"max"`` or their ``"mean"``.
    inputs
        What the other inputs of an ONNX file get: numbers, ``"zeros"``, or the name of an output, whose values of the
        step before they get, and zeros at first.
    step_samples, context_samples
        Of an ONNX file that takes few samples at once: how many, and how many of those before are put in front.
    activation
        What turns its answers into probabilities: ``"softmax"``, ``"sigmoid"``, or ``"none"`` where they are final.
    feature_layer
        Dotted name of the layer that activation maps look at.
    tokens, patch, stride, class_tokens, token_width
        Of a transformer, the axes on which the layer's tokens lie, in their order (``("frequency", "time")``,
        ``("time",)``); how many bands or frames of each axis a token is made of, and from one to the next; how many
        tokens come before these; numbers in a token, 0 for any.
    attention
        Dotted names of the modules that answer with their output and attention weights, in order.
    classes
        Names in the order of the answers, or a text file with one a line.
    """

    sample_rate: int
    hop: int = 0
    input: str = SPECTROGRAM
    window: int = 0
    fft: int = 0
    like: str = ""
    bands: int = 0
    scale: str = ""
    low_hz: float = 0.0
    high_hz: float = 0.0
    edges_hz: tuple[float, ...] = ()
    triangles: str = "mel"
    norm: str = "none"
    window_function: str = "hann"
    periodic: bool = True
    centred: bool = True
    padding: str = "reflect"
    preemphasis: float = 0.0
    framewise: bool = False
    padding_value: float | None = None
    power: int = 2
    log: str = "db"
    floor: float = 0.0
    offset: float = 0.0
    reference: float | str = 1.0
    top_db: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    normalise: str = "none"
    layout: tuple[str, ...] = (CHANNEL, BANDS, FRAMES)
    segment_seconds: float = 0.0
    segment_frames: int = 0
    segment_samples: int = 0
    shortest_seconds: float = 0.0
    overlap: float = 0.0
    batch: int = 0
    output: str | int | None = None
    embedding: bool = False
    pooled: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    step_samples: int = 0
    context_samples: int = 0
    activation: str = "softmax"
    feature_layer: str = ""
    tokens: tuple[str, ...] = ()
    patch: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    class_tokens: int = 0
    token_width: int = 0
    attention: tuple[str, ...] = ()
    classes: tuple[str, ...] | str = ()

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value and value not in known:
                raise UsageError(f"{name} {value!r}: is unknown; name one of {', '.join(known)}")
        if self.takes_waveforms:
            self._check_cells()
        else:
            self._check_grid()
        if self.bands and not self.scale:
            raise UsageError(f"{self.bands} bands on which scale? name scale: {', '.join(CHOICES['scale'])}")
        if self.floor and self.offset:
            raise UsageError("floor and offset are two ways to keep a logarithm finite; name one")
        if self.segment_seconds and self.segment_frames:
            raise UsageError("segment_seconds and segment_frames say the same; name one")
        if isinstance(self.reference, str) and self.reference != MAX:
            raise UsageError(f"reference {self.reference!r}: is neither a number nor 'max'")
        self._check_segments()
        self._check_tokens()
        if self.std == 0.0 or min(self.floor, self.offset, self.top_db) < 0.0:
            raise UsageError("std is not 0, and floor, offset and top_db are not below 0")

    @property
    def takes_waveforms(self) -> bool:
        """Whether the model takes waveforms."""
        return self.input == WAVEFORM

    def _check_segments(self) -> None:
        """Refuse a layout or an overlap that cannot be."""
        wanted = [SAMPLES] if self.takes_waveforms else [BANDS, FRAMES]
        if sorted(set(self.layout) - {CHANNEL}) != wanted or len(set(self.layout)) != len(self.layout):
            raise UsageError(
                f"layout {', '.join(self.layout)}: name {' and '.join(wanted)} once each, and channel where it has one"
            )
        if not 0.0 <= self.overlap < 100.0:
            raise UsageError(f"overlap {self.overlap:g}: is a percentage from 0 to under 100")

    def _check_tokens(self) -> None:
        """Refuse tokens that lie nowhere."""
        if self.tokens and self.tokens not in ORDERS:
            known = "; ".join(", ".join(each) for each in ORDERS)
            raise UsageError(f"tokens {', '.join(self.tokens)}: name one of {known}")
        placed = FREQUENCY in self.tokens
        if {len(self.patch), len(self.stride)} != {len(self.tokens) if placed else 0}:
            raise UsageError("patch and stride name a number of bands and one of frames, in the order of tokens")
        if min((*self.patch, *self.stride, 1)) < 1 or min(self.class_tokens, self.token_width) < 0:
            raise UsageError("patch and stride are above 0, class_tokens and token_width not below")
        if (self.attention or self.class_tokens or self.token_width) and not self.tokens:
            raise UsageError("tokens: name their axes, too")

    def _check_grid(self) -> None:
        """Refuse a spectrogram without a grid."""
        if self.sample_rate < 1 or self.hop < 1 or not (self.window or self.fft):
            raise UsageError("a description names sample_rate (Hz), hop, and window or fft (samples), all above 0")
        if SAMPLES in self.layout or self.segment_samples or self.step_samples or self.context_samples:
            raise UsageError("samples are what a model over waveforms takes; say input = 'waveform'")

    def _check_cells(self) -> None:
        """Refuse what does not fit a model over waveforms."""
        others = (each for each in fields(self) if each.name not in OF_WAVEFORMS and each.name != "sample_rate")
        foreign = next((each.name for each in others if getattr(self, each.name) != each.default), None)
        if foreign is not None:
            raise UsageError(f"{foreign}: is for models over spectrograms; leave it out of one over waveforms")
        if SAMPLES not in self.layout:
            raise UsageError(f"layout {', '.join(self.layout)}: a waveform has samples, and channel where it has one")
        if self.segment_seconds and self.segment_samples:
            raise UsageError("segment_seconds and segment_samples say the same; name one")
        numbers = (self.hop, self.window, self.fft, self.segment_samples, self.segment_seconds, self.step_samples)
        if self.sample_rate < 1 or min(numbers) < 0 or (self.window and self.fft and self.window != self.fft):
            raise UsageError("sample_rate is above 0, hop and window not below, and the FFT is as long as the window")
        if self.step_samples and not self.pooled:
            raise UsageError("step_samples: a segment gets an answer a step; say pooled = 'mean' or 'max' of them")
        if self.context_samples and not 0 < self.context_samples <= self.step_samples:
            raise UsageError("context_samples are those of the step before, and at most step_samples")

    def samples(self) -> int:
        """Return the samples that a network over waveforms sees at once; 0 where nobody said."""
        return self.segment_samples or round(self.segment_seconds * self.sample_rate)

    def _with_cells(self) -> Description:
        """Return the description of a model over waveforms with the STFT on whose cells it is explained."""
        window = self.window or self.fft or 1 << max(4, round(math.log2(WINDOW_SECONDS * self.sample_rate)))
        hop = self.hop or hop_for(self.sample_rate, self.samples(), window // 2)
        if hop > window // 2:
            raise UsageError(f"hop {hop}: is over half the window of {window}, so that sound would be lost in between")
        found = replace(self, hop=hop, window=window, fft=window)
        clock = found._front_end().clock
        if (band_shares(clock, window).sum(axis=0) == 0).any():
            raise UsageError(
                f"{self.bands} bands: some are narrower than the STFT's bins ({self.sample_rate / window:.4g} Hz); "
                "name fewer bands, or a longer window"
            )
        return found

    def front_end(self) -> FrontEnd:
        """Return what turns sound into the spectrogram, up to what the network's coat does with a segment.

        Of a model over waveforms, it is the levels of the cells on which that is explained.

        Raises
        ------
        UsageError
            There is no such grid of time and frequency.
        """
        return (self._with_cells() if self.takes_waveforms else self)._front_end()

    def _front_end(self) -> FrontEnd:
        fft, window = self.fft or self.window, self.window or self.fft
        plain, step = not self.bands, self.sample_rate / fft
        per_power = 10.0 if self.power == 2 else 20.0
        unit = {"db": per_power / math.log(10), "log10": 1 / math.log(10)}.get(self.log, 1.0)
        reference = self.reference if isinstance(self.reference, float | int) and self.log == "db" else 1.0
        high = self.high_hz or self.sample_rate / 2
        found = FrontEnd(
            name="described",
            sample_rate=self.sample_rate,
            window=window,
            hop=self.hop,
            fft=fft,
            periodic=self.periodic,
            centred=self.centred,
            preemphasis=self.preemphasis,
            power=self.power,
            mel_scale="linear" if plain else self.scale,
            bands=fft // 2 + 1 if plain else self.bands,
            low_hz=-step if plain else self.edges_hz[0] if self.edges_hz else self.low_hz,
            high_hz=self.sample_rate / 2 + step if plain else self.edges_hz[-1] if self.edges_hz else high,
            offset=self.offset or self.floor or CELLS_FLOOR,
            shift=-math.log(reference),
            scale=unit,
            segment_frames=0,
            edges_hz=self.edges_hz,
            window_name=self.window_function,
            padding=self.padding,
            triangles=self.triangles,
            norm="" if plain or self.norm == "none" else self.norm,
            clamped=not self.offset,
            framewise=self.framewise,
            after=self.padding_value,
        )
        _ = found.clock  # which refuses a grid that cannot be
        return found

    def token_layout(self) -> Tokens | None:
        """Return where the tokens of a transformer lie; None where there are none.

        Raises
        ------
        UsageError
            A patch has more bands than there are.
        """
        if not self.tokens:
            return None
        patch, stride, across = self.patch, self.stride, 1
        if patch:
            if self.tokens[0] == FREQUENCY:
                patch, stride = patch[::-1], stride[::-1]
            across = (self.front_end().bands - patch[1]) // stride[1] + 1
            if across < 1:
                raise UsageError(f"patch {patch[1]}: has more bands than the spectrogram's {self.front_end().bands}")
        return Tokens(
            axes=self.tokens,
            first=self.class_tokens,
            across=across,
            patch=(patch[0], patch[1]) if patch else (),
            stride=(stride[0], stride[1]) if stride else (),
            width=self.token_width,
            attention=self.attention,
        )

    def shortest_frames(self) -> int:
        """Return how many frames a segment of a short recording has at least."""
        if not self.shortest_seconds:
            return self.frames()
        return min(self.frames(), self.front_end().clock.seconds_to_frame_count(self.shortest_seconds))

    def preparation(self) -> Preparation:
        """Return what is done to a segment's spectrogram before the network gets it."""
        front_end = self.front_end()
        return Preparation(
            raw=front_end if self.log == "none" else None,
            to_loudest=self.reference == MAX,
            top_db=self.top_db,
            mean=self.mean,
            std=self.std,
            per_segment=self.normalise,
        )

    def frames(self) -> int:
        """Return the frames that the network sees at once; 0 where nobody said."""
        if self.takes_waveforms:
            hop = self.front_end().hop
            return max(1, self.samples() // hop) if self.samples() else 0
        if self.segment_seconds:
            return self.front_end().clock.seconds_to_frame_count(self.segment_seconds)
        return self.segment_frames


NAMES = tuple(each.name for each in fields(Description))


def hop_for(sample_rate: int, samples: int, most: int) -> int:
    """Return the hop nearest to 10 ms that divides a segment, or about 10 ms where none from 5 to 20 ms does."""
    wanted = sample_rate / 100
    near = range(max(1, math.ceil(wanted / 2)), min(most, int(wanted * 2)) + 1)
    dividing = [hop for hop in near if samples and samples % hop == 0]
    return min(dividing, key=lambda hop: abs(math.log(hop / wanted)), default=min(most, max(1, round(wanted))))
