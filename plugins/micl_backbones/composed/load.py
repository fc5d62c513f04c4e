"""Loading of a composed backbone's frozen modules from a preset."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from micl_backbones.attention import use_float32_attention
from micl_backbones.composed.causal import check_language
from micl_backbones.composed.connector import Standardizer, Standardizers
from micl_backbones.composed.preset import Preset, instruction_texts
from micl_backbones.composed.schema import has_type, suggestion
from micl_backbones.weights.digest import FileDigest, folder_digest
from micl_backbones.weights.hub import commit_of
from micl_backbones.weights.quantize import DType, Quantize, disable_weight_repacking, make_states_contiguous, storage
from micl_cli.api import Encoder, PartLoader, PlanError


def load_modules(
    preset: Preset, load_part: PartLoader, quantize: Quantize = "none", dtype: DType = "auto"
) -> ComposedModules:
    """Load a preset's frozen modules. Raises PlanError that names the failing one."""
    transformers_logging.disable_progress_bar()
    if not preset.ready:
        raise PlanError(f"the weights of the preset {preset.name} have not been fetched", _fetch_hint(preset))
    instruction_texts(preset)  # raises now rather than when they are used
    path, revision = language_source(preset)
    try:
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
        arguments = storage(quantize, dtype, stored=config.dtype)
        language = AutoModelForCausalLM.from_pretrained(
            path, revision=revision, config=config, use_safetensors=True, trust_remote_code=False, **arguments
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise _unusable("language model", path, error) from error
    language.generation_config = GenerationConfig()  # plain decoding: no penalties, no suppressed tokens
    use_float32_attention(language)
    disable_weight_repacking(language)
    make_states_contiguous(language)
    check_language(language)
    read = cache(load_file)  # encoders from the same file share its weights
    encoders = {name: _load_encoder(preset, name, load_part, read) for name in sorted(preset.encoders)}
    return ComposedModules(language, encoders).requires_grad_(False).eval()


def _fetch_hint(preset: Preset) -> str:
    return f"Fetch them: {preset.fetch_command}"


def language_source(preset: Preset) -> tuple[str, str]:
    """Return the language model's folder or hub id, and its revision on the hub."""
    language = preset.language
    if "checkpoint" in language:
        return preset.located(language), language.get("revision", "main")
    return str(preset.folder / language["path"]), "main"


def load_tokenizer(preset: Preset, language: Any) -> Any:
    """Load the language model's tokenizer, with an EOS and a PAD token. Raises PlanError if it has none or fails."""
    path, revision = language_source(preset)
    try:
        tokenizer = _read_tokenizer(path, revision)
    except (OSError, ValueError, TypeError, KeyError, ImportError, RuntimeError) as error:
        raise _unusable("tokenizer", path, error) from error
    if tokenizer.eos_token_id is None and (end := _configured_end(language, tokenizer)) is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.eos_token_id is None:
        hint = "Name one as eos_token in its tokenizer_config.json, or as eos_token_id in config.json."
        raise PlanError(f"the preset's tokenizer has no token that ends an answer: {path}", hint)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= language.get_input_embeddings().weight.shape[0]:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _read_tokenizer(path: str, revision: str) -> Any:
    if cached_file(path, "tokenizer.json", revision=revision, _raise_exceptions_for_missing_entries=False):
        # As the file says; the class of an architecture may replace parts of it.
        return PreTrainedTokenizerFast.from_pretrained(path, revision=revision, trust_remote_code=False)
    return AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)


def _configured_end(language: Any, tokenizer: Any) -> int | None:
    """Return the EOS token of the model's configuration, or the token that the tokenizer separates texts with."""
    configured = language.config.eos_token_id
    first = configured[0] if isinstance(configured, list) and configured else configured
    return first if isinstance(first, int) and first < len(tokenizer) else tokenizer.sep_token_id


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
        config["checkpoint"] = preset.located(config)
    load_part("modalities", modality)  # raises if there is none of that name
    try:
        encoder = build_encoder(config.pop("family"), load_part, **config)
    except PlanError as error:
        where = f"preset {preset.reference}, [encoder.{modality}]"
        raise PlanError(f"{where}: {error.message}", error.hint) from error
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
    cls = load_part("encoders", family)
    _check_settings(family, cls, config)
    try:
        encoder: Encoder = cls(**config)
        if encoder.tokens < 1:
            raise ValueError(f"it makes {encoder.tokens} tokens")
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise PlanError(f"encoder family {family!r}: {error}", "Correct the settings.") from error
    return encoder


def _check_settings(family: str, cls: type[Any], config: Mapping[str, Any]) -> None:
    """Raise PlanError if a setting is unknown to an encoder's constructor, or has another type than it declares."""
    parameters = inspect.signature(cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    hints = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    types = {"int": int, "float": float, "str": str, "bool": bool}
    for name, value in config.items():
        if name not in parameters:
            raise PlanError(f"encoder family {family!r} has no setting {name!r}", suggestion(name, parameters))
        annotation = parameters[name].annotation
        expected = types.get(annotation, annotation) if isinstance(annotation, str) else annotation
        if expected in hints and not has_type(value, expected):
            raise PlanError(f"encoder family {family!r}: {name} is {value!r}", f"It must be {hints[expected]}.")


def _unusable(part: str, path: Path | str, error: Exception) -> PlanError:
    reason = " ".join(str(error).split())
    return PlanError(f"the preset's {part} cannot be loaded from {path}: {reason}", "Correct the preset file.")


def encoder_key(preset: Preset, modality: str, encoder: Encoder, digest: FileDigest) -> str:
    """Return the encoder's key in the feature cache, which changes with its weights, settings and version."""
    config = preset.encoders[modality]
    weights = _weights_key(preset, config, digest)
    text = json.dumps([modality, dict(config), weights, encoder.version], sort_keys=True)
    return f"{modality}-{sha256(text.encode()).hexdigest()[:16]}"


def _weights_key(preset: Preset, config: Mapping[str, Any], digest: FileDigest) -> str:
    if "weights" in config:
        return digest(preset.folder / config["weights"])
    if "checkpoint" not in config:
        return ""
    if folder := preset.local(config):
        return folder_digest(folder, digest)
    return f"{config['checkpoint']} {commit_of(config['checkpoint'], config.get('revision', 'main'))}"
