"""A cell of a sweep in a process of its own, both ends: who starts such processes, and what runs in them.

The process reads what to do as JSON on stdin and writes the run's events as JSON lines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, Queue
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

from micl_cli.cli.console import manner
from micl_cli.cli.learn import follow, stopping
from micl_cli.cli.main import INTERRUPTED, explain
from micl_cli.cli.status import hushed
from micl_cli.errors import BusyError
from micl_cli.settings import load_settings, prepare_process

BUSY = 75
"""Exit code where somebody else works on the run (EX_TEMPFAIL of sysexits.h): come back later."""

_PATIENCE = 10.0  # seconds that a process has to end once it is told to end at once


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: a signal's number) and what it told on stderr."""

    run: str
    code: int
    told: str

    @property
    def status(self) -> str:
        """ "finished", "busy", "interrupted" or "failed"."""
        return {0: "finished", BUSY: "busy", INTERRUPTED: "interrupted"}.get(self.code, "failed")

    @property
    def error(self) -> str:
        """What went wrong, in a line."""
        lines = [line for line in self.told.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if self.code < 0:
            return f"its process was ended by {signal.Signals(-self.code).name}"
        return (errors or lines or [f"exit code {self.code}"])[-1]


@dataclass(frozen=True)
class Told:
    """An event of a run, JSON-ready."""

    run: str
    event: Mapping[str, Any]


class Crew:
    """Processes at work on runs, so many at a time. Leaving the context ends those that are left, at once."""

    def __init__(self, jobs: int = 1) -> None:
        # Threads of one process that spin while they wait would stand in another's way.
        self._environment = {**os.environ, **({"OMP_WAIT_POLICY": "PASSIVE"} if jobs > 1 else {})}
        self._at_work: dict[str, subprocess.Popen[str]] = {}
        self._news: Queue[Told | Ended] = Queue()
        self._asked: set[str] = set()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._at_work.values():
            process.terminate()  # who was asked to stop before ends at once
        for process in self._at_work.values():
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __len__(self) -> int:
        return len(self._at_work)

    def start(self, task: Mapping[str, Any]) -> None:
        """Start a process for ``task`` (see ``work``)."""
        told = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - the thread closes it
        process = subprocess.Popen(
            [sys.executable, "-m", "micl_cli.sweep.processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            encoding="utf-8",
            env=self._environment,
            # Of its own, since a terminal's Ctrl-C reaches every process of a group: each would be told twice.
            start_new_session=True,
        )
        self._at_work[task["run"]] = process
        threading.Thread(target=self._listen, args=(process, told, dict(task)), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str], told: Any, task: Mapping[str, Any]) -> None:
        assert process.stdin
        assert process.stdout
        with told, process:
            try:
                json.dump(task, process.stdin)
                process.stdin.close()
            except OSError:
                pass  # it has ended already, and its exit code says how
            for line in process.stdout:
                if line.startswith("{"):
                    self._news.put(Told(task["run"], json.loads(line)))
            code = process.wait()
            told.seek(0)
            self._news.put(Ended(task["run"], code, told.read()))

    def news(self, seconds: float) -> Told | Ended | None:
        """What was heard next; None where nothing was within ``seconds``."""
        try:
            news = self._news.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(news, Ended):
            self._at_work.pop(news.run, None)
        return news

    def stop(self) -> None:
        """Ask every process, once, to keep what is learnt and end."""
        for run, process in self._at_work.items():
            if run not in self._asked:
                self._asked.add(run)
                process.terminate()


def work(task: Mapping[str, Any]) -> None:
    """Learn the plan of ``task``: {"run", "plan", "device", "threads", "save_seconds", "save_predictions"}.

    Raises what Session.learn raises.
    """
    from micl_cli.plan import Plan
    from micl_cli.session import Session
    from micl_cli.training.loop import Control

    with hushed(), stopping() as stop:
        session, plan = Session(load_settings()), Plan.from_json(task["plan"])
        tasks = session.open_planned(plan.id, plan)
        control = Control(stop=stop, save_seconds=task["save_seconds"], keep_answers=task["save_predictions"])
        how = {"device": task["device"], "threads": task["threads"], "anywhere": True}
        follow(session.learn(plan, tasks, control, **how), as_json=True)


def main() -> int:
    """Do what stdin says, and return the exit code."""
    prepare_process()
    if not sys.warnoptions:
        warnings.simplefilter("ignore", FutureWarning)
    task = json.load(sys.stdin)
    manner.quiet, manner.no_color, manner.debug = True, True, task["debug"]
    try:
        work(task)
    except BrokenPipeError:
        # Who started this is gone. The run was kept; Python must not fail on its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BusyError as error:
        explain(error)
        return BUSY
    except Exception as error:
        return explain(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
