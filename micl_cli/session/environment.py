"""The environment of a run: everything recorded that may cause differences between two runs of one plan."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli import __version__
from micl_cli.errors import PluginError
from micl_cli.plan import BackboneName, Plan
from micl_cli.registry import Part, Registry
from micl_cli.report.provenance import WITHOUT_EFFECT
from micl_cli.session.code import OWN, code_digest, commit, top_level

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "numpy", "scipy")
_WITHIN_OTHERS = ("routers", "adapters", "encoders")
"""Kinds of plugins that options name, or that are modules of the backbone, as its preset names them."""


def environment_of(components: RunComponents, registry: Registry) -> dict[str, Any]:
    """Return code, versions, device, precision and threads of this process. Unknown entries are left out."""
    import torch

    parts = used_parts(components, registry)
    device = components.accelerator.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    found: dict[str, Any] = {
        "micl": __version__,
        "commit": commit(),
        "code": code_digest(parts, registry),
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
        "bitsandbytes": _version("bitsandbytes") if _is_quantised(components.backbone.module) else "",
        "cuda": torch.version.cuda if gpu else "",
        "matmul_precision": torch.get_float32_matmul_precision() if gpu else "",
        **{f"plugin.{part.distribution}": part.version for part in parts if part.distribution != OWN},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": _cores(),
        "device": gpu or device.type,
        "precision": components.accelerator.mixed_precision,
        "threads": torch.get_num_threads(),
        "weights_bytes": _weight_bytes(components.backbone.module),
    }
    return {name: value for name, value in found.items() if value not in ("", None)}


def used_parts(components: RunComponents, registry: Registry) -> list[Part]:
    """Return the registered parts that decide the scores of a run, as far as they are known when it starts."""
    plan = components.plan
    modalities = sorted({modality for task in components.tasks for modality in task.modalities})
    names = [("strategies", plan.strategy), ("backbones", BackboneName.parse(plan.backbone, registry).name)]
    names += [("metrics", name) for name in components.metrics] + [("modalities", name) for name in modalities]
    parts = []
    for kind, name in names:
        with suppress(PluginError):  # a backbone may read a modality of its own
            parts.append(registry.find(kind, name))
    options = set(_texts(plan))
    packages = {type(each).__module__.partition(".")[0] for each in components.backbone.module.modules()}
    within = [part for kind in _WITHIN_OTHERS for part in registry.parts(kind)]
    return parts + [part for part in within if top_level(part) in packages or options & {part.name, part.qualified}]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each entry of the environment that changed since a run started."""
    return [
        f"{key} was {before[key]} when this run started and is {value} now: results may differ slightly"
        for key, value in now.items()
        if key in before and before[key] != value and key not in WITHOUT_EFFECT
    ]


def _texts(plan: Plan) -> Iterator[str]:
    for options in (plan.strategy_options, plan.backbone_options, *plan.stage_options.values()):
        yield from (value for value in options.values() if isinstance(value, str))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _is_quantised(module: Any) -> bool:
    return any(type(each).__module__.startswith("bitsandbytes") for each in module.modules())


def _cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 0


def _cpu_model() -> str:
    with suppress(OSError, ValueError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()


def _weight_bytes(module: Any) -> int:
    """Return the bytes of the weights of the base model in memory, before any adapter is added."""
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
