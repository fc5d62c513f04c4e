"""Adapters on a transformers model, with plain LoRA held by peft.

A single active plain LoRA is computed by peft; sums, mixtures and other adapter kinds are added by the hooks of
``micl_cli.api.adapters``. Both give the same numbers up to rounding.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from micl_backbones.adapters.lora import Lora
from micl_cli.api import AdapterHost, AdapterKind, Adapters, LayerAdapter, PartLoader, TokenMap


class PeftAdapters(Adapters):
    """The adapters of a transformers model; ``language`` is the model whose layers they adapt."""

    def __init__(self, host: AdapterHost, load_part: PartLoader, language: Any) -> None:
        super().__init__(host, load_part)
        self.language = language
        self.peft: PeftModel | None = None
        self._in_peft: set[str] = set()

    def _new_layers(self, name: str, kind: AdapterKind) -> dict[str, LayerAdapter]:
        if type(kind) is not Lora or kind.inner != "none":  # what a subclass adds is not peft's
            return super()._new_layers(name, kind)
        ranks = {layer.name: rank for layer in self.host.adaptable_layers if (rank := kind.rank_of(layer.name))}
        if not keeps_targets(_config(kind, ranks), self.language):
            return super()._new_layers(name, kind)
        self._inject(name, _config(kind, ranks))
        self._in_peft.add(name)
        return {layer: PeftLowRank(cast(LoraLayer, self.host.layer_module(layer)), name) for layer in ranks}

    def _inject(self, name: str, config: LoraConfig) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fan_in_fan_out is set")  # peft sets it right for GPT-2's layers
            if self.peft is None:
                self.peft = cast(PeftModel, get_peft_model(self.language, config, adapter_name=name))
            else:
                self.peft.add_adapter(name, config)

    def remove(self, name: str) -> None:
        super().remove(name)
        if name in self._in_peft:
            self._in_peft.remove(name)
            assert self.peft is not None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # peft warns that another adapter becomes active
                self.peft.delete_adapter(name)
            self.activate(self.active, learning=self.learning)

    def _apply(self) -> None:
        alone = self.active if isinstance(self.active, str) and self.active in self._in_peft else None
        if alone:
            self._summed = ()
        if self.peft is not None:
            if alone:
                self.peft.base_model.enable_adapter_layers()
                self.peft.set_adapter(alone)
            else:
                self.peft.base_model.disable_adapter_layers()
        super()._apply()


class PeftLowRank(LayerAdapter):
    """View of one adapter in a peft layer as a ``LayerAdapter``."""

    def __init__(self, layer: LoraLayer, name: str) -> None:
        super().__init__()
        self.A, self.B = layer.lora_A[name].weight, layer.lora_B[name].weight
        self.dropout: nn.Module = layer.lora_dropout[name]
        self.scale = float(layer.scaling[name])

    def forward(self, x: Tensor, tokens: TokenMap) -> Tensor:
        added: Tensor = self.dropout(x) @ self.A.T @ self.B.T * self.scale
        return added

    def low_rank(self) -> tuple[Tensor, Tensor, float] | None:
        return self.A, self.B, self.scale


def _config(kind: Lora, ranks: dict[str, int]) -> LoraConfig:
    return LoraConfig(
        r=kind.rank,
        lora_alpha=cast(Any, kind.alpha),
        lora_dropout=kind.dropout,
        target_modules=list(ranks),
        rank_pattern={name: rank for name, rank in ranks.items() if rank != kind.rank},
        task_type="CAUSAL_LM",
    )


def keeps_targets(config: LoraConfig, language: Any) -> bool:
    """Whether peft adapts the layers of ``config`` as they are.

    For some mixtures of experts it moves targets called like a layer of an expert to fused weights.
    """
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
    except ImportError:  # versions that do not move any
        return True
    wanted = set(config.target_modules or ())
    try:
        convert_peft_config_for_transformers(config, language, None)
    except ValueError:  # only some of the layers that are fused
        return False
    return set(config.target_modules or ()) == wanted


def adaptable_types() -> tuple[type[nn.Module], ...]:
    """Return the module classes that adapters accept as linear layers."""
    from transformers.pytorch_utils import Conv1D

    return torch.nn.Linear, Conv1D


def layer_size(module: nn.Module) -> tuple[int, int]:
    """Return (inputs, outputs) of a linear layer."""
    layer: Any = module
    return (layer.in_features, layer.out_features) if hasattr(layer, "in_features") else (layer.nx, layer.nf)
