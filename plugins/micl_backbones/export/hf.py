"""Export of a transformers checkpoint with learnt adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard

from micl_backbones.export.adapters import check_single, loader_usage, matrices_of, write_adapters
from micl_backbones.export.hf_code import adapters_code, bits_of, prompts_are_plain, whole_code
from micl_backbones.export.matrices import LoraMatrices
from micl_backbones.export.merge import check_mergeable, copy_checkpoint_files, merge, write_model
from micl_backbones.export.vllm import check_servable, server_usage
from micl_backbones.hf.load import known_checkpoints, named_checkpoint
from micl_backbones.weights.hub import snapshot_folder
from micl_cli.api import ExportRequest, ExportSummary, PlanError, Usage

if TYPE_CHECKING:
    from micl_backbones.hf.backbone import HF

_OTHER_PROMPTS = (
    "The processor alone writes other prompts than those of the run, so that answers differ from it: "
    "use `micl_cli.load_export` for the same answers."
)
_OTHER_BITS = (
    "The adapters were learnt on weights of 8 bits, which the server does not have: answers differ slightly from those "
    "of the run."
)


@dataclass(frozen=True)
class Base:
    """The checkpoint as an export names it, with its commit on the hub, and the ``folder`` that it is read from."""

    name: str
    revision: str
    folder: Path | None


def export_hf(backbone: HF, folder: Path, request: ExportRequest) -> ExportSummary:
    """See ``Backbone.export``."""
    base = _base(backbone.checkpoint, request.base)
    matrices = matrices_of(backbone.adapters, request)
    facts: dict[str, Any] = {
        "base": request.base,
        "base_models": [base.name] if base.revision else [],
        "licence": _licence(base),
        "notes": [] if prompts_are_plain(backbone) else [_OTHER_PROMPTS],
    }
    if request.format == "merged":
        _write_merged(backbone, folder, request, matrices, base)
        usage = [Usage(text="With transformers alone:", code=whole_code(backbone, request)), loader_usage(request)]
        return ExportSummary(**facts, library="transformers", usage=usage, backbone="hf:.")
    if request.format == "vllm":
        check_servable(matrices)
    write_adapters(folder, backbone.adapters, request, matrices, base=base.name, revision=base.revision)
    if request.format == "vllm":
        bits = bits_of(backbone.model)
        facts["notes"] += [_OTHER_BITS] if bits == 8 else []
        usage = server_usage(request, matrices, base.name, base.revision, bits)
        return ExportSummary(**facts, library="vllm", usage=usage)
    code = adapters_code(backbone, request, base.name, base.revision)
    usage = [Usage(text="With transformers and peft alone:", code=code), loader_usage(request)]
    return ExportSummary(**facts, usage=usage)


def _base(checkpoint: str, written: str) -> Base:
    """Return the base of a checkpoint as in ``named_checkpoint``; a folder is called what ``written`` calls it."""
    name, revision = named_checkpoint(checkpoint)
    if Path(name).is_dir():
        return Base(written, "", Path(name))
    folder = snapshot_folder(name, revision)
    return Base(name, folder.name if folder else revision, folder)


def _write_merged(
    backbone: HF, folder: Path, request: ExportRequest, matrices: Mapping[str, LoraMatrices], base: Base
) -> None:
    check_single(request)
    check_mergeable(backbone.model)
    if base.folder is None or not type(backbone.model).__module__.startswith("transformers."):
        raise PlanError(
            "the adapter cannot be merged: the checkpoint brings code of its own, which a copy would lack",
            "Export adapters: --format peft.",
        )
    merge(backbone.adapters, matrices[request.active])
    backbone.detach_adapters()
    write_model(backbone.model, folder, backbone.chat.ends, backbone.chat.tokenizer.pad_token_id)
    copy_checkpoint_files(base.folder, folder)


def _licence(base: Base) -> str:
    """Return the licence of a well-known checkpoint, or that which its own model card states; empty if unknown."""
    known = {info.name: info.licence for info in known_checkpoints()}
    if base.name in known:
        return known[base.name]
    card = base.folder / "README.md" if base.folder else None
    try:
        return str(ModelCard.load(card).data.license or "") if card and card.is_file() else ""
    except Exception:  # a card of any content may lie there, and its parser has errors of its own
        return ""
