"""Executors run the cells of a sweep, each in its own process, and report events and results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, Queue
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any

from micl_cli.io.processes import module_command
from micl_cli.sweep.worker import BUSY, INTERRUPTED, CellTask

_GRACE_SECONDS = 10.0
"""The time after SIGTERM before a process is killed."""


@dataclass(frozen=True)
class CellEvent:
    """An event of a cell's run, as JSON-ready data."""

    run: str
    event: Mapping[str, Any]


@dataclass(frozen=True)
class ProcessExit:
    """The end of a cell's process: its exit code (negative: a signal) and what it wrote to stderr."""

    run: str
    code: int
    stderr: str

    @property
    def status(self) -> str:
        """ "finished", "busy", "interrupted" or "failed"."""
        return {0: "finished", BUSY: "busy", INTERRUPTED: "interrupted"}.get(self.code, "failed")

    @property
    def error(self) -> str:
        """The error as one line."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if self.code < 0:
            return f"its process was ended by {signal.Signals(-self.code).name}"
        return (errors or lines or [f"exit code {self.code}"])[-1]


class ProcessExecutor:
    """Runs cells in processes on this machine. Leaving its context ends those that are still running."""

    def __init__(self, jobs: int = 1) -> None:
        # Processes that a worker starts must not import from the current folder either.
        self._environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        if jobs > 1:  # idle threads that spin would slow down the other processes
            self._environment["OMP_WAIT_POLICY"] = "PASSIVE"
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._messages: Queue[CellEvent | ProcessExit] = Queue()
        self._stopped: set[str] = set()

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, cls: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for process in self._processes.values():
            process.terminate()  # the second signal ends a process immediately
        for process in self._processes.values():
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __len__(self) -> int:
        """Return the number of running processes."""
        return len(self._processes)

    def start(self, task: CellTask) -> None:
        """Start a process for a cell."""
        stderr = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - _read closes it
        process = subprocess.Popen(
            worker_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            env=self._environment,
            # In its own process group, so that Ctrl-C in a terminal does not reach it in addition to SIGTERM.
            start_new_session=True,
        )
        self._processes[task.run] = process
        threading.Thread(target=self._read, args=(process, stderr, task), daemon=True).start()

    def _read(self, process: subprocess.Popen[str], stderr: IO[str], task: CellTask) -> None:
        """Send a process its task, and queue its events and exit."""
        assert process.stdin
        assert process.stdout
        with stderr, process:
            try:
                json.dump(task.as_json(), process.stdin)
                process.stdin.close()
            except OSError:
                pass  # the process has ended; its exit code says why
            for line in process.stdout:
                if line.startswith("{"):
                    self._messages.put(CellEvent(task.run, json.loads(line)))
            code = process.wait()
            stderr.seek(0)
            self._messages.put(ProcessExit(task.run, code, stderr.read()))

    def next_message(self, timeout: float) -> CellEvent | ProcessExit | None:
        """Return the next event or process exit, or None if there is none within ``timeout`` seconds."""
        try:
            message = self._messages.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(message, ProcessExit):
            self._processes.pop(message.run, None)
        return message

    def stop(self) -> None:
        """Send each process one SIGTERM, on which it saves its state and ends."""
        for run, process in self._processes.items():
            if run not in self._stopped:
                self._stopped.add(run)
                process.terminate()


def worker_command() -> list[str]:
    """Return the command of a worker, which does not import from the current folder."""
    return module_command("micl_cli.sweep.worker")
