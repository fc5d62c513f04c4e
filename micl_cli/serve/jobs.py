"""Jobs: questions that wait for the model, which answers one at a time."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from micl_cli.api.task import Content
from micl_cli.errors import MiclError
from micl_cli.serve.errors import ApiError, api_error
from micl_cli.serve.names import Target
from micl_cli.session.model import AnswerOptions, Reply, RunModel

if TYPE_CHECKING:
    from micl_cli.api.backbone import InspectedMedium

_POLL_SECONDS = 0.2


class _Ended(Exception):
    """The answer is no longer wanted."""


@dataclass
class Job:
    """A question, and the queue through which its answer comes: pieces of text, then the reply or an error."""

    content: Content
    media: Sequence[InspectedMedium]
    target: Target
    decoding: Mapping[str, Any]
    deadline: float
    results: queue.SimpleQueue[str | Reply | ApiError] = field(default_factory=queue.SimpleQueue)
    ended: threading.Event = field(default_factory=threading.Event)

    def next_results(self) -> Iterator[str | Reply | ApiError | None]:
        """Yield pieces as they arrive, the reply or an error last, and None a few times a second while none arrives.

        After the deadline, an error ends the job.
        """
        while True:
            left = self.deadline - time.monotonic()
            try:
                result = self.results.get(timeout=max(0.0, min(_POLL_SECONDS, left)))
            except queue.Empty:
                if left > 0:
                    yield None
                    continue
                result = ApiError(504, "the answer took too long", code="timeout")
            yield result
            if not isinstance(result, str):
                return


class Worker:
    """Answers jobs, one at a time, in the thread that calls ``work``."""

    def __init__(self, model: RunModel, log: Callable[[str], None]) -> None:
        self.model, self.log = model, log
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def submit(self, job: Job) -> None:
        """Add a job to the queue, whose length the server limits."""
        self._jobs.put(job)

    def work(self, stopped: Callable[[], bool]) -> None:
        """Answer jobs until ``stopped``; an answer that is being generated then is abandoned."""
        while not stopped():
            try:
                job = self._jobs.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            job.results.put(self._result(job, stopped))
        while not self._jobs.empty():
            self._jobs.get().results.put(_stopping())

    def _result(self, job: Job, stopped: Callable[[], bool]) -> Reply | ApiError:
        def check_wanted() -> None:
            if stopped() or job.ended.is_set():
                raise _Ended

        def receive(piece: str) -> None:
            check_wanted()
            job.results.put(piece)

        try:
            check_wanted()
            self.model.check_media(job.media, job.target.stage)
            options = AnswerOptions(adapter=job.target.adapter, decoding=job.decoding)
            return self.model.answer(job.content, receive, stage=job.target.stage, options=options)
        except _Ended:
            return _stopping()
        except Exception as error:
            failure = self._failure(error)
            for medium, _ in job.media:  # clients do not know where their media are stored
                failure.message = failure.message.replace(str(medium.path), medium.path.stem if medium.path else "")
            return failure

    def _failure(self, error: Exception) -> ApiError:
        from micl_cli.training.memory import with_memory_hint

        shown = with_memory_hint(error)
        if not isinstance(shown, MiclError):
            self.log("".join(traceback.format_exception(error)).rstrip())
        return api_error(shown)


def _stopping() -> ApiError:
    return ApiError(503, "the server is stopping", code="stopping")
