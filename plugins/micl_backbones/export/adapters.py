"""What the exports of all backbones have in common: writing the adapters of a request, and reasons to refuse it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from micl_backbones.adapters.peft import PeftAdapters, keeps_targets
from micl_backbones.export.matrices import LoraMatrices, lora_matrices
from micl_backbones.export.peft_files import lora_config, write_adapter
from micl_cli.api import Adapters, ExportRequest, PlanError, Usage

_LOADER = (
    "With micl, for the answers of the run: media are read and prompts are written as in the run, and its own router "
    "selects the adapters if it has one."
)


def matrices_of(adapters: PeftAdapters, request: ExportRequest) -> dict[str, LoraMatrices]:
    """Return the adapters of a request as plain LoRA. Raises PlanError before anything is written if one is not."""
    one_rank = request.format == "vllm"
    matrices = {name: lora_matrices(adapters, name, one_rank=one_rank) for name in request.adapters}
    for name, own in matrices.items() if request.format != "merged" else ():
        if not keeps_targets(lora_config(adapters, own), adapters.language):
            raise PlanError(
                f"the adapter {name!r} cannot be exported: peft would move it to the fused weights of the experts of "
                f"{type(adapters.language).__name__}",
                "Merge it: --format merged.",
            )
    return matrices


def check_single(request: ExportRequest) -> None:
    """Raise PlanError if adapters are to be merged that answer different examples."""
    if not request.active or len(request.adapters) != 1:
        raise PlanError(
            f"the adapters cannot be merged: each of {len(request.adapters)} answers other examples",
            "Export them one by one in one folder: --format peft.",
        )


def write_adapters(
    folder: Path,
    adapters: Adapters,
    request: ExportRequest,
    matrices: Mapping[str, LoraMatrices],
    *,
    base: str,
    revision: str,
) -> None:
    """Write the adapters of a request in peft's layout, each to its folder; ``base`` is the adapted model, if any."""
    for name, within in request.adapters.items():
        write_adapter(folder / within, adapters, matrices[name], base=base, revision=revision)


def loader_usage(request: ExportRequest) -> Usage:
    """Return the use of an export by ``micl_cli.load_export``."""
    arguments = [repr(request.example.prompt)]
    arguments += [f"{medium.modality}={str(medium.path)!r}" for medium in request.example.media]
    if request.example.task:
        arguments.append(f"task={request.example.task!r}")
    code = [
        "import micl_cli",
        "",
        f"model = micl_cli.load_export({request.place!r})",
        f"print(model.answer({', '.join(arguments)}))",
    ]
    return Usage(text=_LOADER, code="\n".join(code))
