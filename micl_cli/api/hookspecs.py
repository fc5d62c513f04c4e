"""The hooks of pluggy project ``micl``: those that register plugins, and those that follow runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from micl_cli.api.events import Event

PROJECT = "micl"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """Registers a plugin by name, import target ("module:Class") and one-line summary, without importing it."""

    def __call__(self, name: str, target: str, summary: str = "") -> None: ...


class Hooks:
    """Every hook that a plugin may implement."""

    @hookspec
    def micl_register_tasks(self, register: Register) -> None:
        """Register tasks (TaskSource classes) by full name, benchmark/task."""

    @hookspec
    def micl_register_readers(self, register: Register) -> None:
        """Register readers of published benchmarks (Reader classes) by the name of the benchmark."""

    @hookspec
    def micl_register_formats(self, register: Register) -> None:
        """Register formats of user data (Format classes) by the name that ``micl prepare --format`` takes."""

    @hookspec
    def micl_register_modalities(self, register: Register) -> None:
        """Register modalities (Modality classes)."""

    @hookspec
    def micl_register_backbones(self, register: Register) -> None:
        """Register backbones (Backbone classes)."""

    @hookspec
    def micl_register_strategies(self, register: Register) -> None:
        """Register strategies (Strategy classes)."""

    @hookspec
    def micl_register_routers(self, register: Register) -> None:
        """Register routers (Router classes)."""

    @hookspec
    def micl_register_metrics(self, register: Register) -> None:
        """Register metrics (Metric classes)."""

    @hookspec
    def micl_register_encoders(self, register: Register) -> None:
        """Register encoders of the composed backbone (Encoder classes) by the name that presets use as ``family``."""

    @hookspec
    def micl_register_adapters(self, register: Register) -> None:
        """Register adapter kinds (AdapterKind classes)."""

    @hookspec
    def micl_register_listeners(self, register: Register) -> None:
        """Register listeners (Listener classes), which ``--listen NAME`` adds to a run."""

    @hookspec
    def micl_event(self, run: str, event: Event) -> None:
        """Handle an event of a run. Called for every event of every run, from RunStarted to RunFinished."""

    @hookspec
    def micl_metrics(self, run: str, matrix: list[list[float | None]], tasks: list[str]) -> Mapping[str, float] | None:
        """Return additional figures for a report by name, computed from the R matrix (scores x100)."""
