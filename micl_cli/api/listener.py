"""Listeners: what follows the events of a run, without a say in its result."""

from __future__ import annotations

from abc import ABC, abstractmethod

from micl_cli.api.events import Event


class Listener(ABC):
    """Follows runs: a tracker, a log, a bell. ``--listen NAME`` adds it to a run.

    Options are keyword-only constructor parameters; ``[listen.NAME]`` in ``micl.toml`` sets them. A listener that
    raises is left out from then on, with a notice.
    """

    @abstractmethod
    def consume(self, run: str, event: Event) -> None:
        """Take note of an event of run ``run``. The last one is RunFinished."""

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Let go of what is held open, once the run has ended in any way."""
