"""Resumable downloads, verified by sha256."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from micl_cli.errors import PlanError
from micl_cli.io.digest import file_sha256

CHUNK = 1 << 18
RETRY_HINT = "The same command resumes the download."
"""The hint of download errors."""


def download(
    source: str | Request, target: Path, digest: str, size: int, tell: Callable[[int, int], None], *, called: str = ""
) -> None:
    """Download to ``target``, resuming an interrupted download, and verify its sha256. Raises PlanError."""
    partial = target.with_name(f"{target.name}.part")
    called = called or target.name
    try:
        _receive(Request(source) if isinstance(source, str) else source, partial, size, tell)
    except (URLError, HTTPException, OSError) as error:
        raise PlanError(f"the download of {called} failed: {error}", RETRY_HINT) from error
    if (actual := file_sha256(partial)) != digest:
        partial.unlink()
        raise PlanError(
            f"{called} does not match its pinned digest: its sha256 is {actual}",
            "It was deleted. Try again; if the digest still differs, do not use this registry.",
        )
    partial.replace(target)


def _receive(request: Request, partial: Path, size: int, tell: Callable[[int, int], None]) -> None:
    present = partial.stat().st_size if partial.exists() else 0
    if present >= size:
        return
    if present:
        request.add_header("Range", f"bytes={present}-")
    with urlopen(request, timeout=60) as response:
        resumed = present and getattr(response, "status", None) == 206
        done = present if resumed else 0
        with partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK):
                done += len(chunk)
                if done > size:
                    raise OSError(f"more than the expected {size} bytes")
                file.write(chunk)
                tell(done, size)
    if done < size:
        raise OSError(f"{done} of {size} bytes received")
