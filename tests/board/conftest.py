"""A board that is served in a thread, and a run whose learning goes on step by step."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.events import Event
from micl_cli.board import watch
from micl_cli.board.server import serve_board
from micl_cli.board.watch import WatchingSession
from micl_cli.session import Request, Session, learn
from micl_cli.settings import load_settings
from micl_cli.training.loop import Control

sys.path.append(str(Path(__file__).parents[1]))

from browser import chromium as chromium
from browser import serious_findings as serious_findings

TASKS = ("own/img_cap", "own/aud_qa")


class RunningBoard:
    """A board in a thread. ``logged`` holds the lines of its log."""

    def __init__(self, token: str = "", limit: int = 200) -> None:
        self.stop, self.logged, self.address = threading.Event(), list[str](), ""
        ready = threading.Event()

        def begin(address: str) -> None:
            self.address = address
            ready.set()

        def run() -> None:
            options: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "token": token, "limit": limit}
            options |= {"log": self.logged.append, "stopped": self.stop.is_set, "ready": begin}
            serve_board(WatchingSession(load_settings()), **options)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert ready.wait(60)

    @property
    def origin(self) -> str:
        return self.address.partition("?")[0].rstrip("/")

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    def end(self) -> None:
        self.stop.set()
        self.thread.join(120)
        assert not self.thread.is_alive()


@pytest.fixture
def start_board(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RunningBoard]]:
    """Start a board of this test's own home, which reads the store whenever it is asked."""
    for name in ("FRESH_SECONDS", "REST"):
        monkeypatch.setattr(watch, name, 0.0)
    with ExitStack() as stack:

        def call(**options: Any) -> RunningBoard:
            running = RunningBoard(**options)
            stack.callback(running.end)
            return running

        yield call


class Learning:
    """A run that learns only while it is told to. Steps are in the store at once."""

    def __init__(self, name: str, seed: int, steps: int) -> None:
        session = Session(load_settings())
        request = Request(
            strategy="finetune",
            backbone="toy",
            tasks=TASKS,
            seed=seed,
            name=name,
            training={"batch_size": 4, "max_steps": steps, "epochs": steps},
            evaluation={"examples": 2, "max_new_tokens": 4},
        )
        tasks = session.tasks.open_tasks(request.tasks)
        plan = session.plan(request, tasks)
        self.run = plan.id
        self._events = learn(session, plan, tasks, Control())

    def until(self, name: str, **fields: Any) -> Event:
        """Learn until an event whose fields have these values."""
        for event in self._events:
            if event.name == name and all(getattr(event, key) == value for key, value in fields.items()):
                return event
        raise AssertionError(f"there was no {name} with {fields}")

    def finish(self) -> None:
        list(self._events)

    def leave(self) -> None:
        """End as after Ctrl-C."""
        self._events.close()


@pytest.fixture
def start_learning(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Learning]]:
    """Start a run of finetune on own/img_cap,own/aud_qa with ``toy``, which waits before its first event."""
    monkeypatch.setattr("micl_cli.session.recorder.STORE_SECONDS", 0.0)
    with ExitStack() as stack:

        def call(name: str = "", seed: int = 0, steps: int = 6) -> Learning:
            learning = Learning(name, seed, steps)
            stack.callback(learning.leave)
            return learning

        yield call
