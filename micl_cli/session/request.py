"""Requests: the arguments of a user, and the plan made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from micl_cli.api.options import options_of, parse_options
from micl_cli.api.resources import Resources
from micl_cli.api.task import Task
from micl_cli.plan import BackboneName, Evaluation, Plan, Training, check_fit, resolve_settings
from micl_cli.registry import Registry


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


def make_plan(request: Request, tasks: Sequence[Task], registry: Registry, resources: Resources) -> Plan:
    """Return the plan of a request, with every option parsed and every setting resolved.

    Raises PluginError, OptionError, UsageError or PlanError.
    """
    name = BackboneName.parse(request.backbone, registry)
    backbone = registry.load("backbones", name.name)
    strategy = registry.load("strategies", request.strategy)
    owner = f"strategy {request.strategy}"
    stage_options = {
        position: _json_ready(parse_options(strategy, raw, owner=owner, partial=True))
        for position, raw in request.stage_options.items()
    }
    backbone_options = parse_options(backbone, request.backbone_options, owner=f"backbone {name.name}")
    defaults = dict(backbone.defaults(name.argument, resources))
    plan = Plan(
        strategy=request.strategy,
        backbone=request.backbone,
        tasks=request.tasks,
        data={task.name: task.sha256 for task in tasks},
        strategy_options=_complete(strategy, request.strategy_options, owner),
        stage_options=stage_options,
        backbone_options=_json_ready(backbone_options),
        backbone_digest=backbone.digest(name.argument, resources),
        seed=request.seed,
        training=resolve_settings(Training, defaults, request.training),
        evaluation=resolve_settings(Evaluation, defaults.get("evaluation", {}), request.evaluation),
        parent=request.parent,
        name=request.name,
    )
    check_fit(plan, tasks, backbone, strategy)
    return plan


def _complete(cls: type[Any], raw: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return every option of a plugin class with its value, so that a plan does not depend on future defaults."""
    defaults = {name: option.default for name, option in options_of(cls).items() if not option.required}
    return {**defaults, **_json_ready(parse_options(cls, raw, owner=owner))}


def _json_ready(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
