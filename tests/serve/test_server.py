"""The server as clients see it: the official client of OpenAI, and raw requests where a client would not do."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from micl_cli.api.task import Media
from micl_cli.errors import PlanError
from micl_cli.serve.names import ModelNames
from micl_cli.session import Session
from micl_cli.session.model import load_model
from micl_cli.settings import load_settings

HEADERS = {"Host": "localhost", "Content-Type": "application/json"}
BODY = json.dumps({"model": "abc", "messages": [{"role": "user", "content": "what?"}]}).encode()


def client(running: Any, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=running.url, api_key=key, max_retries=0, timeout=60)


def ask(running: Any, content: Any = "what?", model: str = "abc", key: str = "none", **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": content}]
    return client(running, key).chat.completions.create(model=model, messages=messages, **more)


def raw(running: Any, head: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, Any]:
    """Send a request as it is; return the status and the document of the response."""
    lines = [head, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        data = b""
        while piece := connection.recv(1 << 16):
            data += piece
    top, _, document = data.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(document)


def post(running: Any, body: bytes = BODY, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {**HEADERS, "Content-Length": str(len(body)), **named}
    return raw(running, f"POST {path} HTTP/1.1", {name: value for name, value in sent.items() if value}, body)


# The official client


def test_a_run_answers_as_it_is_evaluated(finished: str, micl: Any, own_folders: Path, start: Any) -> None:
    model, _ = load_model(Session(load_settings()), finished, "cpu")
    running = start(model, ModelNames([finished, "@last"], model.stages, [*model.adapters(), "base"]))
    assert [each.id for each in client(running).models.list()][:4] == [finished, *(f"{finished}@{n}" for n in range(3))]
    assert client(running).models.retrieve(f"{finished}:main").owned_by == "micl"
    task = own_folders / "img_cap"
    rows = {row["id"]: row for row in map(json.loads, (task / "manifest.jsonl").open())}
    for stage in (2, 1):
        words = ("predictions", finished, "--task", "img_cap", "--stage", stage, "--format", "jsonl")
        for line in map(json.loads, micl(*words).out.splitlines()):
            row = rows[line["question_id"]]
            data = base64.b64encode((task / row["image"]).read_bytes()).decode()
            picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
            parts = [picture, {"type": "text", "text": row["prompt"]}]
            whole = ask(running, parts, model=f"{finished}@{stage}")
            assert whole.choices[0].message.content == line["text"]
            assert (whole.micl["stage"], whole.micl["adapters"]) == (stage, ["main"])
            chunks = list(ask(running, parts, model=f"{finished}@{stage}", stream=True))
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == line["text"]
            assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_answers_are_streamed_as_they_are_generated(start: Any, model: Any) -> None:
    model.seconds = 0.3
    chunks = []
    for chunk in ask(start(), stream=True):
        chunks.append((time.monotonic(), chunk.choices[0].delta.content, chunk.choices[0].finish_reason))
    assert [text for _, text, _ in chunks] == ["", "one", " two", " three", None]
    assert [reason for _, _, reason in chunks] == [None] * 4 + ["stop"]
    assert chunks[3][0] - chunks[1][0] > 0.3, "the pieces came together"


def test_media_are_files_while_they_are_asked_about_and_turns_are_one_content(
    start: Any, model: Any, picture: str
) -> None:
    seen: list[bool] = []
    answer = model.answer

    def look(content: Any, *args: Any, **options: Any) -> Any:
        seen.extend(item.path.is_file() for item in content if isinstance(item, Media))
        return answer(content, *args, **options)

    model.answer = look
    parts = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "what?"}]
    messages: Any = [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": "sure?"},
    ]
    client(start()).chat.completions.create(model="abc", messages=messages)
    ((before, medium, after),) = model.contents
    assert (before, after, seen) == ("be short", "what?\na cat\nsure?", [True])
    end = time.monotonic() + 10
    while medium.path.parent.exists() and time.monotonic() < end:  # it is removed after the client has its answer
        time.sleep(0.01)
    assert not medium.path.parent.exists()


def test_refusals_reach_the_client_as_its_own_errors(start: Any, model: Any) -> None:
    running = start()
    with pytest.raises(openai.NotFoundError, match=r"no model 'abd'\. Did you mean 'abc'") as missing:
        ask(running, model="abd")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="temperature is not supported"):
        ask(running, temperature=0.5)
    broken = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    with pytest.raises(openai.BadRequestError, match="image-1: cannot be read as an image: it holds text"):
        ask(running, [broken])
    model.error = PlanError("too long", "Shorten it.")
    with pytest.raises(openai.BadRequestError, match=r"too long\. Shorten it"):
        ask(running, stream=True)
    model.error = ZeroDivisionError("secret")
    with pytest.raises(openai.InternalServerError, match="not foreseen") as failed:
        ask(running)
    assert "secret" not in str(failed.value)
    assert any("ZeroDivisionError: secret" in line for line in running.logged)
    model.error = None
    assert ask(running, max_tokens=3).choices[0].finish_reason == "length", "the server goes on"


# Limits


def test_one_is_answered_at_a_time(start: Any, model: Any) -> None:
    model.seconds = 0.05
    running, texts = start(), list[str]()
    threads = [threading.Thread(target=lambda: texts.append(ask(running).choices[0].message.content)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (texts, model.most) == ([model.text] * 3, 1)


def test_no_more_requests_wait_than_the_queue_holds(start: Any, model: Any) -> None:
    model.hold.clear()
    running, texts = start(queue=0), list[str]()
    thread = threading.Thread(target=lambda: texts.append(ask(running).choices[0].message.content))
    thread.start()
    assert model.begun.wait(60)
    with pytest.raises(openai.RateLimitError, match="too many requests are waiting"):
        ask(running)
    model.hold.set()
    thread.join(60)
    assert texts == [model.text]


def test_an_answer_that_takes_too_long_is_given_up(start: Any, model: Any) -> None:
    model.seconds = 0.4
    running = start(timeout=0.6)
    with pytest.raises(openai.InternalServerError, match="took too long") as late:
        ask(running)
    assert late.value.status_code == 504
    assert model.given_up.wait(30)
    with pytest.raises(openai.APIError, match="took too long"):
        list(ask(running, stream=True))


@pytest.mark.parametrize("seconds", [0.3, 0.01])
def test_the_answer_to_a_client_that_left_is_given_up(seconds: float, start: Any, model: Any) -> None:
    """However fast the pieces come: an answer that is not streamed is not written before its end."""
    model.seconds = seconds
    model.text = " ".join("abcdefghijklmnopqrstuvwxyz" * 20)
    running = start()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        assert model.begun.wait(30)
    assert model.given_up.wait(5)


def test_stopping_ends_the_answer_that_is_generated(start: Any, model: Any) -> None:
    model.seconds = 0.3
    model.text = " ".join("abcdefghijklmnopqrstuvwxyz")
    running = start()
    pieces = iter(ask(running, stream=True))
    next(pieces)
    running.stop.set()
    with pytest.raises(openai.APIError, match="the server is stopping"):
        list(pieces)


def test_requests_that_are_too_large_or_no_json_are_refused(start: Any, picture: str) -> None:
    running = start(max_bytes=1000)
    assert post(running)[0] == 200
    large = [{"type": "text", "text": "x" * 50_000}]
    with pytest.raises(openai.APIStatusError, match="more than 1,000 bytes") as refused:
        ask(running, large)
    assert refused.value.status_code == 413
    for status, sent in (
        (411, {"Content_Length": ""}),
        (411, {"Transfer_Encoding": "chunked"}),
        (400, {"Content_Length": "-1"}),
        (400, {"Content_Length": "0x10"}),
        (413, {"Content_Length": "99999999999"}),
        (415, {"Content_Type": "text/plain"}),
        (404, {"path": "/v1/completions"}),
    ):
        found, document = post(running, **sent)
        assert (found, document["error"]["type"]) == (status, "invalid_request_error"), sent
    for body in (b"{", b"\xff\xfe", b"[" * 500, b'{"model": NaN}'):
        assert post(running, body)[0] == 400
    assert raw(running, "GET /v1/models/other HTTP/1.1", HEADERS)[0] == 404
    assert raw(running, "DELETE /v1/models HTTP/1.1", HEADERS)[0] == 501
    assert raw(running, "nonsense", HEADERS)[0] == 400


def test_a_client_that_waits_for_leave_to_send_gets_it(start: Any) -> None:
    running = start()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
        connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_request_must_arrive_in_time_whatever_its_pace(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micl_cli.serve.http.READ_SECONDS", 1.0)
    running, begun = start(queue=0), time.monotonic()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for part in ("POST /v1", f"{head}Content-Length: 999\r\n\r\n{{"):
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
            connection.sendall(part.encode())
            assert connection.recv(1000) == b""
    assert time.monotonic() - begun < 30
    assert ask(running).choices[0].message.content, "the place in the queue is free again"


# Access


def test_a_token_is_required_where_there_is_one(start: Any) -> None:
    running = start(token="s3cret-token")
    for key in ("none", "s3cret-toke", "s3cret-token2"):
        with pytest.raises(openai.AuthenticationError, match="missing or wrong"):
            ask(running, key=key)
    assert ask(running, key="s3cret-token").choices[0].message.content == "one two three"
    assert raw(running, "GET /v1/models HTTP/1.1", HEADERS)[0] == 401
    assert post(running, Authorization="Basic s3cret-token")[0] == 401
    assert not any("s3cret" in line for line in running.logged)


def test_another_host_name_is_refused_without_a_token(start: Callable[..., Any]) -> None:
    running = start()
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        status, document = raw(running, "GET /v1/models HTTP/1.1", {"Host": host} if host else {})
        assert (status, document["error"]["code"]) == (403, "host_not_allowed"), host
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
        assert raw(running, "GET /v1/models HTTP/1.1", {"Host": host})[0] == 200
