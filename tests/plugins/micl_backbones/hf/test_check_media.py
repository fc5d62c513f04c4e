"""Media that a checkpoint's processor refuses or cuts are found by their recorded sizes, before learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import resources

from micl_backbones.hf.backbone import HF
from micl_cli.api import Example, InspectedMedium, Media, Sound


def picture(width: int, height: int, modality: str = "image") -> InspectedMedium:
    name = f"{width}x{height}"
    return InspectedMedium(Media(modality, Path(name), name), {"width": width, "height": height})


def sound(seconds: float) -> InspectedMedium:
    return InspectedMedium(Media("audio", Path(f"{seconds:g}"), f"{seconds:g}"), {"seconds": seconds})


def faults(made: HF, *media: InspectedMedium) -> dict[str, tuple[str, bool]]:
    return {str(fault.medium.path): (fault.reason, fault.partial) for fault in made.check_media(media)}


@pytest.mark.parametrize("modality", ["image", "video"])
def test_pictures_that_are_too_long_are_found(folders: Any, modality: str) -> None:
    made = HF(str(folders("qwen2_vl")), resources=resources())
    shapes = [(60, 40), (681, 3), (2, 500), (199, 1), (1, 1), (3000, 2000)]
    found = faults(made, *(picture(*shape, modality) for shape in shapes))
    assert set(found) == {"681x3", "2x500"}
    assert "aspect ratio must be smaller than 200, got 227" in found["681x3"][0]
    assert not any(partial for _, partial in found.values())


def test_a_strip_that_would_be_enlarged_to_gigabytes_is_found_without_trying(folders: Any) -> None:
    made = HF(str(folders("llava")), resources=resources())
    assert set(faults(made, picture(20_000_000, 1), picture(60, 1), picture(4000, 3000))) == {"20000000x1"}


def test_sounds_beyond_the_window_are_found(folders: Any) -> None:
    """The tiny checkpoint hears 2 seconds."""
    made = HF(str(folders("qwen2_audio")), resources=resources())
    found = faults(made, sound(0.0005), sound(2.0), sound(2.5), sound(9.0))
    assert found == dict.fromkeys(("2.5", "9"), ("the checkpoint reads the first 2 s of a sound", True))


def test_a_checkpoint_without_a_window_hears_whole_sounds(folders: Any) -> None:
    made = HF(str(folders("qwen3_omni_moe")), resources=resources())
    assert not faults(made, sound(0.001), sound(2.0), sound(9.0))


def test_media_without_facts_and_of_other_modalities_are_passed_over(folders: Any) -> None:
    made = HF(str(folders("qwen2_vl")), resources=resources())
    assert not faults(made, InspectedMedium(Media("image", Path("a")), {"width": 0}), sound(1000), picture(60, 40))


@pytest.mark.parametrize("count", [1, 100, 400])
def test_a_sound_shorter_than_a_frame_is_heard(folders: Any, count: int) -> None:
    made = HF(str(folders("qwen2_audio")), resources=resources())
    heard = made.chat.medium("audio", Sound(np.full(count, 0.5, np.float32), 16000))
    prompts = made.chat.prompts([Example("", (Media("audio"), "a"))])
    ids = made.chat.encoded(prompts, [[("audio", heard)]])["input_ids"]
    assert (ids == made.model.config.audio_token_id).sum() >= 1
