"""The events of a run that is carried out in a notebook or script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from inspect import GEN_CLOSED, getgeneratorstate
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

from micl_cli.cli.console import output
from micl_cli.cli.progress import Progress
from micl_cli.cli.status import quiet_libraries, stopping_note
from micl_cli.errors import BusyError, Interrupted
from micl_cli.notebook.arguments import PlannedLearning
from micl_cli.notebook.torch_state import TorchState
from micl_cli.session.learning import learn as learn_plan
from micl_cli.session.signals import stop_on_signal

if TYPE_CHECKING:
    from micl_cli.api.events import Event
    from micl_cli.notebook.run import Run

Answering = Callable[[str, int, int], None]


def carry_out(run: Run, planned: PlannedLearning, shown: Progress) -> None:
    """Carry out a run from start to end, and show its progress."""
    name = planned.plan.backbone
    with Learning(run, planned, shown.answering) as events, shown.loading(name), closing(shown):
        _show_all(events, shown)


def _show_all(events: Learning, shown: Progress) -> None:
    with stop_on_signal(events.stop):  # for a signal that arrives while an event is shown
        for event in events:
            shown.consume(event)


@contextmanager
def progress_shown(wanted: bool) -> Iterator[Progress]:
    """Yield a progress display. Unless it is ``wanted``, it shows nothing, and notes are hidden during the block."""
    former = output.quiet
    output.quiet = former or not wanted
    try:
        yield Progress(quiet=None if wanted else True)
    finally:
        output.quiet = former


class Learning:
    """The events of a run (``micl_cli.api.events``), which is carried out while they are iterated over.

    ``run`` is the run. Leaving a loop early leaves the run where it is: iterating further continues it, and so does
    ``run.resume()``, from its last checkpoint. ``close()``, or the end of a ``with`` block, ends it as interrupted.

    A process carries out one run at a time: starting another one interrupts a run that is not iterated over at the
    moment, and raises BusyError if another thread is doing so.
    """

    _current: ReferenceType[Learning] | None = None
    _turn = threading.Lock()

    def __init__(self, run: Run, planned: PlannedLearning, answering: Answering | None = None) -> None:
        from micl_cli.training.control import Control

        self.run = run
        self._stopping, self._state, self._interrupted_for = threading.Event(), TorchState(), ""
        control = Control(stop=self._stopping.is_set, **planned.control)  # no cycle: a dropped iterator ends at once
        if answering:
            control.answering = answering
        self._events = learn_plan(planned.session, planned.plan, planned.tasks, control, **planned.options)

    def __iter__(self) -> Learning:
        """Return the iterator itself: a second loop continues where the first one was left."""
        return self

    def __next__(self) -> Event:
        """Carry out the run up to its next event. Raises Interrupted, BusyError and any error of a component."""
        with self._alone(), self._state.in_use(), quiet_libraries(), stop_on_signal(self.stop):
            self._become_current()
            try:
                event = next(self._events, None)
            except Interrupted as error:
                error.hint = _continuation(self.run.id)
                raise
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> Learning:
        """Return the iterator."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the iterator."""
        self.close()

    def close(self) -> None:
        """End a run that is not finished as interrupted. What was learnt up to its last checkpoint is saved."""
        with self._alone():
            self._end()

    def stop(self) -> None:
        """Let the next event be the error Interrupted, after what is learnt is saved. Other threads may call it."""
        self._stopping.set()
        stopping_note()

    def _end(self) -> None:
        with self._state.in_use():
            self._events.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other thread carry out a run during the block. Raises BusyError if one does."""
        if not Learning._turn.acquire(blocking=False):
            raise BusyError("another thread of this process carries out a run", "Wait for it, or use another process.")
        try:
            yield
        finally:
            Learning._turn.release()

    def _become_current(self) -> None:
        """Interrupt the run that this process carried out before. Raises Interrupted if this one was interrupted so."""
        if self._interrupted_for:
            text = f"run {self.run.id} was interrupted when run {self._interrupted_for} was started in this process"
            raise Interrupted(text, _continuation(self.run.id))
        other = Learning._current() if Learning._current else None
        if other is not None and other is not self and getgeneratorstate(other._events) != GEN_CLOSED:
            other._interrupted_for = self.run.id
            other._end()
        Learning._current = ref(self)


def _continuation(run: str) -> str:
    return f'Continue: micl_cli.load_run("{run}").resume()'
