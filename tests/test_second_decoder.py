"""FFmpeg's command line decodes the same, and no cut or joined file is taken for a short one."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
second_decoder = importlib.import_module("second_decoder")
sys.path.pop(0)

# Rates (Hz) and numbers of channels that the ways of writing take in turn, so that each kind meets several.
SHAPES = [(44_100, 2), (48_000, 1), (16_000, 1), (48_000, 8), (22_050, 2), (96_000, 3), (8_000, 1), (32_000, 6)]
FITTING = {"libgsm_ms.wav": (8_000, 1)}


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on PATH; on Debian: apt install ffmpeg")
@pytest.mark.parametrize("number", range(len(second_decoder.WAYS)), ids=[way.name for way in second_decoder.WAYS])
def test_both_decoders_agree_and_cuts_show(tmp_path, number):
    way = second_decoder.WAYS[number]
    rate, channels = FITTING.get(way.name, SHAPES[number % len(SHAPES)])
    found = second_decoder.Found()
    second_decoder.try_file(way, tmp_path, rate, channels, number, found, 0.3, 4)
    if found.unwritten:  # old coders know few rates, and one or two channels
        found = second_decoder.Found()
        second_decoder.try_file(way, tmp_path, 44_100, 1, number, found, 0.3, 4)
    if found.unwritten:
        pytest.skip("this ffmpeg does not write it")
    assert found.faults == []
    assert found.files == 1
    assert found.cuts_refused + found.cuts_begun == 4
    assert found.joined_whole + found.joined_refused == 1
