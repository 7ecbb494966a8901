"""The training loop: a recipe, the batches, checkpoints that lose nothing.

Every random draw depends on the seed, the epoch and the iteration alone, never on what was drawn before. A training
that is killed and resumed therefore ends with the bytes of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from earwitness.audio.segments import SegmentedLogMels
from earwitness.core.arrays import Int64Array
from earwitness.core.device import resolve_precision, tf32_as
from earwitness.core.errors import EarwitnessError, UsageError
from earwitness.core.files import write_csv
from earwitness.core.processor import native_bfloat16 as native_bfloat16
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.models.classifier import Classifier, Learner
from earwitness.models.headed import Headed
from earwitness.models.network import Network
from earwitness.training.augmentation import TrainingBatch, draw
from earwitness.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from earwitness.training.embeddings import Embeddings, embedded
from earwitness.training.folded_norms import folded
from earwitness.training.recipes import Augmentation, Recipe

# A checkpoint costs the writing of all weights and of Adam's two moments; so it is made at most so often (seconds).
CHECKPOINT_SECONDS = 30.0
WARM_UP = 0.1
# A head alone on embeddings overfits soon; this decay measured best on ESC-10 with mn04.
HEAD_DECAY = 1e-2


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """One iteration, as ``history.csv`` and the live table show it."""

    iteration: int
    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class TrainingData:
    """What a training learns from and is watched by.

    Parameters
    ----------
    segments
        All recordings, cut.
    labels
        Shape (recordings,): true classes.
    train, validation
        Rows of ``segments``.
    embeddings
        Of all segments, shape (n, embedding), where they were computed before; None computes those that are needed.
    """

    segments: SegmentedLogMels
    labels: Int64Array
    train: Int64Array
    validation: Int64Array
    embeddings: Tensor | None = None


def train(
    classifier: Classifier,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int = 0,
    freeze: bool = False,
    checkpoints: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_row: Callable[[HistoryRow], None] | None = None,
    progress: Progress = NO_PROGRESS,
) -> list[HistoryRow]:
    """Train a classifier's network in place.

    Parameters
    ----------
    classifier
        Its network's weights are where the training begins (or go on from the newest checkpoint).
    data
        Training and validation segments.
    recipe
        How.
    seed
        Of the order, the augmentation and the dropout.
    freeze
        Train the head alone, on embeddings that are computed once (no augmentation).
    checkpoints
        Folder for checkpoints; what is in it is resumed; None makes none.
    checkpoint_seconds
        Least time between two checkpoints; 0 makes one after every iteration.
    on_row
        Told each iteration as it ends.
    progress
        Told a step an iteration.

    Returns
    -------
    One row an iteration.

    Raises
    ------
    EarwitnessError
        The loss is no longer a number.
    """
    if len(data.train) == 0:
        raise UsageError("there is no segment to train on")
    found = None if checkpoints is None else read_checkpoint(checkpoints)
    if recipe.head_epochs and not freeze and found is None:
        _train_head_first(classifier, data, recipe, seed, progress)
    loop = _Loop(classifier, data, recipe, seed, freeze)
    history: list[HistoryRow] = []
    if found is not None:
        loop.restore(found)
        history = [HistoryRow(**row) for row in found.history]
    spent = history[-1].seconds if history else 0.0
    begun = saved = time.monotonic()
    # Only what is left to do counts: iterations of an earlier process would spoil the estimate of the time left.
    with progress.task("Training", loop.iterations - len(history)) as advance, _arithmetic(loop):
        for iteration in range(len(history) + 1, loop.iterations + 1):
            row = loop.step(iteration, lambda: spent + time.monotonic() - begun)
            history.append(row)
            advance(1)
            if on_row is not None:
                on_row(row)
            if checkpoints is not None and time.monotonic() - saved >= checkpoint_seconds:
                write_checkpoint(checkpoints, loop.capture(history))
                saved = time.monotonic()
    loop.network.eval()
    return history


def _train_head_first(
    classifier: Classifier, data: TrainingData, recipe: Recipe, seed: int, progress: Progress
) -> None:
    """Bring the new head near its optimum, so that its first steps do not spoil the pretrained layers.

    It takes seconds, so that a resumed training that has no checkpoint yet does it again.
    """
    head_only = replace(
        recipe,
        epochs=recipe.head_epochs,
        head_epochs=0,
        learning_rate=recipe.head_rate,
        weight_decay=HEAD_DECAY,
        augmentation=Augmentation(),
    )
    if recipe.standardise:
        standardise(classifier.own_network, data)  # the embeddings must be those that all layers begin with
    unwatched = replace(data, validation=data.validation[:0])
    train(classifier, unwatched, head_only, seed=seed, freeze=True, progress=progress)


def write_history(path: Path, history: list[HistoryRow]) -> None:
    """Write ``history.csv``."""
    columns = list(asdict(history[0]))
    write_csv(path, columns, (["" if value is None else value for value in asdict(row).values()] for row in history))


@contextmanager
def _arithmetic(loop: _Loop) -> Iterator[None]:
    """Let the processor or the GPU add in the same order each time, and multiply as the recipe says.

    Dropout draws from the process's generators; they are given back as they were.
    """
    generators = [loop.device] if loop.device.type == "cuda" else []
    with _deterministic(), tf32_as(loop.recipe.tf32, loop.device), torch.random.fork_rng(devices=generators):
        yield


@contextmanager
def _deterministic() -> Iterator[None]:
    before, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)


class _Loop:
    """A training under way: the network, the optimiser and where the batches come from."""

    def __init__(self, classifier: Classifier, data: TrainingData, recipe: Recipe, seed: int, freeze: bool) -> None:
        self.classifier, self.data, self.recipe, self.seed = classifier, data, recipe, seed
        self.network = classifier.own_network
        self.device = classifier.device
        self.precision = resolve_precision(recipe.precision, self.device)
        self.per_epoch = math.ceil(len(data.train) / recipe.batch)
        self.iterations = recipe.epochs * self.per_epoch
        with tf32_as(recipe.tf32, self.device):
            self.embeddings = _embeddings(classifier, data) if freeze else None
        if recipe.standardise and not freeze:
            standardise(self.network, data)
        if isinstance(self.network, Network):
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner = self._learner()
        self.optimiser = make_optimiser(self.network, recipe, freeze=freeze)

    def step(self, iteration: int, clock: Callable[[], float]) -> HistoryRow:
        """Do one iteration (counted from 1)."""
        epoch = (iteration - 1) // self.per_epoch
        factor = rate_factor(self.recipe, iteration - 1, self.per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] * factor
        rows = self._rows(epoch, (iteration - 1) % self.per_epoch)
        torch.manual_seed(_seed(self.seed, epoch, iteration))
        self._to_training_mode()
        batch = self._batch(rows, np.random.default_rng([self.seed, epoch, iteration]))
        with self._autocast():
            logits = self._forward(batch.values, self.learner)
        loss = functional.cross_entropy(logits.float(), batch.shares, label_smoothing=self.recipe.label_smoothing)
        value = float(loss.detach())
        self._check_finite("training", value, iteration)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        accuracy = float((logits.argmax(1) == batch.shares.argmax(1)).float().mean())
        checked = iteration % self.recipe.validate_every == 0 or iteration == self.iterations
        validation = self._validate() if checked and len(self.data.validation) else (None, None)
        if validation[0] is not None:
            self._check_finite("validation", validation[0], iteration)
        return HistoryRow(
            iteration=iteration,
            epoch=epoch + 1,
            seconds=clock(),
            learning_rate=self.recipe.learning_rate * factor,
            train_loss=value,
            train_accuracy=accuracy,
            validation_loss=validation[0],
            validation_accuracy=validation[1],
        )

    def _check_finite(self, which: str, loss: float, iteration: int) -> None:
        if not math.isfinite(loss):
            raise EarwitnessError(
                f"the {which} loss became {loss} at iteration {iteration}: lower --learning-rate "
                f"(now {self.recipe.learning_rate:g})"
                + (" or use --precision float32" if self.precision != "float32" else "")
            )

    def _learner(self) -> Learner:
        """Return what segments go through while it learns: the network, or a quicker copy that has its weights."""
        if not self.recipe.keep_norms or self.embeddings is not None or not isinstance(self.network, Network):
            return self.network
        first = torch.from_numpy(self.data.segments.values(self.data.train[:2]))
        return folded(self.network, first.to(self.device))

    def _to_training_mode(self) -> None:
        self.learner.train()
        if self.recipe.keep_norms or self.embeddings is not None:
            for module in self.learner.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()

    def _rows(self, epoch: int, number: int) -> Int64Array:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data.train))
        return order[number * self.recipe.batch : (number + 1) * self.recipe.batch]

    def _batch(self, order: Int64Array, rng: np.random.Generator) -> TrainingBatch:
        rows = self.data.train[order]
        classes = len(self.classifier.classes)
        if self.embeddings is not None:
            labels = torch.from_numpy(self.data.labels[self.data.segments.recording[rows]])
            batch = TrainingBatch(
                self.embeddings.train[torch.from_numpy(order)], functional.one_hot(labels, classes).float()
            )
        elif self.data.segments.samples is not None:
            labels = torch.from_numpy(self.data.labels[self.data.segments.recording[rows]])
            shares = functional.one_hot(labels, classes).float()
            batch = TrainingBatch(torch.from_numpy(self.data.segments.inputs(rows)), shares)
        else:
            batch = draw(
                self.data.segments,
                rows,
                self.data.labels,
                classes,
                self.classifier.front_end,
                self.classifier.overlap,
                self.recipe.augmentation,
                rng,
            )
        return TrainingBatch(batch.values.to(self.device), batch.shares.to(self.device))

    def _forward(self, values: Tensor, network: Learner) -> Tensor:
        result: Tensor = network.head(values) if self.embeddings is not None else network(values)
        return result

    def _autocast(self) -> Any:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _validate(self) -> tuple[float, float]:
        rows = self.data.validation
        labels = torch.from_numpy(self.data.labels[self.data.segments.recording[rows]])
        self.network.eval()
        losses, right = 0.0, 0
        with torch.inference_mode(), self._autocast():
            for part in np.array_split(np.arange(len(rows)), math.ceil(len(rows) / self.recipe.batch)):
                if self.embeddings is not None:
                    values = self.embeddings.validation[torch.from_numpy(part)]
                else:
                    values = torch.from_numpy(self.data.segments.inputs(rows[part]))
                logits = self._forward(values.to(self.device), self.network).float().cpu()
                truth = labels[torch.from_numpy(part)]
                losses += float(functional.cross_entropy(logits, truth, reduction="sum"))
                right += int((logits.argmax(1) == truth).sum())
        return losses / len(rows), right / len(rows)

    def capture(self, history: list[HistoryRow]) -> Checkpoint:
        """Return everything that the next iteration depends on."""
        return Checkpoint(self.network.state_dict(), self.optimiser.state_dict(), [asdict(row) for row in history])

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint."""
        self.network.load_state_dict(checkpoint.network)
        self.optimiser.load_state_dict(checkpoint.optimiser)
        # The fused Adam walks through weights and moments side by side in memory, and files know no layout: without
        # this, the moments of a channels-last weight would be given to other weights.
        for parameter, entries in self.optimiser.state.items():
            for name, value in entries.items():
                if value.shape == parameter.shape:
                    entries[name] = torch.empty_like(parameter).copy_(value)


def _embeddings(classifier: Classifier, data: TrainingData) -> Embeddings:
    """Return the embeddings of a training, to which a head over a model of others is suited."""
    parts = [data.train, data.validation]
    if data.embeddings is None:
        found = Embeddings(*(embedded(classifier, data.segments, rows) for rows in parts))
    else:
        found = Embeddings(*(data.embeddings[torch.from_numpy(rows)] for rows in parts))
    network = classifier.own_network
    if isinstance(network, Headed):
        network.suit(found.train)
    return found


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def standardise(network: Learner, data: TrainingData) -> None:
    """Set one of our network's input shift and scale to the training recordings' mean and spread."""
    assert isinstance(network, Network)
    recordings = np.unique(data.segments.recording[data.train])
    values = [data.segments.log_mels[recording] for recording in recordings]
    count = sum(value.size for value in values)
    mean = sum(float(value.sum(dtype=np.float64)) for value in values) / count
    square = sum(float(np.square(value - mean, dtype=np.float64).sum()) for value in values) / count
    network.standardise.set(mean, math.sqrt(square) or 1.0)


def make_optimiser(network: Learner, recipe: Recipe, *, freeze: bool) -> torch.optim.Optimizer:
    """Return Adam over the head and, unless it is frozen, the backbone at its own rate."""
    head = network.head_parameters()
    known = {id(parameter) for parameter in head}
    body: list[nn.Parameter] = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups = [{"params": head, "full_rate": recipe.learning_rate}]
    if not freeze:
        groups.append({"params": body, "full_rate": recipe.learning_rate * recipe.backbone_rate})
    fused = next(iter(head)).device.type in ("cpu", "cuda")
    kind = torch.optim.AdamW if recipe.weight_decay else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused)


def rate_factor(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Return what the learning rate is multiplied by at an iteration (counted from 0)."""
    if recipe.schedule == "step":
        return float(recipe.drop ** (step // per_epoch // recipe.drop_every))
    total = recipe.epochs * per_epoch
    warm = max(1, round(WARM_UP * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1.0 + math.cos(math.pi * (step + 1 - warm) / max(1, total - warm + 1)))
