"""Loading of a composed backbone's frozen modules from a preset."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from huggingface_hub import is_offline_mode
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.utils import logging as transformers_logging

from micl_backbones.attention import use_float32_attention
from micl_backbones.composed.connector import Standardizer, Standardizers
from micl_backbones.composed.preset import Preset
from micl_backbones.weights.digest import folder_digest
from micl_backbones.weights.fetch import is_fetched
from micl_backbones.weights.quantize import DType, Quantize, disable_weight_repacking, make_states_contiguous, storage
from micl_cli.api import Encoder, PartLoader, PlanError


def load_modules(
    preset: Preset, load_part: PartLoader, quantize: Quantize = "none", dtype: DType = "auto"
) -> ComposedModules:
    """Load a preset's frozen modules. Raises PlanError that names the failing one."""
    transformers_logging.disable_progress_bar()
    # With a network, transformers downloads what is missing of the hub's checkpoints.
    if not (preset.ready if is_offline_mode() else is_fetched(preset.parts, preset.folder)):
        raise PlanError(f"the weights of the preset {preset.name} have not been fetched", _fetch_hint(preset))
    path, revision = language_source(preset)
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
        arguments = storage(quantize, dtype, stored=config.dtype)
        language = AutoModelForCausalLM.from_pretrained(
            path, revision=revision, config=config, use_safetensors=True, **arguments
        )
    except (OSError, ValueError) as error:
        if not preset.ready:
            raise PlanError(f"the preset {preset.name} has not been fetched", _fetch_hint(preset)) from error
        raise _unusable("language model", path, error) from error
    language.generation_config = GenerationConfig()  # plain decoding: no penalties, no suppressed tokens
    use_float32_attention(language)
    disable_weight_repacking(language)
    make_states_contiguous(language)
    read = cache(load_file)  # encoders from the same file share its weights
    encoders = {name: _load_encoder(preset, name, load_part, read) for name in sorted(preset.encoders)}
    return ComposedModules(language, encoders).requires_grad_(False).eval()


def _fetch_hint(preset: Preset) -> str:
    return f"Fetch them: {preset.fetch_command}"


def language_source(preset: Preset) -> tuple[str, str]:
    """Return the language model's folder or hub id, and its revision on the hub."""
    language = preset.language
    if "checkpoint" in language:
        return preset.checkpoint(language["checkpoint"]), language.get("revision", "main")
    return str(preset.folder / language["path"]), "main"


class ComposedModules(nn.Module):
    """All modules of a composed backbone; the backbone adds those of its adapters as ``adapters``."""

    def __init__(self, language: nn.Module, encoders: Mapping[str, Encoder]) -> None:
        super().__init__()
        self.language: Any = language
        self.encoders = nn.ModuleDict(encoders)
        widths = {name: encoder.width for name, encoder in encoders.items() if encoder.standardize}
        self.standardizers = Standardizers({name: Standardizer(width) for name, width in widths.items()})

    def train(self, mode: bool = True) -> ComposedModules:
        """Set the mode of all modules except the encoders, whose cached outputs must not depend on it."""
        super().train(mode)
        self.encoders.eval()
        return self


def _load_encoder(
    preset: Preset, modality: str, load_part: PartLoader, read: Callable[[Path], dict[str, Tensor]]
) -> Encoder:
    config = dict(preset.encoders[modality])
    weights = config.pop("weights", None)
    if "checkpoint" in config:
        config["checkpoint"] = preset.checkpoint(config["checkpoint"])
    encoder = build_encoder(config.pop("family"), load_part, **config)
    if weights is None:
        return encoder  # encoders with a checkpoint load their weights themselves
    path = preset.folder / Path(weights)
    try:
        encoder.load_state_dict(read(path), assign=True)
        encoder.float()
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _unusable(f"{modality} encoder", path, error) from error
    return encoder


def build_encoder(family: str, load_part: PartLoader, **config: Any) -> Encoder:
    """Create an encoder of a registered family. Raises PluginError, or PlanError for an unknown setting."""
    try:
        encoder: Encoder = load_part("encoders", family)(**config)
    except TypeError as error:
        raise PlanError(f"encoder family {family!r}: {error}", "Correct the preset's [encoder] table.") from error
    return encoder


def _unusable(part: str, path: Path | str, error: Exception) -> PlanError:
    reason = " ".join(str(error).split())
    return PlanError(f"the preset's {part} cannot be loaded from {path}: {reason}", "Correct the preset file.")


def encoder_key(preset: Preset, modality: str, encoder: Encoder) -> str:
    """Return the encoder's key in the feature cache, which changes with its weights, settings and version."""
    config = preset.encoders[modality]
    weights = _weights_key(preset, config, encoder)
    text = json.dumps([modality, dict(config), weights, encoder.version], sort_keys=True)
    return f"{modality}-{sha256(text.encode()).hexdigest()[:16]}"


def _weights_key(preset: Preset, config: Mapping[str, Any], encoder: Encoder) -> str:
    if "weights" in config:
        return sha256((preset.folder / config["weights"]).read_bytes()).hexdigest()
    if "checkpoint" not in config:
        return ""
    folder = Path(preset.checkpoint(config["checkpoint"]))
    if folder.is_dir():
        return folder_digest(folder)
    model: Any = getattr(encoder, "model", None)
    return f"{config['checkpoint']} {model and model.config._commit_hash}"
