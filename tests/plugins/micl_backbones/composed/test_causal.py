"""Language models of other architectures than Llama's, each against its own forward pass and generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from helpers import ready, resources
from languages import write_encoders, write_language

from micl_backbones.composed.backbone import Composed
from micl_cli.api import Example, PlanError
from micl_cli.testing import toy_examples

GPT = {"n_embd": 32, "n_layer": 2, "n_head": 2}
ARCHITECTURES: dict[str, tuple[Any, dict[str, Any], bool]] = {
    "gpt2": (hf.GPT2Config, GPT, True),
    "pythia": (hf.GPTNeoXConfig, {}, True),
    "falcon": (hf.FalconConfig, {}, True),
    "gpt_bigcode": (hf.GPTBigCodeConfig, GPT, True),
    "opt": (hf.OPTConfig, {"ffn_dim": 64, "word_embed_proj_dim": 16}, True),
    "granite": (hf.GraniteConfig, {"logits_scaling": 3.0}, True),
    "falcon_alibi": (hf.FalconConfig, {"alibi": True}, False),
    "bloom": (hf.BloomConfig, {"n_head": 2, "n_layer": 2}, False),
    "mpt": (hf.MptConfig, {"d_model": 32, "n_heads": 2, "n_layers": 2}, False),
    "gptj": (hf.GPTJConfig, {**GPT, "rotary_dim": 8}, False),
    "gpt_neo": (
        hf.GPTNeoConfig,
        {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": 4},
        False,
    ),
    "gemma2": (hf.Gemma2Config, {"head_dim": 16, "final_logit_softcapping": 0.5}, False),
    "mamba": (hf.MambaConfig, {"state_size": 4}, False),
    "llama4": (hf.Llama4TextConfig, {"head_dim": 16, "num_local_experts": 2, "intermediate_size_mlp": 32}, False),
}
PRESET = """name = "other"
[language]
checkpoint = "language"
[encoder.image]
family = "hf-vision"
checkpoint = "clip"
[lora]
r = 4
alpha = 8
"""


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The preset of an architecture by name, written once."""

    def write(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        kind, settings, _ = ARCHITECTURES[name]
        write_language(folder / "language", kind, **settings)
        write_encoders(folder)
        (folder / "other.toml").write_text(PRESET)
        return folder / "other.toml"

    return cache(write)


@pytest.fixture(params=sorted(ARCHITECTURES))
def named(request: pytest.FixtureRequest, presets: Callable[[str], Path]) -> tuple[str, Composed]:
    return request.param, ready(Composed(str(presets(request.param)), resources=resources(), dtype="fp32"))


@pytest.fixture
def backbone(named: tuple[str, Composed]) -> Composed:
    return named[1]


def mixed() -> list[Example]:
    """Examples with and without media, of several lengths."""
    seen = [replace(e, content=(*e.content, "more " * i)) for i, e in enumerate(toy_examples(["image"])[:3])]
    return [*seen, Example("a", ("just text",), ("yes",)), Example("b", ("text that is longer",), ("yes no",))]


def test_sequences_share_a_row_only_where_a_mask_tells_them_apart(named: tuple[str, Composed]) -> None:
    name, backbone = named
    assert backbone._can_pack == ARCHITECTURES[name][2]


@torch.no_grad()
def test_logits_are_the_model_s_own_also_in_a_batch(backbone: Composed) -> None:
    examples = mixed()
    logits, labels = backbone.answer_logits(backbone.batch(examples))
    own = []
    for example in examples:
        prompts, rows, taught = backbone._with_answers([example])
        embeds = backbone._embed(backbone._inputs([example], prompts, rows))
        answered = taught[0, 1:] != -100
        own.append(backbone.language(inputs_embeds=embeds, use_cache=False).logits[0, :-1][answered])
    torch.testing.assert_close(logits, torch.cat(own), atol=2e-5, rtol=1e-4)
    assert len(labels) == len(logits)


@torch.no_grad()
def test_answers_are_those_of_transformers_for_each_alone(backbone: Composed) -> None:
    search = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": 2, "pad_token_id": 0}
    wanted = []
    for example in mixed():
        (prompt,) = backbone._prompts([example])
        embeds = backbone._embed(backbone._inputs([example], [prompt], [prompt.ids]))
        mask = torch.ones(embeds.shape[:2], dtype=torch.long)
        wanted += backbone.language.generate(inputs_embeds=embeds, attention_mask=mask, **search).tolist()
    assert backbone.generate(mixed(), max_new_tokens=6) == backbone.texts.decode(wanted)
    if backbone.language.config.model_type == "gemma2":
        return  # logits capped to 0.5 almost tie, and beams then differ by rounding
    beams = backbone.generate(mixed(), max_new_tokens=6, num_beams=2)
    assert beams == [backbone.generate([e], max_new_tokens=6, num_beams=2)[0] for e in mixed()]


@torch.no_grad()
def test_choices_are_scored_alike_alone_and_in_a_batch(backbone: Composed) -> None:
    together = backbone.score_choices(mixed(), ["a", "b c"])
    alone = torch.cat([backbone.score_choices([example], ["a", "b c"]) for example in mixed()])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)


def test_without_targets_the_linear_layers_of_all_blocks_learn(backbone: Composed) -> None:
    backbone.loss(backbone.batch(mixed())).backward()
    layers = {layer.name for layer in backbone.adaptable_layers}
    assert len(layers) >= 2 and not any("head" in layer for layer in layers)
    weights = backbone.adapters.trainable({"image"})
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


def test_answers_end_where_the_model_has_no_more_positions(tmp_path: Path) -> None:
    write_language(tmp_path / "language", hf.GPT2Config, n_positions=24, **GPT)
    write_encoders(tmp_path)
    (tmp_path / "other.toml").write_text(PRESET)
    backbone = ready(Composed(str(tmp_path / "other.toml"), resources=resources()))
    for beams in (1, 2):
        (answer,) = backbone.generate([Example("a", ("x" * 20,))], max_new_tokens=30, num_beams=beams)
        assert len(answer) <= 30
    with pytest.raises(PlanError, match=r"example b of a task has 32 tokens, and GPT2LMHeadModel has 24 positions"):
        backbone.batch([Example("b", ("x" * 30,), ("",))])


def test_an_architecture_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    write_encoders(tmp_path)
    (tmp_path / "other.toml").write_text(PRESET)
    kinds: list[tuple[Any, dict[str, Any], str]] = [
        (hf.BertConfig, {}, "BertLMHeadModel is not causal"),
        (hf.CTRLConfig, {**GPT, "dff": 64}, "CTRLLMHeadModel does not generate from input embeddings"),
    ]
    for kind, settings, message in kinds:
        write_language(tmp_path / "language", kind, **settings)
        with pytest.raises(PlanError, match=message) as refused:
            Composed(str(tmp_path / "other.toml"), resources=resources())
        assert "causal language model" in refused.value.hint


def test_weights_that_a_kernel_reads_directly_take_no_adapter(presets: Callable[[str], Path]) -> None:
    path = presets("mamba").parent / "named.toml"
    path.write_text(PRESET + 'targets = ["out_proj"]\n')
    with pytest.raises(PlanError, match=r"MambaForCausalLM does not allow an adapter on .*out_proj"):
        ready(Composed(str(path), resources=resources()))


def test_experts_whose_layers_peft_would_move_learn_too(tmp_path: Path) -> None:
    sizes = {"head_dim": 16, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    write_language(tmp_path / "language", hf.Qwen3MoeConfig, mlp_only_layers=[0], **sizes)
    write_encoders(tmp_path)
    (tmp_path / "other.toml").write_text(PRESET)
    backbone = ready(Composed(str(tmp_path / "other.toml"), resources=resources()))
    assert any("mlp.gate_proj" in layer.name for layer in backbone.adaptable_layers)
    assert torch.isfinite(backbone.loss(backbone.batch(mixed())))


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty`")
@pytest.mark.parametrize("name", ["pythia", "bloom"])
@pytest.mark.parametrize(("beams", "length"), [(1, 1.0), (3, 0.0), (3, 2.0)])
@torch.no_grad()
def test_penalties_give_the_tokens_of_transformers(
    presets: Callable[[str], Path], name: str, beams: int, length: float
) -> None:
    """Decoded in one batch, against ``generate`` of transformers for each prompt alone."""
    backbone = ready(Composed(str(presets(name)), resources=resources(), dtype="fp32"))
    search: dict[str, Any] = {"max_new_tokens": 8, "num_beams": beams, "repetition_penalty": 1.8}
    wanted = []
    for example in mixed():
        (prompt,) = backbone._prompts([example])
        embeds = backbone._embed(backbone._inputs([example], [prompt], [prompt.ids]))
        mask = torch.ones(embeds.shape[:2], dtype=torch.long)
        more = {"length_penalty": length} if beams > 1 else {}
        wanted += backbone.language.generate(
            inputs_embeds=embeds, attention_mask=mask, do_sample=False, eos_token_id=2, pad_token_id=0, **search, **more
        ).tolist()
    found = backbone.generate(mixed(), length_penalty=length, **search)
    assert found == backbone.texts.decode(wanted)
    assert found != backbone.generate(mixed(), max_new_tokens=8, num_beams=beams)
