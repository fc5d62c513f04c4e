"""A small random language model as a judge."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from micl_cli.api import Resources
from micl_cli.registry import Registry
from micl_metrics.judge.metric import Judge

CHAT = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>{% endfor %}{{ '<s>assistant\n' }}"


def write_judge(folder: Path, *, template: str = "", seed: int = 0) -> Path:
    """Write a random Llama with a token for each byte."""
    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.chat_template = template or None
    fast.save_pretrained(folder)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=len(words), max_position_embeddings=4096, initializer_range=0.4, pad_token_id=0, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def judge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a judge without a chat template."""
    return write_judge(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="session")
def chat_judge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a judge with a chat template."""
    return write_judge(tmp_path_factory.mktemp("chat-judge"), template=CHAT, seed=1)


@pytest.fixture
def resources(isolated: Path, judge_folder: Path) -> Resources:
    """The resources of a home where a judge is set."""
    return Resources(isolated, Registry.discover().load, str(judge_folder))


@pytest.fixture
def judge(resources: Resources) -> Judge:
    """A judge that is set up."""
    metric = Judge()
    metric.setup(resources)
    return metric
