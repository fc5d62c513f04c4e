"""What a user asks to be learnt, and the plan that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from micl_cli.api.options import options_of, parse_options
from micl_cli.api.task import Task
from micl_cli.plan import Evaluation, Plan, Training, backbone_parts, check_fit, settled
from micl_cli.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks to be learnt; None leaves a choice to the backbone's preset or the default."""

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


def make_plan(request: Request, tasks: Sequence[Task], registry: Registry) -> Plan:
    """The plan of a request: every choice made, every option typed, the parts checked to fit.

    Raises PluginError, OptionError, UsageError or PlanError.
    """
    name, argument = backbone_parts(request.backbone, registry)
    backbone = registry.load("backbones", name)
    strategy = registry.load("strategies", request.strategy)
    owner = f"strategy {request.strategy}"
    by_stage = {
        position: _plain(parse_options(strategy, raw, owner=owner, partial=True))
        for position, raw in request.stage_options.items()
    }
    defaults = dict(backbone.defaults(argument))
    plan = Plan(
        strategy=request.strategy,
        backbone=request.backbone,
        tasks=request.tasks,
        data={task.name: task.sha256 for task in tasks},
        strategy_options=_resolved(strategy, request.strategy_options, owner),
        stage_options=by_stage,
        backbone_options=_plain(parse_options(backbone, request.backbone_options, owner=f"backbone {name}")),
        backbone_digest=backbone.digest(argument),
        seed=request.seed,
        training=settled(Training, defaults, request.training),
        evaluation=settled(Evaluation, defaults.get("evaluation", {}), request.evaluation),
        parent=request.parent,
        name=request.name,
    )
    check_fit(plan, tasks, backbone, strategy)
    return plan


def _resolved(cls: type[Any], raw: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Every option of a part with its value, so that a plan tells all even where defaults change."""
    defaults = {name: option.default for name, option in options_of(cls).items() if not option.required}
    return {**defaults, **_plain(parse_options(cls, raw, owner=owner))}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
