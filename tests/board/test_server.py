"""The board over HTTP: what it answers, and whom."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from micl_cli.session import Session
from micl_cli.settings import load_settings

Reply = tuple[int, Any, str]


def ask(running: Any, path: str, method: str = "GET", **headers: str) -> Reply:
    """Return the status, the headers and the body of a response, without following it elsewhere."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=120)
    try:
        connection.request(method, path, headers={"Host": "localhost", **named})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def report(running: Any, path: str) -> str:
    """Return the page of a report, once it is built."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        status, _, body = ask(running, path)
        if status == 200:
            return body
        assert (status, 'http-equiv="refresh" content="1"' in body) == (202, True)
        time.sleep(0.5)
    raise AssertionError("the report was not built")


def test_an_empty_home_says_what_to_run(start_board: Callable[..., Any]) -> None:
    running = start_board()
    status, headers, body = ask(running, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "micl learn --strategy moincl --tasks img_cap,aud_qa" in body
    assert ask(running, "/board.json")[2] == json.dumps({"runs": [], "sweeps": [], "older": 0})
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    for name in ("board.css", "board.js"):
        status, headers, body = ask(running, f"/{name}")
        assert (status, bool(body)) == (200, True)
    assert "<script>" not in body
    assert running.logged == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/../../etc/passwd", 404),
        ("/templates/board.html", 404),
        ("//example.org/", 404),
        ("/report", 400),
        ("/report?run=", 400),
        ("/report?run=../../etc", 400),
        ("/report?run=%00", 400),
        ("/report?run=ab12", 404),
        ("/report?" + "&".join(f"run=a{n}" for n in range(101)), 400),
        ("/report?" + "&".join(f"x{n}=a" for n in range(500)), 400),
    ],
)
def test_other_addresses_are_refused(start_board: Any, finished: str, path: str, status: int) -> None:
    found, headers, body = ask(start_board(), path)
    assert (found, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert "Back to the board" in body
    assert "Traceback" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(start_board: Any, method: str) -> None:
    status, headers, _ = ask(start_board(), "/board.json" if method == "PUT" else "/", method)
    assert (status, "Access-Control-Allow-Origin" in headers) == (405, False)


def test_other_hosts_and_other_pages_are_refused(start_board: Any) -> None:
    running = start_board()
    for host in ("example.org", "127.0.0.1.example.org", "192.168.1.5:8100", ""):
        assert ask(running, "/", Host=host)[0] == 403
    assert ask(running, "/", Host=f"127.0.0.1:{running.port}")[0] == 200
    cross = {"Sec_Fetch_Site": "cross-site"}
    assert ask(running, "/board.json", **cross, Sec_Fetch_Mode="cors")[0] == 403
    assert ask(running, "/", **cross, Sec_Fetch_Mode="navigate")[0] == 200


def test_a_malformed_request_is_an_error(start_board: Any) -> None:
    running = start_board()
    for request in (b"GET\r\n\r\n", b"\x16\x03\x01\x00\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", running.port), timeout=60) as connection:
            connection.sendall(request)
            assert b" 400 " in (answer := connection.recv(1 << 16)) or b" 505 " in answer
    assert ask(running, "/")[0] == 200


def test_a_token_is_required_once_and_then_remembered(start_board: Any) -> None:
    running = start_board(token="s3cret-token")
    status, _, body = ask(running, "/")
    assert (status, 'name="token"' in body, "s3cret" in body) == (401, True, False)
    assert ask(running, "/board.json")[0] == 401
    assert ask(running, "/?token=wrong")[0] == 401
    assert ask(running, "/board.json?token=s3cret-token")[0] == 401, "only the address of the board takes it"
    assert ask(running, "/board.css")[0] == 200, "the page of an error is legible"
    parts = urlsplit(running.address)
    status, headers, _ = ask(running, f"{parts.path}?{parts.query}")
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert "s3cret" not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict"))
    pair = cookie.partition(";")[0]
    assert ask(running, "/board.json", Cookie=f"other=1; {pair}")[0] == 200
    assert ask(running, "/board.json", Cookie=pair[:-1])[0] == 401
    assert ask(running, "/board.json", Authorization="Bearer s3cret-token")[0] == 200
    assert not any("s3cret" in line for line in running.logged)


def test_runs_are_listed_and_their_report_is_built(start_board: Any, finished: str) -> None:
    running = start_board()
    (run,) = json.loads(ask(running, "/board.json")[2])["runs"]
    assert (run["id"], run["status"], run["strategy"], run["report"]) == (finished, "finished", "moincl", True)
    assert set(run["scores"]) == {"own/img_cap", "own/aud_qa"}
    assert f'href="/report?run={finished}"' in ask(running, "/")[2]
    page = report(running, f"/report?run={finished}")
    assert f"Run {finished}" in page
    assert report(running, f"/report?run={finished}") == page
    _, headers, _ = ask(running, f"/report?run={finished}")
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_hostile_names_are_escaped(start_board: Any, finished: str) -> None:
    name = "<script>window.hacked = 1</script>\"'\u202e{{ 7*7 }}"
    with Session(load_settings()).store() as store:
        store.rename_run(finished, name)
    _, _, body = ask(start_board(), "/")
    assert "<script>window" not in body
    assert "&lt;script&gt;window.hacked" in body
    assert "\u202e" not in body
    assert "{{ 7*7 }}" in body


def test_a_store_that_cannot_be_read_is_an_error_that_says_so(start_board: Any, isolated: Any) -> None:
    running = start_board()
    isolated.mkdir()
    (isolated / "micl.db").write_bytes(b"not a database" * 100)
    status, _, body = ask(running, "/board.json")
    assert (status, "micl.db" in json.loads(body)["error"]["message"]) == (503, True)
    (isolated / "micl.db").unlink()
    assert ask(running, "/board.json")[0] == 200
