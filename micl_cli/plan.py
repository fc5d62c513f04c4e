"""The plan: everything that determines a run's result. Its fingerprint is the run's id."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

from micl_cli.api.events import CHOICES
from micl_cli.api.options import Option, Range, options_of, parse_options
from micl_cli.api.search import Search
from micl_cli.api.task import CHOICE
from micl_cli.errors import PlanError, UsageError

if TYPE_CHECKING:
    from micl_cli.api.backbone import Backbone
    from micl_cli.api.strategy import Strategy
    from micl_cli.api.task import Task
    from micl_cli.registry import Registry

ID_LENGTH = 12
_ADDED_LATER = (
    ("evaluation", "score", "answers"),
    ("evaluation", "repetition_penalty", 1.0),
    ("evaluation", "length_penalty", 1.0),
)
"""(section, setting, default) of settings that earlier versions did not have.

At their default, they are left out of the fingerprint, so that the ids of earlier runs stay valid.
"""

PENALTIES = ("repetition_penalty", "length_penalty")
"""The settings of evaluation that need the capability "penalties" of the backbone, unless they are 1."""
DECODING = ("max_new_tokens", "num_beams", *PENALTIES)
"""The settings of evaluation that determine how an answer is generated."""

_S = TypeVar("_S")


class Flag:
    """The command line flags of a setting, if they differ from its name. The first one also names the parameter."""

    def __init__(self, *flags: str) -> None:
        self.flags = flags


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings of training. An optimiser step uses ``batch_size`` times ``accumulation`` examples.

    Each field declares the help, range, default and flags of a setting, from which the command line, recipes and the
    documentation are generated.
    """

    epochs: Annotated[int, "passes over each task's examples", Range(1)] = 10
    max_steps: Annotated[int | None, "maximum number of optimiser steps per task", Range(1)] = None
    batch_size: Annotated[int, "examples in one forward pass", Range(1)] = 8
    accumulation: Annotated[int, "batches in one optimiser step", Range(1)] = 1
    learning_rate: Annotated[
        float,
        "peak learning rate of AdamW",
        Range(0, low_open=True),
        Search(0.2, 5.0, log=True, relative=True),
        Flag("--learning-rate", "--lr"),
    ] = 1e-4
    weight_decay: Annotated[float, "weight decay of AdamW", Range(0)] = 0.05
    warmup: Annotated[float, "fraction of the steps for linear warmup, before cosine decay", Range(0, 1)] = 0.05
    max_grad_norm: Annotated[float, "norm to which gradients are clipped; 0: no clipping", Range(0)] = 1.0
    patience: Annotated[int, "validations without a better score before a task ends early; 0: never", Range(0)] = 5
    validate_every: Annotated[int, "epochs between validations", Range(1)] = 1
    validation_examples: Annotated[int, "maximum number of examples per validation, a random choice", Range(1)] = 200
    precision: Annotated[Literal["auto", "fp32", "bf16"], "number format of the forward pass"] = "auto"
    gradient_checkpointing: Annotated[bool, "recompute activations to use less memory, but more time"] = False


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The settings for generating and scoring answers, declared like those of :class:`Training`."""

    batch_size: Annotated[int, "examples answered at once", Range(1), Flag("--eval-batch-size")] = 32
    max_new_tokens: Annotated[int, "maximum length of an answer in tokens", Range(1)] = 40
    num_beams: Annotated[int, "number of beams in the search for an answer; 1: greedy", Range(1)] = 1
    repetition_penalty: Annotated[
        float,
        "penalty on tokens that already occur in the answer, which divides their scores; 1: none",
        Range(0, low_open=True),
    ] = 1.0
    length_penalty: Annotated[
        float, "exponent of the length that divides the score of a beam; 0 favours short answers"
    ] = 1.0
    split: Annotated[
        Literal["test", "val"],
        "split to score on; use val to choose settings, so that test data stays unseen",
        Flag("--eval-split"),
    ] = "test"
    examples: Annotated[
        int | None, "maximum number of examples per score, a random choice (all)", Range(1), Flag("--eval-examples")
    ] = None
    unseen: Annotated[bool, "also score tasks before they are learnt, for forward transfer", Flag("--eval-unseen")] = (
        False
    )
    score: Annotated[
        Literal["answers", "choices"],
        "choices: also score closed questions by their most likely answer, to separate lost format from lost knowledge",
    ] = "answers"

    @property
    def decoding(self) -> dict[str, Any]:
        """The arguments of ``Backbone.generate``, without penalties of 1: a backbone may not support them."""
        penalties = {name: getattr(self, name) for name in PENALTIES if getattr(self, name) != 1.0}
        return {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams, **penalties}


class Setting(NamedTuple):
    """A field of :class:`Training` or :class:`Evaluation`, with its command line flags."""

    option: Option
    flags: tuple[str, ...]

    @property
    def parameter(self) -> str:
        """The name of the command line parameter."""
        return self.flags[0].removeprefix("--").replace("-", "_")


def declared_settings(cls: type[Any]) -> dict[str, Setting]:
    """Return the settings that ``Training`` or ``Evaluation`` declares, by name."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: Setting(option, _flags(name, hints[name])) for name, option in options_of(cls).items()}


def _flags(name: str, annotation: Any) -> tuple[str, ...]:
    declared = [mark for mark in annotation.__metadata__ if isinstance(mark, Flag)]
    return declared[0].flags if declared else (f"--{name.replace('_', '-')}",)


def resolve_settings(cls: type[_S], defaults: Mapping[str, Any], given: Mapping[str, Any]) -> _S:
    """Return training or evaluation settings: those ``given``, else the preset's ``defaults``, else the default.

    None means not given. Raises OptionError for an unknown setting or an invalid value.
    """
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    values = {name: value for name, value in defaults.items() if name in names}
    values |= {name: value for name, value in given.items() if value is not None}
    return cls(**parse_options(cls, values, owner=cls.__name__.lower()))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a run. ``data`` maps tasks to their sha256. ``name`` is a label, not part of the fingerprint.

    ``option_files`` holds the sha256 of the files and folders that options name, by path; it is left out of the
    fingerprint if there are none, as in plans of earlier versions.
    """

    strategy: str
    backbone: str
    tasks: tuple[str, ...]
    data: Mapping[str, str] = field(default_factory=dict)
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    stage_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of single stages by 1-based position, a string like all keys of JSON objects."""
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    option_files: Mapping[str, str] = field(default_factory=dict)
    backbone_digest: str = ""
    """Identifies the weights and components of the backbone, so that the plan changes with a preset."""
    seed: int = 0
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    parent: str | None = None
    attempt: int = 0
    name: str = ""

    @property
    def id(self) -> str:
        """The fingerprint, equal for equal plans on equal data."""
        content = without_added_defaults(self.as_json())
        del content["name"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()[:ID_LENGTH]

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready data that ``from_json`` reads."""
        data = asdict(self)
        data["tasks"] = list(self.tasks)
        if not self.option_files:
            del data["option_files"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Return the plan from data of ``as_json``. Unknown keys, of newer versions, are ignored."""
        names = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in names}
        values["tasks"] = tuple(values["tasks"])
        values["training"] = _without_unknown(Training, values["training"])
        values["evaluation"] = _without_unknown(Evaluation, values["evaluation"])
        return cls(**values)

    def again(self, attempt: int) -> Plan:
        """Return the same plan as a separate run."""
        return replace(self, attempt=attempt)

    def options_at(self, position: int) -> dict[str, Any]:
        """Return the strategy's options at a 1-based stage position."""
        return {**self.strategy_options, **self.stage_options.get(str(position), {})}


def without_added_defaults(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a plan, of this or an earlier version, without settings of _ADDED_LATER at their default."""
    content = dict(plan)
    for section, name, default in _ADDED_LATER:
        if isinstance(settings := content.get(section), Mapping) and settings.get(name) == default:
            content[section] = {key: value for key, value in settings.items() if key != name}
    return content


def _without_unknown(cls: type[Any], data: Mapping[str, Any]) -> Any:
    names = {f.name for f in fields(cls)}
    return cls(**{key: value for key, value in data.items() if key in names})


class BackboneName(NamedTuple):
    """The registered name of a backbone, and its argument: a preset or checkpoint."""

    name: str
    argument: str

    @classmethod
    def parse(cls, text: str, registry: Registry) -> BackboneName:
        """Parse "composed", "composed:my.toml" or, with the name of a distribution, "micl-x:composed:my.toml"."""
        first, _, rest = text.partition(":")
        bare, _, argument = rest.partition(":")
        parts = registry.parts("backbones")
        if first not in {part.name for part in parts} and f"{first}:{bare}" in {part.qualified for part in parts}:
            return cls(f"{first}:{bare}", argument)
        return cls(first, rest)

    def __str__(self) -> str:
        return f"{self.name}:{self.argument}" if self.argument else self.name


def full_name(task: str, benchmark: str) -> str:
    """Return the full name of a task, in lower case; one without a benchmark belongs to ``benchmark``."""
    return (task if "/" in task else f"{benchmark}/{task}").lower()


def split_tasks(text: str, benchmark: str, registry: Registry | None = None) -> tuple[str, ...]:
    """Return full task names from "a,b".

    With ``registry``, the name of a benchmark stands for its tasks, and "benchmark:order" for its tasks in another
    order. Raises UsageError if no task is named, or one twice.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    names = [name for word in words for name in _task_names(word, benchmark, registry)]
    if not names:
        raise UsageError("no task is named", "Name tasks with --tasks, for example: --tasks img_cap,aud_qa")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"task {name} is named twice", "A sequence contains each task once.")
    return tuple(names)


def _task_names(word: str, benchmark: str, registry: Registry | None) -> tuple[str, ...]:
    whole = registry.benchmark_tasks(word.lower()) if registry and "/" not in word else ()
    if ":" in word and not whole:
        hint = "Name tasks in order, as in img_cap,aud_qa, or a published benchmark: micl:order-1"
        raise UsageError(f"{word!r} is neither a task nor an order of a benchmark", hint)
    return whole or (full_name(word, benchmark),)


def check_learnable(tasks: Sequence[Task]) -> None:
    """Raise PlanError if a task has no training examples: it is for evaluation only."""
    for task in tasks:
        if task.counts.get("train") == 0:
            raise PlanError(
                f"{task.name} has no training examples: it is for evaluation only",
                f"Learn other tasks, and score the run on it: micl eval RUN --tasks {task.name}",
            )


def check_fit(plan: Plan, tasks: Sequence[Task], backbone: type[Backbone] | Backbone, strategy: type[Strategy]) -> None:
    """Raise PlanError if the strategy or a task needs something that the backbone does not provide.

    Modalities are only checked if the backbone declares any, since a class may not know those of its presets. Raises
    UsageError if a stage option is for a stage that does not exist, or a setting of evaluation has no effect.
    """
    _check_choices(plan, tasks, backbone)
    check_penalties(plan, backbone)
    if missing := sorted(strategy.needs - backbone.provides):
        raise PlanError(
            f"strategy {plan.strategy!r} needs {', '.join(missing)}, which backbone {plan.backbone!r} does not provide",
            "Choose another --backbone or --strategy; `micl plugins show` lists what each needs and provides.",
        )
    for task in tasks:
        unsupported = sorted(task.modalities - backbone.modalities) if backbone.modalities else []
        if unsupported:
            raise PlanError(
                f"backbone {plan.backbone!r} does not support {', '.join(unsupported)}, as task {task.name} needs",
                f"It supports {', '.join(sorted(backbone.modalities))}.",
            )
    for position in plan.stage_options:
        if not 1 <= int(position) <= len(plan.tasks):
            raise UsageError(
                f"option for task {position}, but there are {len(plan.tasks)} tasks",
                "In `-o 3:NAME VALUE` the number is the task's position in --tasks, from 1.",
            )


def check_penalties(plan: Plan, backbone: type[Backbone] | Backbone) -> None:
    """Raise PlanError if answers are to be generated with penalties that the backbone does not have.

    Raises UsageError for a length penalty without beams, which would change the id of a run and nothing else.
    """
    if plan.evaluation.length_penalty != 1.0 and plan.evaluation.num_beams == 1:
        raise UsageError(
            "a length penalty acts on beams, and answers are generated without",
            "Give --num-beams 2 or more, or --length-penalty 1.",
        )
    needed = [name for name in PENALTIES if name in plan.evaluation.decoding]
    if needed and "penalties" not in backbone.provides:
        raise PlanError(
            f"backbone {plan.backbone!r} does not support a {needed[0].replace('_', ' ')}",
            f"Leave out --{needed[0].replace('_', '-')}, or choose another --backbone.",
        )


def _check_choices(plan: Plan, tasks: Sequence[Task], backbone: type[Backbone] | Backbone) -> None:
    """Raise PlanError if choices are to be scored and the backbone cannot score them."""
    if "choices" in backbone.provides:
        return
    if plan.evaluation.score == CHOICES:
        raise PlanError(
            f"backbone {plan.backbone!r} cannot score given answers",
            "Leave out --score choices, or choose another --backbone.",
        )
    for task in tasks:
        if task.type == CHOICE:
            raise PlanError(
                f"backbone {plan.backbone!r} cannot score given answers, which multiple-choice task {task.name} needs",
                "Choose another --backbone.",
            )
