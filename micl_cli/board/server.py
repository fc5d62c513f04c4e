"""The server of the board: pages, their state as JSON, and reports. It only answers GET requests."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from micl_cli.board.pages import asset, board_page, error_page, waiting_page
from micl_cli.board.reports import Reports
from micl_cli.board.watch import Watch, WatchingSession
from micl_cli.errors import MiclError, StoreError
from micl_cli.serve.addresses import check_exposure
from micl_cli.serve.errors import ApiError
from micl_cli.serve.http import Handler, Limits, Server
from micl_cli.session.report_page import report_page
from micl_cli.store import DAMAGED, is_run_id

BOARD, STATE, REPORT = "/", "/board.json", "/report"
ASSETS = {"/board.css": "text/css; charset=utf-8", "/board.js": "text/javascript; charset=utf-8"}
MAX_RUNS = 100
"""The largest number of runs of a report."""
REPORT_SECONDS, ASK_AGAIN_SECONDS = 5.0, 1
"""The time for which a request waits for a report, and after which the page that is shown instead asks again."""
_POLL_SECONDS = 0.2
_HTML = "text/html; charset=utf-8"
_OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": _OWN,
}
_OF_REPORT = {**_HEADERS, "Content-Security-Policy": "frame-ancestors 'none'"}
"""Headers of a report, whose page has a policy of its own."""


def serve_board(
    session: WatchingSession,
    *,
    host: str,
    port: int,
    token: str,
    limit: int,
    log: Callable[[str], None],
    stopped: Callable[[], bool],
    ready: Callable[[str], None],
) -> None:
    """Answer requests until ``stopped``. ``ready`` is called with the address of the board, which has the token.

    ``limit`` is the number of runs that are listed. Raises UsageError if other machines could connect without a token,
    MiclError if it cannot listen there.
    """
    check_exposure(host, token)
    watch = Watch(session, limit)
    service = _Service(session, watch, Reports(lambda runs: _report(session, runs), watch.stamp))
    handler = type("RunningBoard", (BoardHandler,), {"service": service})
    with Server((host, port), handler, token=token, limits=Limits(max_bytes=0), log=log) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            ready(f"{server.origin}/{f'?token={token}' if token else ''}")
            server.note_addresses()
            while not stopped():
                time.sleep(_POLL_SECONDS)
        finally:
            server.shutdown()
            service.reports.close()
            watch.close()


def _report(session: WatchingSession, runs: tuple[str, ...]) -> bytes:
    return report_page(session, [session.report(run) for run in runs]).encode()


@dataclass(frozen=True)
class _Service:
    """What the threads of all connections share."""

    session: WatchingSession
    watch: Watch
    reports: Reports


class BoardHandler(Handler):
    """Answers requests for the board, its state and reports."""

    service: _Service

    def has_token(self) -> bool:
        """Return whether the request has the token: in a header, in the cookie, or in the address to begin with."""
        if self._path in ASSETS:  # an error page needs them too
            return True
        return super().has_token() or self._has_cookie() or self._has_token_in_address()

    def do_GET(self) -> None:
        """Answer with a page, a file that pages load, or the state of the board."""
        self.guarded(self._respond)

    def do_POST(self) -> None:
        """Refuse: nothing can be changed."""
        self.guarded(self._refuse)

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def refusal(self, error: Exception) -> ApiError:
        """Return the response to an exception; what was not foreseen is logged."""
        if isinstance(error, StoreError):
            return ApiError(503, f"{error.message}. {error.hint}".strip())
        if not isinstance(error, ApiError | MiclError):
            self.server.log("".join(traceback.format_exception(error)))
        return super().refusal(error)

    def send_error_body(self, error: ApiError) -> None:
        """Send an error as a page, or as JSON to scripts."""
        if self._path == STATE:
            super().send_error_body(error)
            return
        title = self.responses.get(error.status, ("Error",))[0]
        page = error_page(title, error.message, asks_token=error.status == 401)
        self._send_page(error.status, page, {"Allow": "GET"} if error.status == 405 else {})

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log requests that are refused or fail, without what follows the path: it may be a token."""
        if int(getattr(code, "value", code)) >= 400:
            self.server.log(f"{self.client_address[0]} {self.command} {self._path} {getattr(code, 'value', code)}")

    # Responses

    def _respond(self) -> None:
        if self.headers.get("Sec-Fetch-Site") == "cross-site" and self.headers.get("Sec-Fetch-Mode") != "navigate":
            raise ApiError(403, "another page may not use the board")
        if self._has_token_in_address():
            self._remember_token()
        elif self._path == BOARD:
            home = f"{self.service.session.settings.home}"
            self._send_page(200, board_page(self.service.watch.board(), home))
        elif self._path == STATE:
            self.send_document(200, self.service.watch.board().as_json())
        elif self._path == REPORT:
            self._send_report(self._runs())
        elif self._path in ASSETS:
            self.send_body(200, ASSETS[self._path], asset(self._path[1:]), _HEADERS)
        else:
            raise ApiError(404, "there is no such page", code="not_found")

    def _refuse(self) -> None:
        raise ApiError(405, "the board only answers GET requests: it changes nothing")

    def _send_page(self, status: int, page: str, more: Mapping[str, str] | None = None) -> None:
        self.send_body(status, _HTML, page.encode(), {**_HEADERS, **(more or {})})

    def _send_report(self, runs: tuple[str, ...]) -> None:
        page = self.service.reports.page(runs, REPORT_SECONDS)
        if page is None:
            self._send_page(202, waiting_page(ASK_AGAIN_SECONDS))
        else:
            self.send_body(200, _HTML, page, _OF_REPORT)

    def _runs(self) -> tuple[str, ...]:
        """Return the runs that the address names. Raises ApiError unless all are in the store and intact."""
        runs = tuple(dict.fromkeys(self._query().get("run", ())))
        if not runs:
            raise ApiError(400, "no run is chosen: choose some in the table of runs")
        if len(runs) > MAX_RUNS:
            raise ApiError(400, f"{len(runs)} runs are chosen, and a report has at most {MAX_RUNS}")
        for run in runs:
            if not is_run_id(run):
                raise ApiError(400, "what the address names is not the id of a run")
        with self.service.session.store_to_read() as store:
            records = [store.run(run) for run in runs]
        for run, record in zip(runs, records, strict=True):
            if record is None or record.status == DAMAGED:
                raise ApiError(404, f"run {run} is {'damaged' if record else 'not in the store'}", code="not_found")
        return runs

    def _query(self) -> dict[str, list[str]]:
        try:
            return parse_qs(self.path.partition("?")[2], max_num_fields=2 * MAX_RUNS)
        except ValueError as error:
            raise ApiError(400, "the address has too many parameters") from error

    # The token

    @property
    def _cookie(self) -> tuple[str, str]:
        """The name of the cookie, of which there is one for each port, and its value, from which no token follows."""
        digest = hmac.new(self.server.token.encode(), b"micl board", hashlib.sha256).hexdigest()
        return f"micl-board-{self.server.server_port}", digest

    def _has_cookie(self) -> bool:
        name, value = self._cookie
        pairs = (each.strip().partition("=") for each in self.headers.get("Cookie", "").split(";"))
        return any(key == name and hmac.compare_digest(given.encode(), value.encode()) for key, _, given in pairs)

    def _has_token_in_address(self) -> bool:
        tokens = self._query().get("token", ()) if self.server.token and self._path == BOARD else ()
        return any(self.server.allows_token(f"Bearer {token}") for token in tokens)

    def _remember_token(self) -> None:
        """Send the cookie, and the address without the token."""
        name, value = self._cookie
        cookie = f"{name}={value}; Path=/; HttpOnly; SameSite=Strict"
        self.send_body(303, _HTML, b"", {**_HEADERS, "Location": BOARD, "Set-Cookie": cookie})
