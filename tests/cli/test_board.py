"""``micl board``: how it starts, says where it is, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest


def test_a_port_that_is_taken_is_an_error(micl: Any, isolated: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = micl("board", "--port", other.getsockname()[1])
    assert (done.code, "cannot listen on 127.0.0.1" in done.err, "Choose another --port" in done.err) == (1, True, True)


@pytest.mark.parametrize("host", ["nohost.invalid", "192.0.2.1", "a..b"])
def test_a_host_that_is_not_of_this_machine_is_told_apart_from_a_taken_port(micl: Any, host: str) -> None:
    done = micl("board", "--host", host, "--port", "0")
    assert done.code == 1
    assert f"cannot listen on {host}, port 0: " in done.err
    assert done.err.endswith(
        "hint: Choose another --host: an address of this machine, or leave it out for 127.0.0.1.\n"
    )


def test_a_token_that_cannot_be_used_is_an_error(micl: Any, tmp_path: Path) -> None:
    assert micl("board", "--token", "a b").code == 2
    empty = tmp_path / "empty.txt"
    empty.write_text("\nlater\n")
    done = micl("board", "--token-file", empty)
    assert (done.code, "has no token in its first line" in done.err) == (2, True)
    empty.write_bytes(b"\xff\xfe")
    assert micl("board", "--token-file", empty).code == 2


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of servers that would have been started."""
    calls: list[dict[str, Any]] = []

    def serve_board(session: Any, **options: Any) -> None:
        calls.append(options)
        options["ready"](f"http://{options['host']}:1/?token={options['token']}")

    monkeypatch.setattr("micl_cli.board.server.serve_board", serve_board)
    return calls


def test_a_host_that_others_can_reach_gets_a_token(micl: Any, served: Any, tmp_path: Path) -> None:
    done = micl("board", "--host", "0.0.0.0")
    token = served[0]["token"]
    assert (done.code, len(token) >= 32, f"?token={token}" in done.err) == (0, True, True)
    file = tmp_path / "token.txt"
    file.write_text("of-the-file\n")
    done = micl("board", "--host", "0.0.0.0", "--token-file", file)
    assert (done.code, "of-the-file" in done.err) == (0, False)
    done = micl("board", "--host", "0.0.0.0", "--token-file", file, "--json")
    assert (json.loads(done.out)["url"], done.err.count("of-the-file")) == ("http://0.0.0.0:1/?token=of-the-file", 0)
    assert micl("board").code == 0
    assert [call["token"] for call in served[1:]] == ["of-the-file", "of-the-file", ""]


def test_the_variable_has_the_token(micl: Any, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICL_BOARD_TOKEN", "of-the-variable")
    assert micl("board").code == 0
    assert served[0]["token"] == "of-the-variable"


def test_it_opens_a_browser(micl: Any, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)))
    done = micl("board", "--open")
    assert opened == ["http://127.0.0.1:1/?token="]
    assert "no browser could be opened" in done.err


@pytest.mark.slow
def test_it_answers_until_it_is_interrupted_and_makes_no_home(isolated: Path) -> None:
    command = [sys.executable, "-m", "micl_cli", "board", "--port", "0", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout
        assert process.stderr
        event = json.loads(process.stdout.readline())
        assert event["event"] == "board_started"
        assert event["url"] in process.stderr.readline()
        with urllib.request.urlopen(f"{event['url']}board.json") as response:
            assert json.load(response)["runs"] == []
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert (process.returncode, "stopping" in rest, "Traceback" in rest) == (0, True, False)
    assert not isolated.exists()
