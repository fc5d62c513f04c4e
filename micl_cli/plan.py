"""The plan: everything that decides a run's result, frozen; its fingerprint is the run's id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from micl_cli.errors import PlanError, UsageError

if TYPE_CHECKING:
    from micl_cli.api.backbone import Backbone
    from micl_cli.api.strategy import Strategy
    from micl_cli.api.task import Task

ID_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one task is learnt. ``batch_size`` times ``accumulation`` examples make a step."""

    epochs: int = 10
    max_steps: int | None = None
    batch_size: int = 8
    accumulation: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises; then it falls as a cosine."""
    max_grad_norm: float = 1.0
    patience: int = 5
    """Validations without a better score before a task is ended early; 0 never does."""
    validate_every: int = 1
    """Epochs between validations."""
    validation_examples: int = 200
    precision: str = "auto"
    gradient_checkpointing: bool = False


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How answers are produced and scored."""

    batch_size: int = 32
    max_new_tokens: int = 40
    num_beams: int = 1
    split: str = "test"
    """Which examples a learning run is scored on: "val" while choosing settings."""
    examples: int | None = None
    """At most so many examples of a split; None: all."""
    unseen: bool = False
    """Also score tasks that are not learnt yet, and all of them before the first: for FWT."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do. ``data`` holds each task's sha256; ``name`` labels, and decides nothing."""

    strategy: str
    backbone: str
    tasks: tuple[str, ...]
    data: Mapping[str, str] = field(default_factory=dict)
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    stage_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options that hold for one stage only, by its 1-based position (as text, as JSON has it)."""
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    parent: str | None = None
    attempt: int = 0
    name: str = ""

    @property
    def id(self) -> str:
        """The fingerprint: the same plan on the same data always has the same one."""
        content = self.as_json()
        del content["name"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()[:ID_LENGTH]

    @property
    def backbone_parts(self) -> tuple[str, str]:
        """(registered name, argument) of ``backbone``: "composed:my.toml" names both."""
        name, _, argument = self.backbone.partition(":")
        return name, argument

    def as_json(self) -> dict[str, Any]:
        """JSON-ready data that ``from_json`` reads back."""
        data = asdict(self)
        data["tasks"] = list(self.tasks)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that ``as_json`` gave; keys of newer versions are left out."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["tasks"] = tuple(values["tasks"])
        values["training"] = _known(Training, values["training"])
        values["evaluation"] = _known(Evaluation, values["evaluation"])
        return cls(**values)

    def again(self, attempt: int) -> Plan:
        """The same plan as a further run of its own."""
        return replace(self, attempt=attempt)

    def options_at(self, position: int) -> dict[str, Any]:
        """The strategy's options in force at a 1-based stage."""
        return {**self.strategy_options, **self.stage_options.get(str(position), {})}


def _known(cls: type[Any], data: Mapping[str, Any]) -> Any:
    names = {f.name for f in fields(cls)}
    return cls(**{key: value for key, value in data.items() if key in names})


def full_name(task: str, benchmark: str) -> str:
    """``task`` with its benchmark: a bare name belongs to ``benchmark``."""
    return task if "/" in task else f"{benchmark}/{task}"


def split_tasks(text: str, benchmark: str) -> tuple[str, ...]:
    """Full task names from "a,b". Raises UsageError where there is none, or one twice."""
    names = [full_name(part.strip(), benchmark) for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError("no task is named", "Name tasks with --tasks, for example: --tasks img_cap,aud_qa")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"task {name} is named twice", "Each task is learnt once in a sequence.")
    return tuple(names)


def check_fit(plan: Plan, tasks: Sequence[Task], backbone: type[Backbone] | Backbone, strategy: type[Strategy]) -> None:
    """Raise PlanError where the parts do not fit together.

    Checks what the strategy needs of the backbone, what the backbone can see and hear (where
    it is known), and that stage options name a stage that exists.
    """
    lacking = sorted(strategy.needs - backbone.provides)
    if lacking:
        raise PlanError(
            f"strategy {plan.strategy!r} needs {', '.join(lacking)}, which backbone {plan.backbone!r} does not provide",
            "Choose another --backbone or --strategy; `micl plugins show` tells what each needs and provides.",
        )
    for task in tasks:
        if backbone.modalities and task.modality not in backbone.modalities:
            raise PlanError(
                f"backbone {plan.backbone!r} cannot take {task.modality}, the modality of {task.name}",
                f"It takes {', '.join(sorted(backbone.modalities))}.",
            )
    for position in plan.stage_options:
        if not 1 <= int(position) <= len(plan.tasks):
            raise UsageError(
                f"option for task {position}, but there are {len(plan.tasks)} tasks",
                "In `-o 3:NAME VALUE` the number is the task's place in --tasks, from 1.",
            )
