"""The components of a run, loaded and assembled from its plan."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from micl_cli.api.backbone import Backbone, FeatureCache
from micl_cli.api.metric import Metric
from micl_cli.api.options import options_of, parse_options
from micl_cli.api.resources import PartLoader, Resources
from micl_cli.api.strategy import Stage, Strategy
from micl_cli.api.task import SPLITS, Example, Media, Task
from micl_cli.errors import PlanError
from micl_cli.plan import BackboneName, Plan, check_fit
from micl_cli.registry import Registry
from micl_cli.training.feature_cache import Features
from micl_cli.training.media_check import check_media
from micl_cli.training.read_ahead import ReadAhead


@dataclass
class RunComponents:
    """The components of a run in one process.

    ``position`` is the stage that the strategy has entered, or 0; ``load_part`` returns registered classes; ``notes``
    are messages for the user about how the components fit.
    """

    plan: Plan
    backbone: Backbone
    strategy: Strategy
    tasks: Sequence[Task]
    metrics: Mapping[str, Metric]
    features: Features
    accelerator: Accelerator
    load_part: PartLoader
    stages: Sequence[Sequence[Task]] = field(default_factory=list)
    position: int = 0
    notes: Sequence[str] = ()

    def stage(self, position: int) -> Stage:
        """Return the context of a stage for the strategy (0: before any)."""
        return Stage(
            position=position,
            tasks=self.stages[position - 1] if position else (),
            previous_tasks=[task for earlier in self.stages[: max(0, position - 1)] for task in earlier],
            rng=random.Random(f"{self.plan.seed}/{position}/strategy"),
            seed=self.plan.seed,
            batch_size=self.plan.evaluation.batch_size,
            autocast=self.accelerator.autocast,
            load_part=self.load_part,
            metrics=self.metrics,
        )

    def enter(self, position: int) -> Stage:
        """Let the strategy enter a stage with the options that apply in it, and return the stage."""
        stage = self.stage(position)
        self.strategy.enter(stage, strategy_options(self.plan, type(self.strategy), position))
        self.position = position
        return stage

    def train(self) -> None:
        """Set all modules to training mode."""
        self.backbone.module.train()
        self.strategy.modules.train()

    @contextmanager
    def reading_ahead(self, workers: int) -> Iterator[None]:
        """Use ``workers`` threads to read media ahead during the block."""
        self.features.ahead.open(workers)
        try:
            yield
        finally:
            self.features.ahead.close()

    def read_ahead(self, examples: Sequence[Example]) -> None:
        """Start reading the media of ``examples``, those of the next steps, if threads are in use."""
        self.features.ahead.next_step()
        reader = getattr(self.backbone, "read", None)  # absent unless the backbone was loaded for a run
        for medium in dict.fromkeys(medium for example in examples for medium in example.media):
            if not self.features.read_ahead(medium) and isinstance(reader, RegisteredReader):
                reader.read_ahead(medium)

    def eval(self) -> None:
        """Set all modules to evaluation mode."""
        self.backbone.module.eval()
        self.strategy.modules.eval()


class RegisteredReader:
    """A MediaReader that uses the registered modalities, with one instance for each set of options."""

    def __init__(self, registry: Registry, ahead: ReadAhead | None = None) -> None:
        self.registry, self.ahead = registry, ahead or ReadAhead()
        self._modalities: dict[tuple[str, str], Any] = {}
        self._recent: dict[str, Mapping[str, Any]] = {}

    def __call__(self, medium: Media, options: Mapping[str, Any]) -> Any:
        if medium.path is None:
            raise ValueError(f"the {medium.modality} {medium.digest} has no file to read")
        modality = self._modality(medium.modality, options)
        if modality.augments:  # its random numbers depend on the order of reading
            return modality.read(medium.path)
        self._recent[medium.modality] = options
        return self.ahead.result(_reading(medium, options), partial(modality.read, medium.path))

    def read_ahead(self, medium: Media) -> None:
        """Start reading a medium, with the options of the last one of its modality."""
        options = self._recent.get(medium.modality)
        if options is not None and medium.path is not None:
            modality = self._modality(medium.modality, options)
            self.ahead.start(_reading(medium, options), partial(modality.read, medium.path))

    def _modality(self, name: str, options: Mapping[str, Any]) -> Any:
        key = (name, repr(sorted(options.items())))
        if key not in self._modalities:
            self._modalities[key] = self.registry.load("modalities", name)(**options)
        return self._modalities[key]


def _reading(medium: Media, options: Mapping[str, Any]) -> tuple[str, str, str]:
    return medium.modality, str(medium.path), repr(sorted(options.items()))


class UnaugmentedCache:
    """A FeatureCache that is bypassed for modalities with random augmentation.

    Versions of modalities other than the first become part of the key.
    """

    def __init__(self, cache: FeatureCache, registry: Registry) -> None:
        self.cache, self.registry = cache, registry

    def __call__(self, key: str, media: Sequence[Media], compute: Callable[[Sequence[Media]], Tensor]) -> Tensor:
        modalities = [self.registry.load("modalities", name) for name in sorted({medium.modality for medium in media})]
        if any(modality.augments for modality in modalities):
            return compute(media)
        versions = [f"-{modality.name}{modality.version}" for modality in modalities if modality.version > 1]
        return self.cache("".join([key, *versions]), media, compute)


def load_backbone(plan: Plan, registry: Registry, features: Features, resources: Resources) -> Backbone:
    """Return the backbone of a plan, with its media reader and feature cache set."""
    name, argument = BackboneName.parse(plan.backbone, registry)
    cls = registry.load("backbones", name)
    options = parse_options(cls, {**_fp32_option(plan, cls), **plan.backbone_options}, owner=f"backbone {name}")
    backbone: Backbone = cls(*([argument] if argument else []), resources=resources, **options)
    backbone.read = RegisteredReader(registry, features.ahead)
    backbone.cache = UnaugmentedCache(features, registry)
    return backbone


def _fp32_option(plan: Plan, cls: type[Backbone]) -> dict[str, Any]:
    """Return the option that applies ``--precision fp32`` to the frozen weights of backbones with a ``dtype``."""
    return {"dtype": "fp32"} if plan.training.precision == "fp32" and "dtype" in options_of(cls) else {}


def strategy_options(plan: Plan, cls: type[Strategy], position: int | None = None) -> dict[str, Any]:
    """Return the parsed options of the strategy: those of the run, or those that apply in one stage.

    Options that the plan of an earlier version lacks have the value that stands for what that version did.
    """
    raw = plan.strategy_options if position is None else plan.options_at(position)
    return parse_options(cls, {**_former_options(raw, cls), **raw}, owner=f"strategy {plan.strategy}")


def _former_options(raw: Mapping[str, Any], cls: type[Strategy]) -> dict[str, Any]:
    """Return the options that ``raw`` lacks because the version that completed it did not have them.

    Plans of runs hold every option; one that lacks others, too, is not that of a run.
    """
    options = options_of(cls).values()
    newer = {each.name: each.formerly for each in options if each.formerly is not None and each.name not in raw}
    complete = all(each.name in raw for each in options if not each.added_later and each.name not in newer)
    return newer if complete else {}


def load_metrics(registry: Registry, tasks: Sequence[Task], resources: Resources) -> dict[str, Metric]:
    """Return the metric of each task, and the further metrics reported for its type, after their ``setup``.

    Raises PluginError if a task's own metric cannot be loaded, PlanError if a metric cannot be set up.
    """
    own = {task.metric for task in tasks}
    types = {task.type for task in tasks}
    metrics: dict[str, Metric] = {name: resources.metric(name) for name in sorted(own)}
    for part in registry.parts("metrics"):
        usable = part.state == "ok" and part.name not in metrics
        if usable and registry.load("metrics", part.name).task_types & types:
            metrics[part.name] = resources.metric(part.name)
    return metrics


def make_accelerator(plan: Plan, device: str) -> Accelerator:
    """Return an Accelerator with device and precision; "auto" is bf16 on a GPU that has it natively, else fp32.

    Raises PlanError if there is no CUDA device although ``device`` is "cuda".
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise PlanError("no CUDA device is available", "Use --device cpu, or install a torch build for this GPU.")
    cpu = device == "cpu" or not torch.cuda.is_available()
    precision = plan.training.precision
    if precision == "auto":
        precision = "bf16" if not cpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # Otherwise accelerate reuses the state of the first Accelerator in the process.
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    AcceleratorState._reset_state(reset_partial_state=not distributed)
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no", cpu=cpu)


def _enable_gradient_checkpointing(backbone: Backbone, plan: Plan) -> None:
    try:
        backbone.enable_gradient_checkpointing()
    except TypeError as error:
        raise PlanError(
            f"backbone {plan.backbone!r} does not support gradient checkpointing", "Leave out --gradient-checkpointing."
        ) from error


def check_content(backbone: Backbone, tasks: Sequence[Task]) -> list[str]:
    """Raise PlanError if the backbone cannot process the content of a task. Return notes for the user.

    All media are checked by what is known of them, and one example is read for each sequence of texts and modalities
    that occurs in a task.
    """
    notes = check_media(backbone, tasks)
    for task in tasks:
        backbone.check(list(_by_content(task)))
    return notes


def _by_content(task: Task) -> Iterator[Example]:
    examples: dict[tuple[str, ...], Example] = {}
    for split in SPLITS:
        for example in task.examples(split):
            sequence = tuple("" if isinstance(item, str) else item.modality for item in example.content)
            examples.setdefault(sequence, example)
    yield from examples.values()


def assemble(
    plan: Plan,
    tasks: Sequence[Task],
    registry: Registry,
    features: Features,
    device: str = "auto",
    *,
    resources: Resources,
    only_answers: bool = False,
) -> RunComponents:
    """Load the components that a plan names and check that they fit. Raises PluginError, OptionError, PlanError.

    With ``only_answers``, nothing is learnt or scored: metrics are not loaded, and the data of tasks is not read.
    """
    strategy_class = registry.load("strategies", plan.strategy)
    options = strategy_options(plan, strategy_class)
    for position in plan.stage_options:
        strategy_options(plan, strategy_class, int(position))
    backbone_class = registry.load("backbones", BackboneName.parse(plan.backbone, registry).name)
    check_fit(plan, tasks, backbone_class, strategy_class)
    metrics = {} if only_answers else load_metrics(registry, tasks, resources)
    accelerator = make_accelerator(plan, device)
    backbone = load_backbone(plan, registry, features, resources)
    check_fit(plan, tasks, backbone, strategy_class)
    notes = [] if only_answers else check_content(backbone, tasks)
    backbone.place(accelerator.device)
    if plan.training.gradient_checkpointing and not only_answers:
        _enable_gradient_checkpointing(backbone, plan)
    strategy = strategy_class(backbone, **options)
    stages = strategy.stages(tasks, registry.load)
    return RunComponents(
        plan, backbone, strategy, tasks, metrics, features, accelerator, registry.load, stages, notes=notes
    )
