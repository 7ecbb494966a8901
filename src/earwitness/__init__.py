"""What did the classifier hear, and can you believe that? Train, measure and investigate sound classifiers.

The whole job in a few calls, each documented where it is defined (``help(earwitness.explain)``):

>>> import earwitness as ew
>>> ew.train(ew.Request("sounds", "runs/first", backbone="compact"))  # doctest: +SKIP
>>> ew.inquire("runs/first", of_class="helicopter")  # doctest: +SKIP
>>> ew.build_report("runs/first")  # doctest: +SKIP
>>> model = ew.load_model("runs/first")  # doctest: +SKIP
>>> ew.explain("some.wav", model)["lime"].values  # doctest: +SKIP

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from earwitness.core.version import VERSION

if TYPE_CHECKING:
    from earwitness.core.errors import BadRecordingError, EarwitnessError, UsageError
    from earwitness.data.parting import split_each_label
    from earwitness.explainers.attribution import Attribution
    from earwitness.inspection.check import check_model
    from earwitness.inspection.model import Model, load_model
    from earwitness.report.page import build_report
    from earwitness.sonify.edits import Edit
    from earwitness.sonify.listening import Listening
    from earwitness.training.request import Request
    from earwitness.workflows.audit import audit
    from earwitness.workflows.evaluate import evaluate
    from earwitness.workflows.explain import explain, explain_all
    from earwitness.workflows.explanation import Explanation
    from earwitness.workflows.inquire import inquire
    from earwitness.workflows.listen import listen
    from earwitness.workflows.scoreboard import scoreboard
    from earwitness.workflows.train import cross_validate, train
    from earwitness.workflows.what_if import what_if

__version__ = VERSION
__all__ = [
    "Attribution",
    "BadRecordingError",
    "EarwitnessError",
    "Edit",
    "Explanation",
    "Listening",
    "Model",
    "Request",
    "UsageError",
    "audit",
    "build_report",
    "check_model",
    "cross_validate",
    "evaluate",
    "explain",
    "explain_all",
    "inquire",
    "listen",
    "load_model",
    "scoreboard",
    "split_each_label",
    "train",
    "what_if",
]

# Name -> the module that defines it. No package or module of ours may have one of these names: importing it would put
# it in the call's place.
_DEFINED = {
    "Attribution": "explainers.attribution",
    "BadRecordingError": "core.errors",
    "EarwitnessError": "core.errors",
    "Edit": "sonify.edits",
    "Explanation": "workflows.explanation",
    "Listening": "sonify.listening",
    "Model": "inspection.model",
    "Request": "training.request",
    "UsageError": "core.errors",
    "audit": "workflows.audit",
    "build_report": "report.page",
    "check_model": "inspection.check",
    "cross_validate": "workflows.train",
    "evaluate": "workflows.evaluate",
    "explain": "workflows.explain",
    "explain_all": "workflows.explain",
    "inquire": "workflows.inquire",
    "listen": "workflows.listen",
    "load_model": "inspection.model",
    "scoreboard": "workflows.scoreboard",
    "split_each_label": "data.parting",
    "train": "workflows.train",
    "what_if": "workflows.what_if",
}


def __getattr__(name: str) -> Any:
    if name not in _DEFINED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_DEFINED[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
