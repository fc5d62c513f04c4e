"""Detection of a media file's format, and checks against its name and for truncation.

Only a file's first bytes and the lengths in its container are read here; decoding errors show when a modality reads the
file.
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
"""RIFF lengths from here on are placeholders of streaming writers for an unknown length."""

_OGG_PAGE = 27 + 255 + 255 * 255
"""The largest page of an Ogg file, in bytes."""


def unreadable(path: Path, modality: str, reason: object) -> MediaError:
    """Return the MediaError for a file that cannot be read for ``reason``."""
    text = f"{path}: cannot be read as {NOUNS[modality]}: {reason}"
    return MediaError(text, "Replace the file, or leave it out when preparing: --on-error skip")


def check(path: Path, modality: str) -> None:
    """Raise MediaError if the file is missing, empty, truncated, or in another format than its name says.

    Files whose format neither content nor name reveals are left to the decoder.
    """
    try:
        size = _size(path)
        with path.open("rb") as file:
            head = file.read(512)
            detected = _format(head)
            missing = _missing_bytes(file, detected, size)
    except OSError as error:
        raise unreadable(path, modality, error.strerror or error) from error
    if not size:
        raise unreadable(path, modality, "the file is empty")
    _check_name(path, modality, detected, head)
    if missing:
        raise unreadable(path, modality, f"it is truncated: {missing} of {size + missing} bytes are missing")


def _size(path: Path) -> int:
    """Return the size of a regular file in bytes. Raises OSError for a folder, a pipe or a device."""
    if path.exists() and not path.is_file():
        raise OSError("it is not a file")
    return path.stat().st_size


def _check_name(path: Path, modality: str, detected: str | None, head: bytes) -> None:
    suffix = path.suffix.lower()
    if detected is None and _is_text(head):
        raise unreadable(path, modality, "it holds text")
    if detected in _NEVER[modality]:
        raise unreadable(path, modality, f"its content is {detected}")
    named = _NAMED.get(suffix)
    if named in _NEVER[modality]:
        raise unreadable(path, modality, f"its name says {named}")
    if detected and named and detected != named:
        hint = f"rename it to {path.stem}{_SUFFIXES[detected][0]}"
        raise unreadable(path, modality, f"its name says {named}, its content is {detected} ({hint})")


def _format(head: bytes) -> str | None:
    """Return the format by its signature; None if it is unknown."""
    return next((name for offset, sign, name in _SIGNATURES if head[offset : offset + len(sign)] == sign), None)


def _is_text(head: bytes) -> bool:
    # Netpbm images (P1 to P7) begin as text.
    if not head or (head[:1] == b"P" and head[1:2].isdigit()):
        return False
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character of the head may be incomplete.
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)


def _missing_bytes(file: BinaryIO, detected: str | None, size: int) -> int:
    """Return the number of bytes missing at the file's end according to the lengths in its container."""
    if detected in {"WAV", "AVI", "WebP"}:
        file.seek(4)
        declared = int.from_bytes(file.read(4), "little")
        return max(0, declared + 8 - size) if declared < _UNKNOWN_LENGTH else 0
    if detected in {"MP4", "AVIF"}:
        return max(0, max(_box_ends(file, size), default=0) - size)
    if detected == "Ogg":
        return _missing_page_bytes(file, size)
    return 0


def _missing_page_bytes(file: BinaryIO, size: int) -> int:
    """Return the number of bytes missing in the last Ogg page."""
    file.seek(max(0, size - _OGG_PAGE))
    page = file.read()
    page = page[max(0, page.rfind(b"OggS")) :]
    segments = page[26] if len(page) > 26 else 0
    return max(0, 27 + segments + sum(page[27 : 27 + segments]) - len(page))


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield the end offset in bytes of each top-level box of an ISO media file (MP4 and similar)."""
    offset = 0
    while offset + 8 <= size:
        file.seek(offset)
        length = int.from_bytes(file.read(4), "big")
        if length == 1:
            file.seek(4, os.SEEK_CUR)
            length = int.from_bytes(file.read(8), "big")
        # Zero means "to the end of the file"; other small lengths are invalid.
        if length < 8:
            return
        offset += length
        yield offset
