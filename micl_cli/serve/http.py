"""The HTTP server, with its checks of access, size and time."""

from __future__ import annotations

import hmac
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from micl_cli.errors import MiclError
from micl_cli.io.json_text import json_text
from micl_cli.serve.addresses import is_loopback, is_unspecified, listening_hint
from micl_cli.serve.errors import ApiError, api_error

MAX_CONNECTIONS = 64
READ_SECONDS = 30.0
"""The limit for the arrival of a whole request, and for each write of a response to be taken."""
_LINGER_BYTES, _LINGER_SECONDS = 1 << 22, 2.0
_DOCUMENT, _EVENTS = "application/json", "text/event-stream; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server: bytes of a request, seconds until its answer is complete, and requests that wait."""

    max_bytes: int = 20 * 1000**2
    timeout: float = 300.0
    queue: int = 8


class Server(ThreadingHTTPServer):
    """A server with a thread for each connection, of which there is a limited number.

    Without a token it is meant for this machine only, and refuses requests for another host name, which web pages
    could otherwise make through the user's browser (DNS rebinding). ``log`` receives a line for each request.
    """

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[Handler],
        *,
        token: str,
        limits: Limits,
        log: Callable[[str], None],
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.token, self.limits, self.log = token, limits, log
        self.slots = threading.BoundedSemaphore(1 + limits.queue)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        try:
            super().__init__(address, handler)
        except (OSError, UnicodeError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or error
            text = f"cannot listen on {address[0]}, port {address[1]}: {reason}"
            raise MiclError(text, listening_hint(error)) from error

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    @property
    def origin(self) -> str:
        """The scheme, address and port of the server; the name of the machine if it listens on all its addresses."""
        host = socket.gethostname() if is_unspecified(self.server_name) else self.server_name
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}"

    def note_addresses(self) -> None:
        """Log how a server on all addresses is reached where the name of the machine is not known."""
        if is_unspecified(self.server_name):
            name = socket.gethostname()
            self.log(
                f"note: the server listens on all addresses of this machine: where the name {name} is not known, "
                f"use an IP address of it, or 127.0.0.1 on the machine itself"
            )

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"{self.origin}/v1"

    def allows_host(self, header: str) -> bool:
        """Return whether a ``Host`` header names this machine, or is not restricted."""
        name = header.rpartition(":")[0] if header.rpartition(":")[2].isdecimal() else header
        return bool(self.token) or is_loopback(name.strip("[]"))

    def allows_token(self, header: str) -> bool:
        """Return whether an ``Authorization`` header has the token, in constant time."""
        scheme, _, token = header.partition(" ")
        right = hmac.compare_digest(token.strip().encode(), self.token.encode())
        return not self.token or (scheme.lower() == "bearer" and right)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it if there are too many."""
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: the client has left. Errors of answers are handled where they occur."""

    def wait_idle(self, seconds: float) -> None:
        """Wait until no request is being answered, and admit no others."""
        end = time.monotonic() + seconds
        for _ in range(1 + self.limits.queue):
            self.slots.acquire(timeout=max(0.0, end - time.monotonic()))


class Handler(BaseHTTPRequestHandler):
    """Reads one request of a connection, and answers it; subclasses implement ``get`` and ``post``."""

    server: Server
    server_version, sys_version = "micl", ""
    protocol_version = "HTTP/1.1"
    timeout = READ_SECONDS
    answered = False
    """Whether the head of the response is sent."""

    def get(self, path: str) -> Mapping[str, Any]:
        """Return the document at ``path``. Raises ApiError."""
        raise not_found(path)

    def post(self, path: str, body: bytes) -> None:
        """Answer a request with a body. Raises ApiError."""
        raise not_found(path)

    def known(self, path: str) -> bool:
        """Return whether ``post`` answers requests for ``path``."""
        return False

    def has_token(self) -> bool:
        """Return whether the request has the token of the server, if that has one."""
        return self.server.allows_token(self.headers.get("Authorization", ""))

    def refusal(self, error: Exception) -> ApiError:
        """Return the response to an exception."""
        return api_error(error)

    # One request

    def setup(self) -> None:
        """Limit the time in which the request must arrive, whatever the pace of its bytes."""
        super().setup()
        self._watch = threading.Timer(READ_SECONDS, self._hang_up)
        self._watch.daemon = True
        self._watch.start()

    def finish(self) -> None:
        """End the connection: each serves one request."""
        self._watch.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def handle_expect_100(self) -> bool:
        """Wait: whether the body is wanted is known after the checks of ``do_POST``."""
        return True

    def do_GET(self) -> None:
        """Answer with a document."""
        self.guarded(lambda: self.send_document(200, self.get(self._path)))

    def do_POST(self) -> None:
        """Answer a request with a body, if a place in the queue is free."""
        self.guarded(self._post)

    @property
    def _path(self) -> str:
        return getattr(self, "path", "").partition("?")[0]  # a malformed request has none

    def guarded(self, respond: Callable[[], None]) -> None:
        """Call ``respond`` if the client may send requests; send a refusal if it may not, or if that fails."""
        self.close_connection = True
        try:
            self._check_access()
            respond()
        except OSError:  # the client has left
            return
        except Exception as error:
            self.send_error_document(self.refusal(error))

    def _check_access(self) -> None:
        """Raise ApiError unless the client may send requests."""
        if not self.server.allows_host(self.headers.get("Host", "")):
            raise ApiError(403, "this server is for clients on this machine", code="host_not_allowed")
        if not self.has_token():
            raise ApiError(401, "the API key is missing or wrong", code="invalid_api_key")

    def _post(self) -> None:
        if not self.known(self._path):
            raise not_found(self._path)
        size = self._body_size()
        if not self.server.slots.acquire(blocking=False):
            raise ApiError(429, "too many requests are waiting: try again later", code="queue_full")
        try:
            if "100-continue" in self.headers.get("Expect", "").lower():
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(size)
            self._watch.cancel()
            if len(body) < size:
                raise ConnectionError
            self.post(self._path, body)
        finally:
            self.server.slots.release()

    def _body_size(self) -> int:
        """Return the length of the body. Raises ApiError if it is unknown or too long, or the body not JSON."""
        if self.headers.get_content_type() != _DOCUMENT:  # other types may be sent by any web page
            raise ApiError(415, f"the Content-Type is not {_DOCUMENT}")
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or "Transfer-Encoding" in self.headers:
            raise ApiError(411, "one Content-Length is required")
        text = lengths[0].strip()
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise ApiError(400, "the Content-Length is not a number")
        if int(text) > self.server.limits.max_bytes:
            limit = f"{self.server.limits.max_bytes:,} bytes"
            raise ApiError(413, f"the request has more than {limit}: see --max-bytes", code="request_too_large")
        return int(text)

    @property
    def client_left(self) -> bool:
        """Whether the client has closed the connection."""
        try:
            return bool(select.select([self.connection], [], [], 0)[0]) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    # Responses

    def send_document(self, status: int, data: Mapping[str, Any]) -> None:
        """Send a JSON document as the whole response."""
        self.send_body(status, _DOCUMENT, json_text(data).encode())

    def send_body(self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response of the media type ``kind``, with further ``headers``."""
        self._send_head(status, kind, len(body), headers)
        self.wfile.write(body)

    def send_events_head(self) -> None:
        """Begin a response of server-sent events, unless it has begun."""
        if not self.answered:
            self._send_head(200, _EVENTS)

    def send_event(self, data: Mapping[str, Any] | str) -> None:
        """Send one event: a JSON document, or a text as it is."""
        text = data if isinstance(data, str) else json_text(data)
        self.wfile.write(f"data: {text}\n\n".encode())

    def send_error_document(self, error: ApiError) -> None:
        """Send an error: as the response, or as an event of the one that has begun."""
        with suppress(OSError):
            if self.answered:
                self.send_event(error.as_json())
                return
            self.send_error_body(error)
            self._linger()

    def send_error_body(self, error: ApiError) -> None:
        """Send an error as the whole response."""
        self.send_document(error.status, error.as_json())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send an error of the HTTP protocol itself as the base class does, but as a JSON document."""
        self.close_connection = True
        self.request_version = self.protocol_version  # unknown, and a response without a head would be HTTP/0.9
        self.send_error_document(ApiError(code, message or self.responses.get(code, ("error",))[0]))

    def _send_head(
        self, status: int, kind: str, length: int | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        self.answered = True
        self.send_response(status)
        headers = {"Content-Type": kind, "Connection": "close", "Cache-Control": "no-store", **(more or {})}
        headers["X-Content-Type-Options"] = "nosniff"
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if status == 429:
            headers["Retry-After"] = "1"
        if length is not None:
            headers["Content-Length"] = str(length)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _linger(self) -> None:
        """Discard what the client still sends: if it were left unread, the client might not get to see the response."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            left = _LINGER_BYTES
            while left > 0 and (data := self.connection.recv(1 << 16)):
                left -= len(data)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log the request with the status of its response."""
        self.server.log(f"{self.client_address[0]} {self.requestline} {getattr(code, 'value', code)}")

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing else."""


def not_found(path: str) -> ApiError:
    """Return the error for an unknown path."""
    return ApiError(
        404, f"there is nothing at {path[:200]!r}: use /v1/chat/completions or /v1/models", code="not_found"
    )
