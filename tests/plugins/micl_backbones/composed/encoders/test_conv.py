from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_backbones.composed.encoders.conv import ConvSound
from micl_cli.api import Encoder, PlanError, Sound
from micl_cli.errors import PluginError


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def sound(count: int, rate: int) -> Sound:
    return Sound(np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32), rate)


MEDIA: dict[str, list[Any]] = {
    "conv-image": [noise(48, 48, 3), noise(7, 300, 3), noise(480, 640, 3), noise(1, 1, 3)],
    "conv-sound": [sound(16000, 8000), sound(10, 8000), sound(99000, 8000), sound(44100, 44100), sound(0, 8000)],
    "conv-video": [noise(8, 48, 48, 3), noise(1, 20, 30, 3), noise(4, 48, 48, 3), noise(30, 90, 160, 3)],
}


@pytest.fixture(params=sorted(MEDIA))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@torch.no_grad()
def test_any_medium_becomes_the_promised_tokens(family: str) -> None:
    made = encoder(family).eval()
    batch = torch.stack([made.prepare(medium) for medium in MEDIA[family]])
    tokens = made(batch)
    assert tokens.shape == (len(batch), made.tokens, made.width)
    assert tokens.isfinite().all()


@torch.no_grad()
def test_tokens_do_not_depend_on_the_batch_or_on_the_mode(family: str) -> None:
    made = encoder(family)
    batch = torch.stack([made.prepare(medium) for medium in MEDIA[family]])
    together, alone = made.train()(batch)[1], made.eval()(batch[1:2])[0]
    assert torch.allclose(together, alone, atol=1e-4)


def test_weights_come_back(family: str) -> None:
    torch.manual_seed(0)
    first, second = encoder(family), encoder(family)
    second.load_state_dict(first.state_dict())
    x = first.prepare(MEDIA[family][0])[None]
    assert torch.equal(first(x), second(x))


def test_settings_shape_the_tokens() -> None:
    assert encoder("conv-image", size=64, grid=4, width=32).tokens == 16
    assert encoder("conv-sound", tokens=5).tokens == 5
    assert encoder("conv-video", frames=6, grid=2).tokens == 24


def test_reading_options_are_what_the_encoder_works_with() -> None:
    assert encoder("conv-image").options == {}
    assert encoder("conv-sound").options == {"rate": 8000, "seconds": 2.0}
    assert encoder("conv-video").options == {"frames": 4}


def test_loudness_does_not_matter() -> None:
    made = encoder("conv-sound").eval()
    assert isinstance(made, ConvSound)
    loud = sound(16000, 8000).samples
    x = torch.stack([made.prepare(Sound(loud * factor, 8000)) for factor in (1.0, 0.1)])
    first, second = made(x)
    assert torch.allclose(first, second, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40000), st.sampled_from([4000, 8000, 16000, 22050, 48000]))
def test_a_prepared_sound_has_a_fixed_length(count: int, rate: int) -> None:
    assert ENCODER.prepare(sound(count, rate)).shape == (16000,)


ENCODER: Encoder = encoder("conv-sound")


def test_an_unknown_family_is_refused_with_where_to_look() -> None:
    with pytest.raises(PluginError, match="no encoder 'vit'") as caught:
        encoder("vit")
    assert "micl plugins --kind encoders" in caught.value.hint


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(PlanError, match="depth"):
        encoder("conv-image", depth=3)
