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
from micl_modalities.containers import open_container

MAX_PIXELS = 16_000_000
"""Clips with larger frames are refused (48 MB per frame as RGB)."""
MAX_FRAMES = 36_000
"""Longer clips are refused (20 minutes at 30 frames per second)."""


class Video(Modality):
    """A clip as uint8 RGB [frames, height, width, 3], upright: the middle frame of each of ``frames`` equal parts.

    Frames of shorter clips are repeated. At most ``MAX_FRAMES`` frames of ``MAX_PIXELS`` pixels. Raises OptionError if
    ``frames`` is not positive.
    """

    name = "video"

    def __init__(self, *, frames: Annotated[int, "frames sampled evenly over the clip"] = 4) -> None:
        if frames < 1:
            raise OptionError(f"video: frames must be at least 1, not {frames}", "A few are usual, for example 4.")
        self.frames = frames
        self._scaler = VideoReformatter()  # shared by all frames: creating one takes longer than using it

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return uint8 [frames, height, width, 3]. Raises MediaError."""
        formats.check(path, self.name)
        with open_container(path, self.name) as container:
            declared = _stream(path, container).frames
        count, sampled = self._sample(path, _middles(declared, self.frames))
        # The container's frame count may be missing or wrong: sample again with the actual one.
        if count != declared:
            count, sampled = self._sample(path, _middles(count, self.frames))
        return np.stack([sampled[index] for index in _middles(count, self.frames)])

    def _sample(self, path: Path, indices: list[int]) -> tuple[int, dict[int, NDArray[np.uint8]]]:
        """Return the number of frames, and the frames at ``indices`` as RGB in the first frame's size."""
        sampled: dict[int, NDArray[np.uint8]] = {}
        with open_container(path, self.name) as container:
            size = (0, 0)
            count = 0
            for index, frame in enumerate(_frames(path, container)):
                size = size if index else (frame.width, frame.height)
                count = index + 1
                if index in indices:
                    sampled[index] = self._rgb(frame, size)
        return count, sampled

    def _rgb(self, frame: VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
        pixels = self._scaler.reformat(frame, width=size[0], height=size[1], format="rgb24").to_ndarray()
        return np.rot90(pixels, _turns(frame)).astype(np.uint8, copy=False)

    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Return {"frames", "seconds", "width", "height"} of the upright clip. Raises MediaError."""
        formats.check(path, self.name)
        with open_container(path, self.name) as container:
            stream, count, width, height = _stream(path, container), 0, 0, 0
            for frame in _frames(path, container):
                count += 1
                width, height = (frame.width, frame.height) if _turns(frame) % 2 == 0 else (frame.height, frame.width)
            seconds = container.duration / av.time_base if container.duration else count / (stream.average_rate or 25)
        return {"frames": count, "seconds": round(float(seconds), 3), "width": width, "height": height}


def _middles(total: int, segments: int) -> list[int]:
    """Return the index of the middle frame of each of ``segments`` equal segments of ``total`` frames."""
    return [(2 * segment + 1) * total // (2 * segments) for segment in range(segments)]


def _frames(path: Path, container: InputContainer) -> Iterator[VideoFrame]:
    """Yield all frames in display order. Raises MediaError if there are none, too many, or too large ones."""
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
    # Some codecs declare their size with the first frame only; the frames are checked, too.
    _check_size(path, stream.width or 0, stream.height or 0)
    return stream


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        reason = f"its frames are {width} x {height}, which is more than {MAX_PIXELS:,} pixels"
        raise formats.unreadable(path, "video", reason)


def _turns(frame: VideoFrame) -> int:
    """Return the number of counterclockwise quarter turns that make a frame upright."""
    return round(frame.rotation / 90)
