"""Detection of a media file's format, and checks against its name and for truncation.

Only a file's first bytes and the lengths in its container (:mod:`micl_modalities.lengths`) are read; decoding errors
show when a modality reads the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from micl_cli.api import MediaError
from micl_modalities.lengths import missing_bytes
from micl_modalities.mpeg import begins_with_frame, tag_length

NOUNS = {"image": "an image", "audio": "a sound", "video": "a video"}

# Offset, signature and name of each format.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (8, b"WAVE", "WAV"),
    (0, b"fLaC", "FLAC"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b".snd", "AU"),
    (0, b"dns.", "AU"),
    (0, b"caff", "CAF"),
    (0, b"riff\x2e\x91\xcf\x11", "W64"),
    (0, b"OggS", "Ogg"),
    (0, b"\xff\xfb", "MP3"),
    (0, b"\xff\xf3", "MP3"),
    (0, b"\xff\xf2", "MP3"),
    (8, b"AVI ", "AVI"),
    (0, b"\x1aE\xdf\xa3", "Matroska"),
)
_SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WebP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "HEIC": (".heic", ".heif", ".hif"),
    "WAV": (".wav", ".wave"),
    "FLAC": (".flac",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au",),
    "CAF": (".caf",),
    "W64": (".w64",),
    "Ogg": (".ogg", ".oga", ".opus", ".ogv"),
    "MP3": (".mp3",),
    "AVI": (".avi",),
    "MP4": (".mp4", ".m4a", ".m4v", ".m4b", ".mov", ".3gp"),
    "Matroska": (".mkv", ".webm", ".mka"),
}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_NAMED = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes}
_STILL = frozenset({"PNG", "JPEG", "TIFF", "WebP", "AVIF"})
_SOUND = frozenset({"WAV", "FLAC", "AIFF", "AU", "CAF", "W64", "MP3"})
_NEVER = {
    "image": frozenset(_SUFFIXES) - _STILL - {"GIF"},
    "audio": _STILL | {"GIF", "HEIC"},
    "video": _STILL | _SOUND | {"HEIC"},
}


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
            detected = detected or _tagged(file, head)
            missing = missing_bytes(file, detected, size)
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
        way_out = "; save it as JPEG" if (modality, detected) == ("image", "HEIC") else ""
        raise unreadable(path, modality, f"its content is {detected}{way_out}")
    named = _NAMED.get(suffix)
    if named in _NEVER[modality]:
        raise unreadable(path, modality, f"its name says {named}")
    if detected and named and detected != named:
        hint = f"rename it to {path.stem}{_SUFFIXES[detected][0]}"
        raise unreadable(path, modality, f"its name says {named}, its content is {detected} ({hint})")


def _format(head: bytes) -> str | None:
    """Return the format by its signature; None if it is unknown."""
    if head[4:8] == b"ftyp":
        return _brand(head)
    return next((name for offset, sign, name in _SIGNATURES if head[offset : offset + len(sign)] == sign), None)


def _brand(head: bytes) -> str:
    """Return the format of an ISO media file by its brands: the major one, a version, then the compatible ones."""
    listed = head[16 : int.from_bytes(head[:4], "big")]
    brands = {head[8:12], *(listed[at : at + 4] for at in range(0, len(listed), 4))}
    if brands & _AVIF_BRANDS and head[8:12] not in _HEIC_BRANDS:
        return "AVIF"
    # "mif1" and "msf1" only say that there are pictures; AVIF without its own brand is not known to occur.
    return "HEIC" if head[8:12] in _HEIC_BRANDS | {b"mif1", b"msf1"} else "MP4"


def _tagged(file: BinaryIO, head: bytes) -> str | None:
    """Return the format of sound behind an ID3 tag; None if it is not MP3."""
    if not (length := tag_length(head)):
        return None
    file.seek(length)
    return "MP3" if begins_with_frame(file.read(4)) else None


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
