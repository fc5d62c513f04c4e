"""Checkpoints are told when the frames of a clip are shown, and see them as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ready, resources

from micl_backbones.hf.backbone import HF
from micl_backbones.hf.clips import at_least, video_metadata
from micl_cli.api import Clip, Example, Media

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), dtype=np.uint8)
Told = Callable[[str, list[float]], list[Any]]


def clip(seconds: float, frames: np.ndarray[Any, Any] = FRAMES) -> Clip:
    """Frames in the middle of equal parts of a clip."""
    parts = len(frames)
    return Clip(frames, [(2 * part + 1) * seconds / (2 * parts) for part in range(parts)], seconds)


def loaded(folder: Path) -> HF:
    made = ready(HF(str(folder), resources=resources(), dtype="fp32"))
    made.read = lambda medium, options: clip(float(medium.digest))  # type: ignore[method-assign,assignment]
    return made


def example(seconds: float) -> Example:
    return Example("", (Media("video", digest=str(seconds)), "when?"), ("now",))


def tensors(made: HF, *seconds: float) -> dict[str, Any]:
    examples = [example(length) for length in seconds]
    return made.chat.encoded(made.chat.prompts(examples), [made._read_media(each) for each in examples])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("qwen2_5_vl", "second_per_grid_ts"),
        ("qwen2_5_omni", "video_second_per_grid"),
        ("qwen3_omni_moe", "video_second_per_grid"),
    ],
)
def test_models_are_told_the_seconds_between_groups_of_frames(folders: Any, name: str, key: str) -> None:
    made = loaded(folders(name))
    assert torch.as_tensor(tensors(made, 2)[key]).tolist() == pytest.approx([1.0])
    assert torch.as_tensor(tensors(made, 80)[key]).tolist() == pytest.approx([40.0])
    assert torch.as_tensor(tensors(made, 2, 80)[key]).tolist() == pytest.approx([1.0, 40.0])


@pytest.mark.parametrize(
    ("name", "pattern", "short", "long"),
    [
        ("qwen3_vl", r"<(\d+\.\d) seconds>", ["0.5", "1.5"], ["20.0", "60.0"]),
        ("gemma4", r"(\d\d:\d\d)", ["00:00", "00:00", "00:01", "00:01"], ["00:10", "00:30", "00:50", "01:10"]),
    ],
)
def test_models_are_told_the_times_in_the_prompt(
    folders: Any, name: str, pattern: str, short: list[str], long: list[str]
) -> None:
    made = loaded(folders(name))
    texts = [made.chat.tokenizer.decode(ids) for ids in tensors(made, 2, 80)["input_ids"]]
    assert [re.findall(pattern, text) for text in texts] == [short, long]


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "gemma4", "qwen2_5_omni"])
def test_what_a_model_computes_depends_on_the_length_of_a_clip(folders: Any, name: str) -> None:
    made = loaded(folders(name))
    with torch.no_grad():
        short, long = (made.answer_logits(made.batch([example(seconds)]))[0] for seconds in (2, 80))
    assert not torch.allclose(short, long, atol=1e-4)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl", "llava_onevision", "internvl", "gemma4"])
@pytest.mark.parametrize("shape", [(3, 60), (1, 60), (60, 3)])
def test_rows_are_not_taken_for_channels(folders: Any, name: str, shape: tuple[int, int]) -> None:
    """A clip 3 pixels high is processed like the same one handed over with its format."""
    made = HF(str(folders(name)), resources=resources())
    frames = np.random.default_rng(0).integers(0, 256, (4, *shape, 3), dtype=np.uint8)
    processor = made.chat.processor.video_processor
    size = dict(processor.size) if getattr(processor, "size", None) else None
    given = {"size": size} if size else {}
    expected = processor(
        [frames], do_sample_frames=False, input_data_format="channels_last", return_tensors="pt", **given
    )
    prompts = made.chat.prompts([Example("", (Media("video"), "a"))])
    encoded = made.chat.encoded(prompts, [[("video", clip(2.0, frames))]])
    key = next(name for name in expected if name.startswith("pixel_values"))
    read = next(value for name, value in encoded.items() if name.startswith("pixel_values"))
    torch.testing.assert_close(read.reshape(-1), expected[key].reshape(-1).to(read.dtype))


def test_a_clip_of_one_frame_is_enough_for_models_that_read_two_together(folders: Any) -> None:
    made = ready(HF(str(folders("qwen3_vl")), resources=resources(), frames=1))
    made.read = lambda medium, options: clip(2.0, FRAMES[:1])  # type: ignore[method-assign,assignment]
    assert torch.isfinite(made.loss(made.batch([example(2.0)])))


def test_repeated_frames_keep_their_time() -> None:
    longer = at_least(clip(3.0, FRAMES[:1]), 2)
    assert isinstance(longer, Clip)
    assert longer.times is not None
    assert longer.times.tolist() == [1.5, 1.5]
    assert np.array_equal(longer[1], FRAMES[0])
    assert at_least(FRAMES, 2) is FRAMES


def test_the_times_of_a_plain_array_are_left_open() -> None:
    assert "fps" not in video_metadata(FRAMES)
    told = video_metadata(clip(2.0))
    assert [index / told["fps"] for index in told["frames_indices"]] == [0.25, 0.75, 1.25, 1.75]
    assert told["total_num_frames"] / told["fps"] == told["duration"] == 2.0
