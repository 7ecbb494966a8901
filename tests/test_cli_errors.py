"""Wrong inputs: each ends in one line that says what, which file or value, and what to do, with its exit code."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import tiny_run
from command import PROCESS, earwitness, environment, write_sounds
from earwitness.core import files, run_folder
from earwitness.core.errors import on_disk, printable
from earwitness.models.registry import BACKBONES


@dataclass(frozen=True)
class Place:
    """Where a case works.

    Parameters
    ----------
    tmp
        An empty folder of its own, and the working directory.
    data
        Three classes of sounds; not to be changed.
    run
        A finished run on other sounds; not to be changed.
    """

    tmp: Path
    data: Path
    run: Path

    @property
    def sound(self) -> Path:
        return self.run.parent / "data" / "click" / "0.wav"

    def copy(self) -> Path:
        """Return a copy of the sounds that may be changed."""
        return Path(shutil.copytree(self.data, self.tmp / "sounds"))

    def copied_run(self) -> Path:
        """Return a copy of the run that may be changed, beside a copy of its sounds."""
        shutil.copytree(self.run.parent, self.tmp / "copy")
        return self.tmp / "copy" / "run"

    def train(self, *options: str | Path | float) -> list[str | Path | float]:
        usual = {"--out": self.tmp / "out", "--backbone": "compact", "--epochs": 1}
        kept = [word for name, value in usual.items() if name not in options for word in (name, value)]
        return ["train", self.data, *kept, *options]

    def explain(self, *options: str | Path | float) -> list[str | Path | float]:
        return ["explain", "--run", self.run, "--out", self.tmp / "out", "--method", "gradcam", *options]

    def inquire(self, *options: str | Path | float) -> list[str | Path | float]:
        return ["inquire", self.run, "--method", "gradcam", *options]


Wrong = Callable[[Place], list[str | Path | float]]
CASES: list[tuple[Wrong, int, str]] = []


def ends(code: int, line: str) -> Callable[[Wrong], Wrong]:
    """Add a case: a function that makes things wrong and returns the arguments, its exit code and its line's pattern.

    ``<TMP>``, ``<DATA>`` and ``<RUN>`` in the pattern stand for the case's places.
    """

    def add(function: Wrong) -> Wrong:
        CASES.append((function, code, line))
        return function

    return add


# ---- data ---------------------------------------------------------------------------------------------------------


@ends(2, r"<TMP>/nowhere: no such data; name a folder of class folders or a \.csv file")
def data_folder_missing(at: Place):
    return ["data", at.tmp / "nowhere"]


@ends(2, r"<TMP>/nowhere: no such data; .*")
def data_folder_missing_in_training(at: Place):
    return ["run", at.tmp / "nowhere", "--out", at.tmp / "out", "--backbone", "compact"]


@ends(2, r"<TMP>/sound\.wav: is neither a folder of class folders nor a \.csv file; name one of these")
def file_instead_of_folder(at: Place):
    shutil.copy(at.sound, at.tmp / "sound.wav")
    return ["data", at.tmp / "sound.wav"]


@ends(2, r"<TMP>/empty: has no class folders; put each class's recordings into a folder of its own")
def empty_folder(at: Place):
    (at.tmp / "empty").mkdir()
    return ["data", at.tmp / "empty"]


@ends(
    2, r"<TMP>/sounds: class 'low' has one usable recording, but one to learn from and one to test with are needed; .*"
)
def class_with_one_file(at: Place):
    for path in sorted((at.copy() / "low").iterdir())[1:]:
        path.unlink()
    return ["data", at.tmp / "sounds"]


@ends(2, r"<TMP>/sounds: has one class only \('low'\); a classifier needs two or more")
def one_class_only(at: Place):
    at.copy()
    for label in ("hiss", "high"):
        shutil.rmtree(at.tmp / "sounds" / label)
    return ["data", at.tmp / "sounds"]


@ends(
    2,
    r"<TMP>/sounds: has one class only \('low'\); a classifier needs two or more; "
    r"'high', 'hiss' are class folders without a recording: left out",
)
def empty_class_folders(at: Place):
    at.copy()
    for path in (at.tmp / "sounds").glob("hi*/*"):
        path.unlink()
    return ["data", at.tmp / "sounds"]


@ends(2, r"<TMP>/sounds: class 'a\\x1b\[31mb\\x0a' has a control character; rename it")
def class_with_control_characters(at: Place):
    sounds = at.copy()
    (sounds / "low").rename(sounds / "a\x1b[31mb\n")
    return ["data", sounds]


@ends(2, r"<TMP>/so\\x0aunds\\xff: has a name that is not valid UTF-8; rename it")
def data_folder_not_utf8(at: Place):
    wild = at.tmp / os.fsdecode(b"so\nunds\xff")
    shutil.copytree(at.data, wild)
    return ["data", wild]


def csv(at: Place, text: str | bytes) -> Path:
    path = at.copy() / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


LISTED = "file,label\nlow/take0.wav,low\nlow/take1.wav,low\nhigh/take0.wav,high\nhigh/take1.wav,high\n"


@ends(2, r"<TMP>/sounds/list\.csv: has no column 'label' but file, class; its header must be file,label .*")
def csv_without_label_column(at: Place):
    return ["data", csv(at, LISTED.replace("label", "class"))]


@ends(2, r"<TMP>/sounds/list\.csv: has an unknown column 'mood'; its header must be .*")
def csv_with_unknown_column(at: Place):
    return ["data", csv(at, "file,label,mood\nlow/take0.wav,low,good\n")]


@ends(2, r"<TMP>/sounds/list\.csv, line 4: is not UTF-8; save the file with UTF-8 encoding")
def csv_not_utf8(at: Place):
    return ["data", csv(at, LISTED.replace("high/take0.wav,high", "high/take0.wav,h\xf6ch").encode("latin-1"))]


@ends(
    2, r"<TMP>/sounds/list\.csv, line 6: low/take0\.wav has two labels, 'low' and 'high' \(first on line 2\); keep one"
)
def csv_with_two_labels(at: Place):
    return ["data", csv(at, LISTED + "low/take0.wav,high\n")]


@ends(2, r"<TMP>/sounds/list\.csv: is empty; its first line must be file,label and may add group,fold")
def csv_empty(at: Place):
    return ["data", csv(at, "")]


@ends(2, r"<TMP>/sounds/list\.csv, line 2: has 1 values for 2 columns; correct it, .*")
def csv_with_a_short_line(at: Place):
    return ["data", csv(at, LISTED.replace("low/take0.wav,low", "low/take0.wav"))]


@ends(2, r"low/take0\.wav: its label 'low' is none of the known classes \(.*\); correct it")
def csv_with_a_label_that_the_run_does_not_know(at: Place):
    return ["evaluate", at.run, "--data", csv(at, LISTED), "--out", at.tmp / "out"]


# ---- training -----------------------------------------------------------------------------------------------------


@ends(2, r"'vgish': no such backbone \(did you mean vggish\?\); choose one of vggish, mn04, compact")
def unknown_backbone(at: Place):
    return at.train("--backbone", "vgish")


@ends(
    2, r"vggish: its published weights are not in <TMP>/home/weights; fetch them with 'earwitness download vggish', .*"
)
def published_weights_not_fetched(at: Place):
    return at.train("--backbone", "vggish")


@ends(2, r"<TMP>/nowhere\.pt: there is no such file; give --weights a file of weights or none")
def weights_missing(at: Place):
    return at.train("--weights", at.tmp / "nowhere.pt")


@ends(2, r"<TMP>/nowhere\.pt: there is no such file; give --weights a file of weights")
def weights_missing_of_a_model_to_check(at: Place):
    return ["check-model", "mn04", "--weights", at.tmp / "nowhere.pt"]


@ends(2, r"<TMP>/nowhere\.pt: there is no such file; give --weights a file of weights")
def weights_missing_of_a_model_to_serve(at: Place):
    return ["serve", at.data, "--backbone", "mn04", "--weights", at.tmp / "nowhere.pt"]


@ends(2, r"--weights some\.pt: are of a --backbone; name it, or leave them out")
def weights_without_a_backbone_to_serve(at: Place):
    return ["serve", at.run, "--weights", "some.pt"]


@ends(1, r"<TMP>/garbage\.pt: is not a readable PyTorch file of weights \(damaged, cut short or something else\); .*")
def weights_garbage(at: Place):
    (at.tmp / "garbage.pt").write_bytes(b"\x80\x02" + bytes(range(256)) * 9)
    return at.train("--weights", at.tmp / "garbage.pt")


class Code:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch code-was-run",)


@ends(1, r"<TMP>/code\.pt: (holds Python objects other than tensors|is not a readable PyTorch file) .*")
def weights_pickle_with_code(at: Place):
    (at.tmp / "code.pt").write_bytes(pickle.dumps({"layer.weight": Code()}))
    return at.train("--weights", at.tmp / "code.pt")


@ends(1, r"<TMP>/code\.pt: holds Python objects other than tensors, which could run code; save only a state_dict\(\)")
def weights_of_torch_with_code(at: Place):
    torch.save({"layer.weight": Code()}, at.tmp / "code.pt")
    return at.train("--weights", at.tmp / "code.pt")


@ends(1, r"<TMP>/other\.pt: '.+' is missing \(the file has 1 entries, \d+ are expected\); give weights of this very .*")
def weights_of_another_network(at: Place):
    torch.save({"some\nlayer": torch.zeros(3)}, at.tmp / "other.pt")
    return at.train("--weights", at.tmp / "other.pt")


@ends(2, r"--recipe soup: no such recipe; choose one of example, .*")
def unknown_recipe(at: Place):
    return at.train("--recipe", "soup")


@ends(2, r"--epochs 0: must be at least 1")
def no_epochs(at: Place):
    return at.train("--epochs", 0)


@ends(2, r"--batch 0: must be at least 1")
def no_batch(at: Place):
    return at.train("--batch", 0)


@ends(2, r"--learning-rate -0\.1: must be over 0 and at most 10")
def negative_learning_rate(at: Place):
    return at.train("--learning-rate", -0.1)


@ends(2, r"--learning-rate nan: must be over 0 and at most 10")
def learning_rate_not_a_number(at: Place):
    return at.train("--learning-rate", "nan")


@ends(2, r"--precision float8: choose one of float32, bfloat16, auto")
def unknown_precision(at: Place):
    return at.train("--precision", "float8")


@ends(2, r"unknown split 'fair'; choose one of order, fold, group, random")
def unknown_split(at: Place):
    return at.train("--split", "fair")


@ends(2, r"<DATA>: folds are not known; add a column 'fold' to a CSV, .*")
def unknown_folds(at: Place):
    return at.train("--fold", 3)


@ends(2, r"<TMP>/sounds: no fold '9'; there are 1, 2")
def unknown_fold(at: Place):
    lines = [f"{line},{number % 2 + 1}" for number, line in enumerate(LISTED.splitlines()[1:])]
    return ["data", csv(at, "\n".join(["file,label,fold", *lines])), "--fold", 9]


@ends(2, r"a fold \(3\) goes with the split 'fold', not with 'order'; leave one of them out")
def fold_with_another_split(at: Place):
    return at.train("--fold", 3, "--split", "order")


@ends(2, r"--fraction 1: the part to learn from must lie between 0 and 1")
def nothing_held_out(at: Place):
    return at.train("--fraction", 1)


@ends(2, r"--overlap 100: must be at least 0 and under 100 percent")
def overlap_of_everything(at: Place):
    return at.train("--overlap", 100)


@ends(2, r"--segment 0: must be over 0 and at most 60 seconds")
def segment_of_nothing(at: Place):
    return at.train("--segment", 0)


@ends(2, r"--segment 0\.1: gives 10 frames; at least 32 are needed")
def segment_too_short(at: Place):
    return at.train("--segment", 0.1)


@ends(2, r"--segment 2: vggish takes segments of 0\.96 s only")
def segment_too_long_for_vggish(at: Place):
    return at.train("--segment", 2, "--backbone", "vggish", "--weights", "none")


@ends(2, r"--freeze: random weights cannot be kept as they are; leave out --freeze or --weights none")
def freeze_random_weights(at: Place):
    return at.train("--freeze")


@ends(2, r"--device abacus: cannot be used here; take cpu( or cuda| or mps)?")
def unknown_device(at: Place):
    return at.train("--device", "abacus")


@ends(2, r"--device cuda:99: cannot be used here; take cpu( or cuda| or mps)?")
def device_not_here(at: Place):
    return at.train("--device", "cuda:99")


@ends(2, r"'gradcamm': no such method \(did you mean gradcam\?\); choose one of .*gradcam, .*")
def method_unknown_before_the_training(at: Place):
    return ["run", *at.train("--method", "gradcamm")[1:]]


@ends(2, r"cross-validation needs at least 2 folds, not 1")
def one_fold(at: Place):
    return at.train("--folds", 1)


@ends(2, r"9 folds are too many: class 'high' has 5 recordings; ask for at most 5, or add recordings")
def too_many_folds(at: Place):
    return at.train("--folds", 9)


@ends(2, r"--folds makes splits of its own; leave out --split and --fold")
def folds_with_a_split(at: Place):
    return at.train("--folds", 3, "--split", "order")


# ---- the run folder -----------------------------------------------------------------------------------------------


@ends(2, r"<TMP>/out: is not empty and holds no run; name a new folder with --out")
def out_holds_something(at: Place):
    (at.tmp / "out").mkdir()
    (at.tmp / "out" / "thesis.tex").touch()
    return at.train()


@ends(2, r"<TMP>/out: is a file; name a folder for the run with --out")
def out_is_a_file(at: Place):
    (at.tmp / "out").touch()
    return at.train()


@ends(2, r"<TMP>/file/out: <TMP>/file is a file; name another folder with --out")
def out_below_a_file(at: Place):
    (at.tmp / "file").touch()
    return at.train("--out", at.tmp / "file" / "out")


@ends(2, r"<TMP>/closed/out: nothing can be written to <TMP>/closed; change its permissions, or name another folder .*")
def out_unwritable(at: Place):
    (at.tmp / "closed").mkdir()
    return at.train("--out", at.tmp / "closed" / "out")


@ends(2, r"<TMP>/sounds/out: lies in the data folder, whose folders are classes; name another --out")
def out_in_the_data(at: Place):
    return ["train", at.copy(), "--out", at.tmp / "sounds" / "out", "--backbone", "compact"]


@ends(2, r"<RUN>: holds a finished run; name another --out, or --overwrite to replace it")
def out_holds_a_finished_run(at: Place):
    return at.train("--out", at.run)


@ends(2, r"<TMP>/out: holds an unfinished run; --resume goes on with it, --overwrite begins anew")
def out_holds_an_unfinished_run(at: Place):
    shutil.copytree(at.run, at.tmp / "out")
    (at.tmp / "out" / "model.safetensors").unlink()
    return at.train()


@ends(2, r"<TMP>/copy/run: --resume needs the same request, but \w+ \([\w, ]+\) differs from when .*")
def resume_with_another_request(at: Place):
    run = at.copied_run()
    (run / "model.safetensors").unlink()
    return at.train("--out", run, "--resume")


@ends(2, r"<TMP>/out: is not empty and holds no run; empty it, or name another --out")
def overwrite_what_is_no_run(at: Place):
    (at.tmp / "out" / "figures").mkdir(parents=True)
    (at.tmp / "out" / "figures" / "mine.png").touch()
    return at.train("--overwrite")


@ends(2, r"<DATA>: folds are not known; .*")
def overwrite_by_a_wrong_request(at: Place):
    return at.train("--out", at.copied_run(), "--overwrite", "--fold", 9)


# ---- questions ----------------------------------------------------------------------------------------------------


@ends(2, r"<TMP>/nowhere: no such run folder; `earwitness train` makes one")
def inquire_nothing(at: Place):
    return ["inquire", at.tmp / "nowhere"]


@ends(2, r"<TMP>: is not a run folder \(it holds no model\.safetensors\)")
def inquire_what_is_no_run(at: Place):
    return ["inquire", at.tmp]


@ends(2, r"<TMP>/out: its training is unfinished; go on with `earwitness run 'my <data>' --backbone compact --resume`")
def inquire_an_unfinished_run(at: Place):
    shutil.copytree(at.run, at.tmp / "out")
    (at.tmp / "out" / "model.safetensors").unlink()
    return ["inquire", at.tmp / "out"]


@ends(2, r"'moo': the classifier has no such class; it knows click .*")
def inquire_unknown_class(at: Place):
    return at.inquire("--class", "moo")


@ends(2, r"gradcam: .*nope.*")
def layer_unknown_before_the_training(at: Place):
    return ["run", *at.train("--method", "gradcam:layer=nope")[1:]]


@ends(2, r"--least sure: choose one of reliable, weak")
def filter_that_is_no_verdict(at: Place):
    return at.inquire("--least", "sure")


@ends(2, r"--least weak: goes by verdicts; leave out --no-verdicts")
def filter_without_verdicts(at: Place):
    return at.inquire("--least", "weak", "--no-verdicts")


@ends(2, r"<TMP>/nothing: .*")
def audit_of_what_is_no_run(at: Place):
    (at.tmp / "nothing").mkdir()
    return ["audit", at.tmp / "nothing"]


@ends(1, r"<TMP>/elsewhere/.*: has gone missing since the run.*")
def audit_without_the_recordings(at: Place):
    return ["audit", at.run, "--data", at.tmp / "elsewhere"]


@ends(2, r"'guess': no such method.*; choose one of .*gradcam, .*")
def inquire_unknown_method(at: Place):
    return ["inquire", at.run, "--method", "guess"]


@ends(2, r"lime: unknown parameter 'sample=9' \(did you mean samples\?\); write name=value with one of .*")
def inquire_unknown_parameter(at: Place):
    return ["inquire", at.run, "--method", "lime:sample=9"]


@ends(2, r"lime: samples=many does not do; use a whole number, \d+ or more")
def inquire_bad_value(at: Place):
    return ["inquire", at.run, "--method", "lime:samples=many"]


@ends(2, r"--class, --true/--predicted and --segment are three questions: ask one at a time")
def inquire_two_questions(at: Place):
    return at.inquire("--class", tiny_run.CLASSES[0], "--true", tiny_run.CLASSES[1])


@ends(2, r"'hiss <b>': both classes are the same; name two, or ask for the class alone")
def inquire_a_confusion_of_one_class(at: Place):
    return at.inquire("--true", "hiss <b>", "--predicted", "hiss <b>")


@ends(2, r"--count 3: goes with --class or --true/--predicted; leave it out")
def inquire_a_count_of_nothing(at: Place):
    return at.inquire("--count", 3)


@ends(2, r"--count 0: .*1; see earwitness inquire --help")
def inquire_a_count_of_none(at: Place):
    return at.inquire("--class", tiny_run.CLASSES[0], "--count", 0)


@ends(2, r"row 100000: the run has no such segment; its rows are 0 to \d+")
def inquire_row_out_of_range(at: Place):
    return at.inquire("--segment", 100_000)


@ends(2, r"moo\.wav: the run measured no such recording; its \d+ stand in predictions\.csv, such as .*")
def inquire_unknown_place(at: Place):
    return at.inquire("--segment", "moo.wav@1.5")


@ends(2, r"click/0\.wav@99: the recording's segments lie between 0 and .* s; name a moment among them")
def inquire_moment_out_of_range(at: Place):
    return at.inquire("--segment", "click/0.wav@99")


@ends(1, r"<TMP>/copy/data/click/0\.wav: has gone missing since the run; put it back, or name the data's new place .*")
def inquire_recording_gone(at: Place):
    run = at.copied_run()
    (at.tmp / "copy" / "data" / "click" / "0.wav").unlink()
    return ["inquire", run, "--method", "gradcam", "--segment", "click/0.wav@0", "--data", at.tmp / "copy" / "data"]


@ends(2, r"<TMP>: is not a run folder \(it holds no model\.safetensors\)")
def report_of_no_run(at: Place):
    return ["report", at.tmp]


@ends(1, r"<TMP>/copy/run/metrics\.json: is not valid JSON \(.*\).*")
def report_of_damaged_metrics(at: Place):
    run = at.copied_run()
    (run / "metrics.json").write_text('{"segment_accuracy": 0.')
    return ["report", run]


@ends(1, r"<TMP>/copy/run/model\.safetensors: is not an earwitness model \(.*\); train it again")
def damaged_model(at: Place):
    run = at.copied_run()
    model = run / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1000])
    return ["inquire", run]


@ends(1, r"<TMP>/copy/run/model\.safetensors: is not an earwitness model \(.*\); train it again")
def model_of_somebody_else(at: Place):
    from safetensors.torch import save_file

    run = at.copied_run()
    save_file({"weight": torch.zeros(3)}, run / "model.safetensors", metadata={"earwitness": "{}"})
    return ["inquire", run]


@ends(1, r"<TMP>/copy/run/predictions\.csv: is damaged \(.*\); evaluate the run again")
def damaged_predictions(at: Place):
    run = at.copied_run()
    text = (run / "predictions.csv").read_text(encoding="utf-8")
    (run / "predictions.csv").write_text(text.replace(",0.", ",zero.", 1), encoding="utf-8")
    return ["inquire", run]


@ends(1, r"<TMP>/copy/run/predictions\.csv: is damaged \(.*\); evaluate the run again")
def predictions_without_files(at: Place):
    run = at.copied_run()
    text = (run / "predictions.csv").read_text(encoding="utf-8")
    (run / "predictions.csv").write_text(text.replace("file,", "path,", 1), encoding="utf-8")
    return ["inquire", run]


@ends(1, r"<TMP>/copy/run/predictions\.csv: line \d+ has \d fields, the header 10: correct that line")
def predictions_cut_short(at: Place):
    run = at.copied_run()
    text = (run / "predictions.csv").read_text(encoding="utf-8")
    (run / "predictions.csv").write_text(text[:-30], encoding="utf-8")
    return ["inquire", run]


@ends(1, r"<TMP>/copy/run/run\.json: does not say where the data is; name it with --data")
def run_that_does_not_know_its_data(at: Place):
    run = at.copied_run()
    files.write_json(run / "run.json", {"backbone": "compact"})
    return ["inquire", run]


# ---- evaluation ---------------------------------------------------------------------------------------------------


@ends(2, r"--out: name a folder for the results; the run's own are kept as they are")
def evaluate_otherwise_without_out(at: Place):
    return ["evaluate", at.run, "--overlap", 0]


@ends(2, r"<TMP>: exists and is not an empty folder; name a new one with --out")
def evaluate_into_a_full_folder(at: Place):
    (at.tmp / "thesis.tex").touch()
    return ["evaluate", at.run, "--out", at.tmp]


@ends(2, r"<TMP>/old: the run's data has gone missing; put it back, or evaluate other recordings with --data")
def evaluate_without_the_data(at: Place):
    run = at.copied_run()
    asked = files.read_json(run / "run.json")
    files.write_json(run / "run.json", {**asked, "data": {**asked["data"], "path": str(at.tmp / "old")}})
    return ["evaluate", run]


@ends(1, r"<TMP>/copy/run/run\.json: is damaged \(it does not say what was held out\); evaluate other recordings .*")
def evaluate_a_run_that_forgot(at: Place):
    run = at.copied_run()
    files.write_json(run / "run.json", {"backbone": "compact"})
    return ["evaluate", run]


# ---- explaining files ---------------------------------------------------------------------------------------------


@ends(2, r"name a sound file, --list for the methods, or --list-classes for the classes")
def explain_nothing(at: Place):
    return at.explain()


@ends(2, r".*\.wav: --list-classes lists classes and nothing else; leave out one of them")
def list_the_classes_of_a_file(at: Place):
    return at.explain(at.sound, "--list-classes")


@ends(2, r"--list: --list-classes lists classes and nothing else; leave out one of them")
def list_methods_and_classes(at: Place):
    return at.explain("--list", "--list-classes")


@ends(2, r"name one of --run RUN, a trained run, --backbone mn04, for AudioSet's 527 classes, and --model SPEC, a .*")
def list_the_classes_of_nothing(at: Place):
    return ["explain", "--list-classes"]


@ends(2, r"compact: has no published classes, so it cannot be used without training; use --backbone mn04, .*")
def list_the_classes_of_an_untrained_network(at: Place):
    return ["explain", "--list-classes", "--backbone", "compact"]


@ends(2, r"name one of --run RUN, a trained run, --backbone mn04, for AudioSet's 527 classes, and --model SPEC, a .*")
def explain_by_nobody(at: Place):
    return ["explain", at.sound]


@ends(2, r"name one of --run RUN, a trained run, --backbone mn04, for AudioSet's 527 classes, and --model SPEC, a .*")
def explain_by_two(at: Place):
    return at.explain(at.sound, "--backbone", "mn04")


@ends(2, r"--weights none: a run has its own weights; leave out --weights or --run")
def explain_by_a_run_with_other_weights(at: Place):
    return at.explain(at.sound, "--weights", "none")


@ends(2, r"compact: has no published classes, so it cannot be used without training; use --backbone mn04, .*")
def explain_by_an_untrained_network(at: Place):
    return ["explain", at.sound, "--backbone", "compact"]


@ends(2, r"mn04: from random weights it knows nothing; leave out --weights none")
def explain_by_random_weights(at: Place):
    return ["explain", at.sound, "--backbone", "mn04", "--weights", "none"]


@ends(2, r"<TMP>/nowhere\.wav: does not exist; name a sound file")
def explain_missing_file(at: Place):
    return at.explain(at.tmp / "nowhere.wav")


@ends(2, r"<TMP>/two\\x0alines\\x1b\[2J\\xe2\\x80\\xae\.wav: .*does not exist.*")
def explain_file_whose_name_steers_the_terminal(at: Place):
    return at.explain(at.tmp / "two\nlines\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}.wav")


@ends(1, r"<TMP>/caf\\xe9\.wav: has a name that is not valid UTF-8; rename it")
def explain_file_whose_name_is_not_utf8(at: Place):
    name = at.tmp / os.fsdecode(b"caf\xe9.wav")
    shutil.copy(at.sound, name)
    return at.explain(name)


@ends(2, r"<TMP>/none: holds no sound file; name another folder, or sound files")
def explain_a_folder_without_a_sound(at: Place):
    (at.tmp / "none").mkdir()
    (at.tmp / "none" / "notes.txt").touch()
    return at.explain(at.tmp / "none")


@ends(2, r"--at 9: <RUN>/\.\./data/click/0\.wav lasts 2\.00 s; name a moment within it")
def explain_moment_out_of_range(at: Place):
    return at.explain(at.run / ".." / "data" / "click" / "0.wav", "--at", 9)


@ends(2, r"'moo': the classifier has no such class; it knows click .*")
def explain_unknown_class(at: Place):
    return at.explain(at.sound, "--class", "moo")


@ends(2, r"<TMP>/out: is a file; name another folder with --out")
def explain_into_a_file(at: Place):
    (at.tmp / "out").touch()
    return at.explain(at.sound)


@ends(2, r"--whole: gradcam explains single segments; of the methods, occlusion can explain a whole recording .*")
def explain_whole_by_a_method_that_cannot(at: Place):
    return at.explain(at.sound, "--whole", "--method", "occlusion")


@ends(2, r"--at 0\.5: names one segment, and --whole explains all of a recording; leave out one")
def explain_whole_at_a_moment(at: Place):
    return at.explain(at.sound, "--whole", "--at", 0.5)


def explain_whole(at: Place, *options: str) -> list[str | Path | float]:
    return ["explain", at.sound, "--whole", "--run", at.run, "--out", at.tmp / "out", *options]


@ends(2, r".*/click/0\.wav: occlusion: mask=200x20 is larger than the segment of 96x64 cells; choose less")
def explain_whole_with_a_mask_longer_than_a_segment(at: Place):
    return explain_whole(at, "--method", "occlusion:mask=200x20")


@ends(2, r"'moo': the classifier has no such class; it knows click .*")
def explain_whole_for_an_unknown_class(at: Place):
    return explain_whole(at, "--class", "moo")


# ---- words that are no words --------------------------------------------------------------------------------------


@ends(2, r"No such option: --epoch .*; see earwitness train --help")
def option_unknown(at: Place):
    return at.train("--epoch", 3)


@ends(2, r"--run: given 2 times; once will do")
def option_given_twice(at: Place):
    return at.explain(at.sound, f"--run={at.tmp / 'other'}")


@ends(2, r"--seed: given 3 times; once will do")
def option_given_three_times(at: Place):
    return at.train("--seed", 1, "--seed", 2, "--seed=1")


@ends(2, r"--verdicts/--no-verdicts: given 2 times; once will do")
def options_that_contradict_each_other(at: Place):
    return at.explain(at.sound, "--verdicts", "--no-verdicts")


@ends(2, r"--epochs many: .* valid integer.*; see earwitness train --help")
def number_that_is_no_number(at: Place):
    return at.train("--epochs", "many")


@ends(2, r"--seed 99999999999999999999: .*4294967295; see earwitness train --help")
def number_too_large(at: Place):
    return at.train("--seed=99999999999999999999")


@ends(2, r"--threads 0: .*1.*; see earwitness train --help")
def no_threads(at: Place):
    return at.train("--threads", 0)


@ends(2, r"--threads 9999: the processor has \d+ cores; ask for at most as many")
def too_many_threads(at: Place):
    return at.train("--threads", 9999)


@ends(2, r"Missing option '--out'; see earwitness train --help")
def option_missing(at: Place):
    return ["train", at.data]


@ends(2, r"Missing argument 'RUN'; see earwitness inquire --help")
def argument_missing(at: Place):
    return ["inquire"]


@ends(2, r"Option '--out' requires an argument; see earwitness .*--help")
def value_missing(at: Place):
    return ["train", at.data, "--out"]


@ends(2, r"No such command 'trian'.*; see earwitness --help")
def command_unknown(at: Place):
    return ["trian", at.data]


@ends(2, r"'vgg': nothing to download by this name; choose one of vggish, mn04, esc10")
def download_unknown(at: Place):
    return ["download", "vgg"]


@ends(2, r".*ftp://127\.0\.0\.1/x.*https?.*")
def download_from_another_kind_of_place(at: Place):
    return ["download", "mn04", "--url", "ftp://127.0.0.1/x"]


@ends(2, r"made clips per class must be from 1 to 10000, not 20000")
def demo_without_end(at: Place):
    return ["demo", "--out", at.tmp / "demo", "--clips", 20_000]


# ---- the table is tried -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("made")
    (folder / "finished").mkdir()
    return write_sounds(folder / "data", clips=5), tiny_run.make(folder / "finished")


@pytest.fixture
def at(made, tmp_path, monkeypatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EARWITNESS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EARWITNESS_SHARED", raising=False)
    # Nothing is closed to the administrator, who may run this test; one folder is, to everybody.
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and allowed(path, mode))
    return Place(tmp_path, *made)


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("wrong", "code", "line"), CASES, ids=[case[0].__name__ for case in CASES])
def test_what_is_wrong_ends_in_one_line(at, wrong, code, line):
    arguments = wrong(at)
    before = everything_in(at.tmp)
    left = earwitness(*arguments)
    for name, place in (("TMP", at.tmp), ("DATA", at.data), ("RUN", at.run)):
        line = line.replace(f"<{name}>", re.escape(str(place)))
    assert left.lines, left.err
    (said,) = left.lines
    assert re.fullmatch(f"earwitness: {line}", said), said
    assert left.code == code
    assert left.out == ""
    assert printable(said) == said
    for never in ("Traceback", "should not have happened", "Errno"):
        assert never not in left.err
    # A wrong request leaves everything as it was.
    after = everything_in(at.tmp)
    assert {path: after.get(path) for path in before} == before
    assert not {path.name for path in after.keys() - before.keys()} & set(run_folder.CONTRACT)


def test_the_table_is_long_enough():
    assert len(CASES) >= 30
    assert {code for _, code, _ in CASES} == {1, 2}


# ---- some of several files ----------------------------------------------------------------------------------------


@pytest.fixture
def bad(at) -> Path:
    path = at.tmp / "bad.wav"
    path.write_bytes(b"no sound")
    return path


def test_explaining_none_of_several_files_is_a_failure(at, bad):
    left = earwitness(*at.explain(bad, at.tmp / "nowhere.wav"))
    assert left.code == 1
    assert [re.match(r"earwitness: (\S+): ", line)[1] for line in left.lines] == [str(bad), str(at.tmp / "nowhere.wav")]
    assert left.out == ""


def test_explaining_one_of_two_files_is_done_and_said(at, bad):
    left = earwitness(*at.explain(bad, at.sound))
    assert left.code == 3
    assert len(left.lines) == 2
    assert left.lines[0].startswith(f"earwitness: {bad}: is not a sound file that can be read; use WAV")
    assert left.lines[1] == "earwitness: finished, but 1 file(s) could not be used"
    assert f"{at.sound} (2.00 s, mean scores of its segments)" in left.out
    assert (at.tmp / "out" / "0.png").exists()


def test_a_folder_is_explained_beside_files(at):
    folder = at.tmp / "night"
    folder.mkdir()
    for name in ("b.wav", "a.wav"):
        shutil.copy(at.sound, folder / name)
    (folder / "song.m4a").write_bytes(b"x" * 99)
    (folder / "a.json").touch()
    left = earwitness(*at.explain("--no-verdicts", folder, at.sound))
    assert left.code == 3
    assert left.lines[0] == f"earwitness: note: {folder}: 3 sound files"
    assert left.lines[1].startswith(f"earwitness: {folder / 'song.m4a'}: ")
    found = [
        line.rpartition(" (")[0] for line in left.out.splitlines() if line.endswith(" s, mean scores of its segments)")
    ]
    assert found == [str(folder / "a.wav"), str(folder / "b.wav"), str(at.sound)]


def test_a_data_set_with_a_bad_file_goes_to_quarantine(at):
    sounds = at.copy()
    (sounds / "low" / "bad\n.wav").write_bytes(b"no sound")
    (sounds / "low" / "notes.ape").touch()
    arguments = ["train", sounds, "--out", at.tmp / "out", "--backbone", "compact", "--epochs", 1]
    strict = earwitness(*arguments, "--strict")
    assert strict.code == 1
    assert len(strict.lines) == 1
    assert strict.lines[0].startswith("earwitness: low/notes.ape: has no sound file's name")
    left = earwitness(*arguments)
    assert left.code == 3, left.err
    rows = files.read_csv(at.tmp / "out" / "quarantine.csv")
    assert [row["file"] for row in rows] == [r"low/bad\x0a.wav", "low/notes.ape"]
    assert [line for line in left.lines if "bad" in line] == [
        f"earwitness: {row['file']}: {row['reason']}" for row in rows[:1]
    ]
    assert left.lines[-1] == "earwitness: finished, but 2 file(s) could not be used"
    checked = earwitness("data", sounds)
    assert checked.code == 3
    assert earwitness("data", sounds, "--strict").code == 1


def test_a_csv_may_name_files_that_are_not_there(at):
    left = earwitness("data", csv(at, LISTED + "low/nowhere.wav,low\n"))
    assert left.code == 3
    assert left.lines == [
        "earwitness: low/nowhere.wav: does not exist; correct line 6 of list.csv",
        "earwitness: finished, but 1 file(s) could not be used",
    ]


# ---- real processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [data_folder_missing, option_unknown, explain_file_whose_name_steers_the_terminal])
def test_a_process_ends_as_the_table_says(at, wrong):
    ((code, line),) = [(code, line) for function, code, line in CASES if function is wrong]
    done = subprocess.run(
        [*PROCESS, *map(str, wrong(at))], capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    assert done.returncode == code
    assert re.fullmatch(f"earwitness: {line.replace('<TMP>', re.escape(str(at.tmp)))}\n", done.stderr)
    assert done.stdout == ""


# ---- surprises ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def failing(monkeypatch, error: BaseException) -> Iterator[None]:
    def fail(*_arguments, **_options):
        raise error

    with monkeypatch.context() as changed:
        changed.setattr("earwitness.data.loading.load", fail)
        yield


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PermissionError(13, "Permission denied", "/a\nb"), 1, r"/a\\x0ab: Permission denied; check the place, .*"),
        (OSError(28, "No space left on device"), 1, r"No space left on device; check the place, .* and the disk"),
        (MemoryError(), 1, r"out of memory; try a smaller --batch, or fewer or shorter recordings"),
        (torch.OutOfMemoryError("CUDA out of memory"), 1, r"out of memory; try a smaller --batch, .*"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), 1, r"out of memory; .*"),
        (ZeroDivisionError("a\n  b"), 1, r"this should not have happened \(ZeroDivisionError: a b\); please report .*"),
        (KeyboardInterrupt(), 130, r"interrupted"),
    ],
)
def test_surprises_end_in_one_line_too(monkeypatch, error, code, line):
    with failing(monkeypatch, error):
        left = earwitness("data", "anything")
    assert re.fullmatch(f"earwitness: {line}\n", left.err)
    assert left.code == code


def test_a_surprise_shows_where_it_came_from_on_request(monkeypatch):
    monkeypatch.setenv("EARWITNESS_DEBUG", "1")
    with failing(monkeypatch, ZeroDivisionError("x")), pytest.raises(ZeroDivisionError):
        earwitness("data", "anything")


# ---- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain - name (1).wav", "plain - name (1).wav"),
        (
            "Grüße 鳥\N{IDEOGRAPHIC SPACE}👩\N{ZERO WIDTH JOINER}🚀.wav",
            "Grüße 鳥\N{IDEOGRAPHIC SPACE}👩\N{ZERO WIDTH JOINER}🚀.wav",
        ),
        ("a\nb\tc\x1b[0m\x7f", r"a\x0ab\x09c\x1b[0m\x7f"),
        ("a\x85b\N{LINE SEPARATOR}c", r"a\xc2\x85b\xe2\x80\xa8c"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}vaw", r"\xe2\x80\xaevaw"),
    ],
)
def test_names_are_shown_on_one_line_and_found_again(tmp_path, name, shown):
    assert printable(name) == shown
    (tmp_path / name).touch()
    assert on_disk(tmp_path / shown) == tmp_path / name


def test_half_a_character_is_shown_too():
    assert printable("\ud800") == r"\xed\xa0\x80"


def test_every_backbone_can_be_named(at):
    (said,) = earwitness(*at.train("--backbone", "x")).lines
    assert all(name in said for name in BACKBONES)
