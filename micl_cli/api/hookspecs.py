"""The hooks of pluggy project ``micl``. Announcing hooks name parts; lifecycle hooks listen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pluggy

PROJECT = "micl"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """Announces a part: its name, where its class is ("module:Class"), and one line about it."""

    def __call__(self, name: str, target: str, summary: str = "") -> None: ...


class Hooks:
    """Every hook that a plugin may implement."""

    @hookspec
    def micl_register_tasks(self, register: Register) -> None:
        """Announce tasks (TaskSource classes), by full name: benchmark/task."""

    @hookspec
    def micl_register_modalities(self, register: Register) -> None:
        """Announce modalities (Modality classes)."""

    @hookspec
    def micl_register_backbones(self, register: Register) -> None:
        """Announce backbones (Backbone classes)."""

    @hookspec
    def micl_register_strategies(self, register: Register) -> None:
        """Announce strategies (Strategy classes)."""

    @hookspec
    def micl_register_routers(self, register: Register) -> None:
        """Announce routers (Router classes)."""

    @hookspec
    def micl_register_metrics(self, register: Register) -> None:
        """Announce metrics (Metric classes)."""

    @hookspec
    def micl_run_started(self, run: str, plan: Mapping[str, Any]) -> None:
        """A run begins or goes on; ``plan`` is its plan as JSON-ready data."""

    @hookspec
    def micl_task_started(self, run: str, event: Any) -> None:
        """A task is about to be learnt (TaskStarted)."""

    @hookspec
    def micl_step(self, run: str, event: Any) -> None:
        """An optimiser step was made (Step)."""

    @hookspec
    def micl_task_learned(self, run: str, event: Any) -> None:
        """A task is learnt and its checkpoint is on disk (TaskLearned)."""

    @hookspec
    def micl_scored(self, run: str, event: Any) -> None:
        """A task was scored after a stage (Scored)."""

    @hookspec
    def micl_run_finished(self, run: str, status: str) -> None:
        """A run ended: "finished", "interrupted" or "failed"."""

    @hookspec
    def micl_metrics(self, run: str, matrix: list[list[float | None]], tasks: list[str]) -> Mapping[str, float] | None:
        """Return further figures for a report, by name, from the R matrix (scores x100)."""
