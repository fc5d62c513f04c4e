"""Layers that LoRA is asked to adapt: each name is found, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import resources

from micl_backbones.composed.backbone import Composed
from micl_backbones.hf.backbone import HF
from micl_backbones.language import LanguageBackbone
from micl_cli.api import OptionError, PlanError

VOCABULARY = "is a projection from or to the vocabulary"


@pytest.fixture(params=["composed", "hf"])
def asked(request: Any, preset: Path, folders: Any, tmp_path: Path) -> Any:
    """Make a backbone with the given targets."""

    def hf(*targets: str) -> LanguageBackbone:
        return HF(str(folders("llava")), resources=resources(), lora_targets=",".join(targets))

    def composed(*targets: str) -> LanguageBackbone:
        text = preset.read_text().replace('["q_proj", "v_proj", "down_proj"]', repr(list(targets)))
        for name in ("language", "image.safetensors", "audio.safetensors", "instructions.jsonl"):
            if not (tmp_path / name).exists():
                (tmp_path / name).symlink_to(preset.parent / name)
        (tmp_path / "own.toml").write_text(text)
        return Composed(str(tmp_path / "own.toml"), resources=resources())

    return composed if request.param == "composed" else hf


@pytest.mark.parametrize(
    ("targets", "message", "hint"),
    [
        (["q_proj", "v_prj"], "no linear layer of the language model is called 'v_prj'", "Did you mean 'v_proj'?"),
        (["nope"], "is called 'nope'", "q_proj"),
        (["all-linear"], "is called 'all-linear'", "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"),
        (["q_proj", "lm_head"], f"lm_head cannot be adapted: it {VOCABULARY}", "Leave it out"),
        (["q_proj", "embed_tokens"], f"embed_tokens cannot be adapted: it {VOCABULARY}", "Leave it out"),
        (["lm_head"], VOCABULARY, "Leave it out"),
        (["proj"], "is called 'proj'", ""),
        (["self_attn"], "is called 'self_attn'", ""),
    ],
)
def test_what_cannot_be_adapted_is_refused(asked: Any, targets: list[str], message: str, hint: str) -> None:
    with pytest.raises(PlanError, match=message) as refused:
        _ = asked(*targets).adaptable_layers
    assert hint in refused.value.hint


@pytest.mark.parametrize("targets", ["", " , "])
def test_no_names_at_all_are_refused(folders: Any, targets: str) -> None:
    with pytest.raises(OptionError, match="lora_targets names no layer"):
        HF(str(folders("llava")), resources=resources(), lora_targets=targets)


def adapted(backbone: LanguageBackbone) -> set[str]:
    backbone.adapters.add("main")
    return {name.rpartition(".")[2] for name in backbone.adapters.layer_adapters("main")}


def test_a_name_may_have_a_part_of_its_path(asked: Any) -> None:
    assert adapted(asked("self_attn.q_proj", "mlp.down_proj")) == {"q_proj", "down_proj"}


def test_the_default_targets_need_not_all_exist(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("q_proj", "of_another_family")
    monkeypatch.setattr("micl_backbones.hf.backbone.TARGETS", names)
    assert adapted(HF(str(folders("llava")), resources=resources(), lora_targets=",".join(names))) == {"q_proj"}
