"""Predictions in a run folder: ``predictions.csv`` and ``files.csv``, with the metrics that follow; read back."""

from __future__ import annotations

import numpy as np

from earwitness.core.errors import EarwitnessError, printable
from earwitness.core.files import read_csv, write_csv, write_json
from earwitness.core.run_folder import RunFolder
from earwitness.models.prediction import Predictions
from earwitness.training.metrics import Metrics, measure

SCORE_COLUMN = "score_"
SILENT_COLUMN = "silent"  # runs of earlier versions have none


def write(predictions: Predictions, run: RunFolder) -> Metrics:
    """Write ``predictions.csv``, ``files.csv`` and ``metrics.json``; return the metrics.

    Scores have nine digits, which tell every float32 from its neighbours, so that reading them back changes no vote.
    """
    names, silent = predictions.classes, predictions.silent
    columns = ["file", "start_s", "end_s", "label", "predicted", "score", *([] if silent is None else [SILENT_COLUMN])]
    columns += [SCORE_COLUMN + name for name in names]
    write_csv(
        run.predictions,
        columns,
        (
            [
                predictions.files[recording],
                f"{start:.6f}",
                f"{end:.6f}",
                names[predictions.labels[recording]],
                names[best],
                f"{scores[best]:.9g}",
                *([] if silent is None else [f"{silent[row]:.6g}"]),
                *(f"{score:.9g}" for score in scores),
            ]
            for row, (recording, start, end, best, scores) in enumerate(
                zip(
                    predictions.recording,
                    predictions.start_seconds,
                    predictions.end_seconds,
                    predictions.predicted,
                    predictions.scores,
                    strict=True,
                )
            )
        ),
    )
    write_csv(
        run.files,
        ["file", "label", "predicted", "votes", "mean_score", "segments", "tie", "predicted_by_mean"],
        (
            [
                file,
                names[predictions.labels[row]],
                names[best],
                int(predictions.votes[row, best]),
                f"{predictions.mean_scores[row, best]:.8f}",
                int(predictions.votes[row].sum()),
                "yes" if predictions.tied[row] else "no",
                names[predictions.file_predicted_by_mean[row]],
            ]
            for row, (file, best) in enumerate(zip(predictions.files, predictions.file_predicted, strict=True))
        ),
    )
    metrics = measure(predictions)
    write_json(run.metrics, metrics.as_dict())
    return metrics


def read(run: RunFolder) -> Predictions:
    """Read ``predictions.csv`` back.

    Raises
    ------
    EarwitnessError
        It is missing, empty or damaged.
    """
    rows = read_csv(run.predictions)
    if not rows:
        raise EarwitnessError(f"{printable(run.predictions)}: holds no predictions; `earwitness evaluate` makes them")
    classes = tuple(column.removeprefix(SCORE_COLUMN) for column in rows[0] if column.startswith(SCORE_COLUMN))
    try:
        files = tuple(dict.fromkeys(row["file"] for row in rows))
        position = {file: number for number, file in enumerate(files)}
        label_of = {row["file"]: classes.index(row["label"]) for row in rows}
        scores = np.array([[float(row[SCORE_COLUMN + name]) for name in classes] for row in rows], dtype=np.float32)
        start = np.array([float(row["start_s"]) for row in rows])
        end = np.array([float(row["end_s"]) for row in rows])
        silent = np.array([float(row[SILENT_COLUMN]) for row in rows]) if SILENT_COLUMN in rows[0] else None
        known = (scores, start, end) if silent is None else (scores, start, end, silent)
        if not all(np.isfinite(values).all() for values in known):
            raise ValueError("a score, a moment or a share is not a number")
    except (KeyError, ValueError) as error:
        reason = f"it has no column {error}" if isinstance(error, KeyError) else error
        raise EarwitnessError(f"{printable(run.predictions)}: is damaged ({reason}); evaluate the run again") from error
    return Predictions(
        classes=classes,
        files=files,
        labels=np.array([label_of[file] for file in files], dtype=np.int64),
        recording=np.array([position[row["file"]] for row in rows], dtype=np.int64),
        start_seconds=start,
        end_seconds=end,
        scores=scores.astype(np.float64),
        silent=silent,
    )
