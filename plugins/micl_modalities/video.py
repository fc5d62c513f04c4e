"""Videos, read by PyAV."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from micl_cli.api import Clip, Modality, OptionError
from micl_modalities import formats
from micl_modalities.containers import open_container
from micl_modalities.timeline import Stamp, Timeline

MAX_PIXELS = 16_000_000
"""Clips with larger frames are refused (48 MB per frame as RGB)."""
MAX_FRAMES = 36_000
"""Longer clips are refused (20 minutes at 30 frames per second)."""
_RATE = Fraction(25)
"""The frames per second of a clip that does not tell its rate."""


class Video(Modality):
    """A clip as uint8 RGB [frames, height, width, 3], upright: what is shown in the middle of each of ``frames`` parts.

    The parts are equal in time, so that frames which are shown for longer count for more, and those of short clips are
    repeated. At most ``MAX_FRAMES`` frames of ``MAX_PIXELS`` pixels. Raises OptionError if ``frames`` is not positive.
    """

    name = "video"
    version = 2

    def __init__(self, *, frames: Annotated[int, "frames sampled evenly over the clip"] = 4) -> None:
        if frames < 1:
            raise OptionError(f"video: frames must be at least 1, not {frames}", "A few are usual, for example 4.")
        self.frames = frames
        self._of_thread = threading.local()

    def read(self, path: Path) -> Clip:
        """Return the sampled frames with their times. Raises MediaError."""
        formats.check(path, self.name)
        timeline, sampled = self._sample(path, set(_predicted_timeline(path).indices(self.frames)))
        indices = timeline.indices(self.frames)
        # Packets may be hidden, damaged, or lack timestamps: sample again by the times of the decoded frames.
        if not sampled.keys() >= set(indices):
            timeline, sampled = self._sample(path, set(indices))
        times = [float(time) for time in timeline.middles(self.frames)]
        return Clip(np.stack([sampled[index] for index in indices]), times, float(timeline.duration))

    def _sample(self, path: Path, indices: Collection[int]) -> tuple[Timeline, dict[int, NDArray[np.uint8]]]:
        """Return the timeline, and the frames at ``indices`` as RGB in the first frame's size and orientation."""
        sampled: dict[int, NDArray[np.uint8]] = {}
        stamps: list[Stamp] = []
        with open_container(path, self.name) as container:
            stream = _stream(path, container)
            for index, frame in enumerate(_frames(path, container)):
                if not index:
                    size, matrix = (frame.width, frame.height), _display_matrix(frame)
                stamps.append(_stamp(frame))
                if index in indices:
                    sampled[index] = upright(self._rgb(frame, size), matrix)
            return _timeline(stamps, stream), sampled

    @property
    def _scaler(self) -> VideoReformatter:
        """The scaler of this thread, which others must not share. It serves all frames: creating one takes time."""
        if not hasattr(self._of_thread, "scaler"):
            self._of_thread.scaler = VideoReformatter()
        scaler: VideoReformatter = self._of_thread.scaler
        return scaler

    def _rgb(self, frame: VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
        reformatted = self._scaler.reformat(frame, width=size[0], height=size[1], format="rgb24")
        return reformatted.to_ndarray().astype(np.uint8, copy=False)

    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Return {"frames", "seconds", "width", "height"} of the upright clip. Raises MediaError."""
        formats.check(path, self.name)
        stamps: list[Stamp] = []
        with open_container(path, self.name) as container:
            stream = _stream(path, container)
            for frame in _frames(path, container):
                if not stamps:
                    size = (frame.width, frame.height)
                    width, height = size[::-1] if _is_transposed(_display_matrix(frame)) else size
                stamps.append(_stamp(frame))
            seconds = float(_timeline(stamps, stream).duration)
        return {"frames": len(stamps), "seconds": round(seconds, 3), "width": width, "height": height}


# Time


def _predicted_timeline(path: Path) -> Timeline:
    """Return the timeline by the container's timestamps, without decoding."""
    with open_container(path, "video") as container:
        stream = _stream(path, container)
        packets = islice((p for p in container.demux(stream) if p.size and not p.is_discard), MAX_FRAMES)
        stamps = [_stamp(packet) for packet in packets]
        known = sorted((s for s in stamps if s.start is not None), key=lambda s: s.start or 0)
        return _timeline(known if len(known) == len(stamps) else stamps, stream)


def _stamp(timed: VideoFrame | Packet[VideoStream]) -> Stamp:
    tick = timed.time_base or Fraction(0)
    start = timed.pts if timed.pts is not None else timed.dts
    return Stamp(None if start is None else start * tick, max(timed.duration or 0, 0) * tick)


def _timeline(stamps: list[Stamp], stream: VideoStream) -> Timeline:
    rate = stream.average_rate or stream.guessed_rate or _RATE
    return Timeline.of(stamps, stream.time_base or 1 / rate, 1 / rate)


# Orientation


def _display_matrix(frame: VideoFrame) -> NDArray[np.int32]:
    """Return the linear part [2, 2] of the matrix that takes (x, y) of the stored frame to the screen."""
    side_data: Any = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return np.eye(2, dtype=np.int32)
    return np.frombuffer(bytes(side_data), np.int32, 9).reshape(3, 3)[:2, :2]


def _is_transposed(matrix: NDArray[np.int32]) -> bool:
    """Whether the rows of the stored frame are columns on the screen."""
    sizes = np.abs(matrix.astype(np.int64))
    return bool(sizes[0, 1] + sizes[1, 0] > sizes[0, 0] + sizes[1, 1])


def upright(pixels: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turn and mirror a frame [height, width, 3] by the nearest of the eight orientations to a display matrix."""
    if _is_transposed(matrix):
        pixels, right, down = pixels.swapaxes(0, 1), matrix[1, 0], matrix[0, 1]
    else:
        right, down = matrix[0, 0], matrix[1, 1]
    return pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


# Frames


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
