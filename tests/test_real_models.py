"""Models that others trained and published: silero-vad (speech, MIT) and basic-pitch (notes, Apache-2.0).

Their files come out of the wheels in real-models.txt; speech is said by espeak-ng. What is absent is skipped, by name.
"""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch import nn

import earwitness as ew
from command import earwitness

pytest.importorskip("onnxruntime")

RATE, STEP, CONTEXT = 16_000, 512, 64
SAMPLES = 48 * STEP  # 1.54 s
SPEECH = {
    "input": "waveform",
    "sample_rate": RATE,
    "segment_samples": SAMPLES,
    "pooled": "mean",
    "activation": "none",
    "classes": ["speech"],
}
STREAMED = {
    **SPEECH,
    "step_samples": STEP,
    "context_samples": CONTEXT,
    "inputs": {"sr": RATE, "state": "stateN"},
}
NOTES = {
    "input": "waveform",
    "sample_rate": 22_050,
    "layout": ["samples", "channel"],
    "output": "StatefulPartitionedCall:1",
    "pooled": "max",
    "activation": "none",
    "window": 2_048,
    "classes": [f"midi {number}" for number in range(21, 109)],
}
OCCLUSION = "occlusion:mask=16x16,stride=4x8"
LIME = "lime:grid=6x16,samples=150"


def from_wheel(package: str, name: str) -> Path:
    """Return a file inside an installed wheel, which is not imported: its dependencies are not there."""
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"the wheel of {package} is not installed (pip install --no-deps -r tests/real-models.txt)")
    return Path(found.origin).parent / name


def silero(ending: str) -> Path:
    return from_wheel("silero_vad", f"data/silero_vad{ending}")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return a function that says a sentence: its samples from the first to the last that is loud, at -26 dB."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed, which says the sentences (apt-get install espeak-ng)")
    path = tmp_path_factory.mktemp("said") / "said.wav"

    def say(sentence: str, voice: str):
        subprocess.run(["espeak-ng", "-v", voice, "-w", path, sentence], check=True, capture_output=True)
        samples, rate = soundfile.read(path)
        samples = soxr.resample(samples, rate, RATE)
        loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
        samples = samples[loud[0] : loud[-1] + 1]
        return 0.05 * samples / np.sqrt(np.mean(samples**2))

    return say


def scene(said, path: Path, sentence: str, voice: str, at: float, beep: float):
    """Write noise with a sentence and a beep that is louder; return the seconds of the sentence, and the samples."""
    rng, speech = np.random.default_rng(0), said(sentence, voice)
    samples = 0.01 * rng.standard_normal(SAMPLES)
    start, end = round(at * RATE), round(at * RATE) + len(speech)
    assert end < SAMPLES
    samples[start:end] += speech
    seconds = np.arange(SAMPLES) / RATE
    samples += np.where(np.abs(seconds - beep) < 0.15, 0.3 * np.sin(2 * np.pi * 3_000 * seconds), 0.0)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return (at, end / RATE), samples


# ---- silero-vad: waveforms in steps, with a state ------------------------------------------------------------------


class Silero(nn.Module):
    """The network of silero-vad, after the wheel's tinygrad_model.py; it answers for each step of a segment."""

    def __init__(self, path: Path):
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)
        # The weights of the two other files: those of silero_vad_16k.safetensors are not the same.
        weights = torch.jit.load(path)._model.state_dict().values()
        self.load_state_dict(dict(zip(self.state_dict(), weights, strict=True)))

    def forward(self, x):
        steps = nn.functional.pad(x, (CONTEXT, 0)).unfold(1, STEP + CONTEXT, STEP)
        parts = nn.functional.pad(steps.flatten(0, 1)[:, None], (0, 64), mode="reflect")
        real, imaginary = self.stft_conv(parts).split(129, dim=1)
        found = (real.square() + imaginary.square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            found = layer(found).relu()
        state, answers = None, []
        for step in found[..., 0].unflatten(0, steps.shape[:2]).unbind(1):
            state = self.lstm_cell(step, state)
            answers.append(self.final_conv(state[0].relu()[..., None])[..., 0].sigmoid())
        return torch.stack(answers, dim=1)


class Scripted(nn.Module):
    """The TorchScript program of silero-vad, which keeps a state from call to call: each segment starts anew."""

    def __init__(self, path: Path):
        super().__init__()
        self.program = torch.jit.load(path)

    def forward(self, x):
        with torch.jit.optimized_execution(False):
            self.program.reset_states()
            return torch.stack([self.program(part, RATE) for part in x.split(STEP, dim=1)], dim=1)


def silero_module():
    """Return silero-vad as a module; what ``SPEC`` names."""
    return Silero(silero(".jit")), SPEECH


def silero_script():
    """Return silero-vad's TorchScript; what ``SPEC`` names."""
    return Scripted(silero(".jit")), SPEECH


def peak_of(found):
    """Return the second and the hertz of a map's strongest cell."""
    frame, band = np.unravel_index(found.values.argmax(), found.values.shape)
    return float(found.times[frame]), float(found.frequencies[band])


@pytest.mark.parametrize(
    ("sentence", "voice", "at", "beep"),
    [("Who is there?", "en", 0.6, 0.3), ("Good morning.", "en+f3", 0.1, 1.2), ("Guten Morgen.", "de", 0.7, 0.3)],
)
def test_the_map_of_speech_is_where_the_speech_is(tmp_path, said, sentence, voice, at, beep):
    (start, end), samples = scene(said, tmp_path / "scene.wav", sentence, voice, at, beep)
    model = ew.load_model(silero(".onnx"), description=STREAMED)
    explanation = ew.explain(tmp_path / "scene.wav", model, methods=[OCCLUSION], verdicts=False, progress=False)
    assert explanation.scores["speech"] > 0.3  # the mean over the segment, half of which is no speech
    found = explanation["occlusion"]
    second, hertz = peak_of(found)
    assert start - 0.05 < second < end + 0.05
    assert hertz < 2_500
    evidence, there = np.maximum(found.values, 0), (found.times > start) & (found.times < end)
    power = samples**2
    loud = power[round(start * RATE) : round(end * RATE)].sum() / power.sum()
    assert loud < 0.2 < 0.6 < evidence[there].sum() / evidence.sum()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_onnx_torchscript_and_module_have_the_same_maps(tmp_path, said):
    scene(said, tmp_path / "scene.wav", "Who is there?", "en", 0.6, 0.3)
    specs = (silero(".onnx"), f"{__file__}:silero_script", f"{__file__}:silero_module")
    descriptions = (STREAMED, None, None)
    found = [
        ew.explain(
            tmp_path / "scene.wav",
            ew.load_model(spec, description=description),
            methods=[OCCLUSION, *(["inputxgradient"] if description is None else [])],
            verdicts=False,
            progress=False,
        )
        for spec, description in zip(specs, descriptions, strict=True)
    ]
    onnx, script, module = found
    for other in (script, module):
        assert other.scores["speech"] == pytest.approx(onnx.scores["speech"], abs=1e-4)
        strongest = np.abs(onnx["occlusion"].values).max()
        np.testing.assert_allclose(other["occlusion"].values, onnx["occlusion"].values, atol=1e-3 * strongest)
    strongest = np.abs(module["inputxgradient"].values).max()
    np.testing.assert_allclose(script["inputxgradient"].values, module["inputxgradient"].values, atol=1e-3 * strongest)


def test_silero_is_described_beside_its_file(tmp_path, said):
    """As docs/your-model.md shows it."""
    scene(said, tmp_path / "scene.wav", "Who is there?", "en", 0.6, 0.3)
    shutil.copy(silero(".onnx"), tmp_path / "silero_vad.onnx")
    page = (Path(__file__).parents[1] / "docs" / "your-model.md").read_text(encoding="utf-8")
    (tmp_path / "silero_vad.toml").write_text(page.partition("# silero_vad.toml")[2].partition("```")[0])
    result = earwitness("check-model", str(tmp_path / "silero_vad.onnx"), str(tmp_path / "scene.wav"))
    assert result.code == 0, result.err
    assert "1: speech" in result.out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": {"sr": RATE}}, r"takes input .*, state .*one input of floating numbers is explained"),
        ({"inputs": {"sr": RATE, "state": "stateM"}}, "stateM.*nor an output of the file.*stateN"),
        ({"inputs": {"sr": [RATE, RATE], "state": "zeros"}}, r"sr: is of shape \(2,\), and the file takes \[\]"),
        ({"inputs": {"sr": RATE, "state": "stateN", "rate": 1}}, "rate is none of them"),
        ({"segment_samples": 24_600}, "not of whole steps of 512; say segment_samples = 24576"),
        ({"pooled": ""}, "say pooled"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line(change, words):
    with pytest.raises(ew.UsageError, match=words):
        ew.load_model(silero(".onnx"), description={**STREAMED, **change})


# ---- basic-pitch: answers for 172 moments and 88 notes -------------------------------------------------------------


@pytest.mark.parametrize("notes", [((57, 0.2), (76, 1.2)), ((81, 0.3), (64, 1.1))])
def test_the_evidence_for_a_note_is_at_its_pitch_and_its_time(tmp_path, notes):
    model = ew.load_model(
        from_wheel("basic_pitch", "saved_models/icassp_2022/nmp.onnx"),
        description=NOTES,
    )
    seconds = np.arange(round(model.segment_seconds * 22_050)) / 22_050
    samples = 1e-3 * np.random.default_rng(0).standard_normal(len(seconds))
    for midi, at in notes:
        within = (seconds > at) & (seconds < at + 0.5)
        rise = np.sin(np.pi * (seconds[within] - at) / 0.5) ** 0.25
        samples[within] += 0.3 * rise * np.sin(2 * np.pi * 440 * 2 ** ((midi - 69) / 12) * seconds[within])
    soundfile.write(tmp_path / "notes.wav", samples, 22_050, subtype="FLOAT")
    names = [f"midi {midi}" for midi, _ in notes]
    explanation = ew.explain(
        tmp_path / "notes.wav", model, methods=[LIME], classes=names, verdicts=False, progress=False
    )
    for (midi, at), name in zip(notes, names, strict=True):
        assert explanation.scores[name] > 0.5
        found = explanation["lime", name]
        second, hertz = peak_of(found)
        semitone, pitch = 2 ** (1 / 12), 440 * 2 ** ((midi - 69) / 12)
        place = np.searchsorted(found.frequency_edges, hertz) - 1
        low, high = found.frequency_edges[place : place + 2]
        assert low / semitone < pitch < high * semitone
        assert at - 0.35 < second < at + 0.5  # a cell lasts 0.33 s
