"""Verdicts: what the judge learns, what it says of a map, and where hard rules overrule it."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.core.errors import EarwitnessError
from earwitness.core.statistics import area_under_roc
from earwitness.trust.verdicts.calibration import calibration
from earwitness.trust.verdicts.fit import NAMES, PENALTY, Known, fit
from earwitness.trust.verdicts.indicators import Signs
from earwitness.trust.verdicts.judge import WORDS, Judge, fitted, verdict
from earwitness.trust.verdicts.verdict import LEVELS, NOT_RELIABLE, RELIABLE, WEAK, Verdict, percent

GOOD = Signs(
    probability=0.95,
    depends=0.9,
    deletion=0.5,
    insertion=0.4,
    energy=0.2,
    correlation=0.6,
    shift=0.95,
    noise=0.98,
    seeds=0.9,
    fills=0.8,
    kept=0.05,
    agrees=0.7,
    sparse=0.6,
    explains=True,
    empty="",
)
BAD = Signs(
    probability=0.4,
    depends=0.1,
    deletion=0.0,
    insertion=-0.05,
    energy=-0.3,
    correlation=0.0,
    shift=0.2,
    noise=0.5,
    seeds=0.1,
    fills=0.0,
    kept=0.6,
    agrees=-0.1,
    sparse=0.3,
    explains=True,
    empty="",
)


def drawn(rng: np.random.Generator, quality: float) -> Signs:
    """Signs between the bad and the good, with noise."""
    mixed = {}
    for name in NAMES:
        low, high = getattr(BAD, name), getattr(GOOD, name)
        mixed[name] = low + (high - low) * (quality + rng.normal(0, 0.25))
    return replace(GOOD, **mixed)


def cases(count: int = 400, seed: int = 0) -> list[Known]:
    rng = np.random.default_rng(seed)
    listed = []
    for _ in range(count):
        quality = rng.uniform()
        listed.append(Known(drawn(rng, quality), bool(rng.uniform() < quality)))
    return listed


JUDGE = fit(cases(), "drawn numbers")


def test_a_judge_tells_right_maps_from_wrong_ones_it_never_saw():
    others = cases(seed=1)
    chances = [JUDGE.chance(each.signs) for each in others]
    assert area_under_roc(chances, [each.right for each in others]) > 0.75
    # The chances are those that the maps were drawn with.
    for each in calibration(chances, [each.right for each in others]):
        assert each.right == pytest.approx(each.chance, abs=0.15)


def test_signs_that_tell_nothing_give_a_judge_that_knows_nothing():
    rng = np.random.default_rng(3)
    blind = [Known(drawn(rng, rng.uniform()), bool(number % 2)) for number in range(400)]
    judge = fit(blind, "coins")
    others = [Known(drawn(rng, rng.uniform()), bool(number % 2)) for number in range(400)]
    assert area_under_roc(
        [judge.chance(each.signs) for each in others], [each.right for each in others]
    ) == pytest.approx(0.5, abs=0.08)


def test_no_weight_is_on_the_wrong_side():
    rng = np.random.default_rng(4)
    # What is good is called wrong: a fit that believed it would be misled.
    turned = [Known(drawn(rng, quality), bool(rng.uniform() > quality)) for quality in rng.uniform(size=300)]
    for judge in (JUDGE, fit(turned, "turned")):
        for name, weight in zip(judge.names, judge.weights, strict=True):
            assert weight <= 0 if name == "kept" else weight >= 0


def test_the_fit_is_the_least_loss():
    small = cases(60, seed=5)
    judge = fit(small, "few")

    def loss(other):
        """Mean logarithm of the chance of what is true, and the penalty."""
        chances = [other.chance(each.signs) if each.right else 1 - other.chance(each.signs) for each in small]
        return PENALTY * np.square(other.weights).sum() - np.log(chances).mean()

    def slope(at, step=1e-4):
        """How the loss changes with one weight, or, at -1, with the intercept."""
        found = np.array([*judge.weights, judge.intercept])
        aside = [found + sign * step * (np.arange(len(found)) == at % len(found)) for sign in (1, -1)]
        higher, lower = (loss(replace(judge, weights=tuple(each[:-1]), intercept=each[-1])) for each in aside)
        return (higher - lower) / (2 * step)

    assert slope(-1) == pytest.approx(0, abs=1e-4)
    for at, (name, weight) in enumerate(zip(judge.names, judge.weights, strict=True)):
        if weight:
            assert slope(at) == pytest.approx(0, abs=1e-4), name
        else:  # on the edge of its side, where only the other one would be better
            assert slope(at) <= 0 if name == "kept" else slope(at) >= 0
    assert any(judge.weights)


def test_maps_all_right_or_all_wrong_teach_nothing():
    with pytest.raises(EarwitnessError, match="maps that are right and maps that are wrong"):
        fit([replace(each, right=True) for each in cases(20)], "one kind")


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40).filter(
        lambda listed: len({right for _, right in listed}) == 2
    )
)
def test_the_area_under_roc_is_the_share_of_pairs_in_order(listed):
    good = [chance for chance, right in listed if right]
    bad = [chance for chance, right in listed if not right]
    pairs = np.mean([(one > other) + 0.5 * (one == other) for one in good for other in bad])
    assert area_under_roc(*zip(*listed, strict=True)) == pytest.approx(pairs)


def test_the_area_without_both_kinds_is_not_a_number():
    assert np.isnan(area_under_roc([0.1, 0.2], [True, True]))


def test_calibration_bins_hold_every_map_once():
    bins = calibration(np.linspace(0, 1, 100), np.arange(100) >= 50)
    assert sum(each.count for each in bins) == 100
    assert [each.right for each in bins] == sorted(each.right for each in bins)


# ---- what a verdict says ------------------------------------------------------------------------------------------


def test_good_signs_are_believed_and_bad_ones_are_not():
    good, bad = verdict(GOOD, JUDGE), verdict(BAD, JUDGE)
    assert good.level == RELIABLE
    assert bad.level == NOT_RELIABLE
    assert good.chance > 0.8 > 0.2 > bad.chance
    assert all(reason.good for reason in good.reasons)
    assert not any(reason.good for reason in bad.reasons)
    assert 1 <= len(good.reasons) <= 4
    assert good.text().startswith(f"reliable ({percent(good.chance)}%); for it: ")
    assert "; against it: " in bad.text() or bad.text().startswith(
        f"not reliable ({percent(bad.chance)}%); against it: "
    )
    assert all(any(character.isdigit() for character in reason.text) for reason in good.reasons)


CHANCES = st.floats(0, 1)
ANY_LIMITS = st.one_of(st.tuples(CHANCES, CHANCES), CHANCES.map(lambda limit: (limit, limit - 0.001)))


@given(limits=ANY_LIMITS, chances=st.lists(CHANCES, min_size=2, max_size=20))
def test_a_printed_number_is_on_one_level_and_a_higher_one_on_none_worse(limits, chances):
    judge = replace(JUDGE, reliable=limits[0], weak=limits[1])
    levels: dict[int, str] = {}
    for chance in [*chances, *(chance - 0.004 for chance in chances), *limits]:
        assert levels.setdefault(percent(chance), judge.level(chance)) == judge.level(chance)
    worse_to_better = [LEVELS.index(levels[printed]) for printed in sorted(levels)]
    assert worse_to_better == sorted(worse_to_better, reverse=True)
    for chance in chances:  # a limit in force is never under the fitted one
        if judge.level(chance) == RELIABLE:
            assert chance >= judge.reliable - 1e-9
        assert judge.level(chance) == NOT_RELIABLE or chance >= judge.weak - 1e-9


def test_every_number_that_the_judge_that_comes_along_can_print_is_on_one_level():
    judge = fitted()
    for number in range(100):
        inside = np.nextafter(number / 100 + np.linspace(0, 0.01, 200, endpoint=False), 1.0)
        assert len({judge.level(float(chance)) for chance in inside}) == 1
    assert judge.level(judge.limit(RELIABLE) / 100) == RELIABLE
    assert judge.level(judge.limit(RELIABLE) / 100 - 0.0001) != RELIABLE


def test_where_both_limits_round_to_one_number_no_map_is_weak():
    judge = replace(JUDGE, reliable=0.664, weak=0.662)
    assert judge.limit(RELIABLE) == judge.limit(WEAK) == 67
    assert [judge.level(chance) for chance in (0.661, 0.663, 0.665, 0.67)] == [NOT_RELIABLE] * 3 + [RELIABLE]


@given(
    quality=st.floats(0, 1),
    seed=st.integers(0, 1000),
    explains=st.booleans(),
    empty=st.sampled_from(["", "there is no sound in the segment"]),
    limits=ANY_LIMITS,
)
def test_levels_follow_the_printed_chance_whatever_overrules_the_judge(quality, seed, explains, empty, limits):
    judge = replace(JUDGE, reliable=limits[0], weak=limits[1])
    signs = replace(drawn(np.random.default_rng(seed), quality), explains=explains, empty=empty)
    found = verdict(signs, judge)
    assert found.level in LEVELS
    assert 0.0 <= found.chance <= 1.0
    assert found.level == judge.level(found.chance)
    if empty or not explains:
        assert found.level == NOT_RELIABLE
    if signs.probability < 0.2:
        assert found.level != RELIABLE


@pytest.mark.parametrize("name", NAMES)
def test_a_better_sign_never_lowers_the_chance(name):
    better = -0.2 if name == "kept" else 0.2
    middle = drawn(np.random.default_rng(0), 0.5)
    assert JUDGE.chance(replace(middle, **{name: getattr(middle, name) + better})) >= JUDGE.chance(middle)


def test_an_empty_map_is_not_reliable_whatever_else_was_measured():
    found = verdict(replace(GOOD, empty="there is no sound in the segment"), JUDGE)
    assert (found.level, found.chance) == (NOT_RELIABLE, 0.0)
    assert [reason.text for reason in found.reasons] == ["there is no sound in the segment"]


def test_a_method_that_ignores_the_network_is_not_reliable():
    found = verdict(replace(GOOD, explains=False, kept=0.97), JUDGE)
    assert found.level == NOT_RELIABLE
    assert found.chance < JUDGE.weak
    assert found.reasons[0].text == "the method's maps hardly change when the network is made random (0.97 of 1 stays)"


def test_a_map_of_a_class_that_is_hardly_heard_is_weak_at_best():
    heard, unheard = (verdict(replace(GOOD, probability=p), JUDGE) for p in (0.21, 0.19))
    assert (heard.level, unheard.level) == (RELIABLE, WEAK)
    assert unheard.reasons[0].text.endswith("verdicts were fitted on predicted ones (probability 0.19)")
    assert verdict(replace(BAD, probability=0.01), JUDGE).level == NOT_RELIABLE


@given(quality=st.floats(0, 1), seed=st.integers(0, 1000))
def test_what_is_not_reliable_has_a_reason_against_it(quality, seed):
    found = verdict(drawn(np.random.default_rng(seed), quality), JUDGE)
    assert len(found.reasons) <= 4
    assert found.level == RELIABLE or any(not reason.good for reason in found.reasons)


def test_where_all_signs_are_a_little_good_and_the_map_is_weak_the_verdict_says_so():
    # All signs at their means or just above them: the chance is what the intercept says.
    faint = replace(JUDGE, intercept=-1.0)
    signs = replace(GOOD, **dict(zip(faint.names, faint.means, strict=True)))
    found = verdict(signs, faint)
    assert found.level == NOT_RELIABLE
    assert found.reasons[-1].text == "nothing speaks against it, but what speaks for it is faint"


def test_no_printed_chance_reaches_a_limit_that_the_map_missed():
    assert [percent(chance) for chance in (0.0, 0.499, 0.5, 0.7399999, 0.74, 0.29, 1.0)] == [0, 49, 50, 73, 74, 29, 100]


def test_methods_that_agree_a_little_agree_partly_and_large_shares_are_not_counted_out():
    judge = Judge(
        names=("agrees",),
        means=(0.6,),
        scales=(0.2,),
        weights=(2.0,),
        intercept=0.0,
        reliable=0.8,
        weak=0.5,
        fitted_on="one sign",
    )
    for value, words in ((0.3, "agrees only partly (agrees 0.30)"), (-0.3, "shows something else (agrees -0.30)")):
        reasons = verdict(replace(BAD, agrees=value, others="Grad-CAM and LIME"), judge).reasons
        assert f"the mean of Grad-CAM and LIME {words}" in [reason.text for reason in reasons]
    loud = Judge(
        names=("energy",),
        means=(0.0,),
        scales=(0.2,),
        weights=(2.0,),
        intercept=0.0,
        reliable=0.8,
        weak=0.5,
        fitted_on="one sign",
    )
    (reason,) = verdict(replace(GOOD, energy=15.6), loud).reasons
    assert reason.text == "it beats simply taking the loudest cells (energy over 1)"


def test_what_was_not_measured_neither_helps_nor_harms():
    without = replace(GOOD, seeds=None, fills=None, kept=None)
    at = [JUDGE.names.index(name) for name in ("seeds", "fills", "kept")]
    assert (JUDGE.log_odds(without)[at] == 0).all()
    assert not any(
        name in reason.text for name in ("seeds", "fills", "kept") for reason in verdict(without, JUDGE).reasons
    )


def test_a_verdict_and_a_judge_come_back_from_json():
    found = verdict(GOOD, JUDGE)
    assert Verdict.from_dict(found.as_dict()) == found
    with pytest.raises(EarwitnessError, match="explain the segment again"):
        Verdict.from_dict({"level": "weak"})
    stored = {item.name: getattr(JUDGE, item.name) for item in fields(Judge)}
    assert (
        Judge.from_dict({key: list(value) if isinstance(value, tuple) else value for key, value in stored.items()})
        == JUDGE
    )
    with pytest.raises(EarwitnessError, match="install earwitness again"):
        Judge.from_dict({"names": []})


def test_the_judge_that_comes_along_uses_the_signs_there_are():
    judge = fitted()
    assert set(judge.names) <= {item.name for item in fields(Signs)}
    assert set(judge.names) <= WORDS.keys()
    assert 0 < judge.weak <= judge.reliable < 1
    assert judge.fitted_on
    assert verdict(GOOD).chance > verdict(BAD).chance
