"""HTML reports of runs, built one at a time in a thread, and kept until the runs change."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotReadyError
from dataclasses import dataclass

from micl_cli.serve.errors import ApiError

MAX_KEPT = 8
"""The number of reports that are kept; each may have several megabytes."""
MAX_WAITING = 4
"""The number of reports that may wait to be built."""
FRESH_SECONDS = 10.0
"""The time for which a report is shown though its runs go on: it may take longer to build than a step does."""

Runs = tuple[str, ...]


@dataclass
class _Report:
    stamp: str
    page: Future[bytes]
    built: float = float("inf")

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.built < FRESH_SECONDS


class Reports:
    """Reports by runs. ``build`` makes the page of a report; ``stamp`` is a digest of what it depends on."""

    def __init__(self, build: Callable[[Runs], bytes], stamp: Callable[[Runs], str]) -> None:
        self._build, self._stamp = build, stamp
        self._reports: OrderedDict[Runs, _Report] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="report")

    def page(self, runs: Runs, timeout: float) -> bytes | None:
        """Return the page of a report, or None if it is not ready within ``timeout`` seconds.

        Raises ApiError if too many reports wait, and any error of building it.
        """
        report = self._current(runs)
        try:
            return report.page.result(timeout)
        except NotReadyError:
            if report.page.done():  # building it raised a TimeoutError of its own
                raise
            return None
        finally:
            if report.page.done() and report.page.exception() is not None:
                self._forget(runs, report)

    def close(self) -> None:
        """Cancel the reports that wait, and wait for the one that is being built."""
        self._worker.shutdown(cancel_futures=True)

    def _current(self, runs: Runs) -> _Report:
        """Return the report of runs: the one that is built or being built, or a new one if the runs have changed."""
        stamp = self._stamp(runs)
        with self._lock:
            report = self._reports.get(runs)
            if report is None or not (report.stamp == stamp or report.is_fresh or not report.page.done()):
                if sum(not each.page.done() for each in self._reports.values()) >= MAX_WAITING:
                    raise ApiError(429, "too many reports are being built: try again later")
                report = self._reports[runs] = _Report(stamp, self._worker.submit(self._build, runs))
                report.page.add_done_callback(lambda page: setattr(report, "built", time.monotonic()))
            self._reports.move_to_end(runs)
            self._drop_oldest()
            return report

    def _drop_oldest(self) -> None:
        done = [runs for runs, report in self._reports.items() if report.page.done()]
        for runs in done[: max(0, len(self._reports) - MAX_KEPT)]:
            del self._reports[runs]

    def _forget(self, runs: Runs, report: _Report) -> None:
        with self._lock:
            if self._reports.get(runs) is report:
                del self._reports[runs]
