"""Explanations: earwitness against other packages, on the same networks, segments, classes and cells."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata

import peers
from earwitness.core.processor import fast_bfloat16
from earwitness.explainers.attribution import Attribution
from earwitness.explainers.perturbation.occlusion import Masks, Occlusion
from earwitness.explainers.registry import METHODS, parse
from measuring import Fact, Result, Setting, installed, measure, threads
from subjects import Subject, subjects

FloatArray = npt.NDArray[Any]

# Maps of probabilities that differ by this much are the same; so are maps of gradients by this share of their largest
# cell, and those of Ablation-CAM, whose weights are small differences of logits.
PROBABILITY_AGREEMENT = 1e-5
GRADIENT_AGREEMENT = 1e-4
DROP_AGREEMENT = 1e-3


@dataclass
class Way:
    """One way to make the same maps.

    Parameters
    ----------
    name
        Whose.
    make
        Makes the maps; takes the number of the repetition, which is the seed of what is drawn.
    ours
        Whether it is compared with the ways that are not.
    facts
        What else is to be known of it.
    exact
        Whether its maps have to equal those of the first way.
    aside
        Whether one repetition does where one takes long, because it only stands beside what matters.
    maps
        What it made so far.
    """

    name: str
    make: Callable[[int], FloatArray]
    ours: bool = False
    facts: dict[str, Fact] = field(default_factory=dict)
    exact: bool = False
    aside: bool = False
    maps: list[FloatArray] = field(default_factory=list)

    def __call__(self) -> None:
        """Make the maps once more."""
        self.maps.append(self.make(len(self.maps)))


def timed(setting: Setting, of: str, ways: Sequence[Way]) -> list[Result]:
    """Measure ways by turns; return a result each, ours with its speed relative to every other."""
    sizes = setting.sizes
    few = [1 if way.aside else sizes.few for way in ways]
    measured = measure(ways, sizes.repetitions, few=few, patience=sizes.patience, warm=sizes.warm)
    plain = [Result(way.name, spent, of, facts=way.facts) for way, spent in zip(ways, measured, strict=True)]
    others = [result for result, way in zip(plain, ways, strict=True) if not way.ours]
    for result, way in zip(plain, ways, strict=True):
        if way.ours:
            result.times_as_fast_as.update({other.name: other.median / result.median for other in others})
    return plain


def same(setting: Setting, of: str, ways: Sequence[Way], tolerance: float, *, relative: bool) -> bool:
    """Write down how far each way's map lies from the first's; tell whether those that have to be equal are."""
    first = ways[0].maps[-1].astype(np.float64)
    scale = float(np.abs(first).max()) if relative else 1.0
    fair = True
    for way in ways[1:]:
        theirs = np.maximum(first, 0) if way.facts.get("negative") == "left out" else first
        apart = float(np.abs(theirs - way.maps[-1]).max()) / (scale or 1.0)
        way.facts["largest_difference"] = float(f"{apart:.2g}")
        if not way.exact:
            way.facts["rank_correlation"] = round(_rank_correlation(first, way.maps[-1]), 4)
        elif apart > tolerance:
            setting.say(f"{of}: {way.name}: maps differ by {apart:.2g}, so this is no comparison")
            fair = False
    return fair


def _rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Return Spearman's correlation, its mean over maps (n, ...)."""
    pairs = zip(first.reshape(-1, *first.shape[-2:]), second.reshape(-1, *second.shape[-2:]), strict=True)
    return float(np.mean([_correlation(rankdata(one), rankdata(other)) for one, other in pairs]))


def _correlation(first: FloatArray, second: FloatArray) -> float:
    first, second = (one.ravel() - one.mean() for one in (first, second))
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else 0.0


def _seeds(ways: Sequence[Way]) -> None:
    """Write down how maps of one way with different seeds correlate: the stability that the time was spent on."""
    for way in ways:
        found = [_correlation(*pair) for pair in itertools.combinations(way.maps, 2)]
        if found:
            way.facts["seeds_correlate"] = round(float(np.mean(found)), 4)


def best(make: Callable[[int], Callable[[], object]], batches: Sequence[int]) -> int:
    """Return the batch size with which something takes the least time."""
    ways = {size: make(size) for size in batches}
    ways[batches[0]]()  # warms up

    def seconds(size: int) -> float:
        begun = time.perf_counter()
        ways[size]()
        return time.perf_counter() - begun

    return min(batches, key=seconds)


# ---- ours ---------------------------------------------------------------------------------------------------------


def ours(setting: Setting, subject: Subject, text: str, name: str = "", *, seeded: bool = False) -> Iterator[Way]:
    """Yield earwitness's ways of one explanation: float32, and bfloat16 where method and processor have it."""
    method = METHODS[text.partition(":")[0]]
    prefix = text if ":" in text else f"{text}:"
    known = _has(text.partition(":")[0], "precision")
    native = _native(setting)
    if not known:
        setting.say(f"{method.name} has no parameter precision: float32 only")
    elif not native:
        setting.say("this processor does not multiply bfloat16 numbers itself: float32 only")
    for precision in ("float32", "bfloat16") if known and native else ("float32",):
        spec = f"{prefix},precision={precision}" if known else text
        facts: dict[str, Fact] = {}
        make = _made(subject, spec, facts, seeded=seeded)
        yield Way(f"earwitness{name}, {precision}", make, True, facts, exact=precision == "float32")


def _has(method: str, parameter: str) -> bool:
    return parameter in {item.name for item in fields(METHODS[method])}


def _made(subject: Subject, spec: str, facts: dict[str, Fact], *, seeded: bool) -> Callable[[int], FloatArray]:
    listed = [[target] for target in subject.targets]

    def make(turn: int) -> FloatArray:
        explainer = parse(f"{spec},seed={turn}" if seeded else spec)
        found: list[Attribution] = explainer.attribute(subject.prepared, subject.segments, listed)
        facts["precision"] = " and ".join(sorted({one.precision for one in found}))
        facts["forwards"] = found[0].forwards
        cam = found[0].method.endswith("cam")
        return np.stack([one.native if cam else one.values for one in found])

    return make


def _title(subject: Subject, count: int, setting: Setting) -> str:
    number = torch.get_num_threads()
    where = "GPU" if setting.device.type == "cuda" else f"{number} thread{'s' if number > 1 else ''}"
    return f"{subject.name}, {count} segment{'s' if count > 1 else ''}, {where}"


def _native(setting: Setting) -> bool:
    return fast_bfloat16(setting.device)


# ---- the parts ----------------------------------------------------------------------------------------------------


def occlusion(setting: Setting) -> list[Result]:
    """Occlusion sensitivity against Captum's `Occlusion`: the same masks, fill and probabilities.

    One segment with masks of 20 % and steps of 10 % of each side (VGGish: 19 x 13 and 10 x 6); and the large batch with
    four masks, each half of both sides.
    Captum hides one place at a time in all segments unless told otherwise; its best number is found by trial, and kept
    for fewer threads.
    """
    results = []
    for subject in subjects(setting):
        one, most = subject.first(1), max(setting.threads)
        with threads(most):
            fit = {precision: _best_captum(setting, one, precision) for precision in ("float32", "bfloat16")}
        for number in reversed(setting.threads):
            with threads(number):
                results += _occlusion(setting, one, fit, every=number == most)
        if len(subject.segments) > 1:
            with threads(most):
                results += _occlusion(setting, subject, {}, every=True)
    return results


def _best_captum(setting: Setting, subject: Subject, precision: str) -> int:
    most = 2 * _masks(setting, subject)[1].count
    batches = [each for each in setting.sizes.batches if each < most]
    return best(lambda together: _captum(setting, subject, together, precision), batches)


def _masks(setting: Setting, subject: Subject) -> tuple[str, Masks]:
    size = setting.sizes.mask if len(subject.segments) == 1 else setting.sizes.few_masks
    spec = f"occlusion:edges=cover,spread=average,score=probability,{size}"
    explainer = parse(spec)
    assert isinstance(explainer, Occlusion)
    return spec, explainer.masks(*subject.segments.values.shape[1:])


def _captum(setting: Setting, subject: Subject, together: int, precision: str) -> Callable[[], FloatArray]:
    masks = _masks(setting, subject)[1]
    return lambda: peers.captum_occlusion(subject, masks.mask, masks.stride, together, precision)


def _occlusion(setting: Setting, subject: Subject, fit: dict[str, int], *, every: bool) -> list[Result]:
    spec, masks = _masks(setting, subject)
    count = len(subject.segments)

    def captum(name: str, together: int, precision: str, *, exact: bool) -> Way:
        make = _captum(setting, subject, together, precision)
        return Way(f"Captum, {name}", lambda _: make(), facts={"batch": together * count}, exact=exact)

    ways = [captum("default", 1, "float32", exact=False)] if every else []
    if fit:
        ways.append(captum("best batch, float32", fit["float32"], "float32", exact=True))
    if fit and every and _native(setting):
        ways.append(captum("best batch, bfloat16", fit["bfloat16"], "bfloat16", exact=False))
    ways += ours(setting, subject, spec)
    of = f"{_title(subject, count, setting)}, {masks.count - 1} masks"
    results = timed(setting, of, ways)
    return results if same(setting, of, ways, PROBABILITY_AGREEMENT, relative=False) else []


def lime(setting: Setting) -> list[Result]:
    """LIME of one segment, 49 cells, against Captum's `Lime` and the authors' package `lime`, 2,048 samples each.

    Both get the batch size that is best for Captum. Maps are drawn at random and so not the same; `two seeds` says how
    well maps from different seeds correlate, which is what samples are spent on.
    """
    results = []
    for subject in subjects(setting):
        # Minutes for each number of threads, and the network, which is most of the time, is the same for all.
        with threads(max(setting.threads)):
            results += _lime(setting, subject.first(1))
    return results


def _lime(setting: Setting, subject: Subject) -> list[Result]:
    sizes = setting.sizes
    grid, samples = sizes.grid, sizes.samples
    some = min(samples, max(sizes.batches))
    together = best(lambda batch: lambda: peers.captum_lime(subject, grid, some, batch, 0), sizes.batches)
    facts: dict[str, Fact] = {"batch": together, "forwards": samples}
    ways = [
        Way("Captum, best batch", lambda seed: peers.captum_lime(subject, grid, samples, together, seed), facts=facts)
    ]
    if installed("lime", "skimage"):
        make = lambda seed: peers.lime_package(subject, grid, samples, together, seed)  # noqa: E731
        ways.append(Way("lime", make, facts=dict(facts), aside=True))
    else:
        setting.say("lime is not installed (pip install 'earwitness[bench]')")
    cells = f"grid={grid}x{grid},score=probability"
    alike, *_ = ours(setting, subject, f"lime:samples={samples},{cells}", ", same samples", seeded=True)
    alike.aside = True
    ways += [alike, *ours(setting, subject, f"lime:{sizes.fast},{cells}", ", fast", seeded=True)]
    results = timed(setting, f"{_title(subject, 1, setting)}, {grid * grid} cells", ways)
    _seeds(ways)
    return results


def gradcam(setting: Setting) -> list[Result]:
    """Grad-CAM against Captum's `LayerGradCam` and torchcam's `GradCAM`: the same layer, classes and logits.

    pytorch-grad-cam (package `grad-cam` 1.5.7) is not among them: it cannot be imported without torchvision.
    """
    results = []
    for subject in subjects(setting):
        for number in reversed(setting.threads):
            with threads(number):
                for count in sorted({1, len(subject.segments)}):
                    results += _gradcam(setting, subject.first(count))
    return results


def _gradcam(setting: Setting, subject: Subject) -> list[Result]:
    count = len(subject.segments)

    def captum(together: int) -> Callable[[], FloatArray]:
        return lambda: peers.captum_gradcam(subject, together)

    ways = [Way("Captum", lambda _: captum(count)(), facts={"batch": count})]
    if count > 1:
        fit = best(captum, [each for each in setting.sizes.batches if each < count] or [1])
        ways.append(Way("Captum, best batch", lambda _: captum(fit)(), facts={"batch": fit}, exact=True))
    if installed("torchcam"):
        facts: dict[str, Fact] = {"batch": count, "negative": "left out"}
        ways.append(Way("torchcam", lambda _: peers.torchcam_gradcam(subject, count), facts=facts, exact=True))
    else:
        setting.say("torchcam is not installed (pip install 'earwitness[bench]')")
    ways += ours(setting, subject, "gradcam")
    of = _title(subject, count, setting)
    results = timed(setting, of, ways)
    return results if same(setting, of, ways, GRADIENT_AGREEMENT, relative=True) else []


def ablationcam(setting: Setting) -> list[Result]:
    """Ablation-CAM of one segment against a loop that runs the whole network again for each channel of the layer.

    The loop puts as many channels through at once as is best for it. VGGish's layer has 512 channels; earwitness leaves
    out those that are zero already.
    """
    subject = next(iter(subjects(setting))).first(1)
    some = max(setting.sizes.batches)
    with threads(max(setting.threads)):
        together = best(lambda batch: lambda: peers.every_channel(subject, batch, some), setting.sizes.batches)
        ways = [Way("whole network", lambda _: peers.every_channel(subject, together)[None], facts={"batch": together})]
        ways += ours(setting, subject, "ablationcam")
        of = _title(subject, 1, setting)
        results = timed(setting, of, ways)
    return results if same(setting, of, ways, DROP_AGREEMENT, relative=True) else []


def integratedgradients(setting: Setting) -> list[Result]:
    """Integrated gradients of one segment, from silence: what going through earwitness adds to Captum's own.

    Captum takes as many points on the path at once as is best for it.
    """
    steps = setting.sizes.steps
    results = []
    for subject in subjects(setting):
        with threads(max(setting.threads)):
            one = subject.first(1)
            tried = [each for each in setting.sizes.batches if each <= steps] or [steps]
            fit = best(lambda batch, of=one: lambda: peers.captum_integrated(of, steps, batch), tried)  # type: ignore[misc]
            theirs = lambda _, of=one, batch=fit: peers.captum_integrated(of, steps, batch)[None]  # noqa: E731
            ways = [Way("Captum, best batch", theirs, facts={"batch": fit})]
            # With a budget the path is walked again where the map does not add up, which Captum leaves to its caller.
            once = ",budget=0" if _has("integratedgradients", "budget") else ""
            ways += ours(setting, one, f"integratedgradients:steps={steps}{once}")
            title = f"{_title(one, 1, setting)}, {steps} points"
            measured = timed(setting, title, ways)
            results += measured if same(setting, title, ways, GRADIENT_AGREEMENT, relative=True) else []
    return results
