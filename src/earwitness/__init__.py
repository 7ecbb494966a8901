"""What did the classifier hear, and can you believe that? Train, measure and investigate sound classifiers.

The whole job in a few calls (each is documented where it is defined; the modules below hold the rest):

>>> import earwitness
>>> request = earwitness.Request("sounds", "runs/first", backbone="compact")
>>> earwitness.train(request).metrics["file_accuracy"]  # doctest: +SKIP
0.925
>>> earwitness.ask("runs/first", of_class="helicopter")  # doctest: +SKIP
>>> earwitness.build_report("runs/first")  # doctest: +SKIP
>>> earwitness.explain_files(["some.wav"], backbone="mn04")  # doctest: +SKIP

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from earwitness.core.version import VERSION

if TYPE_CHECKING:
    from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError
    from earwitness.models.loading import load_classifier
    from earwitness.report.page import build_report
    from earwitness.training.request import Request
    from earwitness.workflows.audit import audit
    from earwitness.workflows.evaluate import evaluate_run as evaluate
    from earwitness.workflows.explain import explain_files, explain_whole
    from earwitness.workflows.inquire import ask
    from earwitness.workflows.scoreboard import score as score_methods
    from earwitness.workflows.train import cross_validate
    from earwitness.workflows.train import train_run as train

__version__ = VERSION
__all__ = [
    "BadRecordingError",
    "EarwitnessError",
    "Request",
    "UsageError",
    "ask",
    "audit",
    "build_report",
    "cross_validate",
    "evaluate",
    "explain_files",
    "explain_whole",
    "load_classifier",
    "score_methods",
    "train",
]

# Name -> where it is defined. None may be a module's name: importing that module would take its place.
_DEFINED = {
    "BadRecordingError": "core.errors.BadRecordingError",
    "EarwitnessError": "core.errors.EarwitnessError",
    "Request": "training.request.Request",
    "UsageError": "core.errors.UsageError",
    "ask": "workflows.inquire.ask",
    "audit": "workflows.audit.audit",
    "build_report": "report.page.build_report",
    "cross_validate": "workflows.train.cross_validate",
    "evaluate": "workflows.evaluate.evaluate_run",
    "explain_files": "workflows.explain.explain_files",
    "explain_whole": "workflows.explain.explain_whole",
    "load_classifier": "models.loading.load_classifier",
    "score_methods": "workflows.scoreboard.score",
    "train": "workflows.train.train_run",
}


def __getattr__(name: str) -> Any:
    if name not in _DEFINED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _DEFINED[name].rpartition(".")
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
