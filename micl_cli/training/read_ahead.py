"""Reading ahead: media of the next steps are decoded and encoded by threads while the model learns.

Decoders and the encoders' kernels release Python's lock, so threads suffice. What is computed is the same as without
them, byte for byte, and is used in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

STEPS = 2
"""The number of steps whose media are read ahead."""
_MISSES = 32
"""The number of results that nobody asked for after which reading ahead stops: they come from a cache, for example."""


def default_workers() -> int:
    """Return the number of threads that read ahead: none on a single core, else at most 4."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores - 1)


class ReadAhead:
    """Computes values in threads before they are asked for. Until it is opened, it computes them when they are."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._futures: dict[Hashable, tuple[int, Future[Any]]] = {}
        self._step = self._misses = 0

    def open(self, workers: int) -> None:
        """Begin to use ``workers`` threads."""
        self._threads = ThreadPoolExecutor(workers, "micl-read-ahead") if workers else None

    def next_step(self) -> None:
        """Forget what was computed for steps that are over."""
        self._step += 1
        for key in [key for key, (step, _) in self._futures.items() if step < self._step - STEPS]:
            self._futures.pop(key)[1].cancel()
            self._misses += 1

    def start(self, key: Hashable, compute: Callable[[], Any]) -> None:
        """Begin to compute the value of ``key``, unless it is being computed, or results are not asked for."""
        if self._threads and key not in self._futures and self._misses < _MISSES:
            self._futures[key] = (self._step, self._threads.submit(compute))

    def result(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return the value of ``key``: computed ahead, or now."""
        if key not in self._futures:
            return compute()
        future = self._futures.pop(key)[1]
        self._misses = 0
        return compute() if future.cancel() else future.result()

    def close(self) -> None:
        """Stop the threads; values that are not computed yet are dropped."""
        self._futures.clear()
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
