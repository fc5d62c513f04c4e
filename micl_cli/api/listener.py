"""Listeners: consumers of the events of a run, without influence on its result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from micl_cli.api.events import Event


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a listener may use of a run besides its events.

    ``configuration`` holds the plan, the environment (code, versions, device) and the recipe as JSON-ready data without
    secrets. ``group`` is the name of the sweep or study that the run belongs to, or empty. ``folder`` is where the
    listener may store files, for all runs; it need not exist.

    ``history(position, step)`` yields the steps and validations that earlier processes recorded up to a step of a
    stage. ``figures()`` returns the figures of continual learning (MFN, BWT, ...) by name, as far as they are known.
    ``report()`` returns the HTML report of the run so far.
    """

    id: str
    name: str
    strategy: str
    group: str
    tags: tuple[str, ...]
    configuration: Mapping[str, Any]
    folder: Path
    history: Callable[[int, int], Iterator[Event]]
    figures: Callable[[], Mapping[str, float]]
    report: Callable[[], str]


class Listener(ABC):
    """Consumes the events of runs, as an experiment tracker or a log does. ``--listen NAME`` adds it to a run.

    Options are keyword-only constructor parameters, set by ``[listen.NAME]`` in ``micl.toml``. A listener that raises
    an exception receives no further events, and the user sees a notice.
    """

    requires: ClassVar[Mapping[str, str]] = {}
    """The modules that the listener needs beyond those of its distribution, with the command that installs each.

    A run is refused before it starts if one of them is missing.
    """

    def start(self, run: RunInfo) -> str:
        """Prepare for the events of a run, before the first. Returns a notice for the user, or an empty text."""
        return ""

    @abstractmethod
    def consume(self, run: str, event: Event) -> None:
        """Handle an event of run ``run``. The last one is RunFinished."""

    def close(self) -> None:  # noqa: B027 - most listeners have nothing to release
        """Release resources. Called once the run has ended, also after an error."""
