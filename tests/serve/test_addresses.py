"""Addresses of servers."""

from __future__ import annotations

import errno
import socket

import pytest

from micl_cli.serve.addresses import is_loopback, is_unspecified, listening_hint
from micl_cli.serve.http import Handler, Limits, Server


@pytest.mark.parametrize(
    ("error", "option"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "another --host"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "another --host"),
        (UnicodeError("label empty or too long"), "another --host"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "another --port"),
        (PermissionError(errno.EACCES, "Permission denied"), "--port from 1024 on"),
    ],
)
def test_the_hint_names_the_option_that_is_wrong(error: Exception, option: str) -> None:
    assert option in listening_hint(error)


def test_hosts_are_told_apart() -> None:
    assert [is_unspecified(host) for host in ("0.0.0.0", "::", "127.0.0.1", "example.org")] == [
        True,
        True,
        False,
        False,
    ]
    assert [is_loopback(host) for host in ("0.0.0.0", "::1", "127.0.0.1", "localhost")] == [False, True, True, True]


@pytest.mark.parametrize(("host", "open_to_all"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_the_address_of_a_server_on_all_addresses_has_the_name_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, host: str, open_to_all: bool
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node7")
    lines: list[str] = []
    with Server((host, 0), Handler, token="t", limits=Limits(), log=lines.append) as server:
        server.note_addresses()
        assert server.origin == f"http://{'node7' if open_to_all else host}:{server.server_port}"
    assert ["node7" in line and "127.0.0.1" in line for line in lines] == [True] * open_to_all
