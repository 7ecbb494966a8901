"""Folders of Hugging Face Transformers: an audio classifier, and the description that its own files give.

This file alone imports transformers, and only when there is such a folder. Nothing is fetched, and no code that lies in
the folder is run.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from earwitness.core.errors import EarwitnessError, UsageError, first_line, printable
from earwitness.models.foreign.runtimes import REASON

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# What a network over waveforms of any length sees at once, and the least that it is given.
SECONDS, SHORTEST_SECONDS = 5.0, 0.25
# Weights that masks alone use, which only training does; some checkpoints are without them.
UNUSED = ("masked_spec_embed",)
ACTIVATIONS = {"multi_label_classification": "sigmoid", "regression": "none"}


# What comes after the tokens: wav2vec2 and its kin project, average and classify, AST classifies.
HEADS = ("projector", "classifier")
NOT_TRAINED = (
    "was not trained to classify sound; name the folder of a fine-tuned classifier, or train it: earwitness train "
    "--backbone FOLDER"
)


def is_folder(path: Path) -> bool:
    """Return whether a folder holds a model of Transformers."""
    return (path / CONFIG).is_file()


def opened(folder: Path, *, embedding: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a folder and the words of its description.

    Parameters
    ----------
    folder
        As ``save_pretrained`` wrote it.
    embedding
        Whether the network is to answer what its own head would get, the mean of its last tokens or what its class
        tokens became: then the folder need not have been trained to classify.

    Raises
    ------
    UsageError
        Transformers is missing, or the folder holds no audio classifier, or not all of it.
    EarwitnessError
        A file is damaged.
    """
    where = printable(folder)
    try:
        import transformers
    except ImportError as error:
        raise UsageError(f"{where}: needs transformers; pip install 'earwitness[transformers]'") from error
    kind = _kind(folder)
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UsageError(f"{where}: has no weights ({WEIGHTS[0]} or {WEIGHTS[2]} beside {CONFIG})")
    if not (folder / PREPROCESSOR).is_file():
        raise UsageError(
            f"{where}: has no {PREPROCESSOR}, which tells what sound it takes; save the model's feature extractor there"
        )
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with _quiet(transformers):
        try:
            config = transformers.AutoConfig.from_pretrained(folder, **here)
            if type(config) not in transformers.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING:
                raise UsageError(
                    f"{where}: holds a model of the kind {printable(kind)}, which classifies no sound; name a folder "
                    "of an audio classifier (AST, wav2vec2, HuBERT, Whisper ...)"
                )
            extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, **here)
            network, loaded = transformers.AutoModelForAudioClassification.from_pretrained(
                folder, config=config, dtype=torch.float32, weights_only=True, output_loading_info=True, **here
            )
        except EarwitnessError:
            raise
        except Exception as error:  # whatever their loaders raise
            raise EarwitnessError(f"{where}: cannot be loaded ({first_line(error, REASON)})") from error
    missing = sorted(name for name in loaded["missing_keys"] if not name.endswith(UNUSED))
    if embedding:
        missing = [name for name in missing if name.partition(".")[0] not in HEADS]
        _behead(network)
    if missing:
        raise UsageError(
            f"{where}: has no weights for {printable(missing[0])}{' and others' if len(missing) > 1 else ''}, so it "
            + ("is not whole; name the folder of a trained network" if embedding else NOT_TRAINED)
        )
    return network, _words(where, network, extractor)


def _behead(network: nn.Module) -> None:
    """Let a network answer what its head gets."""
    for head in HEADS:
        if hasattr(network, head):
            setattr(network, head, nn.Identity())


def _kind(folder: Path) -> str:
    """Return the kind of model that a folder's configuration names."""
    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = first_line(error, REASON)
        raise EarwitnessError(
            f"{printable(folder / CONFIG)}: names no model_type of Transformers ({reason})"
        ) from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep Transformers from writing to the terminal while it loads; afterwards all is as it was."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of mel bands without a bin, which published checkpoints have
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


# ---- what its files say -------------------------------------------------------------------------------------------


def _words(where: str, network: Any, extractor: Any) -> dict[str, Any]:
    describe = DESCRIBED.get(type(extractor).__name__)
    if describe is None:
        raise UsageError(
            f"{where}: makes its features by {type(extractor).__name__}, which is not known here (known are "
            f"{', '.join(DESCRIBED)}); give the network as file.py:make with a description"
        )
    config = network.config
    names = {int(number): str(name) for number, name in config.id2label.items()}
    blocks, attention = _blocks(network)
    last = len(blocks) - 1
    # A class token gets all from the last block's attention, whose input is the norm before it; a mean over tokens
    # gets it from the blocks themselves, of which the last but one still has what lies where.
    norm = f"{blocks[last]}.layernorm_before" if blocks else ""
    classed = type(extractor).__name__ == "ASTFeatureExtractor"
    return {
        **describe(config, extractor),
        "classes": [names.get(number, f"LABEL_{number}") for number in range(config.num_labels)],
        "activation": ACTIVATIONS.get(str(config.problem_type), "softmax"),
        "output": "logits",
        "feature_layer": (norm if classed else blocks[max(0, last - 1)]) if blocks else "",
        **({"attention": attention, "token_width": config.hidden_size} if blocks else {}),
    }


def _blocks(network: nn.Module) -> tuple[list[str], list[str]]:
    """Return the dotted names of a transformer's blocks, and of the module in each that attends; empty for others."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, module in network.named_modules():
        parent, _, number = name.rpartition(".")
        attending = [child for child, each in module.named_children() if "Attention" in type(each).__name__]
        if number.isdigit() and attending:
            found.setdefault(parent, []).append((name, f"{name}.{attending[0]}"))
    longest = max(found.values(), key=len, default=[])
    return [name for name, _ in longest], [attends for _, attends in longest]


def _ast(config: Any, extractor: Any) -> dict[str, Any]:
    """Return what an Audio Spectrogram Transformer takes: Kaldi's filter banks, with zeros after a recording's end."""
    rate = int(extractor.sampling_rate)
    return {
        "sample_rate": rate,
        "window": 400,
        "fft": 512,
        "hop": 160,
        "periodic": False,
        "centred": False,
        "framewise": True,
        "preemphasis": 0.97,
        "bands": int(extractor.num_mel_bins),
        "scale": "kaldi",
        "low_hz": 20.0,
        "high_hz": float(rate // 2),
        "log": "natural",
        "floor": 1.192092955078125e-07,
        "padding_value": 0.0,
        "mean": float(extractor.mean) if extractor.do_normalize else 0.0,
        "std": 2.0 * float(extractor.std) if extractor.do_normalize else 1.0,
        "segment_frames": int(extractor.max_length),
        "layout": ["frames", "bands"],
        "tokens": ["frequency", "time"],
        "patch": [int(config.patch_size)] * 2,
        "stride": [int(config.frequency_stride), int(config.time_stride)],
        "class_tokens": 2,
    }


def _whisper(_config: Any, extractor: Any) -> dict[str, Any]:
    """Return what Whisper takes: Slaney's bands, no cell more than 8 (of log10) under the loudest."""
    return {
        "sample_rate": int(extractor.sampling_rate),
        "window": int(extractor.n_fft),
        "hop": int(extractor.hop_length),
        "bands": int(extractor.feature_size),
        "scale": "slaney",
        "triangles": "hertz",
        "norm": "slaney",
        "high_hz": 8_000.0,
        "padding": "reflect-filled",
        "log": "log10",
        "floor": 1e-10,
        "top_db": 8.0,
        "mean": -4.0,
        "std": 4.0,
        "segment_frames": int(extractor.nb_max_frames),
        "layout": ["bands", "frames"],
        "tokens": ["time"],
    }


def _samples(_config: Any, extractor: Any) -> dict[str, Any]:
    """Return what wav2vec2 and its kin take: samples, freed of their mean and scaled."""
    return {
        "input": "waveform",
        "sample_rate": int(extractor.sampling_rate),
        "segment_seconds": SECONDS,
        "shortest_seconds": SHORTEST_SECONDS,
        "layout": ["samples"],
        "normalise": "wav2vec2" if extractor.do_normalize else "none",
        "tokens": ["time"],
    }


DESCRIBED: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "ASTFeatureExtractor": _ast,
    "WhisperFeatureExtractor": _whisper,
    "Wav2Vec2FeatureExtractor": _samples,
}
