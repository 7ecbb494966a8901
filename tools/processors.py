"""Run the tests that compute as other processors would: ``python tools/processors.py [--short] [pytest's arguments]``.

Libraries choose their instructions by what the processor has, and other instructions round otherwise. oneDNN, PyTorch
and MKL can be held back to older ones, so that one machine shows what others would see; with one thread and with two,
which add in another order. What the machine at hand cannot show is said.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
AVX2 = frozenset({"avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
SWITCHES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
OUTCOMES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Setting:
    """A processor that this one can pass for.

    Parameters
    ----------
    name
        What it is called.
    needs
        Features of the real processor, as ``/proc/cpuinfo`` spells them.
    switches
        Environment variables that hold libraries back.
    """

    name: str
    needs: frozenset[str] = frozenset()
    switches: Mapping[str, str] = field(default_factory=dict)


def _held(onednn: str, aten: str, mkl: str) -> Mapping[str, str]:
    return {"ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl}


SETTINGS = (
    Setting("AVX2", AVX2, _held("AVX2", "avx2", "AVX2")),
    Setting("AVX-512", AVX512, _held("AVX512_CORE", "avx512", "AVX512")),
    Setting("AVX-512, bfloat16", AVX512 | {"avx512_bf16"}, _held("AVX512_CORE_BF16", "avx512", "AVX512")),
    Setting("all it has"),
    # No vector code of PyTorch's own, and the sums of MKL that are the same everywhere.
    Setting("least", AVX2, {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}),
)
# What lies farthest from a machine with everything, which `make test` has shown already. Between the two lies AVX2,
# which the long form shows, with one thread and with two.
SHORT = (("least", 1),)
# The short form keeps every kernel that rounds: convolutions and norms of each backbone, their gradients, folded,
# packed, in bfloat16 and with fewer products (backbones, gradients, folding, before, winograd, twin, swift); batches of
# other shapes (stages, cams, ablationcam); products and least squares over masks (occlusion, lime, rise, shapley,
# designs); transforms (logmel, features, waveform_models); steps of a training (training, augment); ranks and sums of
# maps (faithfulness, randomisation, stability). What it leaves to the long form puts these together.
WHOLE_JOBS = (
    "audit",  # many scores of one small network; backbones and evaluation look at scores
    "auditbook",
    "explained_segments",
    "inquiry",  # commands over a run, and what they write
    "listen",
    "long_recordings",  # reading in parts; wholerecording compares scores in parts with scores in one
    "old_runs",
    "provenance",
    "scoreboard",
    "shortcuts",
    "soundscapes",  # sounds that no network saw
    "two_minutes",
    "what_if",
    "whole",
)
APART = (
    "test_study and not it_learns",  # runs that are the same byte for byte
    "a_file_is_explained_from_end_to_end",
    "files_give_the_maps_of_their_network",
    "a_network_with_a_spectrogram_of_its_own",
    "each_processor_takes_the_way",  # with a processor that is made up
    "captum_is_not_imported",
    "on_vggish_guided_backpropagation",  # small networks and pictures are tested with random weights
)
QUICK = (
    *("-m", "computes and not slow", "-k", " and ".join(f"not ({each})" for each in APART)),
    *(f"--ignore=tests/test_{name}.py" for name in WHOLE_JOBS),
)


@dataclass(frozen=True)
class Ran:
    """What came of a setting.

    Parameters
    ----------
    setting, threads
        What ran.
    counts
        Tests by outcome.
    seconds
        How long it took.
    code
        pytest's exit code.
    """

    setting: str
    threads: int
    counts: Mapping[str, int]
    seconds: float
    code: int


def features() -> frozenset[str]:
    """Return what the processor has, where the system tells; elsewhere nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return frozenset(flags)


def counts_of(output: str) -> dict[str, int]:
    """Return the tests by outcome, from the last line of pytest's output that counts them."""
    lines = [line for line in output.splitlines() if re.search(r"\d+ \w+.* in [\d.]+s", line)]
    found = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", lines[-1])} if lines else {}
    failed = found.get("failed", 0) + found.get("error", 0) + found.get("errors", 0)
    return {"passed": found.get("passed", 0), "failed": failed, "skipped": found.get("skipped", 0)}


def run(setting: Setting, threads: int, arguments: Sequence[str]) -> Ran:
    """Run the tests under one setting, as many side by side as there are cores for."""
    kept = {name: value for name, value in os.environ.items() if name not in (*SWITCHES, *THREADS)}
    environment = kept | dict(setting.switches) | dict.fromkeys(THREADS, str(threads))
    workers = max(1, (os.cpu_count() or 1) // threads)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "computes", "-p", "no:cacheprovider", "--tb=short"]
    command += ["-n", str(workers if workers > 1 else 0), "--dist", "worksteal", *arguments]
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stdout)
    return Ran(setting.name, threads, counts_of(done.stdout), time.monotonic() - begun, done.returncode)


def table(rows: Sequence[Ran]) -> str:
    """Return the counts of every setting as lines of text."""
    lines = [f"{'processor':18} {'threads':>7} {'passed':>7} {'failed':>7} {'skipped':>7} {'seconds':>8}"]
    for row in rows:
        counted = " ".join(f"{row.counts[outcome]:7}" for outcome in OUTCOMES)
        lines.append(f"{row.setting:18} {row.threads:7} {counted} {row.seconds:8.0f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every setting that the machine can show; return 1 if a test failed under one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="one setting, and not the slow tests: minutes")
    parser.add_argument("--only", action="append", choices=[each.name for each in SETTINGS], help="a setting")
    asked, more = parser.parse_known_args(arguments)
    has = features()
    if asked.short:
        more = [*QUICK, *more]
    rows: list[Ran] = []
    for setting in SETTINGS:
        wanted = [threads for threads in (1, 2) if not asked.short or (setting.name, threads) in SHORT]
        if not wanted or (asked.only and setting.name not in asked.only):
            continue
        if lacking := sorted(setting.needs - has):
            print(f"{setting.name}: not shown, this processor ({platform.machine()}) lacks {', '.join(lacking)}")
            continue
        for threads in wanted:
            rows.append(run(setting, threads, more))
            print(f"{setting.name}, {threads} threads: {rows[-1].seconds:.0f} s", flush=True)
    if "amx_tile" not in has:
        print("AMX: not shown, this processor has none")
    print(table(rows))
    return int(any(row.code != 0 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
