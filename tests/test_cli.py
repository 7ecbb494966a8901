"""The command line as a process: help that costs nothing, any encoding, a reader that leaves, the keyboard."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

import earwitness as package
from command import PROCESS, earwitness, environment, write_sounds
from earwitness.cli.app import app
from earwitness.core.errors import EarwitnessError
from earwitness.core.home import HOME_VARIABLE
from earwitness.models.weights import SHARED_VARIABLE, audioset_labels
from earwitness.report.page import build_report
from earwitness.training import request
from earwitness.workflows import evaluate, explain, inquire, train

COMMANDS = (
    "data",
    "download",
    "train",
    "evaluate",
    "explain",
    "inquire",
    "report",
    "listen",
    "run",
    "demo",
    "scoreboard",
    "audit",
    "check-model",
    "serve",
)
HEAVY = (
    "torch",
    "numpy",
    "scipy",
    "matplotlib",
    "sklearn",
    "soundfile",
    "av",
    "soxr",
    "safetensors",
    "jinja2",
    "requests",
    "starlette",
    "uvicorn",
    "msgspec",
)


def process(*arguments: str | Path, code: int = 0, **changes: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [*PROCESS, *map(str, arguments)], capture_output=True, env=environment(**changes), timeout=300, check=False
    )
    assert done.returncode == code, done.stderr.decode(errors="replace")
    return done


def seconds(*command: str) -> float:
    """Return the least processor time of five; it waits for no other process, of which there may be many."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run(command, check=True, capture_output=True, env=environment())
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(times)


# ---- no output ----------------------------------------------------------------------------------------------------


# A training takes seconds, and meets every stream in these: one that is closed, full or without a reader.
TRAINED_UNDER = ("<&- >&- 2>&-", ">/dev/full 2>&1", "2>&1 | :")


@pytest.mark.skipif(os.name != "posix", reason="closes streams by a shell")
@pytest.mark.parametrize(
    "closed",
    [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "| :", "2>&1 | :"],
)
def test_the_work_is_done_though_nobody_can_read_of_it(sounds, tmp_path, closed):
    def code_of(*words: str | Path | int) -> int:
        # A pipe's code is that of its last command, so the first one's is written down.
        shell = ["sh", "-c", f'{{ "$@"; echo $? >"$CODE"; }} {closed}', "sh", *PROCESS, *map(str, words)]
        code = tmp_path / "code"
        ran = subprocess.run(shell, capture_output=True, env=environment(CODE=str(code)), timeout=300, check=False)
        assert b"Traceback" not in ran.stderr + ran.stdout
        assert b"Exception ignored" not in ran.stderr + ran.stdout
        lost = b"standard output could not be written (No space left on device); the work went on" in ran.stderr
        assert lost == (closed == ">/dev/full")
        return int(code.read_text())

    if closed in TRAINED_UNDER:
        assert code_of("train", sounds, "--out", tmp_path / "run", "--backbone", "compact", "--epochs", 1) == 0
        assert (tmp_path / "run" / "model.safetensors").exists()
    assert code_of("data", sounds) == 0


@pytest.mark.skipif(os.name != "posix", reason="closes streams by a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">/dev/full", "2>/dev/full", "2>&1 | :"])
def test_failure_stays_failure_though_nobody_can_read_of_it(tmp_path, closed):
    shell = ["sh", "-c", f'{{ "$@"; echo $? >"$CODE"; }} {closed}', "sh", *PROCESS, "data", tmp_path / "nowhere"]
    code = tmp_path / "code"
    subprocess.run([*map(str, shell)], capture_output=True, env=environment(CODE=str(code)), check=False)
    assert int(code.read_text()) == 2


# ---- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_silently_overrules_itself(command):
    for option in typer.main.get_command(app).commands[command].params:
        if option.param_type_name != "option" or option.is_eager:
            continue
        name = option.opts[0]
        left = earwitness(command, *([name] if option.is_flag else [name, "1"]) * 2)
        refused = left.code == 2 and "given 2 times; once will do" in left.err
        assert refused is not option.multiple, (command, name, left.err)


# ---- help ---------------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy():
    code = f"""
import sys
from earwitness.cli import exit
from earwitness.cli.app import app
for words in ([], ["--help"], *([command, "--help"] for command in {COMMANDS!r})):
    assert exit.run(app, words) == 0
print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stderr.split() == []
    assert done.stdout.count("Usage: earwitness") == len(COMMANDS) + 2


def test_data_is_looked_at_without_what_computes(sounds):
    code = f"""
import sys
from earwitness.cli import exit
from earwitness.cli.app import app
assert exit.run(app, ["data", {str(sounds)!r}]) == 0
print(*sorted({{"torch", "matplotlib", "sklearn"}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stderr.split() == []


def test_help_comes_at_once():
    # The time of an interpreter that does nothing is the machine's own; 0.2 s on most.
    nothing = seconds(sys.executable, "-c", "pass")
    assert seconds(*PROCESS, "--help") < max(0.2, 12 * nothing)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_fits(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    left = earwitness(command, "--help")
    assert left.code == 0
    assert left.err == ""
    lines = left.out.splitlines()
    assert lines[0].startswith(f"Usage: earwitness {command} ")
    assert max(map(len, lines)) <= 80
    assert not re.search(r"[{}<]", re.sub(r"<=", "", left.out))  # RUN and --seed N, not {RUN} and <int range>
    assert "..." not in re.sub(r"\[?(FILE|RUN)(\]?\.\.\.)+", "", left.out)


def test_the_list_of_commands_is_whole_sentences(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = earwitness().out
    assert out == earwitness("--help").out
    listed = out.split("Commands:\n")[1].splitlines()
    assert tuple(line.split()[0] for line in listed) == COMMANDS
    assert all(line.endswith(".") and not line.endswith("..") for line in listed)


def test_a_misspelt_backbone_is_refused_before_anything_heavy_is_imported():
    code = f"""
import sys
from earwitness.cli import exit
from earwitness.cli.app import app
for words in (["train", ".", "--out", "x"], ["run", ".", "--out", "x"], ["explain", "."]):
    assert exit.run(app, [*words, "--backbone", "mn4"]) == 2
print(*sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert (
        done.stderr.splitlines()
        == ["earwitness: 'mn4': no such backbone (did you mean mn04?); choose one of vggish, mn04, compact"] * 3
    )
    assert done.stdout.split() == []


def test_the_version_is_told():
    left = earwitness("--version")
    assert (left.code, left.out, left.err) == (0, f"earwitness {package.__version__}\n", "")


def test_every_command_is_documented():
    registered = {command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    assert registered == set(COMMANDS)


def test_the_methods_are_listed():
    left = earwitness("explain", "--list")
    assert left.code == 0
    assert {"gradcam", "lime", "occlusion"} <= set(re.findall(r"^(\w+)  ", left.out, re.MULTILINE))
    assert len(left.out.splitlines()) < 40
    assert left.err == ""
    lime = earwitness("explain", "--list", "lime").out
    assert lime.startswith("lime: LIME\n")
    assert re.search(r"^  samples +2048 ", lime, re.MULTILINE)
    assert "\n  needs: scores\n" in lime
    assert "\n  needs: a feature layer and gradients\n" in earwitness("explain", "--list", "gradcam").out
    assert "occlusion" not in lime
    wrong = earwitness("explain", "--list", "lme")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("earwitness: 'lme': no such method (did you mean lime?); choose one of gradcam,")


def test_a_backbone_s_classes_are_listed_without_its_weights(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.delenv(SHARED_VARIABLE, raising=False)
    left = earwitness("explain", "--backbone", "mn04", "--list-classes")
    assert (left.code, left.err) == (0, "")
    assert left.out.splitlines() == list(audioset_labels())


# ---- streams ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("data") / "Töne 鳥", ("hiss", "über", "鳥"))


@pytest.mark.parametrize(
    "changes",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "LANG": "C"}],
    ids=["ascii", "C"],
)
def test_any_output_encoding_holds_every_name(sounds, changes):
    done = process("data", sounds, **changes)
    assert b"Traceback" not in done.stderr
    out = done.stdout.decode("utf-8")
    assert any(name in out for name in ("über", r"\xfcber"))
    assert any(name in out for name in ("鳥", r"\u9ce5"))
    missing = process("data", sounds / "无", code=2, **changes)
    assert missing.stderr.startswith(b"earwitness: ")
    assert missing.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [["data", "DATA"], ["explain", "--list"], ["--help"]])
def test_a_reader_that_has_had_enough_is_no_failure_worth_a_traceback(sounds, arguments):
    words = [str(sounds) if word == "DATA" else word for word in arguments]
    with subprocess.Popen(
        [*PROCESS, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()  # before anything is written
        said = running.stderr.read()
    assert running.returncode == 0
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said
    assert b"earwitness: " not in said


def test_what_is_next_can_be_typed(sounds):
    out = earwitness("data", sounds).out
    assert out.endswith(f"Next: earwitness run '{sounds}' --backbone mn04 --out runs/first\n")


# ---- the keyboard -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_interrupted_training_says_so_and_goes_on_later(sounds, tmp_path):
    out = tmp_path / "run"
    words = ["train", sounds, "--out", out, "--backbone", "compact", "--epochs", "100000", "--checkpoint-every", "0"]
    with subprocess.Popen(
        [*PROCESS, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        # Jobs in the background inherit that interrupts are ignored; people's commands do not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        begun = time.monotonic()
        while not (out / "checkpoints" / "newest.safetensors").exists() and time.monotonic() - begun < 120:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    lines = said.decode().splitlines()
    assert [line for line in lines if line.startswith("earwitness: ")] == [
        "earwitness: interrupted; --resume goes on with it"
    ]
    assert lines[-1].startswith("earwitness: interrupted")
    assert "Traceback" not in said.decode()
    assert (out / "run.json").exists()
    assert not (out / "model.safetensors").exists()
    assert not list(out.glob("**/.*"))


# ---- calls from Python --------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_but_its_version():
    code = "import sys, earwitness; dir(earwitness); print([m for m in sys.modules if m.startswith('earwitness.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert ast.literal_eval(done.stdout) == ["earwitness.core", "earwitness.core.version"]


def test_the_calls_are_those_of_their_modules():
    assert package.train is train.train
    assert package.evaluate is evaluate.evaluate
    assert package.cross_validate is train.cross_validate
    assert package.Request is request.Request
    assert package.inquire is inquire.inquire
    assert package.explain is explain.explain
    assert package.build_report is build_report
    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_no_call_bears_a_modules_name():
    # Importing the module would put it in the call's place.
    assert [name for name in package.__all__ if find_spec(f"earwitness.{name}")] == []


def test_what_is_not_there_is_said_to_be_missing():
    with pytest.raises(AttributeError, match="module 'earwitness' has no attribute 'tarin'"):
        _ = package.tarin
    with pytest.raises(ImportError):
        exec("from earwitness import tarin")


def test_types_know_what_is_given_at_run_time():
    """The imports for type checkers and the table for the interpreter must name the same things."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.asname or alias.name: str(node.module).removeprefix("earwitness.")
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == package._DEFINED
    assert sorted(typed) == package.__all__


def test_the_module_runs_as_a_program():
    assert process("--help").stdout == earwitness("--help").out.encode()


@pytest.mark.slow
def test_the_command_is_recorded_as_text(tmp_path, sounds):
    """Words that are not UTF-8 must not break the record of what was asked."""
    wild = os.fsencode(tmp_path) + b"/caf\xe9"
    words = ["train", os.fsencode(sounds), "--out", wild, "--backbone", "compact", "--epochs", "1", "--batch", "64"]
    done = subprocess.run([*PROCESS, *words], capture_output=True, env=environment(), timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    asked = json.loads(Path(os.fsdecode(wild), "run.json").read_text(encoding="utf-8"))
    assert asked["command"][4] == str(tmp_path / r"caf\xe9")


@pytest.mark.parametrize(("clips", "split"), [(5, "group"), (6, "fold")])
def test_the_demo_names_its_split_so_that_nobody_is_advised_to(clips, split, tmp_path, monkeypatch):
    asked = []

    def stop(request, **_):
        asked.append(request.split)
        raise EarwitnessError("enough")

    monkeypatch.setattr(train, "train", stop)
    assert earwitness("demo", "--out", tmp_path / "demo", "--clips", clips).err.endswith("enough\n")
    assert asked == [split]
