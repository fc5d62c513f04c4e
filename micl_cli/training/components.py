"""The parts of a run, loaded and put together as its plan says."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from micl_cli.api.backbone import Backbone, FeatureCache
from micl_cli.api.metric import Metric
from micl_cli.api.options import options_of, parse_options
from micl_cli.api.strategy import Strategy
from micl_cli.api.task import Example, Task
from micl_cli.errors import PlanError
from micl_cli.plan import BackboneName, Plan, check_fit
from micl_cli.registry import Registry
from micl_cli.training.feature_cache import Features


@dataclass
class RunComponents:
    """Everything that works together in one process."""

    plan: Plan
    backbone: Backbone
    strategy: Strategy
    tasks: Sequence[Task]
    metrics: Mapping[str, Metric]
    features: Features
    accelerator: Accelerator
    stages: Sequence[Sequence[Task]] = field(default_factory=list)


class Reader:
    """Reads media through the registered modalities, each built once for its options."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._built: dict[tuple[str, str], Any] = {}

    def __call__(self, example: Example, options: Mapping[str, Any]) -> Any:
        if example.modality is None or example.media is None:
            raise ValueError(f"example {example.id} has no medium")
        key = (example.modality, repr(sorted(options.items())))
        if key not in self._built:
            self._built[key] = self.registry.load("modalities", example.modality)(**options)
        return self._built[key].read(example.media)


class Unaugmented:
    """A FeatureCache, passed by where a modality reads a file differently each time."""

    def __init__(self, cache: FeatureCache, registry: Registry) -> None:
        self.cache, self.registry = cache, registry

    def __call__(self, key: str, examples: Sequence[Example], compute: Callable[[Sequence[Example]], Tensor]) -> Tensor:
        modalities = {example.modality for example in examples if example.modality}
        if any(self.registry.load("modalities", name).augments for name in modalities):
            return compute(examples)
        return self.cache(key, examples, compute)


def load_backbone(plan: Plan, registry: Registry, features: Features) -> Backbone:
    """The plan's backbone, with its reader and its feature cache."""
    name, argument = BackboneName.parse(plan.backbone, registry)
    cls = registry.load("backbones", name)
    options = parse_options(cls, {**_precise(plan, cls), **plan.backbone_options}, owner=f"backbone {name}")
    backbone: Backbone = cls(argument, **options) if argument else cls(**options)
    backbone.read = Reader(registry)
    backbone.cache = Unaugmented(features, registry)
    return backbone


def _precise(plan: Plan, cls: type[Backbone]) -> dict[str, Any]:
    """What ``--precision fp32`` asks of a backbone that would else choose the format of its frozen weights."""
    return {"dtype": "fp32"} if plan.training.precision == "fp32" and "dtype" in options_of(cls) else {}


def strategy_options(plan: Plan, cls: type[Strategy], position: int | None = None) -> dict[str, Any]:
    """The strategy's options, typed: for the run, or as they stand at one stage."""
    raw = plan.strategy_options if position is None else plan.options_at(position)
    return parse_options(cls, raw, owner=f"strategy {plan.strategy}")


def load_metrics(registry: Registry, tasks: Sequence[Task]) -> dict[str, Metric]:
    """Every task's own metric, and those that go with its kind. A task's own must load."""
    own = {task.metric for task in tasks}
    kinds = {task.kind for task in tasks}
    metrics: dict[str, Metric] = {name: registry.load("metrics", name)() for name in sorted(own)}
    for part in registry.parts("metrics"):
        if part.state == "ok" and part.name not in metrics:
            cls = registry.load("metrics", part.name)
            if cls.kinds & kinds:
                metrics[part.name] = cls()
    return metrics


def make_accelerator(plan: Plan, device: str) -> Accelerator:
    """Device and precision: bf16 where the GPU has it natively, else fp32. Raises PlanError."""
    if device == "cuda" and not torch.cuda.is_available():
        raise PlanError("no CUDA device is available", "Use --device cpu, or install a torch build for this GPU.")
    cpu = device == "cpu" or not torch.cuda.is_available()
    precision = plan.training.precision
    if precision == "auto":
        precision = "bf16" if not cpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # accelerate keeps the first choice of a process for all that come after it.
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    AcceleratorState._reset_state(reset_partial_state=not several)
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no", cpu=cpu)


def _checkpoint_gradients(backbone: Backbone, plan: Plan) -> None:
    try:
        backbone.checkpoint_gradients()
    except TypeError as error:
        raise PlanError(
            f"backbone {plan.backbone!r} cannot checkpoint gradients", "Leave out --gradient-checkpointing."
        ) from error


def assemble(
    plan: Plan, tasks: Sequence[Task], registry: Registry, features: Features, device: str = "auto"
) -> RunComponents:
    """Load what the plan names and check that it fits. Raises PluginError, OptionError, PlanError."""
    strategy_class = registry.load("strategies", plan.strategy)
    options = strategy_options(plan, strategy_class)
    for position in plan.stage_options:
        strategy_options(plan, strategy_class, int(position))
    check_fit(plan, tasks, registry.load("backbones", BackboneName.parse(plan.backbone, registry).name), strategy_class)
    metrics = load_metrics(registry, tasks)
    accelerator = make_accelerator(plan, device)
    backbone = load_backbone(plan, registry, features)
    check_fit(plan, tasks, backbone, strategy_class)
    backbone.place(accelerator.device)
    if plan.training.gradient_checkpointing:
        _checkpoint_gradients(backbone, plan)
    strategy = strategy_class(backbone, **options)
    strategy.rng, strategy.seed, strategy.load_part = random.Random(plan.seed), plan.seed, registry.load
    strategy.at_once, strategy.autocast = plan.evaluation.batch_size, accelerator.autocast
    parts = RunComponents(plan, backbone, strategy, tasks, metrics, features, accelerator)
    parts.stages = strategy.stages(tasks)
    return parts
