"""What is written where: results on stdout, all else on stderr; tables, JSON, colour and progress."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    # `micl --help` needs neither.
    from tqdm import tqdm

    from micl_cli.api.events import Event, Notice, RunStarted, Scored, Step, TaskLearned, TaskStarted, Validated

_GAP = "  "
_NARROWEST = 20
"""Columns that a wrapped last column must have to be readable."""

# Control characters, lone surrogates, line separators; and marks that reorder what follows them.
_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_REORDERING = frozenset("\u200e\u200f\u061c" + "\u202a\u202b\u202c\u202d\u202e" + "\u2066\u2067\u2068\u2069")


@dataclass
class Manner:
    """How this process speaks, as its flags say: the global ``--debug``, ``--quiet`` and ``--no-color``."""

    debug: bool = False
    quiet: bool = False
    no_color: bool = False

    def reset(self) -> None:
        """Back to what holds without flags."""
        self.debug = self.quiet = self.no_color = False


manner = Manner()


def escape(text: str, keep: str = "") -> str:
    """``text`` without what could steer a terminal: control characters as ``\\x1b``, those in ``keep`` as they are."""
    return "".join(c if c in keep or not _steers(c) else c.encode("unicode_escape").decode() for c in text)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _UNSHOWN or character in _REORDERING


def wants_colour(stream: TextIO) -> bool:
    """Whether colour is welcome: on a terminal that is not dumb, unless NO_COLOR or ``--no-color`` says no."""
    if manner.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def style(text: str, stream: TextIO, **look: Any) -> str:
    """``text`` in a look of ``click.style``, where ``stream`` welcomes it."""
    return click.style(text, **look) if wants_colour(stream) else text


def echo(text: str = "") -> None:
    """Write a result to stdout."""
    click.echo(text, color=wants_colour(sys.stdout))


def note(text: str) -> None:
    """Tell something by the way, on stderr; not with ``--quiet``."""
    if not manner.quiet:
        click.echo(escape(text, keep="\n"), err=True)


def warn(text: str) -> None:
    """Warn on stderr, with ``--quiet`` too."""
    label = style("warning:", sys.stderr, fg="yellow")
    click.echo(f"{label} {escape(text, keep=chr(10))}", err=True, color=wants_colour(sys.stderr))


def fail(message: str, hint: str = "", label: str = "error:") -> None:
    """Tell an error on stderr: what, then the way out."""
    red = style(label, sys.stderr, fg="red", bold=True) + " " if label else ""
    click.echo(red + escape(message, keep="\n"), err=True, color=wants_colour(sys.stderr))
    if hint:
        dim = style("hint:", sys.stderr, fg="cyan")
        click.echo(f"{dim} {escape(hint, keep=chr(10))}", err=True, color=wants_colour(sys.stderr))


def echo_json(data: Any) -> None:
    """Write one JSON document to stdout, indented."""
    click.echo(json.dumps(data, indent=2, allow_nan=False))


def echo_json_line(data: Any) -> None:
    """Write one JSON line to stdout, and have it read at once: a listener may wait for it."""
    click.echo(json.dumps(data, allow_nan=False))
    sys.stdout.flush()


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, width: int | None = None) -> str:
    """Lines of aligned columns; columns of numbers stand to the right.

    Where ``width`` is exceeded, the last column is wrapped below itself: nothing is cut off.
    ``width`` None is the terminal's, and without limit where stdout is none.
    """
    cells = [[escape(_text(cell)) for cell in row] for row in rows]
    right = [bool(rows) and all(_number(row[i]) for row in rows) for i in range(len(headers))]
    sizes = [max(map(_columns, column)) for column in zip(headers, *cells, strict=True)]
    limit = width if width is not None else _terminal_width()
    lines = [_line(headers, sizes, right, limit, bold=True)]
    return "\n".join(lines + [_line(row, sizes, right, limit) for row in cells])


def _line(row: Sequence[str], sizes: Sequence[int], right: Sequence[bool], limit: int, bold: bool = False) -> str:
    start = sum(sizes[:-1]) + len(_GAP) * (len(sizes) - 1)
    last = [row[-1]]
    if limit - start >= _NARROWEST and start + _columns(row[-1]) > limit:
        last = textwrap.wrap(row[-1], limit - start, break_on_hyphens=False) or [""]
    padded = [_pad(cell, size, to_right) for cell, size, to_right in zip(row[:-1], sizes, right, strict=False)]
    tail = _pad(last[0], sizes[-1], right[-1]) if len(last) == 1 else last[0]
    first = _GAP.join([*padded, tail]).rstrip()
    return "\n".join(
        [style(first, sys.stdout, bold=True) if bold else first, *(" " * start + more for more in last[1:])]
    )


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _pad(text: str, size: int, right: bool) -> str:
    blank = " " * (size - _columns(text))
    return blank + text if right else text + blank


def _columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes: East Asian wide characters take two."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


class Progress:
    """Shows a run's events on stderr: bars on a terminal, a few lines a task elsewhere.

    With ``quiet`` only notices are shown. ``consume`` takes each event; ``close`` clears the bar.
    """

    def __init__(self, *, quiet: bool | None = None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = manner.quiet if quiet is None else quiet
        self._bar: tqdm[Any] | None = None
        self._tasks: Sequence[str] = ()
        self._stages: dict[int, int] = {}
        self._loss: float | None = None
        self._best: float | None = None
        self._show: Mapping[str, Callable[[Any], None]] = {
            "run_started": self._run_started,
            "task_started": self._task_started,
            "step": self._step,
            "validated": self._validated,
            "task_learned": self._task_learned,
            "scored": self._scored,
            "notice": self._notice,
        }

    def consume(self, event: Event) -> None:
        """Show one event."""
        if show := self._show.get(event.name):
            show(event)

    def close(self) -> None:
        """Clear the bar, if there is one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _run_started(self, event: RunStarted) -> None:
        self._tasks = event.tasks
        self._say(f"run {event.run}: {event.strategy} on {event.backbone}, seed {event.seed}")
        if event.resumed_from:
            position, step = event.resumed_from
            self._say(f"going on from task {position}, step {step}")

    def _task_started(self, event: TaskStarted) -> None:
        self._stages[event.position] = len(event.tasks)
        self._loss = self._best = None
        head = self._head(event.position, event.tasks)
        self._say(f"{head}: {event.examples} examples, {event.steps_planned} steps")
        if self._stream.isatty() and not self._quiet:
            from tqdm import tqdm

            self._bar = tqdm(total=event.steps_planned, desc=head, unit="step", leave=False, file=self._stream)

    def _step(self, event: Step) -> None:
        self._loss = event.loss
        if self._bar is not None:
            self._bar.set_postfix_str(self._state(), refresh=False)
            # A resumed task begins at its last checkpoint's step.
            self._bar.update(event.step - self._bar.n)

    def _validated(self, event: Validated) -> None:
        if event.best:
            self._best = event.value
        if self._bar is not None:
            self._bar.set_postfix_str(self._state())

    def _task_learned(self, event: TaskLearned) -> None:
        self.close()
        self._stages[event.position] = len(event.tasks)
        if event.restored:
            self._say(f"{self._head(event.position, event.tasks)}: already learnt")
            return
        state = f", {self._state()}" if self._state() else ""
        self._say(f"  learnt in {event.seconds:.1f} s, {event.steps} steps{state}")

    def _scored(self, event: Scored) -> None:
        if event.main and not event.restored:
            size = max(map(len, [*self._tasks, event.task]))
            when = " before learning" if event.after == 0 else ""
            self._say(f"  {event.task:<{size}}  {event.metric} {event.value:.1f}{when}")

    def _notice(self, event: Notice) -> None:
        self._write(f"note: {event.text}")

    def _head(self, position: int, tasks: Sequence[str]) -> str:
        """ "2/6 mini/img_qa": joint learning takes several tasks in one stage."""
        begun = sum(self._stages.get(place, 1) for place in range(1, position + 1))
        total = position + max(0, len(self._tasks) - begun)
        return f"{position}/{total} {', '.join(tasks)}"

    def _state(self) -> str:
        known = {"loss": (self._loss, 3), "best validation": (self._best, 1)}
        return ", ".join(f"{name} {value:.{digits}f}" for name, (value, digits) in known.items() if value is not None)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._write(text)

    def _write(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        print(escape(text), file=self._stream, flush=True)
        if self._bar is not None:
            self._bar.refresh()


@contextmanager
def counting(label: str, unit: str = "file") -> Iterator[Callable[[int, int | None], None]]:
    """A callback ``(done, total)`` that draws a bar on stderr, where that is a terminal and not ``--quiet``."""
    if manner.quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm

    with tqdm(desc=escape(label), unit=unit, leave=False, file=sys.stderr) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
