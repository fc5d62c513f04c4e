"""Requests: the arguments of a user, and the plan made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.api.options import options_of, parse_options
from micl_cli.api.resources import Resources
from micl_cli.api.task import Task
from micl_cli.errors import OptionError, PlanError, nearest
from micl_cli.plan import BackboneName, Evaluation, Plan, Training, check_fit, check_learnable, resolve_settings
from micl_cli.registry import Registry
from micl_cli.session.base import base_digest, resolve_backbone, silent
from micl_cli.session.option_files import file_digests

if TYPE_CHECKING:
    from micl_cli.api.presets import FetchProgress


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments for a plan. A setting that is None takes the preset's value, or the default."""

    strategy: str
    backbone: str
    tasks: tuple[str, ...]
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    stage_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    name: str = ""


def make_plan(
    request: Request,
    tasks: Sequence[Task],
    registry: Registry,
    resources: Resources,
    progress: FetchProgress = silent,
) -> Plan:
    """Return the plan of a request, with every option parsed, every setting resolved and the base model identified.

    What is missing of the base model is downloaded; ``progress`` receives the progress.

    Raises PluginError, OptionError, UsageError or PlanError.
    """
    check_learnable(tasks)
    name = BackboneName.parse(request.backbone, registry)
    backbone = registry.load("backbones", name.name)
    strategy = registry.load("strategies", request.strategy)
    owner = f"strategy {request.strategy}"
    stage_options = {
        position: _json_ready(parse_options(strategy, raw, owner=owner, partial=True))
        for position, raw in request.stage_options.items()
    }
    backbone_options = parse_options(backbone, request.backbone_options, owner=f"backbone {name.name}")
    strategy_values = _complete(strategy, request.strategy_options, owner)
    defaults = checked_defaults(backbone.defaults(name.argument, resources), request.backbone)
    training = resolve_settings(Training, defaults, request.training)
    evaluation = resolve_settings(Evaluation, defaults.get("evaluation", {}), request.evaluation)
    resolved = resolve_backbone(request.backbone, registry, resources, progress)
    plan = Plan(
        strategy=request.strategy,
        backbone=resolved,
        tasks=request.tasks,
        data={task.name: task.sha256 for task in tasks},
        strategy_options=strategy_values,
        stage_options=stage_options,
        backbone_options=_json_ready(backbone_options),
        option_files={
            **file_digests(strategy, strategy_values, *stage_options.values()),
            **file_digests(backbone, _json_ready(backbone_options)),
        },
        backbone_digest=base_digest(resolved, registry, resources),
        seed=request.seed,
        training=training,
        evaluation=evaluation,
        parent=request.parent,
        name=request.name,
    )
    check_fit(plan, tasks, backbone, strategy)
    check_variants(tasks, registry)
    return plan


def check_variants(tasks: Sequence[Task], registry: Registry) -> None:
    """Raise PlanError if tasks of a benchmark have different prompt or scorer variants: no mean may mix them.

    Tasks with a single variant can be combined with any.
    """
    for what in ("prompts", "scorer"):
        first: dict[str, Task] = {}
        for task in (task for task in tasks if _has_variants(task, what, registry)):
            former = first.setdefault(task.benchmark, task)
            variant, other = getattr(task, what), getattr(former, what)
            if variant != other:
                raise PlanError(
                    f"{former.name} is prepared with {what} {other!r}, and {task.name} with {what} {variant!r}",
                    f"Prepare one of them like the other: micl prepare {task.name} --root DIR --{what} {other}",
                )


def _has_variants(task: Task, what: str, registry: Registry) -> bool:
    """Return whether a task has several variants; False if its reader is not installed."""
    if not getattr(task, what):
        return False
    known = any(part.name == task.source and part.state == "ok" for part in registry.parts("readers"))
    spec = registry.load("readers", task.source).tasks.get(task.short) if known else None
    return spec is None or len({"prompts": spec.prompts, "scorer": spec.scorers}[what]) > 1


def checked_defaults(defaults: Mapping[str, Any], backbone: str) -> dict[str, Any]:
    """Return a backbone's default settings. Raises PlanError if one is unknown or has an invalid value."""
    values = dict(defaults)
    tables: list[tuple[type[Any], Any, tuple[str, ...], str]] = [
        (Training, values, ("threads", "evaluation"), "training")
    ]
    if "evaluation" in values:
        tables.append((Evaluation, values["evaluation"], (), "training.evaluation"))
    for cls, table, others, title in tables:
        if not isinstance(table, Mapping):
            raise PlanError(f"backbone {backbone!r}: its {title} is {table!r}", "It must be a table of settings.")
        known = [*options_of(cls), *others]
        if unknown := [name for name in table if name not in known]:
            hint = nearest(unknown[0], known) or f"Known: {', '.join(known)}."
            raise PlanError(f"backbone {backbone!r}: unknown key {unknown[0]!r} in its {title}", hint)
        try:
            parse_options(cls, {k: v for k, v in table.items() if k not in others}, owner=f"the default {title}")
        except OptionError as error:
            raise PlanError(f"backbone {backbone!r}: {error.message}", error.hint) from error
    return values


def _complete(cls: type[Any], raw: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return every option of a plugin class with its value, so that a plan does not depend on future defaults."""
    options = options_of(cls)
    defaults = {name: option.default for name, option in options.items() if not option.required}
    values = {**defaults, **_json_ready(parse_options(cls, raw, owner=owner))}
    return {k: v for k, v in values.items() if not (options[k].added_later and v == options[k].default)}


def _json_ready(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
