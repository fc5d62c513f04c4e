"""Conversion of weights to safetensors. Pickled files are read with ``weights_only=True`` only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

_LITE = {"conv_stem": "stem", "conv_head": "head", "depthwise_conv": "depthwise"}
_LITE |= {"expand_conv": "expand", "project_conv": "project"}
_TOP = {"bn0": "stem_norm", "bn1": "head_norm"}
_WITHIN = {"bn0": "expand_norm", "bn1": "depthwise_norm", "bn2": "project_norm"}
_WHISPER = (
    (r"^positional_embedding$", "embed_positions.weight"),
    (r"^blocks\.", "layers."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
    (r"\.attn\.query\.", ".self_attn.q_proj."),
    (r"\.attn\.key\.", ".self_attn.k_proj."),
    (r"\.attn\.value\.", ".self_attn.v_proj."),
    (r"\.attn\.out\.", ".self_attn.out_proj."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
    (r"^ln_post\.", "layer_norm."),
)


def gguf_language(source: Path, target: Path) -> Path:
    """Convert a GGUF language model, dequantised to bf16, and its tokenizer to a checkpoint folder."""
    transformers_logging.disable_progress_bar()
    gguf: dict[str, Any] = {"gguf_file": source.name}
    model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.bfloat16, trust_remote_code=False, **gguf)
    for owner, name in ((model.config, "quantization_config"), (model, "hf_quantizer"), (model, "is_quantized")):
        if hasattr(owner, name):
            delattr(owner, name)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, trust_remote_code=False, **gguf).save_pretrained(target)
    return target


def efficientnet_lite(source: Path, target: Path) -> Path:
    """Convert EfficientNet-lite without its classifier to the names of ``encoders.pretrained.EfficientNetLite``."""
    weights = torch.load(source, map_location="cpu", weights_only=True)
    encoder = {_lite_name(name): weight for name, weight in weights.items() if not name.startswith("_fc.")}
    return _save(encoder, target)


def _lite_name(name: str) -> str:
    """Translate a name: "_blocks.3._bn1.weight" to "blocks.3.depthwise_norm.weight"."""
    parts = [part.removeprefix("_") for part in name.split(".")]
    norms = _WITHIN if parts[0] == "blocks" else _TOP
    return ".".join({**_LITE, **norms}.get(part, part) for part in parts)


def whisper_encoder(source: Path, target: Path, layers: int = 3) -> Path:
    """Convert the lowest ``layers`` of a Whisper checkpoint's encoder to the names of transformers."""
    weights: Mapping[str, Tensor] = torch.load(source, map_location="cpu", weights_only=True)["model_state_dict"]
    encoder = {n.removeprefix("encoder."): w for n, w in weights.items() if n.startswith("encoder.")}
    lowest = {n: w for n, w in encoder.items() if not (m := re.match(r"blocks\.(\d+)", n)) or int(m[1]) < layers}
    return _save({f"encoder.{_whisper_name(name)}": weight.float() for name, weight in lowest.items()}, target)


def _whisper_name(name: str) -> str:
    for pattern, replacement in _WHISPER:
        name = re.sub(pattern, replacement, name)
    return name


def _save(weights: Mapping[str, Tensor], target: Path) -> Path:
    save_file({name: weight.contiguous() for name, weight in weights.items()}, target)
    return target


CONVERTERS: Mapping[str, Callable[[Path, Path], Path]] = {
    "gguf": gguf_language,
    "efficientnet-lite": efficientnet_lite,
    "whisper": whisper_encoder,
}
