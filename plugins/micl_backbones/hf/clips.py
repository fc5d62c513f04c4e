"""Clips in the form that video processors expect: channels first, with the times of their frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from micl_cli.api import Clip

SECONDS = ("second_per_grid_ts", "video_second_per_grid")
"""The tensors of processors that hold times, which need more digits than the model's dtype may have."""
_TICKS = 1000
"""Processors count time in frames of a constant rate; here, these are milliseconds."""


def at_least(frames: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Repeat the last frame of a clip until there are ``count``."""
    if (missing := count - len(frames)) <= 0:
        return frames
    repeated = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    if not isinstance(frames, Clip) or frames.times is None or frames.duration is None:
        return repeated
    return Clip(repeated, [*frames.times, *[frames.times[-1]] * missing], frames.duration)


def channels_first(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return frames [n, 3, height, width]. Processors take the rows of clips 1 or 3 pixels high for channels."""
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))


def video_metadata(frames: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the fields of transformers' ``VideoMetadata`` for frames that are sampled already.

    Without times, the rate is left open, and processors assume one.
    """
    count, height, width, _ = frames.shape
    common = {"height": height, "width": width}
    if not isinstance(frames, Clip) or frames.times is None or frames.duration is None:
        return {**common, "total_num_frames": count, "frames_indices": list(range(count))}
    return {
        **common,
        "total_num_frames": max(1, round(frames.duration * _TICKS)),
        "fps": float(_TICKS),
        "duration": frames.duration,
        "frames_indices": [round(time * _TICKS) for time in frames.times.tolist()],
    }


def with_true_seconds(
    tensors: Mapping[str, Tensor], clips: Sequence[NDArray[np.uint8]], frames_per_grid: int
) -> dict[str, Tensor]:
    """Replace the seconds between a clip's groups of frames where a processor assumes one rate for all clips.

    The processors of Qwen-Omni ignore the times of frames.
    """
    key = SECONDS[1]
    if key not in tensors:
        return dict(tensors)
    own = torch.as_tensor(tensors[key])
    seconds = [_seconds(clip, float(assumed), frames_per_grid) for clip, assumed in zip(clips, own, strict=True)]
    return {**tensors, key: torch.tensor(seconds, dtype=own.dtype)}


def _seconds(clip: NDArray[np.uint8], assumed: float, frames_per_grid: int) -> float:
    duration = clip.duration if isinstance(clip, Clip) else None
    return assumed if duration is None else frames_per_grid * duration / len(clip)
