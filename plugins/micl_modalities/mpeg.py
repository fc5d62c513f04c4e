"""The frames of an MP3 file, by their headers."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

_KBITS = {
    (3, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by MPEG version (3: MPEG-1, 2: MPEG-2 and 2.5) and layer (ISO 11172-3 and 13818-3)."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_XING_FRAMES = 1


class _Header(NamedTuple):
    """The bytes of a frame, and the offset of an encoder's note on the number of frames (Xing) in the first one."""

    length: int
    note: int


def begins_with_frame(head: bytes) -> bool:
    """Whether bytes begin with the header of a frame."""
    return _header(head) is not None


def tag_length(head: bytes) -> int:
    """Return the length of the ID3v2 tag at the beginning of a file; 0 if there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    a, b, c, d = (byte & 127 for byte in head[6:10])
    return 10 + (a << 21 | b << 14 | c << 7 | d)


def stated_end(file: BinaryIO, size: int) -> int | None:
    """Return where the last frame ends, or beyond it if the file has fewer frames than its encoder notes.

    None if something else than frames and tags follows, since then only a decoder finds the rest.
    """
    file.seek(0)
    data = file.read()
    begin = offset = tag_length(data)
    count = 0
    while (header := _header(data[offset : offset + 4])) is not None:
        offset += header.length
        count += 1
    if offset >= size:
        return offset if offset > size or count >= _noted_frames(data, begin) else size + 1
    if size - offset < 4:
        return size + 1 if data[offset] == 0xFF else None
    return None


def _noted_frames(data: bytes, begin: int) -> int:
    """Return the number of frames that the first one notes, or 0."""
    header = _header(data[begin : begin + 4])
    if header is None:
        return 0
    note = data[begin + header.note :][:12]
    if note[:4] not in (b"Xing", b"Info") or not note[7] & _XING_FRAMES:
        return 0
    return int.from_bytes(note[8:12], "big")


def _header(head: bytes) -> _Header | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or kbits in (0, 15) or rate == 3:
        return None
    is_first = version == 3
    bits, per_second = _KBITS[3 if is_first else 2, layer][kbits] * 1000, _RATES[version][rate]
    note = 4 + ((32 if is_first else 17) if head[3] >> 6 != 3 else (17 if is_first else 9))
    if layer == 1:
        return _Header((12 * bits // per_second + padding) * 4, note)
    samples = 576 if layer == 3 and not is_first else 1152
    return _Header(samples // 8 * bits // per_second + padding, note)
