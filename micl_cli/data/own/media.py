"""Media of user data: files below the media root, or bytes that are written into the prepared task."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from micl_cli.api.format import MediumValue
from micl_cli.api.reader import Source
from micl_cli.api.task import Media
from micl_cli.data.manifest import path_fault
from micl_cli.errors import ManifestError
from micl_cli.io.text import TextError, read_bytes

MAX_MEDIUM = 512 << 20
"""The maximum size in bytes of a medium that is extracted."""
FOLDER = "media"

_URL = re.compile(r"(?!data:)[A-Za-z][A-Za-z0-9+.-]+://")
_DATA_URL = re.compile(r"data:[\w/+.-]*(?:;[\w=.-]+)*;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{128,}={0,2}\s*")


def is_embedded(value: Any) -> bool:
    """Return whether a value holds the bytes of a medium, raw or as base64, rather than a path."""
    if isinstance(value, Mapping):
        return value.get("bytes") is not None
    if isinstance(value, list | tuple):
        return any(map(is_embedded, value))
    if not isinstance(value, str):
        return isinstance(value, bytes)
    return bool(_DATA_URL.match(value[:256]) or _BASE64.fullmatch(value))


class MediaPlacement:
    """Locates or writes the media of a data set, and returns their paths in the prepared task.

    Paths in the data are relative to the file that names them, unless a media root is ``given``. With ``extracts``,
    every medium is written below ``folder`` under its digest; otherwise it stays where it is.
    """

    def __init__(self, source: Source, *, given: bool, extracts: bool) -> None:
        self.root, self.given, self.extracts = source.media_root, given, extracts
        self.folder = source.folder

    def place(self, medium: MediumValue, folder: Path) -> Media:
        """Return the medium that a file in ``folder`` names. Raises ManifestError."""
        path, data = self._parts(medium)
        if data is None and path is None:
            raise ManifestError(f"the {medium.modality} is missing")
        if not self.extracts:
            if data is not None and path is None:
                what = "is given as bytes, but earlier examples have paths"
                raise ManifestError(f"the {medium.modality} {what}", "Divide the data set.")
            return Media(medium.modality, Path(self._relative(path or "", folder)))
        if data is None:
            data = self._content(self._relative(path or "", folder))
        return Media(medium.modality, self._written(data, medium.modality))

    def _parts(self, medium: MediumValue) -> tuple[str | None, bytes | None]:
        """Return the path and the bytes of a medium, as far as they are given. Raises ManifestError."""
        value = medium.value
        if isinstance(value, Mapping):
            path, data = value.get("path"), value.get("bytes")
        else:
            path, data = (None, value) if isinstance(value, bytes) else (value, None)
        if isinstance(path, str) and self.extracts and data is None and is_embedded(path):
            data, path = _decoded(path, medium.modality), None
        fine = isinstance(path, str | None) and isinstance(data, bytes | None)
        if not fine:
            raise ManifestError(f"the {medium.modality} is neither a path nor bytes, but {type(value).__name__}")
        return path or None, data

    def _relative(self, text: str, folder: Path) -> str:
        """Return a path relative to the media root. Raises ManifestError if it leads out, or is a URL."""
        if _URL.match(text):
            what = f"{text!r} is a URL, and micl downloads no media: save them, and name the local paths"
            raise ManifestError(what)
        root, plain = self.root, text.removeprefix("./")
        if self.given and (Path(plain).is_absolute() or ".." in PurePosixPath(plain).parts):
            real = Path(os.path.normpath(folder / plain))
            inside = next(
                (real.relative_to(base) for base in (root, root.resolve()) if real.is_relative_to(base)), None
            )
            if inside is None:
                raise ManifestError(f"the path {text!r} is not inside the media root {root}")
            return inside.as_posix()
        if fault := path_fault(plain):
            way_out = ": name a folder that contains it with --media-root" if not self.given else ""
            raise ManifestError(f"the path {text!r} {fault}{way_out}")
        beside = folder.relative_to(root).as_posix() if not self.given else "."
        return plain if beside == "." else f"{beside}/{plain}"

    def _content(self, path: str) -> bytes:
        file, root = self.root / path, self.root.resolve()
        try:
            if not file.resolve().is_relative_to(root):
                raise ManifestError(f"{path}: a symbolic link leads out of {root}")
            return read_bytes(file, MAX_MEDIUM)
        except (OSError, TextError) as error:
            raise ManifestError(f"{path}: {getattr(error, 'strerror', None) or error}") from error

    def _written(self, data: bytes, modality: str) -> Path:
        if not data or len(data) > MAX_MEDIUM:
            raise ManifestError(f"the {modality} has {len(data):,} bytes: 1 to {MAX_MEDIUM >> 20} MiB are read")
        path = Path(FOLDER) / sha256(data).hexdigest()[:32]
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            target.write_bytes(data)
        return path


def _decoded(text: str, modality: str) -> bytes:
    encoded = text[match.end() :] if (match := _DATA_URL.match(text)) else "".join(text.split())
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ManifestError(f"the {modality} is not base64: {error}") from error
