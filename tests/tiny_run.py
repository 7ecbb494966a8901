"""A small finished run on made sounds, for tests that ask it questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from earwitness.audio import decoding, extraction
from earwitness.audio.frontend import VGGISH
from earwitness.audio.segments import cut
from earwitness.core import files
from earwitness.core.run_folder import RunFolder
from earwitness.models import prediction
from earwitness.models.classifier import Classifier
from earwitness.models.registry import BACKBONES
from earwitness.training import prediction_files

RATE = VGGISH.sample_rate
# Names that break carelessly written files, formulas and pages.
CLASSES = ("click $5 & $6", "hiss <b>", "low/tone \N{GREEK SMALL LETTER ALPHA}")
EVIL = "hiss/<script>alert(1)<script>.wav"
FAKE = "low/is really a hiss.wav"
SILENT_END = "click/ends silent.wav"
SHORT = "low/short.wav"


def make(folder: Path) -> Path:
    """Make recordings under ``folder/data`` and the run ``folder/run``; return the run."""
    torch.manual_seed(0)
    names, labels = _record(folder / "data")
    log_mels = [extraction.log_mel_of(folder / "data" / name, VGGISH) for name in names]
    data = cut(log_mels, names, VGGISH.silence, VGGISH.segment_frames, 50.0, tail=False)
    network = BACKBONES["compact"].build(len(CLASSES)).eval()
    honest = data.rows_of([number for number, name in enumerate(names) if name != FAKE])
    with torch.inference_mode():
        embedded = network.embed(torch.from_numpy(data.values(honest))).numpy().astype(np.float64)
    _fit(network, embedded, labels[data.recording[honest]])
    classifier = Classifier(
        network=network,
        front_end=VGGISH,
        classes=CLASSES,
        backbone="compact",
        segment_frames=VGGISH.segment_frames,
        overlap=50.0,
        tail=False,
    )
    run = RunFolder(folder / "run")
    run.path.mkdir()
    everything = np.arange(len(names))
    metrics = prediction_files.write(prediction.predict(classifier, data, labels, everything), run)
    assert 0.5 < metrics.segment_accuracy < 1.0
    files.write_csv(run.quarantine, ["file", "reason"], [("low/<i>broken.wav", "is not audio & more")])
    _write_history(run)
    _write_asked(run, folder / "data", names, labels)
    classifier.save(run.model)
    return run.path


def _record(root: Path) -> tuple[list[str], np.ndarray]:
    random = np.random.default_rng(3)
    seconds = np.arange(2 * RATE) / RATE
    recordings: dict[str, tuple[int, np.ndarray]] = {}
    for take in range(3):
        clicks = 0.01 * random.standard_normal(2 * RATE) + 0.8 * (np.arange(2 * RATE) % (2000 + 300 * take) < 40)
        hiss = 0.2 * random.standard_normal(2 * RATE)
        tone = 0.4 * np.sin(2 * np.pi * (200 + 30 * take) * seconds) + 0.005 * random.standard_normal(2 * RATE)
        recordings |= {
            f"click/{take}.wav": (0, clicks),
            f"hiss/{take}.wav": (1, hiss),
            f"low/{take}@home.wav": (2, tone),
        }
    ending = recordings["click/0.wav"][1].copy()
    ending[RATE // 2 :] = 0.0
    recordings[SILENT_END] = (0, ending)
    recordings[EVIL] = (1, 0.1 * random.standard_normal(2 * RATE))
    recordings[FAKE] = (2, 0.15 * random.standard_normal(2 * RATE))
    recordings[SHORT] = (2, recordings["low/1@home.wav"][1][: RATE // 2])
    for name, (_, samples) in recordings.items():
        decoding.write_wav(root / name, samples.astype(np.float32), RATE)
    return list(recordings), np.array([label for label, _ in recordings.values()])


def _fit(network: torch.nn.Module, embedded: np.ndarray, labels: np.ndarray) -> None:
    """Set the last layer by least squares: no training, and yet a classifier that hears the difference."""
    inputs = np.hstack([embedded, np.ones((len(embedded), 1))])
    wanted = 3.0 * np.eye(len(CLASSES))[labels] - 1.0
    weights = np.linalg.solve(inputs.T @ inputs + 1e-6 * np.eye(inputs.shape[1]), inputs.T @ wanted)
    layer = network.get_submodule("FCFinal")
    assert isinstance(layer, torch.nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights[:-1].T))
        layer.bias.copy_(torch.from_numpy(weights[-1]))


def _write_history(run: RunFolder) -> None:
    columns = ["iteration", "epoch", "seconds", "learning_rate"]
    columns += ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
    rows = []
    for step in range(1, 41):
        measured = [f"{2 / step:.4f}", f"{1 - 0.5 / step:.4f}"] if step % 20 == 0 else ["", ""]
        rows.append(
            [step, 1 + step // 21, f"{step / 10:.2f}", 1e-3, f"{3 / step:.4f}", f"{1 - 0.9 / step:.4f}", *measured]
        )
    files.write_csv(run.history, columns, rows)


def _write_asked(run: RunFolder, root: Path, names: list[str], labels: np.ndarray) -> None:
    content = {
        "command": ["earwitness", "run", "my <data>", "--backbone", "compact"],
        "backbone": "compact",
        "weights": {"source": "random", "sha256": None},
        "data": {
            "path": str(root),
            "recordings": len(names),
            "classes": {name: int((labels == number).sum()) for number, name in enumerate(CLASSES)},
        },
        "split": {"kind": "order", "train": [], "validation": names, "warnings": ["The split cuts 2 <sources>."]},
        "recipe_name": "example",
        "recipe": {"epochs": 5, "augmentation": {"shift": False, "gain_db": 0.0}},
        "freeze": False,
        "overlap": 50.0,
        "seed": 0,
        "device": "cpu",
        "precision": "float32",
        "versions": {"python": "3", "earwitness": "0.1.0"},
    }
    files.write_json(run.run_json, content)
