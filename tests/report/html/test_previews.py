from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.modality import Clip, Sound
from micl_cli.report.html.previews import SIDE, Preview, preview


def opened(shown: Preview) -> PIL.Image.Image:
    head, _, data = shown.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    image = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (shown.width, shown.height)
    return image


def test_an_image_becomes_a_small_picture_of_the_same_colour() -> None:
    pixels = np.zeros((300, 600, 3), np.uint8)
    pixels[:, :] = (200, 30, 30)
    shown = preview(pixels, "image")
    image = opened(shown)
    assert image.size == (SIDE, SIDE // 2)
    assert np.abs(np.array(image)[20, 20].astype(int) - (200, 30, 30)).max() < 12
    assert shown.text == "image, 600 x 300"
    assert shown.size < 4000


@pytest.mark.parametrize(("count", "frames"), [(1, 1), (2, 2), (3, 3), (16, 3)])
def test_a_clip_becomes_its_first_middle_and_last_frame(count: int, frames: int) -> None:
    pixels = np.zeros((count, 40, 40, 3), np.uint8) + np.linspace(0, 250, count).astype(np.uint8)[:, None, None, None]
    shown = preview(Clip(pixels, np.arange(count), 2.5), "video")
    image = opened(shown)
    assert image.size == (40 * frames + 2 * (frames - 1), 40)
    assert float(np.array(image)[20, -20, 0]) == pytest.approx(float(pixels[-1, 0, 0, 0]), abs=8)
    assert shown.text == f"video, 2.5 s: {frames} frames"
    assert preview(pixels, "video").text == f"video: {frames} frames"  # frames without times


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=200), st.integers(1, 48000))
def test_a_waveform_stays_within_its_box(samples: list[float], rate: int) -> None:
    shown = preview(Sound(np.array(samples, np.float32), rate), "audio")
    numbers = [float(n) for pair in re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", shown.path) for n in pair]
    assert len(numbers) == 3 * min(60, len(samples))
    assert all(0 <= y <= shown.height for at in range(0, len(numbers), 3) for y in numbers[at + 1 : at + 3])
    assert all(0 <= x <= shown.width for x in numbers[::3])
    assert not shown.uri


@pytest.mark.parametrize("medium", [None, {"x": 1}, np.zeros((0, 4, 4, 3), np.uint8), np.zeros((5, 2)), "text"])
def test_media_of_other_forms_are_named(medium: Any) -> None:
    assert preview(medium, "points") == Preview("points: no preview")
