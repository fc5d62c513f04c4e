"""Small random language models and encoders, for presets of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    AutoModelForCausalLM,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)


def write_language(folder: Path, kind: type[PreTrainedConfig] = LlamaConfig, **changed: Any) -> None:
    """A small random language model, of Llama's kind or another, with one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    small: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.2}
    tokens = {"vocab_size": len(words), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(kind(**small, **tokens, **changed)).save_pretrained(folder)


def write_encoders(folder: Path) -> None:
    """Small random checkpoints of CLIP's vision model and of AST."""
    small: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    CLIPVisionModel(CLIPVisionConfig(**small, image_size=28, patch_size=7)).save_pretrained(folder / "clip")
    size = {"height": 28, "width": 28}
    CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=size).save_pretrained(folder / "clip")
    ASTModel(ASTConfig(**small, num_mel_bins=32, max_length=64)).save_pretrained(folder / "ast")
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder / "ast")


def write_sound_models(folder: Path) -> None:
    """Small random checkpoints of CLAP, with and without fusion, and of Whisper: each is more than an encoder."""
    for name, fuses in (("clap", False), ("clap-fused", True)):
        sound = {"spec_size": 256, "num_mel_bins": 64, "hidden_size": 64, "patch_embeds_hidden_size": 8}
        sound |= {"depths": [1] * 4, "num_attention_heads": [2] * 4, "enable_fusion": fuses}
        words = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        ClapModel(ClapConfig(text_config=words, audio_config=sound)).save_pretrained(folder / name)
        cut = "fusion" if fuses else "rand_trunc"
        ClapFeatureExtractor(feature_size=64, sampling_rate=48000, truncation=cut).save_pretrained(folder / name)
    sizes = {f"{half}_{size}": n for half in ("encoder", "decoder") for size, n in _WHISPER.items()}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    WhisperModel(WhisperConfig(vocab_size=60, d_model=16, **sizes, **tokens)).save_pretrained(folder / "whisper")
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder / "whisper")


_WHISPER = {"layers": 1, "attention_heads": 2, "ffn_dim": 16}
