"""The log file of a run: its events and messages with their times, also for a run whose terminal is closed."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from micl_cli import __version__
from micl_cli.api.events import (
    Event,
    Notice,
    PassProgress,
    RunFinished,
    RunStarted,
    Scored,
    Step,
    TaskLearned,
    TaskStarted,
    Validated,
)
from micl_cli.errors import Interrupted
from micl_cli.io.characters import escape
from micl_cli.io.text import check_regular
from micl_cli.redaction import redact, redact_words

FILE = "log.txt"
"""The name of the log in the folder of a run."""
EVERY_SECONDS = 10.0
"""The minimum time between two lines about steps and passes."""

MICL = "micl_cli"
"""The logger whose messages, and those of its children, a log holds."""
EVENTS = f"{MICL}.events"
"""The logger of events, which are also shown as progress."""
_events = logging.getLogger(EVENTS)


@contextmanager
def run_log(folder: Path) -> Iterator[None]:
    """Append the messages of micl to the log in a run's folder during the block, and the error that ends it.

    A log that cannot be written does not disturb the run.
    """
    handler = _LogFile(folder / FILE)
    logger = logging.getLogger(MICL)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    _events.info("micl %s, process %d: %s", __version__, os.getpid(), redact_words(sys.argv))
    try:
        yield
    except GeneratorExit:
        _events.info("ended early")
        raise
    except (Interrupted, KeyboardInterrupt) as error:
        _events.info(error.message if isinstance(error, Interrupted) else "interrupted")
        raise
    except BaseException as error:
        _events.error("failed: %s", error, exc_info=error)
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


class _LogFile(logging.FileHandler):
    """Appends lines with a time to a file, without secrets and control characters, and ignores errors of the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, delay=True)
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def format(self, record: logging.LogRecord) -> str:
        return escape(redact(super().format(record)), keep="\n\t")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a message that cannot be written."""

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    """Open a file of the run's folder, which may come from others: neither a link nor a pipe."""
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        check_regular(descriptor, Path(path))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class EventLog:
    """Writes the events of a run to its log: steps and the progress of passes every EVERY_SECONDS, all others."""

    def __init__(self) -> None:
        self._written = float("-inf")

    def take(self, event: Event) -> None:
        """Write an event."""
        line = _LINES.get(event.name)
        if line is None:
            return
        if isinstance(event, Step | PassProgress):
            if time.monotonic() - self._written < EVERY_SECONDS:
                return
            self._written = time.monotonic()
        _events.info(line(event))


def _started(event: RunStarted) -> str:
    resumed = ", resumed at stage {}, step {}".format(*event.resumed_from) if event.resumed_from else ""
    return f"run {event.run}: {event.strategy} on {event.backbone}, seed {event.seed}{resumed}"


def _stage(event: TaskStarted) -> str:
    return f"stage {event.position} ({', '.join(event.tasks)}): {event.examples} examples, {event.steps_planned} steps"


def _step(event: Step) -> str:
    return f"stage {event.position}, step {event.step}, epoch {event.epoch}: loss {event.loss:.4f}, lr {event.lr:.3g}"


def _validated(event: Validated) -> str:
    marks = " (best)" * event.best + " (final)" * event.final
    return f"stage {event.position}, step {event.step}: validation {event.criterion} {event.value:.4g}{marks}"


def _pass(event: PassProgress) -> str:
    label = event.label or f"{event.when} learning"
    return f"stage {event.position}, {label}: {event.done} of {event.total if event.total is not None else '?'}"


def _learned(event: TaskLearned) -> str:
    if event.restored:
        return f"stage {event.position}: already learnt"
    return f"stage {event.position} learnt in {event.seconds:.1f} s, {event.steps} steps, {event.checkpoint}"


def _scored(event: Scored) -> str:
    facts = f"n={event.n} {event.split}{' (earlier)' * event.restored}"
    return f"after stage {event.after}: {event.task} {event.metric} {event.value:.2f}, {facts}"


_LINES: Mapping[str, Callable[[Any], str]] = {
    RunStarted.name: _started,
    TaskStarted.name: _stage,
    Step.name: _step,
    Validated.name: _validated,
    PassProgress.name: _pass,
    TaskLearned.name: _learned,
    Scored.name: _scored,
    Notice.name: lambda event: f"note: {event.text}",
    RunFinished.name: lambda event: f"{event.status} after {event.seconds:.1f} s",
}
