from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from micl_cli.api.task import Media
from micl_cli.training.feature_cache import Features


@pytest.fixture
def filled(isolated: Path) -> Path:
    """A cache with what two encoders made of two media."""
    cache = Features(isolated / "features")
    media = [Media("image", digest=name) for name in "ab"]
    for key in ("image-1", "audio-2"):
        cache(key, media, lambda media: torch.zeros(len(media), 250))
        cache.flush()
    return isolated / "features"


def test_what_is_kept_is_listed_with_the_limit(micl: Any, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICL_CACHE_LIMIT", "5 MB")
    shown = micl("cache")
    assert shown.out.splitlines()[0].split() == ["encoder", "files", "size", "last", "used"]
    assert {line.split()[0] for line in shown.out.splitlines()[1:]} == {"image-1", "audio-2"}
    assert shown.err == "0.0 MB of at most 5.0 MB (from MICL_CACHE_LIMIT)\n"
    found = json.loads(micl("cache", "--json").out)
    assert found["limit"] == 5_000_000
    assert found["bytes"] == sum(path.stat().st_size for path in filled.glob("*/*"))
    assert {each["key"] for each in found["encoders"]} == {"image-1", "audio-2"}


def test_one_encoder_or_all_are_removed(micl: Any, filled: Path) -> None:
    assert micl("cache", "rm", "image").code == 0
    assert [path.name for path in filled.iterdir()] == ["audio-2"]
    assert micl("cache", "rm", "--all").code == 0
    assert not list(filled.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [((), "no encoder is named"), (("imag-1",), "Did you mean 'image-1'?"), (("../x",), "no encoder")],
)
def test_wrong_words(micl: Any, filled: Path, words: tuple[str, ...], message: str) -> None:
    done = micl("cache", "rm", *words)
    assert done.code == 2
    assert message in done.err
    assert len(list(filled.iterdir())) == 2


@pytest.mark.parametrize("limit", ["much", "-1", "3 XB", "1e9"])
def test_a_limit_that_is_no_size(micl: Any, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICL_CACHE_LIMIT", limit)
    done = micl("cache")
    assert done.code == 2
    assert f"{limit!r} (from MICL_CACHE_LIMIT) is not a size" in done.err


def test_features_that_cannot_be_removed_are_named(micl: Any, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    unlink = os.unlink

    def refuse(path: Any, *, dir_fd: int | None = None) -> None:
        if str(path).endswith(".safetensors"):
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        done = micl("cache", "rm", "image")
    assert done.code == 1
    assert "removed 0.0 MB of 1 encoders" in done.err
    assert "1 file could not be removed" in done.err and "image-1" in done.err
    assert micl("cache", "rm", "image").code == 0


def test_leftovers_of_killed_processes_are_counted_and_removed(micl: Any, filled: Path, isolated: Path) -> None:
    import os

    dead, alive = 2**22 + 1, os.getpid()  # no process has a number above the first
    left = [
        filled / "image-1" / f"x.{dead}.new",
        isolated / "runs" / "abc" / f".step-1-2.{dead}.new" / "adapters.safetensors",
        isolated / "runs" / "abc" / "stages" / f".01.{dead}.new" / "stage.json",
        isolated / "tasks" / "own" / ".img.new" / "manifest.jsonl",
        isolated / "digests" / f".0f.json.{dead}.new",
        isolated / "weights" / "micl" / "image.safetensors.new" / "made",
        isolated / "downloads" / "open" / f"package-1.0.{dead}.new" / "usr" / "font.ttf",
        isolated / "micl-0003-20260101T000000Z.db.part",
    ]
    used = filled / "image-1" / f"y.{alive}.new"
    for path in (*left, used):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
    os.utime(left[-1], (1, 1))
    shown = micl("cache")
    assert "8 leftovers of killed processes, 0.0 MB; remove them: micl cache rm --leftovers" in shown.err
    assert json.loads(micl("cache", "--json").out)["leftover_bytes"] == 8000
    done = micl("cache", "rm", "--leftovers")
    assert (done.code, done.err) == (0, "removed 8 leftovers of killed processes\n")
    assert not any(path.exists() for path in left)
    assert used.exists()
    assert len(list(filled.glob("*/*.safetensors"))) == 2
