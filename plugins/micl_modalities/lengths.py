"""Whether a media file is whole, by the lengths that its container states. Nothing is decoded.

Each function returns the offset in bytes at which the file should end, or None if its container does not tell. For a
container whose end mark is missing, that is one byte beyond the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Literal

from micl_modalities.mpeg import stated_end as _mpeg_end

Order = Literal["little", "big"]
End = Callable[[BinaryIO, int], int | None]

_UNKNOWN_LENGTH = 0x7FFF0000
"""RIFF lengths from here on are placeholders of streaming writers for an unknown length."""
_HEADER = 64
"""Lengths that are wrong by no more than this count a header or a padding byte too many."""
_OGG_PAGE = 27 + 255 + 255 * 255
"""The largest page of an Ogg file, in bytes."""


def missing_bytes(file: BinaryIO, detected: str | None, size: int) -> int:
    """Return the number of bytes that are missing at the end of a file of ``size`` bytes in a detected format."""
    end = _ENDS[detected](file, size) if detected in _ENDS else None
    return max(0, end - size) if end is not None else 0


def _number(file: BinaryIO, count: int, order: Order = "big", at: int | None = None) -> int:
    if at is not None:
        file.seek(at)
    return int.from_bytes(file.read(count), order)


# RIFF and AIFF


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """Trust the chunk of samples more than the file's own length, which writers often get wrong by a few bytes."""
    file.seek(0)
    order: Order = "little" if file.read(4) in (b"RIFF", b"RF64", b"BW64") else "big"
    stated = _number(file, 4, order) + 8
    whole = stated if 8 < stated < _UNKNOWN_LENGTH else None
    ends = dict(_chunk_ends(file, size, order))
    samples = ends.get(b"data", ends.get(b"SSND"))
    if samples is not None:
        # An absent padding byte is not missing.
        consistent = samples <= size + 1 or (whole is not None and whole <= size + 1)
        return size if consistent else samples
    if whole is not None and whole <= size + _HEADER and max(ends.values(), default=0) <= size + 1:
        return size
    return whole


def _chunk_ends(file: BinaryIO, size: int, order: Order) -> Iterator[tuple[bytes, int]]:
    """Yield the name and end of each chunk of known length."""
    offset, long_samples = 12, None
    while offset + 8 <= size:
        file.seek(offset)
        name, length = file.read(4), _number(file, 4, order)
        if name == b"ds64":  # RF64: the length of the samples, in 64 bits
            long_samples = _number(file, 8, order, at=offset + 16)
        if name == b"data" and length == 0xFFFFFFFF and long_samples is not None:
            length = long_samples
        elif length >= _UNKNOWN_LENGTH:
            return
        yield name, offset + 8 + length
        offset += 8 + length + length % 2


def corrected_webp(file: BinaryIO, size: int) -> bytes | None:
    """Return the content of a whole WebP file with its length corrected, on which decoders insist.

    None if the length is right, or too wrong for a header or a padding byte and no placeholder of an unknown length, or
    if it is another kind of file.
    """
    file.seek(0)
    if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WEBP":
        return None
    ends = [end + end % 2 for _, end in _chunk_ends(file, size, "little")]
    whole = max((end for end in ends if end <= size + 1), default=0)
    stated = _number(file, 4, "little", at=4) + 8
    is_placeholder = stated == 8 or stated >= _UNKNOWN_LENGTH
    if stated == whole or (abs(stated - whole) > _HEADER and not is_placeholder):
        return None
    file.seek(8)
    return b"RIFF" + (whole - 8).to_bytes(4, "little") + file.read(whole - 8).ljust(whole - 8, b"\0")


# Other containers of sound


def _au_end(file: BinaryIO, size: int) -> int | None:
    file.seek(0)
    order: Order = "little" if file.read(4) == b"dns." else "big"
    begin, length = _number(file, 4, order), _number(file, 4, order)
    return begin + length if length != 0xFFFFFFFF else None


def _caf_end(file: BinaryIO, size: int) -> int | None:
    offset = 8
    while offset + 12 <= size:
        length = _number(file, 8, at=offset + 4)
        if length >= 1 << 63:  # -1: up to the end of the file
            return None
        offset += 12 + length
    return offset


def _w64_end(file: BinaryIO, size: int) -> int | None:
    """Sony Wave64: names of 16 bytes, lengths of 64 bits that include the header, chunks aligned to 8 bytes."""
    offset = 40
    while offset + 24 <= size:
        file.seek(offset)
        name, length = file.read(4), _number(file, 8, "little", at=offset + 16)
        if length < 24 or length >= 1 << 62:
            return None
        if name == b"data":
            return offset + length
        offset += -(-length // 8) * 8
    return size + 1


def _ogg_end(file: BinaryIO, size: int) -> int | None:
    begin = max(0, size - _OGG_PAGE)
    file.seek(begin)
    page = file.read()
    at = max(0, page.rfind(b"OggS"))
    segments = page[at + 26] if len(page) > at + 26 else 0
    return begin + at + 27 + segments + sum(page[at + 27 : at + 27 + segments])


# Containers of pictures and clips


def _box_end(file: BinaryIO, size: int) -> int | None:
    """ISO media files (MP4 and similar): a sequence of boxes."""
    offset = 0
    while offset + 8 <= size:
        length = _number(file, 4, at=offset)
        if length == 1:
            length = _number(file, 8, at=offset + 8)
        # Zero means "to the end of the file"; other small lengths are invalid.
        if length < 8:
            return None
        offset += length
    return offset


def _png_end(file: BinaryIO, size: int) -> int | None:
    offset = 8
    while offset + 8 <= size:
        length = _number(file, 4, at=offset)
        name = file.read(4)
        offset += 12 + length
        if name == b"IEND":
            return offset
    return max(offset, size + 1)


def _gif_end(file: BinaryIO, size: int) -> int | None:
    file.seek(0)
    data = file.read()
    offset = 13 + _colours(data[10:11])
    while offset < size and data[offset] in b"!,":
        is_image = data[offset] == ord(",")
        # An image has a descriptor, perhaps colours, and the size of its codes; an extension has a label.
        offset += 11 + _colours(data[offset + 9 : offset + 10]) if is_image else 2
        while offset < size and data[offset]:
            offset += 1 + data[offset]
        offset += 1
    if offset >= size:
        return max(offset, size + 1)
    return offset + 1 if data[offset] == ord(";") else None


def _colours(flags: bytes) -> int:
    """Return the size in bytes of the colour table that follows ``flags``."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def _matroska_end(file: BinaryIO, size: int) -> int | None:
    """Walk the elements of a segment; live recordings leave its length, and perhaps those of clusters, unknown."""
    offset = 0
    while offset < size:
        file.seek(offset)
        name, after_name = _vint(file), file.tell()
        length, begin = _vint(file), file.tell()
        if name is None or length is None:
            return None if begin < size else size + 1
        bits = 7 * (begin - after_name)
        value = length & (1 << bits) - 1
        is_unknown = value == (1 << bits) - 1
        if is_unknown and name not in (_SEGMENT, _CLUSTER):
            return None
        offset = begin if is_unknown else begin + value
    return offset


def _vint(file: BinaryIO) -> int | None:
    """Read a number of variable length, with the bit that marks its length; None if it is cut off or invalid."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    return int.from_bytes(first + rest, "big") if len(rest) == width - 1 else None


_ENDS: Mapping[str | None, End] = {
    "WAV": _riff_end,
    "AIFF": _riff_end,
    "AVI": _riff_end,
    "WebP": _riff_end,
    "AU": _au_end,
    "CAF": _caf_end,
    "W64": _w64_end,
    "Ogg": _ogg_end,
    "MP3": _mpeg_end,
    "MP4": _box_end,
    "AVIF": _box_end,
    "PNG": _png_end,
    "GIF": _gif_end,
    "Matroska": _matroska_end,
}
