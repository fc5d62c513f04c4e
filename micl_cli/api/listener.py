"""Listeners: consumers of the events of a run, without influence on its result."""

from __future__ import annotations

from abc import ABC, abstractmethod

from micl_cli.api.events import Event


class Listener(ABC):
    """Consumes the events of runs, as an experiment tracker or a log does. ``--listen NAME`` adds it to a run.

    Options are keyword-only constructor parameters, set by ``[listen.NAME]`` in ``micl.toml``. A listener that raises
    an exception receives no further events, and the user sees a notice.
    """

    @abstractmethod
    def consume(self, run: str, event: Event) -> None:
        """Handle an event of run ``run``. The last one is RunFinished."""

    def close(self) -> None:  # noqa: B027 - most listeners have nothing to release
        """Release resources. Called once the run has ended, also after an error."""
