"""The hooks of pluggy project ``micl``: those that announce parts, and those that listen to runs."""

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
    def micl_register_encoders(self, register: Register) -> None:
        """Announce encoders of the composed backbone (Encoder classes), by the name that presets use as ``family``."""

    @hookspec
    def micl_register_adapters(self, register: Register) -> None:
        """Announce adapter kinds (AdapterKind classes)."""

    @hookspec
    def micl_register_listeners(self, register: Register) -> None:
        """Announce listeners (Listener classes), which ``--listen NAME`` adds to a run."""

    @hookspec
    def micl_event(self, run: str, event: Event) -> None:
        """Take note of an event of a run: every one, from RunStarted to RunFinished. For plugins that always listen."""

    @hookspec
    def micl_metrics(self, run: str, matrix: list[list[float | None]], tasks: list[str]) -> Mapping[str, float] | None:
        """Return further figures for a report, by name, from the R matrix (scores x100)."""
