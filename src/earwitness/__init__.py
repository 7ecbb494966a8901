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

if TYPE_CHECKING:
    from earwitness.auditbook import audit
    from earwitness.errors import BadRecordingError, EarwitnessError, UsageError
    from earwitness.investigate import ask, explain_files, load_classifier
    from earwitness.plan import Request
    from earwitness.report import build as build_report
    from earwitness.scorebook import score as score_methods
    from earwitness.study import cross_validate
    from earwitness.study import evaluate_run as evaluate
    from earwitness.study import train_run as train
    from earwitness.wholefiles import explain_whole

__version__ = "0.1.0"
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
    "BadRecordingError": "errors.BadRecordingError",
    "EarwitnessError": "errors.EarwitnessError",
    "Request": "plan.Request",
    "UsageError": "errors.UsageError",
    "ask": "investigate.ask",
    "audit": "auditbook.audit",
    "build_report": "report.build",
    "cross_validate": "study.cross_validate",
    "evaluate": "study.evaluate_run",
    "explain_files": "investigate.explain_files",
    "explain_whole": "wholefiles.explain_whole",
    "load_classifier": "investigate.load_classifier",
    "score_methods": "scorebook.score",
    "train": "study.train_run",
}


def __getattr__(name: str) -> Any:
    if name not in _DEFINED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _DEFINED[name].split(".")
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
