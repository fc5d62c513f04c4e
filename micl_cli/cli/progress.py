"""Progress on stderr: bars on a terminal and in a notebook, otherwise a few lines."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from micl_cli.cli.console import output
from micl_cli.io.characters import escape

if TYPE_CHECKING:
    # Not imported at run time, so that `micl --help` is fast.
    from tqdm import tqdm

    from micl_cli.api.events import (
        Event,
        Notice,
        PassProgress,
        RunStarted,
        Scored,
        Step,
        TaskLearned,
        TaskStarted,
        Validated,
    )


VALIDATION = "validation"
"""What the training loop calls a validation, which has no task."""
_ANSWERS = "answers"
_NARROW = 64
"""The columns below which a terminal has no room for a bar."""


class Progress:
    """The display of a run's events on stderr: progress bars on a terminal or in a notebook, else lines for each task.

    With ``quiet``, only notices are shown.
    """

    def __init__(self, *, quiet: bool | None = None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = output.quiet if quiet is None else quiet
        self._bar: tqdm[Any] | None = None
        self._bar_of: object = None
        self._tasks: Sequence[str] = ()
        self._planned = 0
        self._resumed_from = (0, 0)
        self._heading = ""
        self._stages: dict[int, int] = {}
        self._loss: float | None = None
        self._best: float | None = None
        self._criterion = "score"
        self._show: Mapping[str, Callable[[Any], None]] = {
            "run_started": self._run_started,
            "task_started": self._task_started,
            "step": self._step,
            "validated": self._validated,
            "pass_progress": self._pass_progress,
            "task_learned": self._task_learned,
            "scored": self._scored,
            "notice": self._notice,
        }

    def consume(self, event: Event) -> None:
        """Show one event."""
        if show := self._show.get(event.name):
            show(event)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = self._bar_of = None

    @contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """Show that a backbone is loaded until the first event, and its weights, during the block."""
        if not self._has_bars:
            yield
            return
        self._show_bar("loading", f"loading {name}", None, "it")
        # It takes long to import, but every backbone that loads weights imports it too.
        from transformers.utils import logging as transformers_logging

        set_hook = getattr(transformers_logging, "set_tqdm_hook", lambda hook: None)
        former = set_hook(partial(self._weights_bar, f"loading {name}"))
        try:
            yield
        finally:
            set_hook(former)

    def _weights_bar(self, label: str, factory: object, args: Sequence[Any], settings: Mapping[str, Any]) -> Any:
        """Return the progress bar of transformers for the weights that it loads."""
        self.close()
        bar: Any = bar_class()
        known = {name: settings[name] for name in ("iterable", "total", "unit", "unit_scale") if name in settings}
        return bar(*args, **known, **bar_look(escape(label)), leave=False, file=self._stream)

    def answering(self, task: str, done: int, total: int) -> None:
        """Show how many of the examples of a task, or of a validation, are answered."""
        label = task if task == VALIDATION else f"scoring {task}"
        self._show_bar((_ANSWERS, task), label, total, "answer")
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    @property
    def _has_bars(self) -> bool:
        return not self._quiet and has_bars(self._stream)

    def _show_bar(self, bar_of: object, label: str, total: int | None, unit: str, initial: int = 0) -> None:
        """Show the progress bar of ``bar_of`` in place of another one, if stderr is a terminal.

        The time left is estimated from what is done after ``initial``.
        """
        if bar_of == self._bar_of or not self._has_bars:
            return
        self.close()
        self._bar_of = bar_of
        shown: dict[str, Any] = {"total": total, "unit": unit, "initial": initial, **bar_look(escape(label))}
        self._bar = bar_class()(**shown, leave=False, file=self._stream)

    def _run_started(self, event: RunStarted) -> None:
        self.close()
        self._tasks, self._resumed_from = event.tasks, event.resumed_from or (0, 0)
        self._write_line(f"run {event.run}: {event.strategy} on {event.backbone}, seed {event.seed}")
        if event.resumed_from:
            position, step = event.resumed_from
            self._write_line(f"resuming at task {position}, step {step}")

    def _task_started(self, event: TaskStarted) -> None:
        self._stages[event.position] = len(event.tasks)
        self._loss = self._best = None
        self._heading, self._planned = self._head(event.position, event.tasks), event.steps_planned
        self._write_line(f"{self._heading}: {event.examples} examples, {event.steps_planned} steps")
        done = self._resumed_from[1] if self._resumed_from[0] == event.position else 0
        self._show_bar(event.position, self._heading, self._planned, "step", done)

    def _step(self, event: Step) -> None:
        self._loss = event.loss
        # A bar is shown anew after a validation.
        self._show_bar(event.position, self._heading, self._planned, "step", event.step - 1)
        if self._bar is not None:
            self._bar.set_postfix_str(self._state(), refresh=False)
            self._bar.update(event.step - self._bar.n)

    def _validated(self, event: Validated) -> None:
        if event.best:
            self._best, self._criterion = event.value, event.criterion
        if self._bar is not None:
            self._bar.set_postfix_str(self._state())

    def _pass_progress(self, event: PassProgress) -> None:
        label = event.label or f"{event.when} learning"
        self._show_bar((event.position, event.when), f"task {event.position}, {label}", event.total, "it")
        if self._bar is not None:
            self._bar.total = event.total
            self._bar.update(event.done - self._bar.n)

    def _task_learned(self, event: TaskLearned) -> None:
        self.close()
        self._stages[event.position] = len(event.tasks)
        if event.restored:
            self._write_line(f"{self._head(event.position, event.tasks)}: already learnt")
            return
        state = f", {self._state()}" if self._state() else ""
        self._write_line(f"  learnt in {event.seconds:.1f} s, {event.steps} steps{state}")

    def _scored(self, event: Scored) -> None:
        self.close()
        if event.main and not event.restored:
            size = max(map(len, [*self._tasks, event.task]))
            when = " before learning" if event.after == 0 else ""
            self._write_line(f"  {event.task:<{size}}  {event.metric} {event.value:.1f}{when}")

    def _notice(self, event: Notice) -> None:
        self._write(f"note: {event.text}")

    def _head(self, position: int, tasks: Sequence[str]) -> str:
        """Return the heading of a stage ("2/6 mini/img_qa"). A stage of joint learning has several tasks."""
        started = sum(self._stages.get(earlier, 1) for earlier in range(1, position + 1))
        total = position + max(0, len(self._tasks) - started)
        return f"{position}/{total} {', '.join(tasks)}"

    def _state(self) -> str:
        best = ("best validation loss", 3) if self._criterion == "loss" else ("best validation", 1)
        figures = {"loss": (self._loss, 3), best[0]: (self._best, best[1])}
        return ", ".join(f"{name} {value:.{digits}f}" for name, (value, digits) in figures.items() if value is not None)

    def _write_line(self, text: str) -> None:
        if not self._quiet:
            self._write(text)

    def _write(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        print(escape(text), file=self._stream, flush=True)
        if self._bar is not None:
            self._bar.refresh()


def has_bars(stream: TextIO) -> bool:
    """Return whether progress is shown by bars: on a terminal, and in a notebook."""
    return stream.isatty() or _in_notebook()


def bar_class() -> type[tqdm[Any]]:
    """Return the class of progress bars for a terminal or, in a notebook, for widgets (text where there are none)."""
    import tqdm

    if not _in_notebook():
        return tqdm.tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text is shown where the packages of widgets are missing
        from tqdm import auto

    return auto.tqdm


def _in_notebook() -> bool:
    """Return whether the kernel of a notebook runs this process."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def bar_look(label: str) -> dict[str, Any]:
    """Return the label and format of a bar; in a narrow terminal, the percentage and the time left without a bar."""
    columns = shutil.get_terminal_size().columns
    if columns >= _NARROW:
        return {"desc": label, "dynamic_ncols": True}
    room = max(columns - len(": 100%, 00:00:00 left") - 1, 8)
    return {"desc": label[-room:], "bar_format": "{desc}: {percentage:.0f}%, {remaining} left", "dynamic_ncols": True}


@contextmanager
def counting(label: str, unit: str = "file") -> Iterator[Callable[[int, int | None], None]]:
    """Yield a callback ``(done, total)`` that updates a progress bar, shown on a terminal without ``--quiet``."""
    if output.quiet or not has_bars(sys.stderr):
        yield lambda done, total: None
        return
    with bar_class()(unit=unit, leave=False, file=sys.stderr, **bar_look(escape(label))) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
