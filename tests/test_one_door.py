"""Arrays are made of tensors in one place of the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from earwitness.core import device

SOURCE = Path(device.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "device.py")
# Calls that are always of a tensor.
FORBIDDEN = frozenset({"numpy", "__array__"})
# Functions of NumPy's that take a tensor for an array, and methods that arrays lack: a tensor's.
MAKERS = frozenset({"asarray", "array", "ascontiguousarray", "stack", "concatenate", "float32", "float64", "int64"})
TENSORIAL = frozenset({"cpu", "detach", "sqrt", "softmax", "sigmoid", "double", "float", "half"})


def conversions(code: str) -> list[int]:
    """Return the lines on which code makes arrays of tensors, as far as it can be told without running it.

    Whether ``x`` in ``np.asarray(x)`` is an array or a tensor shows only when the code runs, in ``test_on_a_gpu.py``.
    """
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = _called(node)
        if name in FORBIDDEN or (name in MAKERS and any(_tensorial(each) for each in node.args)):
            found.append(node.lineno)
    return found


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _tensorial(node: ast.expr) -> bool:
    """Tell whether an argument is what a tensor's method returned, such as ``x.cpu()``."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TENSORIAL):
        return False
    owner = node.func.value
    return not (isinstance(owner, ast.Name) and owner.id in ("np", "math", "torch"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_arrays_are_made_of_tensors_in_one_place(path):
    lines = conversions(path.read_text(encoding="utf-8"))
    assert not lines, f"{path.name}, line {lines[0]}: use earwitness.core.device.to_numpy"


@pytest.mark.parametrize(
    "code",
    [
        "x.numpy()",
        "x.cpu().numpy()",
        "drawn *= np.float32(weight.detach().float().square().mean().sqrt())",
        "np.asarray(x.cpu())",
        "(a if b else c).numpy()",
    ],
)
def test_such_a_conversion_is_found(code):
    assert conversions(code) == [1]


@pytest.mark.parametrize("code", ["np.asarray(x)", "np.float32(np.sqrt(3))", "torch.from_numpy(x)", "to_numpy(x)"])
def test_what_may_be_right_is_left_alone(code):
    assert not conversions(code)
