"""How near what one listens to comes to the truth: made sounds whose event and background are known apart.

    python tools/listening.py RUN [--clips N] [--keep SHARE] [--method METHOD ...]

RUN is a run that was trained on made sounds, such as `earwitness demo` leaves (demo/run). New scenes of each class are
made, of other sources than the demo's. Their stretches are explained, and parted by each method's map, by the true mask
(cells in which the event is stronger than the background), and by patches of the same area. Printed is the
signal-to-distortion ratio of what is kept against the event, and of what is removed against the background, in dB:
10 log10 (|s|^2 / |s - estimate|^2); higher is better; all within the front end's bands, for no map tells of others. The
first row is the mixture itself, taken for either.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from earwitness.audio import decoding
from earwitness.audio.logmel import energy_of, log_mel
from earwitness.cli.output import table
from earwitness.core.arrays import Float32Array, Float64Array
from earwitness.core.device import to_numpy
from earwitness.core.progress import for_terminal
from earwitness.core.statistics import bootstrap_interval
from earwitness.data.synthetic.scenes import CLASSES, Scene, make
from earwitness.inspection.model import Model, load_model
from earwitness.sonify.fidelity import PATCHES, Stretch, keep_of, patch_masks
from earwitness.sonify.listening import Listening
from earwitness.sonify.masks import SHARE, Box, Mask, NoEvidenceError, mask_of, smooth
from earwitness.workflows.explain import explain
from earwitness.workflows.listen import METHODS, stretch_of

FIRST_SEED = 900_000  # no training's
MIXTURE, TRUTH = "the mixture", "the true mask"


def sdr(true: Float32Array, estimate: Float32Array) -> float:
    """Return the signal-to-distortion ratio in dB, of arrays of one shape; the rounding of 24 bits limits it."""
    signal, wrong = (float(np.square(each, dtype=np.float64).sum()) for each in (true, true - estimate))
    tiny = 1e-14 * max(1.0, signal)
    return 10 * float(np.log10((signal + tiny) / (wrong + tiny)))


def ratios(model: Model, scene: Scene, methods: list[str], keep: float, number: int) -> dict[str, tuple[float, float]]:
    """Return, by what parts a scene, the SDR of what is kept and of what is removed; nothing of silent stretches."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{scene.label}.wav"
        soundfile.write(path, scene.samples, scene.sample_rate, subtype="PCM_16")
        explanation = explain(path, model, methods=methods, classes=scene.label, verdicts=False, progress=False)
        box = Box(start_seconds=0.0, end_seconds=1.0, low_hz=0.0, high_hz=1.0)
        between = explanation.start_seconds, explanation.end_seconds
        stretch = stretch_of(explanation, Listening.of(path, box, *between))
    first = round(stretch.start_seconds * scene.sample_rate)
    inside = slice(first, first + len(stretch.samples))
    event, rest = scene.event[inside, None], scene.background[inside, None]
    masks: dict[str, Mask] = {}
    for method in methods:
        try:
            masks[method] = mask_of(explanation[method], explanation.answer.clock, keep)
        except NoEvidenceError:  # nothing speaks for the class
            continue
        if not set(PATCHES) & masks.keys():
            masks |= patch_masks(model.classifier, stretch, masks[method].area, [number])
    masks[TRUTH] = _true_mask(model, event[:, 0], rest[:, 0], scene.sample_rate, stretch)

    def kept_by(mask: Mask, samples: Float32Array) -> Float32Array:
        return keep_of(samples, stretch.sample_rate, mask, stretch.start_seconds)

    all_bands = smooth(np.ones_like(stretch.log_mel), stretch.times, model.classifier.front_end.clock, "all bands")
    event, rest, whole = (kept_by(all_bands, each) for each in (event, rest, stretch.samples))
    found = {MIXTURE: (sdr(event, whole), sdr(rest, whole))}
    for name, mask in masks.items():
        kept = kept_by(mask, stretch.samples)
        found[name] = sdr(event, kept), sdr(rest, whole - kept)
    return found


def _true_mask(model: Model, event: Float32Array, rest: Float32Array, rate: int, stretch: Stretch) -> Mask:
    front_end = model.classifier.front_end

    def energy(samples: Float32Array) -> Float64Array:
        waveform = torch.from_numpy(decoding.resample(samples, rate, front_end.sample_rate))
        found = to_numpy(energy_of(front_end, log_mel(front_end, waveform))).astype(np.float64)
        return found[: len(stretch.times)]

    kept = (energy(event) > energy(rest)).astype(np.float32)
    return smooth(kept, stretch.times[: len(kept)], front_end.clock, TRUTH)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--clips", type=int, default=8, help="scenes of each class")
    parser.add_argument("--keep", type=float, default=SHARE)
    parser.add_argument("--method", action="append")
    asked = parser.parse_args()
    methods = asked.method or list(METHODS)
    model = load_model(asked.run)
    scenes = [(label, seed) for label in CLASSES for seed in range(asked.clips)]
    found: dict[str, list[tuple[float, float]]] = {}
    with for_terminal().task("Scenes", len(scenes)) as advance:
        for number, (label, seed) in enumerate(scenes):
            scene = make(label, FIRST_SEED + seed)
            for name, pair in ratios(model, scene, methods, asked.keep, number).items():
                found.setdefault(name, []).append(pair)
            advance(1)
    rows = []
    for name in (MIXTURE, TRUTH, *methods, *PATCHES):
        kept, removed = np.array(found.get(name, np.zeros((0, 2)))).T
        rows.append([name, len(kept), _told(kept), _told(removed)])
    print(f"{asked.run}, the strongest {100 * asked.keep:g} % kept, {len(scenes)} made scenes")
    print(table(["parted by", "scenes", "kept against event (dB)", "removed against rest (dB)"], rows))


def _told(values: Float64Array) -> str:
    if not len(values):
        return "-"
    low, high = bootstrap_interval(values, [0])
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
