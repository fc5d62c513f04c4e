"""Convert weights of other formats to safetensors; files with pickle are read by torch's restricted loader only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

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
    """Write a GGUF language model, dequantised to bf16, and its tokenizer to a folder, and return it."""
    how: dict[str, Any] = {"gguf_file": source.name}
    model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.bfloat16, **how)
    for owner, mark in ((model.config, "quantization_config"), (model, "hf_quantizer"), (model, "is_quantized")):
        if hasattr(owner, mark):
            delattr(owner, mark)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, **how).save_pretrained(target)
    return target


def efficientnet_lite(source: Path, target: Path) -> Path:
    """Write EfficientNet-lite without its classifier, with the names of composed.encoders.pretrained."""
    weights = torch.load(source, map_location="cpu", weights_only=True)
    kept = {_lite_name(name): weight for name, weight in weights.items() if not name.startswith("_fc.")}
    return _saved(kept, target)


def _lite_name(name: str) -> str:
    """Return the new name of a weight: "blocks.3.depthwise_norm.weight" for "_blocks.3._bn1.weight"."""
    parts = [part.removeprefix("_") for part in name.split(".")]
    norms = _WITHIN if parts[0] == "blocks" else _TOP
    return ".".join({**_LITE, **norms}.get(part, part) for part in parts)


def whisper_encoder(source: Path, target: Path, layers: int = 3) -> Path:
    """Write the lowest ``layers`` of a Whisper checkpoint's encoder, with the names of transformers."""
    weights: Mapping[str, Tensor] = torch.load(source, map_location="cpu", weights_only=True)["model_state_dict"]
    encoder = {n.removeprefix("encoder."): w for n, w in weights.items() if n.startswith("encoder.")}
    kept = {n: w for n, w in encoder.items() if not (m := re.match(r"blocks\.(\d+)", n)) or int(m[1]) < layers}
    return _saved({f"encoder.{_whisper_name(name)}": weight.float() for name, weight in kept.items()}, target)


def _whisper_name(name: str) -> str:
    for pattern, other in _WHISPER:
        name = re.sub(pattern, other, name)
    return name


def _saved(weights: Mapping[str, Tensor], target: Path) -> Path:
    save_file({name: weight.contiguous() for name, weight in weights.items()}, target)
    return target


CONVERTERS: Mapping[str, Callable[[Path, Path], Path]] = {
    "gguf": gguf_language,
    "efficientnet-lite": efficientnet_lite,
    "whisper": whisper_encoder,
}
