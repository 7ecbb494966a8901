"""What all test files share: the shared material, each worker's share of the cores, and which tests compute."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share_cores() -> None:
    """Give this process its share of the cores where pytest-xdist runs several; whoever set a number keeps it.

    Libraries read these when they are imported, so this comes before anything that imports PyTorch or NumPy.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, str(max(1, _cores() // workers)))


_share_cores()

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The same examples in every run, and no deadline: a busy machine is no fault of the code.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")

PROJECT = Path(__file__).resolve().parents[1]

# A file that imports one of these computes, and other processors round otherwise ...
COMPUTING = ("torch", "earwitness.models.classifier", "explain_toys", "tiny_run", "tiny_sounds", "command")
# ... but these look at words, files, devices and pictures alone, or at how fast something was.
SPEAKING = {
    "test_benchmarks",
    "test_checkpoints",
    "test_cli",
    "test_cli_errors",
    "test_detected_files",
    "test_documents",
    "test_explained",
    "test_exports",
    "test_front_door",
    "test_gpu_script",
    "test_labels",
    "test_locks",
    "test_losses",
    "test_maps_first",
    "test_models_of_others",
    "test_on_a_gpu",
    "test_others_on_a_gpu",
    "test_paper",
    "test_players",
    "test_remarks",
    "test_report",
    "test_runs",
    "test_runs_of_others",
    "test_terminal",
    "test_timefreq",
    "test_unchanged",
    "test_web_attacks",
    "test_weights",
    "test_web_browser",
    "test_web_looks",
    "test_web_page",
    "test_web_sound",
}


def _computes(module: ModuleType) -> bool:
    if module.__name__ in SPEAKING or module.__name__.startswith("test_web_"):  # pages show what others compute
        return False
    names = [getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(module).values()]
    return any(f"{name}.".startswith(f"{each}.") for name in names for each in COMPUTING)


# Files that take longest begin first, so that nobody waits for one of them in the end.
LONGEST = (
    *("web_browser", "cli_runs", "front_door", "cli", "web_looks", "gpu_script", "study", "report", "web_sound"),
    *("players", "web_attacks", "on_a_gpu", "training", "paper", "two_minutes", "detected_files", "web_api"),
    *("real_models", "soundscapes", "listen", "maps_first", "others_on_a_gpu", "second_decoder", "long_recordings"),
)
PLACES = {f"test_{name}": place for place, name in enumerate(LONGEST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and mark the tests that compute, for `make test-processors`."""
    items.sort(key=lambda item: PLACES.get(item.path.stem, len(PLACES)))
    for item in items:
        if isinstance(item, pytest.Function) and _computes(item.module):
            item.add_marker("computes")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared material (recordings, weights, golden values), or skip where there is none."""
    folder = Path(os.environ.get("EARWITNESS_SHARED", PROJECT.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no shared material at {folder}; set EARWITNESS_SHARED to the folder that holds golden/ and data/")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium; skips, saying why, where there is none."""
    import live_page

    with live_page.chromium() as started:
        yield started


@pytest.fixture
def gpu() -> Iterator[Any]:
    """A machine with one GPU, which is pretended."""
    import pretend_gpu

    with pretend_gpu.pretended_gpu() as pretended:
        yield pretended


@pytest.fixture
def visit(browser: Any, served: Any) -> Iterator[Any]:
    """A window on what the test's module serves, in which nothing may go wrong."""
    import live_page

    started = live_page.Visit(browser, served)
    yield started
    started.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, which pytest's are not; afterwards be root again if we were."""
    was = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        os.seteuid(was)
        folder.chmod(0o755)
        for closed in folder.iterdir():
            closed.chmod(0o755)
