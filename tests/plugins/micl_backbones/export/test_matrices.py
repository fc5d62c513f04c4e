"""Adapters as plain LoRA: the same output, whatever stands between the matrices and whatever their ranks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from helpers import KINDS, Make, ready, resources
from languages import write_language
from peft import PeftModel

from micl_backbones.composed.backbone import Composed
from micl_backbones.export.matrices import check_plain, lora_matrices
from micl_backbones.export.merge import merge
from micl_backbones.export.peft_files import load_adapters, write_adapter, write_connectors
from micl_cli.api import AdapterSpec, ExportRequest, PlanError, TokenMap
from micl_cli.testing import toy_examples

SPECS = {
    "plain": {"rank": 4, "alpha": 6},
    "ranks": {"rank": 4, "alpha": 6, "ranks": "q_proj=2,layers.1=3"},
    "some layers": {"rank": 2, "alpha": 5, "layers": "layers.0"},
    "diagonal": {"rank": 3, "alpha": 6, "inner": "diagonal"},
    "matrix": {"rank": 3, "alpha": 6, "inner": "matrix", "ranks": "layers.1=2"},
}
BOTH = pytest.mark.parametrize("kind", KINDS)
ALL = pytest.mark.parametrize("options", SPECS.values(), ids=SPECS)


@BOTH
@ALL
@pytest.mark.parametrize("one_rank", [False, True])
def test_the_matrices_give_the_output_of_each_layer(
    options: dict[str, Any], kind: str, one_rank: bool, make: Make
) -> None:
    made = ready(make(kind), "main", spec=AdapterSpec("lora", options))
    matrices = lora_matrices(made.adapters, "main", one_rank=one_rank)
    layers = made.adapters.layer_adapters("main")
    assert matrices.layers.keys() == layers.keys()
    if one_rank:
        assert not matrices.other_ranks
    for name, layer in layers.items():
        x = torch.randn(2, 5, matrices.layers[name][0].shape[1])
        tokens = TokenMap(torch.zeros(2, 1, dtype=torch.long), 1)
        torch.testing.assert_close(x @ matrices.delta(name).T, layer(x, tokens), atol=1e-5, rtol=1e-5)


@BOTH
@ALL
def test_peft_alone_computes_what_the_adapter_does(
    options: dict[str, Any], kind: str, make: Make, tmp_path: Path
) -> None:
    made, plain, merged = ready(make(kind), "main", spec=AdapterSpec("lora", options)), make(kind), make(kind)
    matrices = lora_matrices(made.adapters, "main")
    write_adapter(tmp_path, made.adapters, matrices, base="", revision="")
    ids = torch.tensor([[5, 9, 30, 31]])
    expected = made.language(input_ids=ids).logits
    loaded = PeftModel.from_pretrained(plain.language, tmp_path).eval()
    torch.testing.assert_close(loaded(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
    merge(merged.adapters, matrices)
    torch.testing.assert_close(merged.language(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)


@BOTH
@ALL
def test_a_backbone_loads_what_was_written(options: dict[str, Any], kind: str, make: Make, tmp_path: Path) -> None:
    made, other = ready(make(kind), "main", spec=AdapterSpec("lora", options)), make(kind)
    write_adapter(tmp_path / "main", made.adapters, lora_matrices(made.adapters, "main"), base="", revision="")
    assert write_connectors(tmp_path / "main", made.adapters, "main") == (kind == "composed")
    load_adapters(other.adapters, tmp_path, {"main": "main"})
    other.adapters.activate("main")
    other.read = made.read
    examples = toy_examples(sorted(made.modalities))
    logits, _ = made.answer_logits(made.batch(examples))
    torch.testing.assert_close(other.answer_logits(other.batch(examples))[0], logits, atol=1e-4, rtol=1e-4)


def test_layers_of_gpt2_are_transposed(preset: Path, tmp_path: Path) -> None:
    path = shutil.copytree(preset.parent, tmp_path / "preset") / preset.name
    write_language(path.parent / "language", hf.GPT2Config, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    path.write_text(path.read_text().replace('["q_proj", "v_proj", "down_proj"]', '["c_attn", "c_proj"]'))
    made, plain, merged = (Composed(str(path), resources=resources(), dtype="fp32") for _ in range(3))
    matrices = lora_matrices(ready(made, "main").adapters, "main")
    write_adapter(tmp_path / "out", made.adapters, matrices, base="", revision="")
    ids = torch.tensor([[5, 9, 30, 31]])
    expected = made.language(input_ids=ids).logits
    loaded = PeftModel.from_pretrained(plain.language, tmp_path / "out").eval()
    torch.testing.assert_close(loaded(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
    merge(merged.adapters, matrices)
    torch.testing.assert_close(merged.language(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)


def test_layers_that_peft_would_move_are_merged_only(preset: Path, tmp_path: Path) -> None:
    """Of a mixture of experts, peft moves layers that are called like those of an expert to fused weights."""
    path = shutil.copytree(preset.parent, tmp_path / "preset") / preset.name
    sizes = {"head_dim": 16, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    write_language(path.parent / "language", hf.Qwen3MoeConfig, mlp_only_layers=[0], **sizes)
    made, merged = (Composed(str(path), resources=resources(), dtype="fp32") for _ in range(2))
    ready(made, "main")
    ids = torch.tensor([[5, 9, 30, 31]])
    expected = made.language(input_ids=ids).logits
    with pytest.raises(PlanError, match="peft would move it to the fused weights") as refused:
        made.export(tmp_path / "out", ExportRequest(format="peft", adapters={"main": ""}, answering=["main"]))
    assert "--format merged" in refused.value.hint
    merge(merged.adapters, lora_matrices(made.adapters, "main"))
    torch.testing.assert_close(merged.language(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (AdapterSpec("experts", {"experts": 2, "rank": 4}), "'experts' is no plain LoRA"),
        (AdapterSpec("prompts", {"tokens": 2}), "'prompts' has soft prompts"),
    ],
)
def test_what_peft_cannot_express_is_refused(spec: AdapterSpec, reason: str, make: Make) -> None:
    made = ready(make("composed"), "main", spec=spec)
    with pytest.raises(PlanError, match=reason):
        check_plain(made.adapters, "main")


def test_a_damaged_adapter_is_refused(make: Make, tmp_path: Path) -> None:
    made = ready(make("composed"), "main")
    write_adapter(tmp_path, made.adapters, lora_matrices(made.adapters, "main"), base="", revision="")
    write_connectors(tmp_path, made.adapters, "main")
    (tmp_path / "adapter_config.json").write_text('{"r": "many"}')
    with pytest.raises(PlanError, match="cannot be loaded"):
        load_adapters(make("composed").adapters, tmp_path, {"main": ""})
