"""Export of a composed backbone: LoRA of its language model with connectors, or the whole as a preset of its own.

An export with merged weights is the folder of a preset: ``composed:FOLDER/preset.toml`` is a base model to learn on,
whose new connectors are untrained; the learnt ones lie beside it, and ``micl_cli.load_export`` uses them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_backbones.composed.load import language_source
from micl_backbones.composed.preset import preset_info
from micl_backbones.export.adapters import check_single, loader_usage, matrices_of, write_adapters
from micl_backbones.export.matrices import LoraMatrices
from micl_backbones.export.merge import check_mergeable, copy_checkpoint_files, merge, write_model
from micl_backbones.export.peft_files import write_connectors
from micl_cli.api import ExportRequest, ExportSummary, PlanError, Usage, toml_text

if TYPE_CHECKING:
    from micl_backbones.composed.backbone import Composed

PRESET, LANGUAGE = "preset.toml", "language"


def export_composed(backbone: Composed, folder: Path, request: ExportRequest) -> ExportSummary:
    """See ``Backbone.export``."""
    if request.format == "vllm":
        raise PlanError(
            "vLLM cannot serve this model: it reads media through connectors that vLLM does not know",
            "Export adapters and connectors (--format peft), or learn on a checkpoint that vLLM knows (hf:ID).",
        )
    preset = backbone.preset
    matrices = matrices_of(backbone.adapters, request)
    name, revision = preset.language.get("checkpoint", ""), preset.language.get("revision", "main")
    is_hub = bool(name) and not preset.local(preset.language)
    facts: dict[str, Any] = {
        "base": f"the preset {request.base} of micl" + (f" (language model {name})" if is_hub else ""),
        "base_models": [checkpoint for checkpoint, _ in preset.checkpoints],
        "licence": preset_info(preset).licence if not preset.reference.endswith(".toml") else "",
        "library": "micl",
    }
    if request.format == "merged":
        _write_merged(backbone, folder, request, matrices)
    else:
        named = (name, revision) if is_hub else ("", "")
        write_adapters(folder, backbone.adapters, request, matrices, base=named[0], revision=named[1])
    for adapter, within in request.adapters.items():
        write_connectors(folder / within, backbone.adapters, adapter)
    whole = request.format == "merged"
    usage = [loader_usage(request), *([] if whole else [_language_usage(request)])]
    return ExportSummary(**facts, usage=usage, backbone=f"composed:{PRESET}" if whole else "")


def _language_usage(request: ExportRequest) -> Usage:
    within = next(request.adapters[name] for name in request.answering)
    place = f"{request.place!r}" + (f", subfolder={within!r}" if within else "")
    return Usage(
        text=(
            "The adapters of the language model are in the layout of peft, for text alone without micl: "
            f"`PeftModel.from_pretrained(language_model, {place})`. "
            "Connectors are tensors with the shapes in `connectors.json`; `standard.` are statistics of an encoder."
        )
    )


def _write_merged(
    backbone: Composed, folder: Path, request: ExportRequest, matrices: Mapping[str, LoraMatrices]
) -> None:
    check_single(request)
    check_mergeable(backbone.language)
    merge(backbone.adapters, matrices[request.active])
    tokenizer = backbone.tokenizer
    write_model(backbone.language, folder / LANGUAGE, [tokenizer.eos_token_id], tokenizer.pad_token_id)
    copy_checkpoint_files(Path(language_source(backbone.preset)[0]), folder / LANGUAGE)
    (folder / PRESET).write_text(toml_text(_preset_table(backbone, folder)), encoding="utf-8")


def _preset_table(backbone: Composed, folder: Path) -> dict[str, Any]:
    """Return the preset of the merged model, after copying what its encoders read from files of the former preset."""
    preset = backbone.preset
    kept = {key: value for key, value in preset.language.items() if key in ("question_prompt", "template")}
    encoders = {}
    for modality, table in preset.encoders.items():
        own = dict(table)
        if "weights" in own:
            own["weights"] = f"{modality}.safetensors"
            shutil.copyfile(preset.folder / table["weights"], folder / own["weights"])
        elif local := preset.local(own):
            own["checkpoint"] = f"encoder-{modality}"
            copy_checkpoint(local, folder / own["checkpoint"])
        encoders[modality] = own
    lora = {"r": backbone.lora_rank, "alpha": backbone.lora_alpha, "dropout": backbone.lora_dropout}
    table = {"name": f"{preset.name}-merged", "language": {"path": LANGUAGE, **kept}, "encoder": encoders}
    table["lora"] = {**preset.lora, **lora}
    return {**table, "connector": dict(preset.connector), "training": dict(preset.training)}


def copy_checkpoint(source: Path, folder: Path) -> None:
    """Copy an encoder's checkpoint: its configuration, its processor and safetensors."""
    folder.mkdir()
    copy_checkpoint_files(source, folder)
    for path in sorted(source.glob("*")):
        if path.name == "config.json" or path.name.endswith((".safetensors", ".safetensors.index.json")):
            shutil.copyfile(path, folder / path.name)
