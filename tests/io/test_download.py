"""Downloads resume after interruptions, and are verified."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from micl_cli.api import PlanError, download

CONTENT = bytes(range(256)) * 4096
DIGEST = sha256(CONTENT).hexdigest()


class Site(BaseHTTPRequestHandler):
    """Serves CONTENT, by ranges, and closes the connection after ``most`` bytes of a response."""

    most: ClassVar[int] = len(CONTENT)
    asked: ClassVar[list[str | None]] = []
    ranges: ClassVar[bool] = True

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.ranges else 0
        self.send_response(206 if wanted and self.ranges else 200)
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.most])

    def log_message(self, *args: Any) -> None:
        """Nothing on the screen of the tests."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Site, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/w.whl"
    server.shutdown()
    server.server_close()


def test_a_download_is_told_of_and_checked(site: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    download(site, tmp_path / "w", DIGEST, len(CONTENT), lambda done, total: told.append((done, total)))
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(site: str, ranges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Site, "most", 100_000)
    with pytest.raises(PlanError, match="failed: 100000 of") as caught:
        download(site, tmp_path / "w", DIGEST, len(CONTENT), lambda done, total: None)
    assert "resumes the download" in caught.value.hint
    assert not (tmp_path / "w").exists()
    monkeypatch.setattr(Site, "most", len(CONTENT))
    monkeypatch.setattr(Site, "ranges", ranges)
    download(site, tmp_path / "w", DIGEST, len(CONTENT), lambda done, total: None)
    assert (tmp_path / "w").read_bytes() == CONTENT
    assert Site.asked == [None, "bytes=100000-"]


def test_what_is_not_what_was_pinned_is_deleted(site: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="does not match its pinned digest"):
        download(site, tmp_path / "w", "0" * 64, len(CONTENT), lambda done, total: None)
    assert not list(tmp_path.iterdir())


def test_more_than_was_announced_is_not_written(site: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="more than the expected 1000 bytes"):
        download(site, tmp_path / "w", DIGEST, 1000, lambda done, total: None)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"the download of .* failed"):
        download("http://127.0.0.1:1/w.whl", tmp_path / "w", DIGEST, 10, lambda done, total: None)
