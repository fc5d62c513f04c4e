"""The addresses of servers: who can reach them, and why one cannot be listened on."""

from __future__ import annotations

import errno
import ipaddress
import socket

from micl_cli.errors import UsageError


def is_unspecified(host: str) -> bool:
    """Return whether a server on ``host`` listens on all addresses of its machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to a server on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_exposure(host: str, token: str) -> None:
    """Raise UsageError if other machines could connect without a token, or if a token cannot be sent in a header."""
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError("the token has spaces or characters that are not ASCII", "Use letters and digits.")
    if not (token or is_loopback(host)):
        hint = "Set MICL_SERVE_TOKEN, which clients send as their API key, or leave out --host."
        raise UsageError(f"a server on {host} can be reached from other machines, and needs a token", hint)


def listening_hint(error: Exception) -> str:
    """Return what to change about an address that a server cannot listen on."""
    if not isinstance(error, OSError) or isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "Choose another --host: an address of this machine, or leave it out for 127.0.0.1."
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Choose a --port from 1024 on, or 0 for any that is free."
    return "Choose another --port, or 0 for any that is free."
