"""Reading ahead: threads decode and encode the media of the next steps while the model learns.

Decoders and the kernels of encoders release the global interpreter lock, so threads suffice. Results are the same bytes
as without threads, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

STEPS = 2
"""The number of steps whose media are read ahead."""
_MISSES = 32
"""The number of unused results after which reading ahead stops, as when media are already cached."""


class ReadAhead:
    """Computes values in threads before they are requested. Until it is opened, values are computed on request."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._futures: dict[Hashable, tuple[int, Future[Any]]] = {}
        self._step = self._misses = 0

    def open(self, workers: int) -> None:
        """Start ``workers`` threads."""
        self._threads = ThreadPoolExecutor(workers, "micl-read-ahead") if workers else None

    @property
    def active(self) -> bool:
        """Whether there are threads."""
        return self._threads is not None

    def next_step(self) -> None:
        """Discard unused results of past steps."""
        self._step += 1
        for key in [key for key, (step, _) in self._futures.items() if step < self._step - STEPS]:
            self._futures.pop(key)[1].cancel()
            self._misses += 1

    def start(self, key: Hashable, compute: Callable[[], Any]) -> None:
        """Start computing the value of ``key``, unless it has been started, or too many results were unused."""
        if self._threads and key not in self._futures and self._misses < _MISSES:
            self._futures[key] = (self._step, self._threads.submit(compute))

    def result(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return the value of ``key``, computed ahead or now."""
        if key not in self._futures:
            return compute()
        future = self._futures.pop(key)[1]
        self._misses = 0
        return compute() if future.cancel() else future.result()

    def close(self) -> None:
        """Stop the threads, and discard pending values."""
        self._futures.clear()
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
