"""Loading multimodal checkpoints of transformers: model, processor, and end tokens."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForMultimodalLM, AutoProcessor
from transformers.utils import logging as transformers_logging

from micl_backbones.attention import attend_in_float32
from micl_backbones.weights.digest import folder_digest
from micl_backbones.weights.hub import is_here, is_id
from micl_backbones.weights.quantize import DType, Quantize, keep_gradients_true, project_whole_states, storage
from micl_cli.api import PlanError, PresetInfo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

THINKERS = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
"""Models with speech output, of which only the part that reads media and text is loaded."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; ``ends`` are the ids of the tokens that end an answer, the usual one first."""

    model: Any
    processor: Any
    ends: Sequence[int]


def named_checkpoint(preset: str) -> tuple[str, str]:
    """Return (id or folder, revision) of ID, ID@REVISION or FOLDER. Raises PlanError if there is no name."""
    name, at, revision = preset.partition("@")
    if preset and Path(preset).is_dir():
        return preset, "main"
    if not name or (at and Path(name).is_dir()):
        wrong = "a folder has no revisions" if name else "the backbone hf wants a checkpoint"
        raise PlanError(wrong, "Write --backbone hf:ID, hf:ID@REVISION or hf:FOLDER.")
    return name, revision or "main"


def load_checkpoint(preset: str, quantize: Quantize, dtype: DType, *, trust: bool) -> Checkpoint:
    """Load a frozen checkpoint, see ``named_checkpoint``. Raises PlanError with the reason."""
    name, revision = named_checkpoint(preset)
    transformers_logging.disable_progress_bar()
    common: dict[str, Any] = {"trust_remote_code": trust, "revision": revision}
    try:
        config = AutoConfig.from_pretrained(name, **common)
        processor = AutoProcessor.from_pretrained(name, **common)
        cls = _class(config)
        only = _language_in(cls, config) if quantize != "none" else ""
        how = storage(quantize, dtype, stored=_stored(config), only=only)
        model = cls.from_pretrained(name, use_safetensors=True, **common, **how)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise _unusable(preset, error) from error
    if not hasattr(processor, "tokenizer"):
        raise PlanError(f"the checkpoint {name} is not multimodal", "Choose one with a processor for images or sounds.")
    model.requires_grad_(False).eval()
    attend_in_float32(model)
    keep_gradients_true(model)
    project_whole_states(model)
    return Checkpoint(model, processor, _ends(model, processor))


def _class(config: Any) -> Any:
    thinker = THINKERS.get(config.model_type)
    return getattr(transformers, thinker) if thinker else AutoModelForMultimodalLM


def _stored(config: Any) -> Any:
    """Return the precision of the language model's weights in the checkpoint."""
    return config.get_text_config().dtype or config.dtype


def _language_in(cls: Any, config: Any) -> str:
    """Return ``decoder_name`` before any weights are loaded."""
    with torch.device("meta"):
        skeleton = cls.from_config(config) if hasattr(cls, "from_config") else cls._from_config(config)
    return decoder_name(skeleton)


def decoder_name(model: Any) -> str:
    """Return the name of the language model within the model."""
    decoder = model.get_decoder()
    return str(next(name for name, module in model.named_modules() if module is decoder))


def _ends(model: Any, processor: Any) -> tuple[int, ...]:
    stated = getattr(model.generation_config, "eos_token_id", None)
    ids = [processor.tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])]
    return tuple(dict.fromkeys(token for token in ids if token is not None))


def checkpoint_digest(preset: str) -> str:
    """Return a digest of a checkpoint in a folder; the id of one on a hub."""
    return folder_digest(Path(preset)) if Path(preset).is_dir() else preset


def known_checkpoints() -> list[PresetInfo]:
    """Return well-known checkpoints of a hub; others are used by their id in the same way."""
    tables: Any = tomllib.loads(
        (Path(__file__).parents[1] / "presets" / "checkpoints.toml").read_text(encoding="utf-8")
    )
    return [
        PresetInfo(
            name=table["id"],
            summary=table["summary"],
            modalities=frozenset(table["modalities"]),
            parameters=table["parameters"],
            bytes=table["bytes"],
            licence=table["licence"],
            source="hub",
            ready=is_here(table["id"]),
            fetchable=True,
        )
        for table in tables["checkpoint"]
    ]


def _unusable(preset: str, error: Exception) -> PlanError:
    reason, (name, revision) = " ".join(str(error).split()), named_checkpoint(preset)
    hint = "Give a folder with config.json and safetensors, or the id of a checkpoint that is downloaded."
    if not Path(name).exists() and is_id(name) and not is_here(name, revision):
        hint = f"Get it: micl backbones fetch hf:{preset}"
    if "torchvision" in reason.lower():
        hint = "Install torchvision, in the version that goes with your torch."
    logging.getLogger(__name__).debug("loading %s", preset, exc_info=error)
    return PlanError(f"the checkpoint {preset} cannot be loaded: {reason[:300]}", hint)
