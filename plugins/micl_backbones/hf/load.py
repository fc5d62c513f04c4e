"""Loading of multimodal transformers checkpoints: model, processor, and end-of-answer tokens."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
import transformers
from transformers import AutoConfig, AutoModelForMultimodalLM, AutoProcessor, GenerationConfig
from transformers.utils import logging as transformers_logging

from micl_backbones.attention import use_float32_attention
from micl_backbones.weights.digest import FileDigest, folder_digest
from micl_backbones.weights.hub import check_cached, commit_of, is_cached, is_id, snapshot_folder
from micl_backbones.weights.quantize import DType, Quantize, disable_weight_repacking, make_states_contiguous, storage
from micl_cli.api import PlanError, PresetInfo, read_toml

TRUST = "trust_remote_code"
THINKERS = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
"""Classes that load the understanding half of models that also speak, without the speech output."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; ``ends`` are the ids of the tokens that end an answer, the tokenizer's own first."""

    model: Any
    processor: Any
    ends: Sequence[int]


def named_checkpoint(preset: str) -> tuple[str, str]:
    """Split ID, ID@REVISION or FOLDER into (id or folder, revision). Raises PlanError if there is no checkpoint."""
    name, separator, revision = preset.partition("@")
    if preset and Path(preset).is_dir():
        return preset, "main"
    if not name or (separator and Path(name).is_dir()):
        problem = "a folder has no revisions" if name else "the backbone hf needs a checkpoint"
        raise PlanError(problem, "Write --backbone hf:ID, hf:ID@REVISION or hf:FOLDER.")
    return name, revision or "main"


def load_checkpoint(preset: str, quantize: Quantize, dtype: DType, *, trust: bool) -> Checkpoint:
    """Load and freeze a checkpoint; ``preset`` as in ``named_checkpoint``. Raises PlanError if it cannot be loaded.

    Only with ``trust``, files are downloaded here: the checkpoint's code.
    """
    name, revision = named_checkpoint(preset)
    transformers_logging.disable_progress_bar()
    common: dict[str, Any] = {TRUST: trust, "revision": commit_of(name, revision)}
    if not trust and not Path(name).is_dir():
        name = str(snapshot_folder(name, revision) or _not_fetched(preset))
    try:
        config = AutoConfig.from_pretrained(name, **common)
        processor = AutoProcessor.from_pretrained(name, **common)
        cls = _class(config)
        only = _language_name(cls, config) if quantize != "none" else ""
        precision = storage(quantize, dtype, stored=_stored_dtype(config), only=only)
        model = cls.from_pretrained(name, use_safetensors=True, **common, **precision)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise _unusable(preset, error) from error
    if not hasattr(processor, "tokenizer"):
        raise PlanError(f"the checkpoint {name} is not multimodal", "Choose one with a processor for media.")
    model.requires_grad_(False).eval()
    use_float32_attention(model)
    disable_weight_repacking(model)
    make_states_contiguous(model)
    ends = _ends(model, processor)
    model.generation_config = GenerationConfig()  # plain decoding: no penalties, no sampling, no forced tokens
    return Checkpoint(model, processor, ends)


def _class(config: Any) -> Any:
    thinker = THINKERS.get(config.model_type)
    return getattr(transformers, thinker) if thinker else AutoModelForMultimodalLM


def _stored_dtype(config: Any) -> Any:
    """Return the dtype of the language model's weights in the checkpoint."""
    return config.get_text_config().dtype or config.dtype


def _language_name(cls: Any, config: Any) -> str:
    """Return ``decoder_name`` without loading any weights."""
    with torch.device("meta"):
        skeleton = cls.from_config(config) if hasattr(cls, "from_config") else cls._from_config(config)
    return decoder_name(skeleton)


def decoder_name(model: Any) -> str:
    """Return the name of the language model's module within the model."""
    decoder = model.get_decoder()
    return str(next(name for name, module in model.named_modules() if module is decoder))


def _ends(model: Any, processor: Any) -> tuple[int, ...]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = [processor.tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])]
    if ends := tuple(dict.fromkeys(token for token in ids if token is not None)):
        return ends
    hint = "Name one as eos_token in its tokenizer_config.json, or as eos_token_id in generation_config.json."
    raise PlanError("the checkpoint names no token that ends an answer", hint)


def resolved_checkpoint(preset: str) -> str:
    """Return the absolute path of a checkpoint folder, or ID@COMMIT of a hub id that is in the cache."""
    name, revision = named_checkpoint(preset)
    if Path(name).is_dir():
        return os.path.normpath(Path(name).absolute())
    folder = snapshot_folder(name, revision)
    return f"{name}@{folder.name}" if folder else preset


def checkpoint_digest(preset: str, digest: FileDigest) -> str:
    """Return a digest of a checkpoint folder; a hub id is returned with its commit. Raises PlanError."""
    name, revision = named_checkpoint(preset)
    if Path(name).is_dir():
        return folder_digest(Path(name), digest)
    check_cached(name, revision, digest)
    return resolved_checkpoint(preset)


def known_checkpoints() -> list[PresetInfo]:
    """Return the list of well-known hub checkpoints; any other can be used by its id."""
    tables = read_toml(Path(__file__).parents[1] / "presets" / "checkpoints.toml")
    return [
        PresetInfo(
            name=table["id"],
            summary=table["summary"],
            modalities=frozenset(table["modalities"]),
            parameters=table["parameters"],
            bytes=table["bytes"],
            licence=table["licence"],
            source="hub",
            ready=is_cached(table["id"]),
            fetchable=True,
        )
        for table in tables["checkpoint"]
    ]


def _not_fetched(preset: str) -> NoReturn:
    name, _ = named_checkpoint(preset)
    if not is_id(name):
        raise PlanError(f"{name!r} is neither a hub id nor a folder", "Write hf:OWNER/NAME or hf:FOLDER.")
    problem = f"the checkpoint {preset} cannot be loaded: it is not a folder, and has not been fetched from the hub"
    raise PlanError(problem, f"Fetch it: micl backbones fetch hf:{preset}")


def _unusable(preset: str, error: Exception) -> PlanError:
    reason = " ".join(str(error).split())
    fetch = f"micl backbones fetch hf:{preset}"
    hint = f"Give a folder with config.json and safetensors, or fetch the checkpoint again: {fetch}"
    if TRUST in reason:
        hint = "If you trust the checkpoint's own code, add --trust-remote-code."
    if "torchvision" in reason.lower():
        hint = "Install torchvision in the version that matches your torch."
    logging.getLogger(__name__).debug("loading %s", preset, exc_info=error)
    return PlanError(f"the checkpoint {preset} cannot be loaded: {reason[:300]}", hint)
