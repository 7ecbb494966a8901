"""Folders of tiny transformers with random weights, as Hugging Face's library saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

RATE = 16_000
FRAMES, BANDS, PATCH, STRIDE = 98, 16, 4, 3  # of the tiny AST
CLASSES = ("none", "low", "high")
transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed: folders of its models")
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
NAMES = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: number for number, name in enumerate(CLASSES)}}
CONVOLUTIONS = {
    "conv_dim": (8, 8),
    "conv_stride": (20, 8),
    "conv_kernel": (40, 16),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}


def ast(folder: Path, bands: int = BANDS, **options: Any) -> Path:
    """Write an Audio Spectrogram Transformer that sees 98 frames, about a second."""
    shape = {"patch_size": PATCH, "frequency_stride": STRIDE, "time_stride": STRIDE}
    config = transformers.ASTConfig(
        **SIZES, **NAMES, **shape, max_length=FRAMES, num_mel_bins=bands, initializer_range=0.3, **options
    )
    torch.manual_seed(0)
    return saved(
        folder,
        transformers.ASTForAudioClassification(config),
        transformers.ASTFeatureExtractor(num_mel_bins=bands, max_length=FRAMES),
    )


def wav2vec2(folder: Path, kind: str = "Wav2Vec2", **options: Any) -> Path:
    """Write a wav2vec2, or its like, whose tokens lie 10 ms apart."""
    config = getattr(transformers, f"{kind}Config")(
        **SIZES, **NAMES, **CONVOLUTIONS, **({"initializer_range": 0.3} | options)
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    return saved(folder, network, transformers.Wav2Vec2FeatureExtractor(do_normalize=True))


def hubert(folder: Path, **options: Any) -> Path:
    """Write a HuBERT."""
    return wav2vec2(folder, "Hubert", **options)


def whisper(folder: Path, **options: Any) -> Path:
    """Write a classifier on Whisper's encoder, for a second at a time."""
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=BANDS,
        max_source_positions=50,
        classifier_proj_size=8,
        init_std=0.3,
        **NAMES,
        **options,
    )
    torch.manual_seed(0)
    extractor = transformers.WhisperFeatureExtractor(feature_size=BANDS, chunk_length=1)
    return saved(folder, transformers.WhisperForAudioClassification(config), extractor)


KINDS = {"ast": ast, "wav2vec2": wav2vec2, "hubert": hubert, "whisper": whisper}


def saved(folder: Path, network: Any, extractor: Any) -> Path:
    """Write a network and its feature extractor."""
    transformers.utils.logging.disable_progress_bar()
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def burst(hertz: float = 1_000.0, at: float = 0.5, seconds: float = 1.0, noise: float = 0.003) -> np.ndarray:
    """Return a tone of a tenth of a second that comes and goes softly, in faint noise, float32."""
    moments = np.arange(round(seconds * RATE)) / RATE
    away = np.abs(moments - at)
    window = np.where(away < 0.05, 0.3 * np.cos(np.pi * away / 0.1) ** 2, 0.0)
    hiss = noise * np.random.default_rng(0).standard_normal(len(moments))
    return (window * np.sin(2 * np.pi * hertz * moments) + hiss).astype(np.float32)
