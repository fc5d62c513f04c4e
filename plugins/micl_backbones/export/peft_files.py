"""Adapters in the layout of peft (adapter_config.json, adapter_model.safetensors), with connectors beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from micl_backbones.export.matrices import LoraMatrices
from micl_cli.api import Adapters, AdapterSpec, PlanError, read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CONNECTORS, SHAPES = "connectors.safetensors", "connectors.json"
_KEY = "base_model.model.{layer}.lora_{matrix}.weight"
_MAX_BYTES = 16 << 20


def lora_config(adapters: Adapters, matrices: LoraMatrices, *, base: str = "", revision: str = "") -> LoraConfig:
    """Return peft's configuration of plain LoRA; ``base`` is the hub id or folder of the adapted model, if any."""
    return LoraConfig(
        r=matrices.rank,
        lora_alpha=cast(Any, matrices.alpha),
        target_modules=list(matrices.layers),
        rank_pattern=matrices.other_ranks,
        fan_in_fan_out=any(isinstance(adapters.host.layer_module(name), Conv1D) for name in matrices.layers),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base or None,
        revision=revision or None,
        inference_mode=True,
    )


def write_adapter(folder: Path, adapters: Adapters, matrices: LoraMatrices, *, base: str, revision: str) -> None:
    """Write plain LoRA for the model whose layers ``adapters`` adapt."""
    folder.mkdir(parents=True, exist_ok=True)
    config = lora_config(adapters, matrices, base=base, revision=revision).to_dict()
    write_json(folder / CONFIG, {n: sorted(value) if isinstance(value, set) else value for n, value in config.items()})
    tensors = {
        _KEY.format(layer=layer, matrix=matrix): weight
        for layer, pair in matrices.layers.items()
        for matrix, weight in zip("AB", pair, strict=True)
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def write_connectors(folder: Path, adapters: Adapters, name: str) -> bool:
    """Write an adapter's connectors, with the statistics of encoders that they expect; return whether it has any."""
    state = {key: weight for key, weight in adapters.state(name).items() if not key.startswith("layers.")}
    if not any(key.startswith("connector.") for key in state):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: weight.contiguous() for key, weight in state.items()}, folder / CONNECTORS)
    write_json(folder / SHAPES, {key: {"shape": list(w.shape), "dtype": str(w.dtype)} for key, w in state.items()})
    return True


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read and that is equal for equal content."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def load_adapters(adapters: Adapters, folder: Path, folders: Mapping[str, str]) -> None:
    """Add exported adapters by name, with their connectors; ``folders`` are those within ``folder``.

    An adapter that was merged has connectors only, and is added with an initial LoRA, which adds nothing. Raises
    PlanError.
    """
    for name, within in folders.items():
        place = folder / within
        try:
            spec, state = _read_adapter(place, adapters)
            connectors = _read_connectors(place)
            adapters.add(name, spec or adapters.host.default_spec())
            adapters.load(name, {**(state or _layers(adapters.state(name))), **connectors})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            hint = "Export the run again with this version of micl, or name the base model that it was exported with."
            raise PlanError(f"the exported adapter in {place} cannot be loaded: {reason}", hint) from error


def _read_adapter(place: Path, adapters: Adapters) -> tuple[AdapterSpec | None, dict[str, Tensor]]:
    """Return the spec and the weights, by parameter, of an adapter in peft's layout; no spec if there is none."""
    if not (place / CONFIG).is_file():
        return None, {}
    config, tensors = read_json(place / CONFIG, _MAX_BYTES), load_file(place / WEIGHTS)
    layers: Sequence[str] = sorted(config["target_modules"])
    ranks: Mapping[str, int] = config["rank_pattern"]
    has_all = set(layers) == {layer.name for layer in adapters.host.adaptable_layers}
    options = {
        "rank": int(config["r"]),
        "alpha": float(config["lora_alpha"]),
        "layers": "" if has_all else f"^({'|'.join(map(re.escape, layers))})$",
        "ranks": ",".join(f"^{re.escape(layer)}$={rank}" for layer, rank in ranks.items()),
    }
    state = {
        f"layers.{layer}.{matrix}": tensors[_KEY.format(layer=layer, matrix=matrix)]
        for layer in layers
        for matrix in "AB"
    }
    return AdapterSpec("lora", options, connectors=(place / CONNECTORS).is_file()), state


def _read_connectors(place: Path) -> dict[str, Tensor]:
    return load_file(place / CONNECTORS) if (place / CONNECTORS).is_file() else {}


def _layers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: weight for key, weight in state.items() if key.startswith("layers.")}
