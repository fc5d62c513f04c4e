from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from micl_backbones.encoders import build_encoder

ENCODERS = {
    "image": ("conv-image", {"size": 24, "grid": 2, "channels": 16, "width": 8}),
    "audio": ("conv-sound", {"rate": 8000, "seconds": 0.5, "tokens": 3, "channels": 16, "width": 12}),
}


def write_language(folder: Path) -> None:
    """A small random Llama with one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)


def write_preset(folder: Path) -> Path:
    """A preset of random parts with two modalities. Returns its TOML file."""
    write_language(folder / "language")
    lines = ['name = "small"', "[language]", 'path = "language"', 'question_prompt = "Ask about: {caption}"']
    lines.append('instructions = "instructions.jsonl"')
    texts = ["Say yes. yes", "Name a colour. red"]
    (folder / "instructions.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for modality, (family, config) in ENCODERS.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            save_file(build_encoder(family, **config).state_dict(), folder / f"{modality}.safetensors")
        lines += [f"[encoder.{modality}]", f'family = "{family}"', f'weights = "{modality}.safetensors"']
        lines += [f"{key} = {value}" for key, value in config.items()]
    lines += ["[lora]", "r = 4", "alpha = 8", 'targets = ["q_proj", "v_proj", "down_proj"]']
    lines += ["[training]", "batch_size = 2", "learning_rate = 1e-3"]
    path = folder / "small.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of small random parts; not to be changed."""
    return write_preset(tmp_path_factory.mktemp("preset"))
