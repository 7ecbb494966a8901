"""Damage sound files of every kind that is read, and see that each is decoded or refused, soon and in little memory.

Bits are flipped, ranges are cut off, put in, taken out and moved, and fields of headers are swapped or set to extremes.
It is a fault if the process ends or anything but ``BadRecordingError`` is raised, if a file takes more than 3 s or
120 MB more than before, if a library prints, or if a file that tells its length is cut and yet read. Faulty files are
kept. Needs ``ffmpeg`` on PATH, which writes the files.

    python tools/fuzz_sounds.py --minutes 15                     in the folder fuzzed, where faulty files stay
    python tools/fuzz_sounds.py --minutes 1 --only webm --seed 7
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import second_decoder
from earwitness.audio import decoding
from earwitness.core.errors import BadRecordingError

BATCH = 100
SECONDS, MEGABYTES = 3.0, 120
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\1\0\0\0")
AMR = b"#!AMR\n" + b"".join(b"\x3c" + np.random.default_rng(0).bytes(31) for _ in range(40))


def damage(data: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """Return what was done, and the bytes after it."""
    changed = bytearray(data)
    header = min(len(data), 400)
    first = int(random.integers(len(data)) if random.random() < 0.5 else random.integers(header))
    length = int(random.integers(1, 2 + min(2000, len(data) // 4)))
    way = str(random.choice(["flip", "cut", "insert", "remove", "move", "swap", "extreme", "random"]))
    if way == "flip":
        for place in random.integers(first, min(len(data), first + 4000), random.integers(1, 20)):
            changed[place] ^= 1 << int(random.integers(8))
    elif way == "cut":
        changed = changed[: int(random.integers(1, len(data)))]
    elif way == "insert":
        changed[first:first] = random.bytes(length) if random.random() < 0.5 else bytes(length)
    elif way == "remove":
        del changed[first : first + length]
    elif way == "move":
        part = changed[first : first + length]
        del changed[first : first + length]
        place = int(random.integers(len(changed) + 1))
        changed[place:place] = part
    elif way == "swap":
        one, other = (4 * int(place) for place in random.integers(0, header // 4, 2))
        changed[one : one + 4], changed[other : other + 4] = changed[other : other + 4], changed[one : one + 4]
    elif way == "extreme":
        changed[first : first + 4] = EXTREMES[int(random.integers(len(EXTREMES)))]
    else:
        changed[first : first + length] = random.bytes(length)
    return way, bytes(changed)


def batch(name: str, tells: bool, data: bytes, seed: int, path: Path) -> dict[str, Any]:
    """Read a batch of damaged files; return counts and faults."""
    random = np.random.default_rng(seed)
    counts, faults = Counter[str](), list[str]()
    path.write_bytes(data)
    whole = len(decoding.read(path).samples)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = 0.0
    for _ in range(BATCH):
        way, damaged = damage(data, random)
        if way != "cut" and random.random() < 0.3:
            damaged = damage(damaged, random)[1]
            way = "two"
        path.write_bytes(damaged)
        began, fault = time.perf_counter(), ""
        try:
            length = len(decoding.read(path).samples)
        except BadRecordingError as error:
            counts["refused"] += 1
            fault = "a message of several lines" if "\n" in str(error) else ""
        except BaseException as error:  # whatever it is, it is what is looked for
            fault = f"{type(error).__name__}: {error}"
        else:
            counts["read"] += 1
            counts[f"shorter after {way}"] += length < whole - 5000
            if way == "cut" and tells and length != whole:  # a tag at the end may be cut
                fault = f"cut to {len(damaged)} of {len(data)} bytes, {length} of {whole} samples read"
        took = time.perf_counter() - began
        slowest = max(slowest, took)
        if took > SECONDS:
            fault = f"took {took:.1f} s"
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if more > MEGABYTES and not any("MB" in line for line in faults):
            fault = f"took {more:.0f} MB more"
        if fault:
            kept = path.with_name(f"fault-{time.time_ns()}-{name}")
            kept.write_bytes(damaged)
            faults.append(f"{kept}: {way}: {fault}")
    return {"counts": counts, "faults": faults, "slowest": slowest, "more": more}


def in_a_child(name: str, tells: bool, data: bytes, seed: int, path: Path) -> dict[str, Any]:
    """Run a batch in a child process, whose end and output are seen."""
    answer, said = path.with_name("answer.json"), path.with_name("said.txt")
    answer.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        with said.open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            answer.write_text(json.dumps(batch(name, tells, data, seed, path)))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        kept = path.with_name(f"fault-{time.time_ns()}-{name}")
        shutil.copy(path, kept)
        return {"counts": {}, "faults": [f"{kept}: the process ended with status {status}"], "slowest": 0, "more": 0}
    result = json.loads(answer.read_text())
    if words := said.read_bytes()[:200]:
        result["faults"].append(f"{name}, seed {seed}: printed {words!r}")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Fuzz; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--out", type=Path, default=Path("fuzzed"))
    chosen = parser.parse_args(arguments)
    if shutil.which("ffmpeg") is None:
        print("fuzz_sounds: no ffmpeg on PATH; on Debian: apt install ffmpeg", file=sys.stderr)
        return 1
    chosen.out.mkdir(exist_ok=True)
    kinds: list[tuple[str, bool, bytes]] = [("random.amr", False, AMR)]
    with tempfile.TemporaryDirectory() as folder:
        for way in second_decoder.WAYS:
            path = Path(folder, f"a{way.ending}")
            rate, channels = (8_000, 1) if "gsm" in way.name else (48_000, 2)
            if second_decoder.write(way, path, second_decoder.sound(1.0, rate, channels, 1), rate):
                kinds.append((way.name, way.tells, path.read_bytes()))
    kinds = [row for row in kinds if chosen.only in row[0]]
    random, ends = np.random.default_rng(chosen.seed), time.monotonic() + 60 * chosen.minutes
    counts, faults, slowest, most = Counter[str](), list[str](), 0.0, 0.0
    while time.monotonic() < ends:
        for name, tells, data in kinds:
            path = chosen.out / f"now{name[name.rindex('.') :]}"
            result = in_a_child(name, tells, data, int(random.integers(1 << 40)), path)
            path.unlink(missing_ok=True)
            counts.update(result["counts"])
            for fault in result["faults"]:
                print(fault, flush=True)
            faults += result["faults"]
            slowest, most = max(slowest, result["slowest"]), max(most, result["more"])
            if time.monotonic() > ends:
                break
    shorter = {key: number for key, number in counts.items() if key.startswith("shorter") and number}
    print(f"{counts['refused'] + counts['read']:,} damaged files of {len(kinds)} kinds: {counts['refused']:,} refused, "
          f"{counts['read']:,} read ({shorter}); slowest {slowest:.2f} s, at most {most:.0f} MB more; "
          f"{len(faults)} faults")  # fmt: skip
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
