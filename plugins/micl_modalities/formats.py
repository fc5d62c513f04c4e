"""The format of a media file by its content, and whether it agrees with the file's name.

Only a file's first bytes and its container's own lengths are read here; whether it can be
decoded shows when a modality reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from micl_cli.api import MediaError

NOUNS = {"image": "an image", "audio": "a sound", "video": "a video"}

# Offset, signature and name of each format.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (8, b"WAVE", "WAV"),
    (0, b"fLaC", "FLAC"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b"OggS", "Ogg"),
    (0, b"\xff\xfb", "MP3"),
    (0, b"\xff\xf3", "MP3"),
    (0, b"\xff\xf2", "MP3"),
    (8, b"AVI ", "AVI"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1aE\xdf\xa3", "Matroska"),
)
_SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WebP": (".webp",),
    "AVIF": (".avif",),
    "WAV": (".wav", ".wave"),
    "FLAC": (".flac",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "Ogg": (".ogg", ".oga", ".opus", ".ogv"),
    "MP3": (".mp3",),
    "AVI": (".avi",),
    "MP4": (".mp4", ".m4a", ".m4v", ".m4b", ".mov", ".3gp"),
    "Matroska": (".mkv", ".webm", ".mka"),
}
_NAMED = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes}
_STILL = frozenset({"PNG", "JPEG", "TIFF", "WebP", "AVIF"})
_SOUND = frozenset({"WAV", "FLAC", "AIFF", "MP3"})
_NEVER = {
    "image": frozenset(_SUFFIXES) - _STILL - {"GIF"},
    "audio": _STILL | {"GIF"},
    "video": _STILL | _SOUND,
}
_UNKNOWN_LENGTH = 0x7FFF0000
"""A RIFF length of at least this is a streaming writer's placeholder for an unknown length."""

_OGG_PAGE = 27 + 255 + 255 * 255
"""The largest page of an Ogg file, in bytes."""


def unreadable(path: Path, modality: str, reason: object) -> MediaError:
    """Return the error for a file that cannot be read; ``reason`` says why."""
    text = f"{path}: cannot be read as {NOUNS[modality]}: {reason}"
    return MediaError(text, "Replace the file, or leave it out when preparing: --on-error skip")


def check(path: Path, modality: str) -> None:
    """Raise MediaError where the file is missing, empty, truncated, or of another format than its name says.

    A format that neither content nor name shows is left to the decoder.
    """
    try:
        size = _size(path)
        with path.open("rb") as file:
            head = file.read(512)
            found = _format(head)
            missing = _missing(file, found, size)
    except OSError as error:
        raise unreadable(path, modality, error.strerror or error) from error
    if not size:
        raise unreadable(path, modality, "the file is empty")
    _check_name(path, modality, found, head)
    if missing:
        raise unreadable(path, modality, f"it is truncated: {missing} of {size + missing} bytes are missing")


def _size(path: Path) -> int:
    """Return the size of a regular file in bytes. Raises OSError for a folder, a pipe or a device."""
    if path.exists() and not path.is_file():
        raise OSError("it is not a file")
    return path.stat().st_size


def _check_name(path: Path, modality: str, found: str | None, head: bytes) -> None:
    suffix = path.suffix.lower()
    if found is None and _is_text(head):
        raise unreadable(path, modality, "it holds text")
    if found in _NEVER[modality]:
        raise unreadable(path, modality, f"its content is {found}")
    named = _NAMED.get(suffix)
    if named in _NEVER[modality]:
        raise unreadable(path, modality, f"its name says {named}")
    if found and named and found != named:
        hint = f"rename it to {path.stem}{_SUFFIXES[found][0]}"
        raise unreadable(path, modality, f"its name says {named}, its content is {found} ({hint})")


def _format(head: bytes) -> str | None:
    """Return the format by its signature; None where it is unknown."""
    return next((name for at, sign, name in _SIGNATURES if head[at : at + len(sign)] == sign), None)


def _is_text(head: bytes) -> bool:
    # Netpbm pictures (P1 to P7) begin as text.
    if not head or (head[:1] == b"P" and head[1:2].isdigit()):
        return False
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut in two where the head ends.
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)


def _missing(file: BinaryIO, found: str | None, size: int) -> int:
    """Return how many bytes are missing at the file's end, by the lengths in its container."""
    if found in {"WAV", "AVI", "WebP"}:
        file.seek(4)
        declared = int.from_bytes(file.read(4), "little")
        return max(0, declared + 8 - size) if declared < _UNKNOWN_LENGTH else 0
    if found in {"MP4", "AVIF"}:
        return max(0, max(_box_ends(file, size), default=0) - size)
    if found == "Ogg":
        return _missing_of_page(file, size)
    return 0


def _missing_of_page(file: BinaryIO, size: int) -> int:
    """Return how many bytes of the last Ogg page are missing."""
    file.seek(max(0, size - _OGG_PAGE))
    page = file.read()
    page = page[max(0, page.rfind(b"OggS")) :]
    segments = page[26] if len(page) > 26 else 0
    return max(0, 27 + segments + sum(page[27 : 27 + segments]) - len(page))


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield the end of each top-level box of an ISO media file (MP4 and similar), in bytes."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length = int.from_bytes(file.read(4), "big")
        if length == 1:
            file.seek(4, os.SEEK_CUR)
            length = int.from_bytes(file.read(8), "big")
        # Zero means "to the end of the file"; other small numbers are no boxes.
        if length < 8:
            return
        at += length
        yield at
