"""The model of a run without the data of its tasks: backbone, adapters and router, as exports need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from micl_cli.api.strategy import Strategy
from micl_cli.api.task import Task
from micl_cli.plan import Plan
from micl_cli.session.base import check_trust
from micl_cli.session.session import Session

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents

TASK_FIELDS = ("name", "modalities", "type", "metric")


def routes_examples(cls: type[Strategy]) -> bool:
    """Return whether a strategy selects adapters for each example."""
    return cls.route is not Strategy.route


def tasks_without_data(facts: Iterable[Mapping[str, Any]]) -> list[Task]:
    """Return tasks without examples from their ``TASK_FIELDS``."""
    return [
        Task(str(each["name"]), frozenset(each["modalities"]), str(each["type"]), str(each["metric"])) for each in facts
    ]


def load_model(session: Session, plan: Plan, tasks: Sequence[Task], device: str, *, placed: bool) -> RunComponents:
    """Load the backbone of a plan, and its strategy if that routes; any other strategy is not needed for answers.

    With ``placed``, the weights are moved to the ``device``. Raises PluginError, OptionError, UsageError or PlanError.
    """
    from micl_cli.training.components import RunComponents, load_backbone, make_accelerator, strategy_options
    from micl_cli.training.feature_cache import Features

    check_trust(plan, session.trusted)
    accelerator = make_accelerator(plan, device)
    features = Features(session.settings.features, 0)
    backbone = load_backbone(plan, session.registry, features, session.resources)
    if placed:
        backbone.place(accelerator.device)
    backbone.module.eval()
    cls: type[Strategy] = session.registry.load("strategies", plan.strategy)
    strategy = cls(backbone, **strategy_options(plan, cls)) if routes_examples(cls) else Strategy(backbone)
    load_part = session.registry.load
    stages = strategy.stages(tasks, load_part)
    return RunComponents(plan, backbone, strategy, tasks, {}, features, accelerator, load_part, stages)
