"""Inspection of many media by several processes. Results are in the order of the requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

from micl_cli.api.modality import Modality
from micl_cli.data.inspection_worker import result_of
from micl_cli.data.media_files import inspect_medium
from micl_cli.data.record import FileRecord
from micl_cli.io.processes import module_command

FEW = 400
"""The number of media below which starting worker processes costs more time than it saves."""
MAX_JOBS = 16
_BLOCK = 512
MediumKey = tuple[str, str]
"""Modality and path: one file may be read as media of two modalities."""
Results = Iterator[tuple[MediumKey, FileRecord | str]]
Inspect = Callable[[Sequence[MediumKey]], Results]


def default_jobs() -> int:
    """Return the default number of processes: one for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_JOBS)


@contextmanager
def inspectors(root: Path, readers: Mapping[str, Modality], jobs: int) -> Iterator[Inspect]:
    """Yield a function that inspects media below ``root``, with ``jobs`` processes if there are many.

    It yields the record or fault of each medium, in order. Leaving the context ends the processes.
    """
    pool = _Pool(root, readers, jobs)

    def inspect(keys: Sequence[MediumKey]) -> Results:
        if jobs > 1 and len(keys) >= FEW:
            yield from pool.inspect(keys)
        else:
            yield from ((key, inspect_medium(root, key[1], readers[key[0]])) for key in keys)

    try:
        yield inspect
    finally:
        pool.close()


class _Pool:
    """Worker processes, each of which belongs to a thread."""

    def __init__(self, root: Path, readers: Mapping[str, Modality], jobs: int) -> None:
        targets = {name: f"{type(reader).__module__}:{type(reader).__qualname__}" for name, reader in readers.items()}
        self.setup = json.dumps({"root": str(root), "readers": targets})
        self.threads = ThreadPoolExecutor(jobs)
        self.own = threading.local()
        self.workers: list[_Worker] = []

    def inspect(self, keys: Sequence[MediumKey]) -> Results:
        """Yield the results in order. Requests are submitted in blocks, to bound the results in memory."""
        rest = iter(keys)
        while block := list(islice(rest, _BLOCK)):
            yield from zip(block, self.threads.map(self._result, block), strict=True)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.close()

    def _result(self, key: MediumKey) -> FileRecord | str:
        worker: _Worker | None = getattr(self.own, "worker", None)
        if worker is None or worker.ended:
            worker = self.own.worker = _Worker(self.setup)
            self.workers.append(worker)
        return worker.inspect(key)


class _Worker:
    """One process of :mod:`micl_cli.data.inspection_worker`."""

    def __init__(self, setup: str) -> None:
        self.process = subprocess.Popen(
            module_command("micl_cli.data.inspection_worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self.ended = False
        self._send(setup)

    def inspect(self, key: MediumKey) -> FileRecord | str:
        """Return the record or fault of a medium. A medium whose reading ends the process is a fault."""
        self._send(json.dumps(key))
        answer = _pipe(self.process.stdout).readline()
        if answer:
            return result_of(json.loads(answer))
        self.ended = True
        code = self.process.wait()
        reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"the process that read it ended {reason}: it may need more memory than is available"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def _send(self, line: str) -> None:
        pipe = _pipe(self.process.stdin)
        try:
            pipe.write(line + "\n")
            pipe.flush()
        except BrokenPipeError:  # the process has ended: reading its response reports that
            return


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
