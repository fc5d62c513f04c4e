"""``micl serve``: how it starts and ends."""

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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.9", "example.org"])
def test_a_host_that_others_can_reach_requires_a_token(finished: str, micl: Any, host: str) -> None:
    done = micl("serve", finished, "--host", host)
    assert (done.code, "needs a token" in done.err, "MICL_SERVE_TOKEN" in done.err) == (2, True, True)
    assert micl("serve", finished, "--host", host, "--token", "a b").code == 2


def test_a_port_that_is_taken_is_an_error(finished: str, micl: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = micl("serve", finished, "--port", other.getsockname()[1])
    assert (done.code, "cannot listen on 127.0.0.1" in done.err, "Choose another --port" in done.err) == (1, True, True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_interrupted(
    finished: str, toy_site: Path, isolated: Path, on_path: Any, number: signal.Signals
) -> None:
    on_path(toy_site)
    command = [sys.executable, "-m", "micl_cli", "serve", finished, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr
        assert process.stderr.readline() == f"loading run {finished} with backbone toy\n"
        first = process.stderr.readline()
        assert " answers at " in first, first + process.stderr.read()
        url = first.split(" answers at ")[1].split()[0]
        with urllib.request.urlopen(f"{url}/models") as response:
            assert json.load(response)["data"][0]["id"] == finished
        process.send_signal(number)
        rest = process.stderr.read()
    assert (process.returncode, "stopping" in rest, "Traceback" in rest) == (0, True, False)
