"""What a plan will take, told before anything is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from micl_cli.plan import Plan
from micl_cli.store import Store

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents

_LOOKED_AT = 50  # earlier runs


@dataclass(frozen=True)
class StageEstimate:
    """A stage to come: what is learnt, from how many examples, in how many steps, and how many answers after."""

    position: int
    tasks: tuple[str, ...]
    examples: int
    steps: int
    scored: int


@dataclass(frozen=True)
class RunEstimate:
    """What a plan will take. ``step_seconds`` is from an earlier run, None where there is none."""

    stages: tuple[StageEstimate, ...]
    trainable: int
    step_seconds: float | None = None
    status: str = ""

    @property
    def steps(self) -> int:
        """All steps, where no task is ended early."""
        return sum(stage.steps for stage in self.stages)

    @property
    def duration(self) -> str:
        """The learning time in words."""
        if self.step_seconds is None:
            return "no earlier run of this strategy and backbone to tell the time from"
        return f"about {self.steps * self.step_seconds:.0f} s of learning, as the latest such run went"

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        known = {"steps": self.steps, "trainable_parameters": self.trainable, "step_seconds": self.step_seconds}
        return {**known, "stages": [asdict(stage) for stage in self.stages]}


def estimate_run(parts: RunComponents) -> RunEstimate:
    """What the plan of ``parts`` will take; an adapter is added to count what would be learnt."""
    from micl_cli.training.state import planned_steps

    plan, stages, seen = parts.plan, [], 0
    asked = plan.evaluation
    for position, stage in enumerate(parts.stages, 1):
        known = parts.tasks if asked.unseen else [task for s in parts.stages[:position] for task in s]
        seen = sum(_at_most(task.counts, asked.split, asked.examples) for task in known)
        examples = sum(task.counts.get("train", 0) for task in stage)
        steps = planned_steps(plan.training, examples, len(stage))
        stages.append(StageEstimate(position, tuple(task.name for task in stage), examples, steps, seen))
    parts.backbone.add_adapter("estimate")
    parts.backbone.activate("estimate")
    weights = parts.backbone.trainable({task.modality for task in parts.tasks})
    return RunEstimate(tuple(stages), sum(weight.numel() for weight in weights.values()))


def step_seconds(plan: Plan, store: Store) -> float | None:
    """Seconds a step in the latest run of the same strategy and backbone."""
    for run in store.runs(_LOOKED_AT):
        if (run.plan["strategy"], run.plan["backbone"]) == (plan.strategy, plan.backbone):
            stages = [stage for stage in store.details(run.id).stages if stage.steps]
            if stages:
                return sum(stage.seconds for stage in stages) / sum(stage.steps for stage in stages)
    return None


def _at_most(counts: Mapping[str, int], split: str, limit: int | None) -> int:
    count = counts.get(split, 0)
    return count if limit is None else min(count, limit)
