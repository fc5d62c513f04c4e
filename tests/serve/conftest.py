"""A model that answers at once or slowly, a server that runs in a thread, and its client."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import PIL.Image
import pytest

from micl_cli.registry import Registry
from micl_cli.serve.http import Limits
from micl_cli.serve.names import ModelNames
from micl_cli.serve.server import serve
from micl_cli.session.model import Reply


class FakeModel:
    """Answers with the words of ``text``, each after ``seconds``, once ``hold`` is set.

    ``contents`` are those that it was asked, ``most`` is the largest number of answers at one time.
    """

    def __init__(self, text: str = "one two three") -> None:
        self.text, self.seconds, self.error = text, 0.0, None
        self.contents: list[Any] = []
        self.begun, self.given_up, self.hold = threading.Event(), threading.Event(), threading.Event()
        self.hold.set()
        self.now = self.most = 0

    def check_media(self, media: Sequence[Any], stage: int | None = None) -> list[str]:
        return []

    def answer(self, content: Any, receive: Callable[[str], None], *, stage: int | None, options: Any) -> Reply:
        self.contents.append(content)
        self.begun.set()
        if self.error:
            raise self.error
        self.now += 1
        self.most = max(self.most, self.now)
        assert self.hold.wait(60)
        try:
            for number, word in enumerate(self.text.split(" ")):
                time.sleep(self.seconds)
                receive(f" {word}" if number else word)
        except BaseException:
            self.given_up.set()
            raise
        finally:
            self.now -= 1
        cut = options.decoding["max_new_tokens"] is not None
        return Reply(text=self.text, stage=stage or 2, tasks=("own/a",), adapters=("main",), cut=cut)


class Running:
    """A server in a thread. ``logged`` holds the lines of its log."""

    def __init__(self, model: Any, names: ModelNames, token: str, limits: Limits) -> None:
        self.stop, self.logged = threading.Event(), list[str]()
        self._url: list[str] = []
        ready = threading.Event()

        def begin(url: str) -> None:
            self._url.append(url)
            ready.set()

        def run() -> None:
            options: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "token": token, "limits": limits}
            options |= {"log": self.logged.append, "stopped": self.stop.is_set, "ready": begin}
            serve(model, names, Registry.discover(), **options)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert ready.wait(60)

    @property
    def url(self) -> str:
        return self._url[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    def end(self) -> None:
        self.stop.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@contextmanager
def ended(running: Running) -> Iterator[Running]:
    try:
        yield running
    finally:
        running.end()


@pytest.fixture
def start(model: FakeModel) -> Iterator[Callable[..., Running]]:
    """Start a server of ``model``, or of another one: ``start(token="t", max_bytes=100)``."""
    with ExitStack() as stack:

        def call(other: Any = None, names: ModelNames | None = None, token: str = "", **limits: Any) -> Running:
            names = names or ModelNames(["abc"], (0, 1, 2), ("main", "base"))
            return stack.enter_context(ended(Running(other or model, names, token, Limits(**limits))))

        yield call


@pytest.fixture
def picture() -> str:
    """A small picture as a data URL."""
    stream = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), (200, 9, 9)).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
