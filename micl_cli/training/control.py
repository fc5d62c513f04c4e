"""The supervision of a run by the program that carries it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from micl_cli.errors import Interrupted
from micl_cli.training.evaluation import Pause


@dataclass
class Control:
    """The supervision of a run, without influence on its result.

    ``stop`` returns whether the run should save its state and end; ``save_seconds`` is the time between
    step checkpoints. The answers behind a score are yielded if there are at most ``max_answers`` of them (None: all).
    ``loader_workers`` is the number of threads that read media ahead. ``commit`` is called before a checkpoint or a
    file of scores is written, and stores everything yielded so far: a resumed run continues after the file.
    ``answering`` is called with a task (or "validation"), the number of answers so far, and the number of all.
    """

    stop: Callable[[], bool] = lambda: False
    save_seconds: float = 5.0
    max_answers: int | None = 0
    loader_workers: int = 0
    commit: Callable[[], None] = lambda: None
    answering: Callable[[str, int, int], None] = lambda task, done, total: None

    def pause(self) -> None:
        """Raise Interrupted if the run should stop."""
        if self.stop():
            raise Interrupted("interrupted; what is learnt is saved", "Continue with the same command.")

    def pause_in(self, task: str) -> Pause:
        """Return what to call before each batch of a task's answers: it shows the progress, and may interrupt."""

        def pause(done: int, total: int) -> None:
            self.pause()
            self.answering(task, done, total)

        return pause
