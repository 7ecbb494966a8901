"""The training loop: recipe, rates, seeds, what may change, what stops it."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earwitness.core.device import choose_device, resolve_precision
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.files import read_csv
from earwitness.core.processor import native_bfloat16
from earwitness.training.checkpoints import NAME, read_checkpoint
from earwitness.training.loop import _Loop, make_optimiser, rate_factor, standardise, train, write_history
from earwitness.training.recipes import EXAMPLE, Augmentation, Recipe
from tiny_sounds import made_data, new_classifier

QUICK = Recipe(epochs=3, batch=8, learning_rate=2e-3)


def state_of(classifier):
    return {name: tensor.clone() for name, tensor in classifier.network.state_dict().items()}


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


# ---- learning rates ----------------------------------------------------------------------------------------------


@given(
    per_epoch=st.integers(1, 40),
    epochs=st.integers(1, 12),
    every=st.integers(1, 5),
    drop=st.floats(0.1, 1.0),
    data=st.data(),
)
def test_a_step_schedule_drops_every_few_epochs(per_epoch, epochs, every, drop, data):
    recipe = replace(EXAMPLE, epochs=epochs, drop=drop, drop_every=every)
    epoch = data.draw(st.integers(0, epochs - 1))
    step = epoch * per_epoch + data.draw(st.integers(0, per_epoch - 1))
    assert rate_factor(recipe, step, per_epoch) == pytest.approx(drop ** (epoch // every))


def test_the_examples_rates_are_halved_every_two_epochs():
    rates = [EXAMPLE.learning_rate * rate_factor(EXAMPLE, 10 * epoch, 10) for epoch in range(5)]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4])


@given(per_epoch=st.integers(1, 60), epochs=st.integers(1, 12))
def test_a_cosine_schedule_rises_over_a_tenth_and_falls_to_nearly_nothing(per_epoch, epochs):
    recipe = replace(EXAMPLE, epochs=epochs, schedule="cosine")
    total = per_epoch * epochs
    factors = np.array([rate_factor(recipe, step, per_epoch) for step in range(total)])
    warm = max(1, round(0.1 * total))
    assert factors[warm - 1] == pytest.approx(1.0)
    np.testing.assert_allclose(factors[:warm], np.arange(1, warm + 1) / warm)
    assert (np.diff(factors[warm - 1 :]) < 0).all()
    assert (factors > 0).all()
    if total - warm >= 10:
        assert factors[-1] < 0.03


def test_a_cosine_schedule_is_half_way_down_in_the_middle():
    recipe = replace(EXAMPLE, epochs=10, schedule="cosine")
    # 100 iterations, 10 of them to warm up, so 91 steps down to nothing.
    assert rate_factor(recipe, 10, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi / 91)))
    assert rate_factor(recipe, 99, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi * 90 / 91)))


# ---- the loop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["compact", "mn04"])
def test_the_loss_falls(backbone):
    classifier = new_classifier(backbone)
    data = made_data(classifier.front_end)
    history = train(classifier, data, replace(QUICK, epochs=8))
    assert np.mean([row.train_loss for row in history[-3:]]) < 0.5 * history[0].train_loss
    if backbone == "compact":  # mn04's batch norms forget their first, meaningless spreads in hundreds of steps only
        assert history[-1].validation_accuracy is not None
        assert history[-1].validation_accuracy > 0.6


def test_iterations_epochs_and_validations_are_as_the_recipe_says():
    data = made_data()
    seen = []
    recipe = replace(QUICK, epochs=2, batch=5, validate_every=4)
    history = train(new_classifier(), data, recipe, on_row=seen.append)
    per_epoch = math.ceil(len(data.train) / 5)
    assert seen == history
    assert [row.iteration for row in history] == list(range(1, 2 * per_epoch + 1))
    assert [row.epoch for row in history] == [1] * per_epoch + [2] * per_epoch
    checked = [row.iteration for row in history if row.validation_loss is not None]
    assert checked == sorted({*range(4, 2 * per_epoch + 1, 4), 2 * per_epoch})
    assert all((row.validation_loss is None) == (row.validation_accuracy is None) for row in history)
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(history))


def test_every_segment_is_seen_once_an_epoch_in_another_order():
    data = made_data()
    loop = _Loop(new_classifier(), data, replace(QUICK, batch=7), seed=3, freeze=False)
    epochs = [np.concatenate([loop._rows(epoch, number) for number in range(loop.per_epoch)]) for epoch in range(3)]
    for order in epochs:
        np.testing.assert_array_equal(np.sort(order), np.arange(len(data.train)))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])


def test_without_held_out_segments_there_is_no_validation():
    data = made_data()
    history = train(new_classifier(), replace(data, validation=data.validation[:0]), replace(QUICK, epochs=1))
    assert all(row.validation_loss is None for row in history)


def test_nothing_to_train_on_is_an_error():
    data = made_data()
    with pytest.raises(UsageError, match="no segment to train on"):
        train(new_classifier(), replace(data, train=data.train[:0]), QUICK)


def test_validation_equals_what_the_finished_network_says():
    data, classifier = made_data(), new_classifier()
    history = train(classifier, data, replace(QUICK, epochs=1, batch=5))
    logits = classifier.logits(data.segments.values(data.validation))
    truth = torch.from_numpy(data.labels[data.segments.recording[data.validation]])
    assert history[-1].validation_loss == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, truth)), abs=1e-4
    )
    assert history[-1].validation_accuracy == pytest.approx(float((logits.argmax(1) == truth).float().mean()))


def test_validating_changes_nothing():
    results = []
    for every in (1, 1000):
        classifier = new_classifier()
        train(classifier, made_data(), replace(QUICK, epochs=1, validate_every=every))
        results.append(state_of(classifier))
    assert equal(*results)


def test_the_network_is_left_in_evaluation_mode_and_pytorch_as_it_was():
    before = torch.are_deterministic_algorithms_enabled()
    classifier = new_classifier()
    train(classifier, made_data(), replace(QUICK, epochs=1))
    assert not classifier.network.training
    assert torch.are_deterministic_algorithms_enabled() == before


def test_one_seed_gives_the_same_weights_and_another_gives_others():
    recipe = replace(QUICK, epochs=1, augmentation=Augmentation(shift=True, gain_db=3.0, masks=1, equalise_db=3.0))
    results = []
    for seed in (1, 1, 2):
        torch.rand(seed)  # what was drawn before does not matter
        classifier = new_classifier()
        train(classifier, made_data(), recipe, seed=seed)
        results.append(state_of(classifier))
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


# ---- what learns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["compact", "mn04"])
def test_freezing_changes_the_head_alone(backbone):
    classifier = new_classifier(backbone)
    before = state_of(classifier)
    head = {id(parameter) for parameter in classifier.network.head_parameters()}
    names = {name for name, parameter in classifier.network.named_parameters() if id(parameter) in head}
    recipe = replace(QUICK, epochs=20, learning_rate=1e-2)
    history = train(classifier, made_data(classifier.front_end), recipe, freeze=True)
    after = state_of(classifier)
    assert {name for name in before if not torch.equal(before[name], after[name])} == names
    # One mini-batch is easier than another: whole epochs are compared.
    first, last = (np.mean([row.train_loss for row in history if row.epoch == epoch]) for epoch in (1, 20))
    assert last < 0.9 * first


def test_frozen_validation_equals_what_the_finished_network_says():
    data, classifier = made_data(), new_classifier()
    history = train(classifier, data, replace(QUICK, epochs=1), freeze=True)
    logits = classifier.logits(data.segments.values(data.validation))
    truth = torch.from_numpy(data.labels[data.segments.recording[data.validation]])
    assert history[-1].validation_loss == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, truth)), abs=1e-4
    )


def test_without_freezing_everything_learns():
    classifier = new_classifier()
    before = state_of(classifier)
    train(classifier, made_data(), replace(QUICK, epochs=1))
    after = state_of(classifier)
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    assert unchanged == {"standardise.mean", "standardise.spread"}


def test_kept_norms_keep_their_means_and_spreads():
    classifier = new_classifier()
    before = state_of(classifier)
    train(classifier, made_data(), replace(QUICK, epochs=1, keep_norms=True))
    after = state_of(classifier)
    assert all(torch.equal(before[name], after[name]) for name in before if "running" in name or "tracked" in name)
    assert not torch.equal(before["features.0.1.weight"], after["features.0.1.weight"])


def test_a_backbone_rate_of_nothing_holds_the_backbone():
    classifier = new_classifier()
    before = {name: value.clone() for name, value in classifier.network.named_parameters()}
    train(classifier, made_data(), replace(QUICK, epochs=1, backbone_rate=0.0))
    changed = {name for name, value in classifier.network.named_parameters() if not torch.equal(before[name], value)}
    assert changed == {"FCFinal.weight", "FCFinal.bias"}


def test_the_optimiser_holds_every_parameter_once_and_knows_its_rate():
    network = new_classifier().network
    whole = make_optimiser(network, replace(EXAMPLE, backbone_rate=0.1), freeze=False)
    held = [id(parameter) for group in whole.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
    assert [group["full_rate"] for group in whole.param_groups] == pytest.approx([1e-3, 1e-4])
    assert type(whole) is torch.optim.Adam
    assert type(make_optimiser(network, replace(EXAMPLE, weight_decay=0.1), freeze=False)) is torch.optim.AdamW
    head = make_optimiser(network, EXAMPLE, freeze=True)
    assert sum(len(group["params"]) for group in head.param_groups) == len(network.head_parameters())


def test_one_step_of_the_examples_adam_moves_each_weight_by_the_rate():
    # Adam's first step is the rate times the sign of the gradient, whatever its size (Kingma & Ba, 2015).
    classifier = new_classifier()
    before = classifier.network.get_parameter("FCFinal.weight").detach().clone()
    data = made_data()
    train(classifier, data, replace(EXAMPLE, epochs=1, batch=len(data.train)))
    moved = (classifier.network.get_parameter("FCFinal.weight").detach() - before).abs()
    assert float(moved.median()) == pytest.approx(1e-3, rel=1e-2)


def test_training_the_head_first_begins_nearer_the_goal():
    # All segments in one mini-batch, and norms that do not look at it: what the head learned is what is measured.
    data = made_data(spread=0.3)
    recipe = replace(QUICK, epochs=1, batch=len(data.train), keep_norms=True)
    plain = train(new_classifier(), data, recipe)
    ahead = train(new_classifier(), data, replace(recipe, head_epochs=60, head_rate=1e-2))
    assert ahead[0].train_loss < 0.9 * plain[0].train_loss
    assert len(ahead) == len(plain)


def test_the_head_learns_on_the_inputs_that_all_layers_get():
    recipe = replace(
        QUICK, epochs=1, batch=64, learning_rate=1e-9, schedule="cosine", standardise=True, keep_norms=True
    )
    alone = train(new_classifier(), made_data(spread=0.1), recipe)
    ahead = train(new_classifier(), made_data(spread=0.1), replace(recipe, head_epochs=120, head_rate=2e-2))
    assert ahead[0].train_loss < 0.3 * alone[0].train_loss
    assert ahead[-1].validation_accuracy == 1.0


# ---- inputs ------------------------------------------------------------------------------------------------------


def test_standardised_inputs_have_mean_nothing_and_spread_one():
    data, network = made_data(spread=3.0), new_classifier().network
    standardise(network, data)
    rows = np.unique(data.segments.recording[data.train])
    values = np.concatenate([data.segments.log_mels[row] for row in rows])
    out = network.standardise(torch.from_numpy(values)).double()
    assert float(out.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(out.std()) == pytest.approx(1.0, abs=1e-4)


def test_standardising_listens_to_training_recordings_alone():
    data, network = made_data(), new_classifier().network
    standardise(network, data)
    mean = float(network.standardise.mean)
    for row in np.unique(data.segments.recording[data.validation]):
        data.segments.log_mels[row][:] = 1e3
    standardise(network, data)
    assert float(network.standardise.mean) == mean


def test_standardising_silence_divides_by_one():
    data, network = made_data(), new_classifier().network
    for values in data.segments.log_mels:
        values[:] = -4.5
    standardise(network, data)
    assert float(network.standardise.mean) == -4.5
    assert float(network.standardise.spread) == 1.0


def test_standardising_is_part_of_a_recipe():
    classifier = new_classifier()
    train(classifier, made_data(), replace(QUICK, epochs=1, standardise=True))
    assert float(classifier.network.standardise.mean) != 0.0


# ---- losses that are no numbers ----------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_with_advice():
    data = made_data()
    data.segments.log_mels[int(data.segments.recording[data.train[0]])][:] = np.nan
    with pytest.raises(EarwitnessError, match=r"training loss became nan .* lower --learning-rate \(now 0\.002\)$"):
        train(new_classifier(), data, QUICK)


def test_a_validation_loss_that_is_no_number_stops_too():
    data = made_data()
    data.segments.log_mels[int(data.segments.recording[data.validation[0]])][:] = np.nan
    with pytest.raises(EarwitnessError, match="validation loss became nan"):
        train(new_classifier(), data, replace(QUICK, epochs=1))


def test_in_bfloat16_the_advice_names_float32():
    data = made_data()
    data.segments.log_mels[int(data.segments.recording[data.train[0]])][:] = np.nan
    with pytest.raises(EarwitnessError, match="or use --precision float32"):
        train(new_classifier(), data, replace(QUICK, precision="bfloat16"))


# ---- checkpoints -------------------------------------------------------------------------------------------------


class StopError(Exception):
    """The training is broken off."""


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("head_epochs", [0, 2])
def test_a_training_broken_off_and_resumed_ends_with_the_same_weights(tmp_path, freeze, head_epochs):
    recipe = replace(QUICK, epochs=2, weight_decay=0.01, head_epochs=head_epochs, augmentation=Augmentation(shift=True))
    whole = new_classifier()
    history = train(whole, made_data(), recipe, freeze=freeze)

    def stop(row):
        if row.iteration == 4:
            raise StopError

    with pytest.raises(StopError):
        train(
            new_classifier(),
            made_data(),
            recipe,
            freeze=freeze,
            checkpoints=tmp_path,
            checkpoint_seconds=0,
            on_row=stop,
        )
    resumed = new_classifier()
    again = train(resumed, made_data(), recipe, freeze=freeze, checkpoints=tmp_path, checkpoint_seconds=1e9)
    assert equal(state_of(whole), state_of(resumed))
    assert [replace(row, seconds=0.0) for row in again] == [replace(row, seconds=0.0) for row in history]
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(again))


def test_a_checkpoint_after_the_last_iteration_leaves_nothing_to_do(tmp_path):
    recipe = replace(QUICK, epochs=1)
    classifier = new_classifier()
    history = train(classifier, made_data(), recipe, checkpoints=tmp_path, checkpoint_seconds=0.0)
    resumed = new_classifier()
    assert train(resumed, made_data(), recipe, checkpoints=tmp_path, on_row=pytest.fail) == history
    assert equal(state_of(classifier), state_of(resumed))


def test_resumed_moments_lie_in_memory_as_their_weights_do(tmp_path):
    # The fused Adam does not look at strides.
    recipe = replace(QUICK, epochs=1)
    data = made_data()
    train(new_classifier(), data, recipe, checkpoints=tmp_path, checkpoint_seconds=0.0)
    loop = _Loop(new_classifier(), data, recipe, 0, False)
    found = read_checkpoint(tmp_path)
    assert found is not None
    loop.restore(found)
    for parameter, entries in loop.optimiser.state.items():
        assert entries["exp_avg"].stride() == parameter.stride()
        assert entries["exp_avg_sq"].stride() == parameter.stride()


def test_checkpoints_are_made_no_oftener_than_asked(tmp_path):
    train(new_classifier(), made_data(), replace(QUICK, epochs=1), checkpoints=tmp_path, checkpoint_seconds=1e9)
    assert not (tmp_path / NAME).exists()


def test_the_history_is_written_as_the_contract_says(tmp_path):
    history = train(new_classifier(), made_data(), replace(QUICK, epochs=1))
    write_history(tmp_path / "history.csv", history)
    rows = read_csv(tmp_path / "history.csv")
    assert len(rows) == len(history)
    assert float(rows[-1]["validation_loss"]) == history[-1].validation_loss
    assert rows[0]["validation_loss"] == ""
    assert float(rows[0]["train_loss"]) == history[0].train_loss


# ---- devices and precisions --------------------------------------------------------------------------------------


def test_the_processor_can_always_be_chosen():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["", "gpu", "meta", "cpu:x", "cuda:99"])
def test_a_device_that_is_not_there_is_said(name):
    with pytest.raises(UsageError, match=f"--device {name}: cannot be used here; take cpu"):
        choose_device(name)


def test_precisions_are_resolved():
    cpu = torch.device("cpu")
    assert resolve_precision("float32", cpu) == "float32"
    assert resolve_precision("bfloat16", cpu) == "bfloat16"
    assert resolve_precision("auto", cpu) == ("bfloat16" if native_bfloat16() else "float32")
    assert resolve_precision("auto", torch.device("mps")) == "float32"


# oneDNN held back to these does bfloat16 number by number, whatever the processor could do.
WITHOUT_BFLOAT16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}


@pytest.mark.slow
def test_bfloat16_learns_as_float32_does():
    if not native_bfloat16() or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BFLOAT16:
        pytest.skip("no bfloat16 arithmetic here: --precision auto never chooses it")
    losses = {}
    for precision in ("float32", "bfloat16"):
        classifier = new_classifier()
        data = made_data(spread=4.0, files=30)
        epochs = math.ceil(50 / math.ceil(len(data.train) / 32))
        recipe = Recipe(epochs=epochs, batch=32, label_smoothing=0.1, precision=precision, validate_every=10**6)
        losses[precision] = np.array([row.train_loss for row in train(classifier, data, recipe)[:50]])
    # The whole way down, since roundings lead single mini-batches 3 % astray: 1.3 % is the most of ten seeds.
    assert losses["bfloat16"].mean() == pytest.approx(losses["float32"].mean(), rel=0.05)
    for each in losses.values():
        assert each[-10:].mean() < 0.5 * each[0]
    assert not np.array_equal(losses["bfloat16"], losses["float32"])


def test_training_gives_the_random_generator_back():
    before = torch.get_rng_state()
    train(new_classifier(), made_data(), Recipe(epochs=1, batch=8))
    assert torch.equal(torch.get_rng_state(), before)


def test_training_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(new_classifier("vggish", 96), made_data(length=96, frames=96, files=6), Recipe(epochs=1, batch=2))
