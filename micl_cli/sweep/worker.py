"""The worker process of a sweep: it reads a cell as JSON from stdin and writes the run's events as JSON lines.

The executor starts it such that the current folder is not on the import path.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from micl_cli.errors import BusyError, Interrupted, MiclError
from micl_cli.io.json_lines import write_json_line
from micl_cli.redaction import redact
from micl_cli.settings import library_messages, load_settings, prepare_process

BUSY = 75
"""Exit code if another process or machine works on the run (EX_TEMPFAIL of sysexits.h)."""
INTERRUPTED = Interrupted.exit_code


@dataclass(frozen=True, kw_only=True)
class CellTask:
    """The task of a worker: learn the ``plan`` of ``run`` in the home folder ``home``."""

    run: str
    plan: Mapping[str, Any]
    home: str
    device: str = "auto"
    threads: int = 0
    save_seconds: float = 5.0
    max_answers: int | None = 0
    listeners: tuple[str, ...] = ()
    group: str = ""
    debug: bool = False
    trusted: bool = False
    recipe: Mapping[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, which are the arguments of the constructor."""
        return asdict(self)


def learn_cell(task: CellTask) -> None:
    """Learn a cell, and write its events to stdout. Raises any error of learning."""
    from micl_cli.api.events import Answered
    from micl_cli.plan import Plan
    from micl_cli.session import Session, configured_listeners, learn
    from micl_cli.session.signals import stop_on_signal
    from micl_cli.training.loop import Control

    with library_messages(shown=task.debug), stop_on_signal() as stop:
        session, plan = Session(load_settings(Path(task.home)), trusted=task.trusted), Plan.from_json(task.plan)
        tasks = session.open_planned(plan.id, plan)
        listeners = configured_listeners(task.listeners, session.settings, session.registry)
        control = Control(stop=stop, save_seconds=task.save_seconds, max_answers=task.max_answers)
        options: dict[str, Any] = {"device": task.device, "threads": task.threads, "listeners": listeners}
        options |= {"recipe": task.recipe, "group": task.group}
        # Closed immediately if the executor is gone, so that the end of the run is stored.
        with closing(learn(session, plan, tasks, control, **options, skip_finished_elsewhere=True)) as events:
            for event in events:
                if not isinstance(event, Answered):  # answers are in the store already, and large
                    write_json_line(event.as_json())


def main() -> int:
    """Learn the cell that stdin describes, and return the exit code."""
    prepare_process()
    task = CellTask(**json.load(sys.stdin))
    try:
        learn_cell(task)
    except BrokenPipeError:
        # The executor is gone, and the run is saved. Python's flush at exit must succeed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _write_error(error, task.debug)
    return 0


def _write_error(error: Exception, debug: bool) -> int:
    """Write an error to stderr, and return its exit code."""
    if debug:
        sys.stderr.write(redact("".join(traceback.format_exception(error))))
    message = error.message if isinstance(error, MiclError) else f"{type(error).__name__}: {error}"
    sys.stderr.write(f"error: {redact(' '.join(message.split()))}\n")
    if isinstance(error, BusyError):
        return BUSY
    return error.exit_code if isinstance(error, MiclError) else 1


if __name__ == "__main__":
    sys.exit(main())
