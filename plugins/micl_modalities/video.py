"""Videos, read by PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from micl_cli.api import Modality, OptionError
from micl_modalities import formats
from micl_modalities.containers import opened

MAX_PIXELS = 16_000_000
"""Clips with larger frames are refused (48 MB a frame as RGB)."""
MAX_FRAMES = 36_000
"""Longer clips are refused (20 minutes at 30 frames a second)."""


class Video(Modality):
    """A clip as uint8 RGB [frames, height, width, 3], upright: the middle frame of each of ``frames`` equal parts.

    A clip with fewer frames repeats them. At most ``MAX_FRAMES`` frames of ``MAX_PIXELS`` pixels.
    Raises OptionError where ``frames`` is not positive.
    """

    name = "video"

    def __init__(self, *, frames: Annotated[int, "frames sampled evenly over the clip"] = 4) -> None:
        if frames < 1:
            raise OptionError(f"video: frames must be at least 1, not {frames}", "A few are enough, as 4.")
        self.frames = frames
        self._scaler = VideoReformatter()  # one for all frames: creating it takes longer than using it

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return uint8 [frames, height, width, 3]. Raises MediaError."""
        formats.check(path, self.name)
        with opened(path, self.name) as container:
            stated = _stream(path, container).frames
        count, kept = self._pick(path, _middles(stated, self.frames))
        # The count that the container states may be missing or wrong; the true one decides.
        if count != stated:
            count, kept = self._pick(path, _middles(count, self.frames))
        return np.stack([kept[index] for index in _middles(count, self.frames)])

    def _pick(self, path: Path, wanted: list[int]) -> tuple[int, dict[int, NDArray[np.uint8]]]:
        """Return the number of frames, and the wanted ones by index as RGB of the first frame's size."""
        kept: dict[int, NDArray[np.uint8]] = {}
        with opened(path, self.name) as container:
            size = (0, 0)
            count = 0
            for index, frame in enumerate(_frames(path, container)):
                size = size if index else (frame.width, frame.height)
                count = index + 1
                if index in wanted:
                    kept[index] = self._rgb(frame, size)
        return count, kept

    def _rgb(self, frame: VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
        pixels = self._scaler.reformat(frame, width=size[0], height=size[1], format="rgb24").to_ndarray()
        return np.rot90(pixels, _turns(frame)).astype(np.uint8, copy=False)

    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Return {"frames", "seconds", "width", "height"} of the whole clip, as seen upright. Raises MediaError."""
        formats.check(path, self.name)
        with opened(path, self.name) as container:
            stream, count, width, height = _stream(path, container), 0, 0, 0
            for frame in _frames(path, container):
                count += 1
                width, height = (frame.width, frame.height) if _turns(frame) % 2 == 0 else (frame.height, frame.width)
            seconds = container.duration / av.time_base if container.duration else count / (stream.average_rate or 25)
        return {"frames": count, "seconds": round(float(seconds), 3), "width": width, "height": height}


def _middles(total: int, parts: int) -> list[int]:
    """Return the index of the middle frame of each of ``parts`` equal parts of ``total`` frames."""
    return [(2 * part + 1) * total // (2 * parts) for part in range(parts)]


def _frames(path: Path, container: InputContainer) -> Iterator[VideoFrame]:
    """Yield every frame in the order shown. Raises MediaError where there are none, or too many or too large ones."""
    index = -1
    for index, frame in enumerate(container.decode(_stream(path, container))):
        _check_size(path, frame.width, frame.height)
        if index >= MAX_FRAMES:
            raise formats.unreadable(path, "video", f"it has more than {MAX_FRAMES:,} frames")
        yield frame
    if index < 0:
        raise formats.unreadable(path, "video", "it holds no frames")


def _stream(path: Path, container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise formats.unreadable(path, "video", "it has no video track")
    stream = container.streams.video[0]
    # Some codecs state their size with the first frame only; the frames are checked too.
    _check_size(path, stream.width or 0, stream.height or 0)
    return stream


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        reason = f"its frames are {width} x {height}, and more than {MAX_PIXELS:,} pixels are refused"
        raise formats.unreadable(path, "video", reason)


def _turns(frame: VideoFrame) -> int:
    """Return the quarter turns, counterclockwise, that the clip is to be shown with."""
    return round(frame.rotation / 90)
