from __future__ import annotations

import struct
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from earwitness.audio import timefreq
from earwitness.audio.frontend import EFFICIENTAT, VGGISH
from earwitness.core.errors import UsageError
from earwitness.explainers.attribution import CONSTANT, PADDED, SILENT, Attribution, Grid, Target
from earwitness.explainers.findings import Finding, Inquiry, ShownRecording, shown_score
from earwitness.plots import evidence, maps, style, training
from earwitness.plots.medium import SCREEN
from earwitness.training.metrics import ClassMetrics, ClassScores

CLASSES = ("helicopter", "chainsaw")
CLOCK = VGGISH.clock
FRAMES, BANDS = 96, 64


def attribution(
    target: int, size: float = 1.0, *, flags: tuple[str, ...] = (), cells=(12, 8), real=FRAMES
) -> Attribution:
    random = np.random.default_rng(target)
    grid = Grid.even(FRAMES, BANDS, *cells)
    native = random.uniform(-1, 1, grid.shape).astype(np.float32)
    native *= np.float32(size / np.abs(native).max())
    return Attribution(
        values=grid.spread(native),
        native=native,
        frame_edges=grid.frame_edges,
        band_edges=grid.band_edges,
        target=Target(target),
        target_label=CLASSES[target],
        score=2.0,
        score_kind="logit",
        method="gradcam",
        parameters={},
        fill="",
        seed=None,
        precision="float32",
        forwards=1,
        backwards=1,
        seconds=0.1,
        flags=flags,
        real_frames=real,
        file="a/b.wav",
        start_seconds=1.2,
    )


def finding(row: int = 0, *, right: bool = True, file: str = "a/b.wav", attributions=(), real: int = FRAMES) -> Finding:
    log_mel = np.random.default_rng(row).normal(-2, 1, (FRAMES, BANDS)).astype(np.float32)
    predicted = CLASSES[0] if right else CLASSES[1]
    scores = (0.93, 0.07) if right else (0.07, 0.93)
    return Finding(
        row=row,
        file=file,
        start_seconds=1.2,
        end_seconds=2.16,
        label=CLASSES[0],
        predicted=predicted,
        score=0.93,
        scores=scores,
        log_mel=log_mel,
        start_frame=120,
        real_frames=real,
        silent=False,
        attributions=attributions,
    )


def asked(kind: str, findings, methods=(), targets=(), classes=CLASSES, recordings=()) -> Inquiry:
    return Inquiry(
        kind=kind,
        name=kind,
        title="A title",
        question="A question?",
        clock=CLOCK,
        classes=classes,
        silence=VGGISH.silence,
        methods=methods,
        targets=targets,
        findings=tuple(findings),
        recordings=recordings,
    )


def two_rows() -> Inquiry:
    rows = [
        finding(0, attributions=((attribution(0, 0.5), attribution(0, 4.0)),)),
        finding(1, right=False, attributions=((attribution(1, 2.0), attribution(1, 1.0)),)),
    ]
    return asked("segments", rows, ("Grad-CAM", "LIME"), ("predicted",))


def meshes(figure: Figure) -> list[tuple[Axes, QuadMesh]]:
    """Return the axes with a spectrogram or a map, without colour bars."""
    return [
        (axes, item)
        for axes in figure.axes
        for item in axes.collections
        if isinstance(item, QuadMesh) and axes.get_label() != "<colorbar>" and axes.get_yscale() == "function"
    ]


def words(figure: Figure) -> str:
    return "\n".join(
        text.get_text()
        for axes in figure.axes
        for text in [*axes.texts, axes.title, axes._left_title]
        if text.get_text()
    )


# ---- time and frequency -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("front_end", [VGGISH, EFFICIENTAT], ids=lambda each: each.name)
@given(frame=st.integers(0, 95), band=st.integers(0, 63), start=st.integers(0, 100_000))
@settings(max_examples=15)
def test_a_cell_is_drawn_at_its_own_time_and_frequency(front_end, frame, band, start):
    clock = front_end.clock
    log_mel = np.zeros((96, front_end.bands), np.float32)
    log_mel[frame, band] = 7.0
    axes = Figure().subplots()
    mesh = style.spectrogram(axes, log_mel, clock, start, 96, Normalize(0, 7))
    row, column = np.argwhere(np.asarray(mesh.get_array()) == 7.0)[0]
    corners = mesh.get_coordinates()[row : row + 2, column : column + 2]
    seconds, hertz = clock.frame_centre_seconds(start + frame), clock.band_centre_hz(band)
    assert corners[..., 0].min() < seconds < corners[..., 0].max()
    assert corners[..., 1].min() < hertz < corners[..., 1].max()
    # Time goes to the right and frequency upwards.
    assert axes.get_xlim()[0] < axes.get_xlim()[1]
    assert axes.get_ylim()[0] < axes.get_ylim()[1]
    assert axes.get_xlim() == pytest.approx(tuple(clock.frame_edge_seconds([start, start + 96])))
    assert axes.get_ylim() == pytest.approx(tuple(clock.band_edge_hz([0, front_end.bands])))


def test_bands_are_drawn_equally_high():
    axes = Figure().subplots()
    mesh = style.spectrogram(axes, np.zeros((4, BANDS), np.float32), CLOCK, 0, 4, Normalize(0, 1))
    edges = mesh.get_coordinates()[:, 0]
    heights = np.diff(axes.transData.transform(edges)[:, 1])
    np.testing.assert_allclose(heights, heights[0], rtol=1e-6)


@given(gap=st.floats(0.0, 1.0), front_end=st.sampled_from([VGGISH, EFFICIENTAT]))
def test_ticks_are_readable_frequencies_with_air_between_them(gap, front_end):
    clock = front_end.clock
    ticks = style.octave_ticks(clock, gap)
    assert ticks == sorted(ticks)
    assert set(ticks) <= set(style.OCTAVES_HZ)
    low, high = clock.band_edge_hz([0, clock.bands])
    assert all(low <= hz <= high for hz in ticks)
    axis = np.array([timefreq.hz_to_mel(hz, clock.mel_scale) for hz in [low, high, *ticks]], dtype=float)
    places = (axis[2:] - axis[0]) / (axis[1] - axis[0])
    assert (np.diff(places) >= gap - 1e-12).all()
    assert ticks


@pytest.mark.parametrize(
    ("hz", "text"), [(62.5, "62.5"), (125.0, "125"), (500.0, "500"), (1000.0, "1k"), (16000.0, "16k")]
)
def test_hertz_are_written_short(hz, text):
    assert style.hertz(hz) == text


@given(st.text(max_size=60), st.integers(3, 40))
def test_labels_fit_and_are_one_line(text, most):
    label = style.label(text, most)
    assert len(label) <= most
    assert label.isprintable()
    if len(text) <= most and text.isprintable():
        assert label == text


def test_padding_is_hatched_where_it_is():
    axes = Figure().subplots()
    style.spectrogram(axes, np.zeros((FRAMES, BANDS), np.float32), CLOCK, 10, 40, Normalize(0, 1))
    (hatched,) = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    left, right = CLOCK.frame_edge_seconds([50, 106])
    assert hatched.get_x() == pytest.approx(left)
    assert hatched.get_x() + hatched.get_width() == pytest.approx(right)
    axes = Figure().subplots()
    style.spectrogram(axes, np.zeros((FRAMES, BANDS), np.float32), CLOCK, 10, FRAMES, Normalize(0, 1))
    assert not axes.patches


# ---- evidence -----------------------------------------------------------------------------------------------------


def test_a_map_is_drawn_in_its_own_cells():
    found = attribution(0, cells=(12, 8))
    axes = Figure().subplots()
    maps.evidence(axes, found, CLOCK, 120, 3.0)
    ((_, mesh),) = meshes(axes.get_figure(root=True))
    np.testing.assert_array_equal(np.asarray(mesh.get_array()), found.native.T)
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], CLOCK.frame_edge_seconds(120 + found.frame_edges))
    np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], CLOCK.band_edge_hz(found.band_edges))
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-3.0, 3.0)


def test_superpixels_are_drawn_on_the_segments_grid():
    found = attribution(0)
    found = replace(found, native=found.values, frame_edges=np.zeros(0), band_edges=np.zeros(0))
    axes = Figure().subplots()
    maps.evidence(axes, found, CLOCK, 0, 1.0)
    ((_, mesh),) = meshes(axes.get_figure(root=True))
    assert np.asarray(mesh.get_array()).shape == (BANDS, FRAMES)


@pytest.mark.parametrize(("flag", "says"), [(SILENT, "nothing sounds here"), (CONSTANT, "nothing stands out")])
def test_where_nothing_was_found_there_are_words_and_no_picture(flag, says):
    axes = Figure().subplots()
    maps.evidence(axes, attribution(0, flags=(flag, PADDED), real=50), CLOCK, 0, 1.0)
    assert not meshes(axes.get_figure(root=True))
    assert says in axes.texts[0].get_text()
    assert any(patch.get_hatch() for patch in axes.patches)


def test_a_map_says_how_strong_it_is():
    found = attribution(0, 0.25)
    strongest = found.native.ravel()[np.abs(found.native).argmax()]
    for limit, more in ((float(np.abs(strongest)), ""), (100.0, " of 1e+02")):
        axes = Figure().subplots()
        maps.evidence(axes, found, CLOCK, 0, limit)
        assert axes.texts[0].get_text().replace("\N{MINUS SIGN}", "-") == f"peak {strongest:+.2g}{more}"


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5))
def test_the_colour_limit_is_the_strongest_of_those_that_show_something(sizes):
    shown = [attribution(0, size) for size in sizes]
    hidden = [attribution(1, 1e6, flags=(flag,)) for flag in (SILENT, CONSTANT)]
    assert maps.evidence_limit([*shown, *hidden]) == pytest.approx(max(sizes), rel=1e-5)
    assert maps.evidence_limit(hidden) == 1.0


def test_sound_limits_ignore_silence_and_survive_it():
    silence = np.full((5, 4), VGGISH.silence, np.float32)
    loud = np.linspace(-3, 2, 20, dtype=np.float32).reshape(5, 4)
    norm = style.sound_limits([silence, loud], VGGISH.silence)
    assert -3.0 <= norm.vmin <= -2.5
    assert 1.9 <= norm.vmax <= 2.0
    norm = style.sound_limits([silence], VGGISH.silence)
    assert norm.vmin < norm.vmax


def verdict(level: str, chance: float) -> dict[str, object]:
    reason = {"text": f"because it is {level}", "good": level == "reliable"}
    return {"level": level, "chance": chance, "reasons": [reason], "signs": {"deletion": 0.3}}


VERDICTS = (verdict("reliable", 0.8312), verdict("weak", 0.55), verdict("not reliable", 0.12))


def test_a_verdict_and_what_a_weaker_map_is_compared_with_stand_beside_each_other():
    weak, strong = (replace(attribution(0, size), verdict=VERDICTS[2]) for size in (-0.0412, 0.0613))
    row = finding(attributions=((weak,) * 3, (strong,) * 3))
    figure = evidence.maps(asked("confusion", [row], ("A", "B", "C"), ("predicted", "true")))
    figure.draw_without_rendering()
    for axes, _ in meshes(figure)[1:4]:
        peak, mark = sorted(axes.texts, key=lambda text: -text.get_position()[0])
        assert "/0.061" in peak.get_text()
        assert mark.get_window_extent().x1 < peak.get_window_extent().x0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_maps_bear_their_verdicts_in_a_few_letters_that_fit(count):
    found = tuple(replace(attribution(0, -0.00123), verdict=each) for each in VERDICTS[-count:])
    figure = evidence.maps(asked("segments", [finding(attributions=(found,))], ("LIME",) * count, ("predicted",)))
    figure.draw_without_rendering()
    shown = [axes for axes, _ in meshes(figure)][1:]
    expected = ["\N{BLACK CIRCLE} reliable 83 %", "\N{CIRCLE WITH LEFT HALF BLACK} weak 55 %"]
    expected.append("\N{WHITE CIRCLE} not reliable 12 %")
    for axes, says in zip(shown, expected[-count:], strict=True):
        peak, mark = sorted(axes.texts, key=lambda text: -text.get_position()[0])
        assert mark.get_text() == says
        assert mark.get_window_extent().x1 < peak.get_window_extent().x0
        assert mark.get_window_extent().y1 < axes.title.get_window_extent().y0
    key = next(text for text in figure.texts if "not reliable" in text.get_text())
    assert key.get_window_extent().x0 >= 0.0
    assert key.get_window_extent().y1 < min(axes.get_tightbbox().y0 for axes in figure.axes)


def test_maps_without_verdicts_have_no_room_for_them():
    figure = evidence.maps(two_rows())
    assert "reliable" not in words(figure)
    assert not figure.texts


def test_what_is_silent_for_the_most_part_is_said_to_be_so():
    log_mel = finding().log_mel.copy()
    log_mel[20:80] = VGGISH.silence
    half = replace(finding(real=80), log_mel=log_mel)
    assert half.silent_share(VGGISH.silence) == 0.75
    assert "75 % of it silent" in words(evidence.samples(asked("samples", [half])))
    assert "75 % of it silent" in words(evidence.maps(asked("segments", [replace(half, attributions=())])))
    assert "silent" not in words(evidence.samples(asked("samples", [finding()])))


@given(st.floats(0.0, 1.0))
def test_a_score_is_shown_as_0_or_1_only_where_it_is(score):
    text = shown_score(score)
    assert (text == "1.00") == (score == 1.0)
    assert (text == "0.00") == (score == 0.0)
    assert abs(float(text.lstrip("<> ")) - score) <= 0.01


def bars(figure: Figure) -> list[list[str]]:
    """Return the numbers of the colour bars of maps."""
    found = [axes for axes in figure.axes if axes.get_xlabel().startswith("against")]
    return [[text.get_text() for text in axes.get_xticklabels()] for axes in found]


@pytest.mark.parametrize("common", [False, True])
def test_every_segment_has_its_own_colours_unless_segments_are_compared(common):
    inquiry = two_rows()
    figure = evidence.maps(inquiry, maps.MapStyle(common=common))
    limits = [mesh.norm.vmax for axes, mesh in meshes(figure)]
    # Two rows of log-mel, Grad-CAM, LIME.
    own = [[float(np.abs(each.attributions[0][method].native).max()) for method in (0, 1)] for each in inquiry.findings]
    expected = [np.max(own, axis=0)] * 2 if common else np.maximum(own, evidence.LEAST_LIMIT * np.max(own, axis=0))
    np.testing.assert_allclose([[limits[1], limits[2]], [limits[4], limits[5]]], expected)
    assert limits[0] == limits[3]
    assert all(mesh.norm.vmin == -mesh.norm.vmax for _, mesh in (meshes(figure)[i] for i in (1, 2, 4, 5)))
    figure.draw_without_rendering()
    assert (bars(figure) == [["\N{MINUS SIGN}peak", "0", "+peak"]] * 2) != common
    assert ("of 4" in words(figure)) == common  # a weaker map says what it is compared with


@given(st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=4), st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_next_to_no_evidence_looks_pale_and_a_third_of_the_strongest_does_not(sizes, targets):
    rows = [finding(row, attributions=((attribution(0, size),),) * targets) for row, size in enumerate(sizes)]
    figure = evidence.maps(asked("confusion", rows, ("A",), ("predicted", "true")[:targets]))
    shown = [mesh for axes, mesh in meshes(figure) if mesh.norm.vmin == -mesh.norm.vmax]
    for size, *found in zip(sizes, *[iter(shown)] * targets, strict=True):
        depth = {float(np.abs(np.asarray(mesh.get_array())).max() / mesh.norm.vmax) for mesh in found}
        assert len(depth) == 1
        assert depth.pop() == pytest.approx(min(1.0, size / max(sizes) / evidence.LEAST_LIMIT), rel=1e-5)
    limits = {words.get_text().partition(" of ")[2] for axes, _ in meshes(figure) for words in axes.texts} - {""}
    assert bool(limits) == any(size * 3 < max(sizes) * (1 - 1e-5) for size in sizes)


def test_a_first_segment_without_evidence_does_not_set_the_common_scale():
    rows = [
        finding(0, attributions=((attribution(0, flags=(SILENT,)),),)),
        finding(1, attributions=((attribution(1, 0.01),),)),
    ]
    figure = evidence.maps(asked("segments", rows, ("A",), ("predicted",)), maps.MapStyle(common=True))
    figure.draw_without_rendering()
    (numbers,) = bars(figure)
    assert all(abs(float(text.replace("\N{MINUS SIGN}", "-"))) <= 0.01 for text in numbers)


def test_the_targets_of_a_segment_share_their_colours():
    strong, weak = attribution(0, 2.0), attribution(1, 0.5)
    figure = evidence.maps(
        asked("confusion", [finding(attributions=((strong,), (weak,)))], ("A",), ("predicted", "true"))
    )
    _, first, second = (mesh.norm.vmax for _, mesh in meshes(figure))
    assert first == second == pytest.approx(2.0)
    assert "of 2" in words(figure)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_a_map_is_enlarged_through_its_own_cells(rows, columns, seed):
    cells = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    # Cells of an odd number of frames and bands have a frame and a band in the middle.
    found = maps.enlarged(cells, np.arange(rows + 1) * 3.0, np.arange(columns + 1) * 5.0)
    assert found.shape == (rows * 3, columns * 5)
    np.testing.assert_allclose(found[1::3, 2::5], cells, atol=1e-5)
    level = maps.enlarged(np.full_like(cells, 2.5), np.arange(rows + 1) * 3.0, np.arange(columns + 1) * 5.0)
    np.testing.assert_allclose(level, 2.5, rtol=1e-5)


def test_a_map_laid_over_the_log_mel_is_clear_where_it_is_weak():
    axes, found = Figure().subplots(), attribution(0, 1.0)
    behind = np.random.default_rng(0).standard_normal((FRAMES, BANDS)).astype(np.float32)
    maps.evidence(axes, found, CLOCK, 0, 1.0, maps.MapStyle(overlay=True), behind)
    below, above = (mesh for _, mesh in meshes(axes.get_figure(root=True)))
    np.testing.assert_array_equal(np.asarray(below.get_array()), behind.T)
    alpha = np.asarray(above.get_alpha())
    assert alpha.shape == found.native.T.shape
    np.testing.assert_array_equal(alpha.ravel().argsort(), np.abs(found.native.T).ravel().argsort())
    assert 0 <= alpha.min() < 0.2 < 0.8 < alpha.max() < 1


def test_another_upsampling_is_refused():
    with pytest.raises(UsageError, match="--upsampling linear: use nearest or bicubic"):
        maps.MapStyle("linear")


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_zero_has_no_sign(zero):
    assert style.short(zero) == "0"


def test_maps_say_what_they_show():
    text = words(evidence.maps(two_rows()))
    for part in ("true helicopter", "predicted as chainsaw", "score 0.93 (true: 0.07)", "b.wav", "1.20 to 2.16 s"):
        assert part in text
    assert "Grad-CAM\nfor the class predicted" in text
    assert evidence.TICK in text
    assert evidence.CROSS in text


def test_a_confusion_has_both_targets_of_every_method_and_wrong_segments_a_dashed_frame():
    found = tuple((attribution(target), attribution(target)) for target in (1, 0))
    figure = evidence.maps(
        asked("confusion", [finding(right=False, attributions=found)], ("A", "B"), ("predicted", "true"))
    )
    text = words(figure)
    assert text.index("A\nfor chainsaw (predicted)") < text.index("A\nfor helicopter (true)")
    shown = meshes(figure)
    assert len(shown) == 5
    assert shown[0][0].spines["left"].get_linestyle() not in ("-", "solid")
    np.testing.assert_array_equal(np.asarray(shown[1][1].get_array()), found[0][0].native.T)
    np.testing.assert_array_equal(np.asarray(shown[3][1].get_array()), found[1][0].native.T)
    seconds = [axes.get_xlim() for axes, _ in shown]
    assert seconds == [seconds[0]] * 5


SCALES = [1e-9, 2.5e-4, 3e-3, 0.019, 0.1, 0.5, 1.0, 7.9, 80.0, 999.0, 12_345.0, 1e6]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("targets", [1, 2])
def test_numbers_of_colour_bars_do_not_collide(scale, targets):
    """Neither with each other, nor with those of the next bar, nor with any other text or picture."""
    methods = ("Grad-CAM", "LIME", "Occlusion sensitivity")
    row = finding(attributions=tuple(tuple(attribution(0, scale) for _ in methods) for _ in range(targets)))
    inquiry = asked("segments", [row], methods, ("predicted", "true")[:targets])
    figure = evidence.maps(inquiry)
    figure.draw_without_rendering()
    bars = [axes for axes in figure.axes if axes.get_xlabel().startswith(("log-mel", "against"))]
    assert len(bars) == 1 + targets * len(methods)
    boxes = [box for axes in bars for box in boxes_of(axes)]
    for place, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[place + 1 :])
        assert not any(one.overlaps(axes.get_window_extent()) for axes, _ in meshes(figure))
    for axes in bars[1:]:
        low, high = axes.get_xlim()
        ticks = axes.get_xticks()
        assert ticks[1] == 0
        assert -low == high == pytest.approx(scale)
        assert 0.3 * high <= ticks[2] == -ticks[0] < high


def boxes_of(axes: Axes) -> list:
    """Return where the numbers and the words of a colour bar lie."""
    axis = axes.xaxis if axes.get_window_extent().width > axes.get_window_extent().height else axes.yaxis
    texts = [text for text in axis.get_ticklabels() if text.get_text()]
    assert 2 <= len(texts) <= 3
    assert not axis.get_offset_text().get_text()
    return [text.get_window_extent() for text in [*texts, axis.label]]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("offset", [0.0, -0.7, -4.6])
@pytest.mark.parametrize("orientation", ["vertical", "horizontal"])
def test_a_colour_bar_of_any_scale_has_numbers_that_can_be_told_apart(scale, offset, orientation):
    norm = Normalize(offset * scale, (offset + 1) * scale)
    with style.style():
        figure = Figure(figsize=(1.4, 1.4), layout="constrained")
        axes = figure.add_subplot()
        style.colour_bar(axes, ScalarMappable(norm, SCREEN.sound), "words", orientation)
        figure.draw_without_rendering()
    axis = axes.xaxis if orientation == "horizontal" else axes.yaxis
    texts = [text.get_text() for text in axis.get_ticklabels()]
    assert len(set(texts)) == len(texts) >= 2
    for text, place in zip(texts, axis.get_ticklocs(), strict=True):
        assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(place)
        assert norm.vmin < place < norm.vmax
    boxes = boxes_of(axes)
    for one, other in pairwise(boxes[:-1]):
        assert not one.overlaps(other)


def test_words_do_not_run_into_pictures():
    name = "n" * 70
    row = replace(finding(right=False, file=f"{name}/{name}.wav"), label=name, predicted=name[1:])
    found = replace(attribution(0), target_label=name)
    row = replace(row, attributions=((found, found), (found, found)))
    figure = evidence.maps(
        asked("confusion", [row, row], ("Occlusion sensitivity",) * 2, ("predicted", "true"), (name, "x"))
    )
    figure.draw_without_rendering()
    pictures = [axes.get_window_extent() for axes, _ in meshes(figure)]
    texts = [text for axes in figure.axes if not axes.axison for text in axes.texts]
    assert texts
    for text in texts:
        extent = text.get_window_extent()
        assert extent.x0 >= 0
        assert not any(extent.overlaps(picture) for picture in pictures)
    titles = [axes.title.get_window_extent() for axes, _ in meshes(figure) if axes.get_title()]
    for one, other in pairwise(titles):
        assert not one.overlaps(other)


def test_samples_mark_right_and_wrong_by_more_than_colour():
    figure = evidence.samples(asked("samples", [finding(0), finding(1, right=False), finding(2, real=50)]))
    text = words(figure)
    assert f"{evidence.TICK} true helicopter,\npredicted as helicopter (score 0.93)" in text
    assert f"{evidence.CROSS} true helicopter,\npredicted as chainsaw (score 0.93)" in text
    right, wrong, padded = (axes for axes, _ in meshes(figure))
    assert right.spines["top"].get_linestyle() == "solid" != wrong.spines["top"].get_linestyle()
    assert any(patch.get_hatch() for patch in padded.patches)


def test_recordings_keep_every_peak_of_the_waveform():
    samples = np.zeros(50_000, np.float32)
    samples[12_345] = 0.75
    log_mel = np.random.default_rng(0).normal(size=(310, BANDS)).astype(np.float32)
    shown = ShownRecording(file="a/b.wav", label="helicopter", samples=samples, sample_rate=16_000, log_mel=log_mel)
    figure = evidence.recordings(asked("recordings", [], recordings=(shown,)))
    (wave,) = [axes for axes in figure.axes if axes.get_ylabel() == "amplitude"]
    points = wave.collections[0].get_paths()[0].vertices
    peak = points[points[:, 1].argmax()]
    assert peak == pytest.approx([12_345 / 16_000, 0.75], abs=0.01)
    assert wave.get_xlim() == pytest.approx((0.0, 50_000 / 16_000))


def test_a_recording_of_few_samples_can_be_drawn():
    shown = ShownRecording(
        file="a.wav", label="x", samples=np.ones(3, np.float32), sample_rate=16_000, log_mel=np.zeros((1, BANDS))
    )
    assert evidence.recordings(asked("recordings", [], recordings=(shown,)))


# ---- measures -----------------------------------------------------------------------------------------------------


def test_the_confusion_chart_writes_counts_recall_and_precision():
    counts = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    figure = training.confusion_chart(counts, ("a", "b", "never"))
    main, right, below, _ = figure.axes
    at = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in main.texts}
    assert at == {(0, 0): "8", (0, 1): "2", (1, 0): "1", (1, 1): "3"}
    assert [text.get_text() for text in right.texts] == ["80%", "20%", "75%", "25%", "\N{EN DASH}", "\N{EN DASH}"]
    assert [text.get_text() for text in below.texts] == ["89%", "60%", "\N{EN DASH}", "11%", "40%", "\N{EN DASH}"]


def test_hundreds_of_classes_are_drawn_without_numbers():
    counts = np.random.default_rng(0).integers(0, 5, (300, 300))
    figure = training.confusion_chart(counts, [f"class {number}" for number in range(300)])
    assert not any(axes.texts for axes in figure.axes)
    assert max(figure.get_size_inches()) < 30


def history(steps: int, every: int) -> list[dict[str, str]]:
    return [
        {
            "iteration": str(step),
            "epoch": str(1 + step // 10),
            "train_accuracy": str(step / 100),
            "train_loss": str(1 / step),
            "validation_accuracy": str(step / 200) if step % every == 0 else "",
            "validation_loss": "2" if step % every == 0 else "",
        }
        for step in range(1, steps + 1)
    ]


def test_the_last_loss_does_not_lie_on_the_axis():
    rows = [{**row, "validation_loss": "0.01" if row["validation_loss"] else ""} for row in history(40, 10)]
    figure = training.training_curves(rows)
    figure.draw_without_rendering()
    bottom = figure.axes[1]
    (label,) = bottom.texts
    assert label.get_text() == "0.01"
    assert label.get_window_extent().y0 > bottom.get_window_extent().y0


def test_training_curves_show_the_numbers_of_the_history():
    figure = training.training_curves(history(40, 20))
    top, bottom = figure.axes
    lines = {line.get_label(): line for line in top.lines}
    np.testing.assert_allclose(lines["training, each mini-batch"].get_ydata(), np.arange(1, 41))
    np.testing.assert_allclose(lines["validation"].get_xydata(), [[20, 10], [40, 20]])
    assert lines["validation"].get_marker() == "o"
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), 1 / np.arange(1, 41))
    assert "20.0 %" in [text.get_text() for text in top.texts]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_short_training_without_validation_can_be_drawn(steps):
    assert len(training.training_curves(history(steps, 99)).axes) == 2


def test_class_scores_stand_from_best_to_worst():
    def measured(f1):
        return ClassMetrics(ClassScores(None, None, f1, 7), ClassScores(None, None, None, 0))

    figure = training.class_scores({"low": measured(0.2), "never": measured(None), "high": measured(0.9)})
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["high", "low", "never"]
    assert [bar.get_width() for bar in axes.patches[:3]] == pytest.approx([90, 20, 0])


# ---- files --------------------------------------------------------------------------------------------------------


def chunks(path: Path) -> list[bytes]:
    data, place, found = path.read_bytes(), 8, []
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        found.append(data[place + 4 : place + 8])
        place += length + 12
    return found


def test_the_same_figure_gives_the_same_bytes_whatever_the_users_settings_are(tmp_path):
    style.save(evidence.maps(two_rows()), tmp_path / "one.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "image.cmap": "jet", "savefig.dpi": 10}):
        style.save(evidence.maps(two_rows()), tmp_path / "two.png")
        assert matplotlib.rcParams["font.size"] == 20
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert set(chunks(tmp_path / "one.png")) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_names_of_any_script_and_formula_can_be_drawn(tmp_path):
    row = replace(
        finding(file="a/$x^ & $y\n\N{CJK UNIFIED IDEOGRAPH-65E5}.wav"), label="$\\frac{1}$", predicted="{$_$}"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(evidence.samples(asked("samples", [row])), tmp_path / "odd.png")
    assert (tmp_path / "odd.png").stat().st_size > 1000


def test_figures_keep_away_from_pyplot():
    code = "import sys, earwitness.plots.evidence; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestStyle:
    """What the style does to the world outside."""

    before: ClassVar[dict] = {}

    def test_settings_are_given_back(self):
        before = dict(matplotlib.rcParams)
        with style.style():
            assert matplotlib.rcParams["text.parse_math"] is False
        assert dict(matplotlib.rcParams) == before
