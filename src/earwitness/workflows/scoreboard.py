"""A scoreboard of methods, for a run's classifier or a small one, and written: tables, a figure, what was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from earwitness.core import files
from earwitness.core.arguments import listed
from earwitness.core.brief import brief
from earwitness.core.device import choose_device
from earwitness.core.errors import UsageError, printable
from earwitness.core.locks import folder_held
from earwitness.core.progress import Progress, shown
from earwitness.data.recordings import Recording
from earwitness.explainers.method import check_needs
from earwitness.explainers.registry import parse
from earwitness.inspection.model import askable, left_out
from earwitness.inspection.run import open_run
from earwitness.models.classifier import Classifier
from earwitness.plots import style
from earwitness.plots.scoreboard import scoreboard_chart
from earwitness.trust.scoreboard import tiny_models
from earwitness.trust.scoreboard.board import Scoreboard, explainers, measure
from earwitness.trust.scoreboard.collect import PRESETS, gather

SCOREBOARD, CASES, FIGURE, ASKED = "scoreboard.csv", "cases.csv", "scoreboard.png", "scoreboard.json"


@dataclass(frozen=True)
class ScoreboardResult:
    """A scoreboard and the folder that it was written to."""

    board: Scoreboard
    folder: Path

    __repr__ = brief


def scoreboard(
    run: Path | str | None = None,
    *,
    out: Path | str = "scoreboard",
    data: Path | str | None = None,
    preset: str = "quick",
    mixtures: int | None = None,
    methods: Sequence[str] | str = (),
    device: str = "auto",
    seed: int = 0,
    progress: Progress | bool = True,
) -> ScoreboardResult:
    """Score explanation methods on cases whose evidence is known, and write what came of it.

    Parameters
    ----------
    run
        A finished run, whose classifier is asked about mixtures; None trains a small one on made sounds.
    out
        Folder for ``scoreboard.csv``, ``cases.csv``, ``scoreboard.png`` and ``scoreboard.json``.
    data
        Where the run's recordings are now. Those that it held out are mixed.
    preset
        ``"quick"`` or ``"full"``.
    mixtures
        Of each source, 2 or more; None takes the preset's number. More make intervals narrower.
    methods
        As one types them; none means all by which the run's classifier can be asked, with the preset's settings.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``: where everything is learned and asked.
    seed
        Random seed.
    progress
        Told of each stage.

    Raises
    ------
    UsageError
        Something asked for does not exist, or the run's classifier cannot be asked by a method that is named.

    Examples
    --------
    >>> import earwitness as ew
    >>> result = ew.scoreboard("runs/demo", out="scoreboard", methods="gradcam", mixtures=2)
    >>> {standing.method for standing in result.board.standings} >= {"gradcam", "energy"}
    True
    """
    progress = shown(progress)
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset}: choose one of {', '.join(PRESETS)}")
    if run is None and data is not None:
        raise UsageError(f"--data {printable(data)}: is a run's; name the run folder, too")
    spent = PRESETS[preset] if mixtures is None else replace(PRESETS[preset], mixtures=mixtures)
    if spent.mixtures < 2:
        raise UsageError(f"--mixtures {mixtures}: two kinds take turns; ask for 2 or more")
    named = tuple(listed(methods))
    explainers(named)  # a wrong method must not be found out after the training
    folder = Path(out)
    files.check_writable(folder)
    with folder_held(folder):
        classifier, recordings = classifier_and_recordings(run, data, device, seed, progress)
        for method in named:
            check_needs(parse(method), classifier.network)
        every = spent.methods()
        chosen = named or askable(every, classifier.network)
        gathered = gather(
            classifier, recordings, preset=spent, seed=seed, device=choose_device(device), progress=progress
        )
        # A method by which the run cannot be asked ranks nowhere, though the other cases' own networks could be asked.
        if note := "" if named else left_out(every, chosen, classifier.backbone, classifier.network):
            gathered = replace(gathered, notes=(*gathered.notes, note))
        board = measure(gathered, chosen, every=not named, seed=seed, progress=progress)
        settings: dict[str, str | int | None] = {"preset": preset, "mixtures": spent.mixtures, "seed": seed}
        write(board, folder, settings | {"run": None if run is None else printable(run)})
    return ScoreboardResult(board, folder)


def classifier_and_recordings(
    run: Path | str | None, data: Path | str | None, device: str, seed: int, progress: Progress
) -> tuple[Classifier, list[Recording]]:
    """Return the classifier to ask, and the recordings that it has not learned from."""
    if run is None:
        return tiny_models.of_made_sounds(seed=seed, device=choose_device(device), progress=progress), []
    opened = open_run(run, choose_device(device), data)
    names = opened.predictions.files
    labels = [opened.predictions.classes[label] for label in opened.predictions.labels]
    recordings = [
        Recording(path=opened.path_of(name), name=name, label=label) for name, label in zip(names, labels, strict=True)
    ]
    there = [each for each in recordings if each.path.is_file()]
    if data is not None and not there:
        raise UsageError(f"--data {printable(data)}: holds none of the run's recordings, such as {names[0]}")
    if not there:
        progress.say("the run's recordings are gone; name their place with --data to have them mixed, too")
    return opened.classifier, there


def write(board: Scoreboard, folder: Path, settings: dict[str, str | int | None]) -> None:
    """Write a scoreboard's tables and figure into a folder, each whole or not at all.

    Parameters
    ----------
    board
        What to write.
    folder
        Made where it is missing.
    settings
        What was asked for.
    """
    cases, standings = [each.row() for each in board.records], [each.row() for each in board.standings]
    files.write_csv(folder / CASES, list(cases[0]), (list(row.values()) for row in cases))
    files.write_csv(folder / SCOREBOARD, list(standings[0]), (list(row.values()) for row in standings))
    style.save(scoreboard_chart(board), folder / FIGURE)
    found = {"tallies": [asdict(each) for each in board.gathered.tallies], "notes": list(board.gathered.notes)}
    files.write_json(folder / ASKED, {**settings, **found, "versions": dict(files.versions())})


# ---- words --------------------------------------------------------------------------------------------------------
