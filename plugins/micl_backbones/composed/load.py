"""Loading the frozen modules of a composed backbone, as a preset says."""

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

from micl_backbones.attention import attend_in_float32
from micl_backbones.composed.connector import Standardizer, Standardizers
from micl_backbones.composed.preset import Preset
from micl_backbones.weights.digest import folder_digest
from micl_backbones.weights.fetch import is_fetched
from micl_backbones.weights.quantize import DType, Quantize, keep_gradients_true, project_whole_states, storage
from micl_cli.api import Encoder, PartLoader, PlanError


def load_modules(
    preset: Preset, load_part: PartLoader, quantize: Quantize = "none", dtype: DType = "auto"
) -> ComposedModules:
    """Load a preset's frozen modules. Raises PlanError naming the one that fails."""
    transformers_logging.disable_progress_bar()
    # Where there is a network, transformers gets what is missing of a hub's checkpoints.
    if not (preset.ready if is_offline_mode() else is_fetched(preset.parts, preset.folder)):
        raise PlanError(f"the weights of the preset {preset.name} are not here yet", f"Get them: {preset.command}")
    path, revision = language_source(preset)
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
        how = storage(quantize, dtype, stored=config.dtype)
        language = AutoModelForCausalLM.from_pretrained(
            path, revision=revision, config=config, use_safetensors=True, **how
        )
    except (OSError, ValueError) as error:
        if not preset.ready:
            raise PlanError(f"the preset {preset.name} is not here", f"Get it: {preset.command}") from error
        raise _unusable("language model", path, error) from error
    language.generation_config = GenerationConfig()  # answers are the model's own: no penalties, nothing suppressed
    attend_in_float32(language)
    keep_gradients_true(language)
    project_whole_states(language)
    read = cache(load_file)  # encoders of the same file share its weights
    encoders = {name: _load_encoder(preset, name, load_part, read) for name in sorted(preset.encoders)}
    return ComposedModules(language, encoders).requires_grad_(False).eval()


def language_source(preset: Preset) -> tuple[str, str]:
    """Return the language model's folder, or its id on the hub, and its revision there."""
    language = preset.language
    if "checkpoint" in language:
        return preset.checkpoint(language["checkpoint"]), language.get("revision", "main")
    return str(preset.folder / language["path"]), "main"


class ComposedModules(nn.Module):
    """Every weight of a composed backbone but those of its adapters, which join as ``adapters``."""

    def __init__(self, language: nn.Module, encoders: Mapping[str, Encoder]) -> None:
        super().__init__()
        self.language: Any = language
        self.encoders = nn.ModuleDict(encoders)
        wanted = {name: encoder.width for name, encoder in encoders.items() if encoder.standardize}
        self.standardizers = Standardizers({name: Standardizer(width) for name, width in wanted.items()})

    def train(self, mode: bool = True) -> ComposedModules:
        """Set the mode of all but the encoders, whose outputs are cached and must not depend on it."""
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
        return encoder  # its checkpoint has been loaded with it
    path = preset.folder / Path(weights)
    try:
        encoder.load_state_dict(read(path), assign=True)
        encoder.float()
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _unusable(f"{modality} encoder", path, error) from error
    return encoder


def build_encoder(family: str, load_part: PartLoader, **config: Any) -> Encoder:
    """Return a fresh encoder of a registered family. Raises PluginError, or PlanError for a setting it has not."""
    try:
        encoder: Encoder = load_part("encoders", family)(**config)
    except TypeError as error:
        raise PlanError(f"encoder family {family!r}: {error}", "Correct the preset's [encoder] table.") from error
    return encoder


def _unusable(part: str, path: Path | str, error: Exception) -> PlanError:
    reason = " ".join(str(error).split())
    return PlanError(f"the preset's {part} cannot be loaded from {path}: {reason}", "Correct the preset file.")


def encoder_key(preset: Preset, modality: str, encoder: Encoder) -> str:
    """Return a name for the encoder and its transform, which changes when its weights, settings or code do."""
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
