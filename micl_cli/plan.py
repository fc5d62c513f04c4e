"""The plan: everything that decides a run's result, frozen; its fingerprint is the run's id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from micl_cli.api.events import CHOICES
from micl_cli.api.options import parse_options
from micl_cli.errors import PlanError, UsageError

if TYPE_CHECKING:
    from micl_cli.api.backbone import Backbone
    from micl_cli.api.strategy import Strategy
    from micl_cli.api.task import Task
    from micl_cli.registry import Registry

ID_LENGTH = 12
_LATER = (("evaluation", "score", "answers"),)
"""Settings that came after the first runs: at their default they leave the fingerprint as it was."""

_S = TypeVar("_S")


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one task is learnt. ``batch_size`` times ``accumulation`` examples make a step."""

    epochs: Annotated[int, "passes over each task's examples"] = 10
    max_steps: Annotated[int | None, "at most so many steps a task"] = None
    batch_size: Annotated[int, "examples in one forward pass"] = 8
    accumulation: Annotated[int, "batches in one optimiser step"] = 1
    learning_rate: Annotated[float, "AdamW's highest rate"] = 1e-4
    weight_decay: Annotated[float, "AdamW's weight decay"] = 0.05
    warmup: Annotated[float, "share of the steps in which the rate rises; then it falls as a cosine"] = 0.05
    max_grad_norm: Annotated[float, "longest gradient; 0 does not clip"] = 1.0
    patience: Annotated[int, "validations without a better score that end a task; 0: never"] = 5
    validate_every: Annotated[int, "epochs between validations"] = 1
    validation_examples: Annotated[int, "at most so many examples a validation"] = 200
    precision: Annotated[Literal["auto", "fp32", "bf16"], "number format of the forward pass"] = "auto"
    gradient_checkpointing: Annotated[bool, "less memory, more time"] = False

    def __post_init__(self) -> None:
        counts = ("epochs", "max_steps", "batch_size", "accumulation", "validate_every", "validation_examples")
        _at_least(self, 1, counts)
        _at_least(self, 0, ("learning_rate", "weight_decay", "warmup", "max_grad_norm", "patience"))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How answers are produced and scored."""

    batch_size: Annotated[int, "examples answered together"] = 32
    max_new_tokens: Annotated[int, "longest answer"] = 40
    num_beams: Annotated[int, "beams of the search for an answer; 1 is greedy"] = 1
    split: Annotated[Literal["test", "val"], "which examples a learning run is scored on"] = "test"
    examples: Annotated[int | None, "at most so many examples of a split; none: all"] = None
    unseen: Annotated[bool, "also score tasks before they are learnt, for FWT"] = False
    score: Annotated[Literal["answers", "choices"], "choices: also the likeliest answer of a closed set"] = "answers"

    def __post_init__(self) -> None:
        _at_least(self, 1, ("batch_size", "max_new_tokens", "num_beams", "examples"))


def _at_least(settings: Any, least: int, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < least:
            raise UsageError(f"{name} cannot be {value}", f"It is {least} or more.")


def settled(cls: type[_S], defaults: Mapping[str, Any], asked: Mapping[str, Any]) -> _S:
    """Training or evaluation settings: what was asked for, else the preset's, else the default.

    Raises UsageError for a setting that there is none of, or a value that it cannot have.
    """
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    given = {name: value for name, value in asked.items() if value is not None}
    chosen = {**{name: value for name, value in defaults.items() if name in known}, **given}
    return cls(**parse_options(cls, chosen, owner=cls.__name__.lower()))


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
    backbone_digest: str = ""
    """What the backbone is made of, so that a changed preset is another plan."""
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
        for section, name, default in _LATER:
            if content[section][name] == default:
                del content[section][name]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()[:ID_LENGTH]

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


def backbone_parts(text: str, registry: Registry) -> tuple[str, str]:
    """(registered name, argument): "composed:my.toml" names both; "micl-x:composed" is one distribution's."""
    first, _, rest = text.partition(":")
    bare, _, argument = rest.partition(":")
    parts = registry.parts("backbones")
    if first not in {part.name for part in parts} and f"{first}:{bare}" in {part.qualified for part in parts}:
        return f"{first}:{bare}", argument
    return first, rest


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
    if plan.evaluation.score == CHOICES and "choose" not in backbone.provides:
        hint = "Leave out --score choices, or choose another --backbone."
        raise PlanError(f"backbone {plan.backbone!r} cannot choose among given answers", hint)
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
