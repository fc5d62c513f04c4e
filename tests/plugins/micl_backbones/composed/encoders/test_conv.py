from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_backbones.composed.encoders.conv import FAMILIES, ConvSound, Encoder, build_encoder
from micl_cli.api import PlanError, Sound


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def sound(count: int, rate: int) -> Sound:
    return Sound(np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32), rate)


MEDIA: dict[str, list[Any]] = {
    "conv-image": [noise(48, 48, 3), noise(7, 300, 3), noise(480, 640, 3), noise(1, 1, 3)],
    "conv-sound": [sound(16000, 8000), sound(10, 8000), sound(99000, 8000), sound(44100, 44100), sound(0, 8000)],
    "conv-video": [noise(8, 48, 48, 3), noise(1, 20, 30, 3), noise(4, 48, 48, 3), noise(30, 90, 160, 3)],
}


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@torch.no_grad()
def test_any_medium_becomes_the_promised_tokens(family: str) -> None:
    encoder = build_encoder(family).eval()
    batch = torch.stack([encoder.prepare(medium) for medium in MEDIA[family]])
    tokens = encoder(batch)
    assert tokens.shape == (len(batch), encoder.tokens, encoder.width)
    assert tokens.isfinite().all()


@torch.no_grad()
def test_tokens_do_not_depend_on_the_batch_or_on_the_mode(family: str) -> None:
    encoder = build_encoder(family)
    batch = torch.stack([encoder.prepare(medium) for medium in MEDIA[family]])
    together, alone = encoder.train()(batch)[1], encoder.eval()(batch[1:2])[0]
    assert torch.allclose(together, alone, atol=1e-4)


def test_weights_come_back(family: str) -> None:
    torch.manual_seed(0)
    first, second = build_encoder(family), build_encoder(family)
    second.load_state_dict(first.state_dict())
    x = first.prepare(MEDIA[family][0])[None]
    assert torch.equal(first(x), second(x))


def test_settings_shape_the_tokens() -> None:
    assert build_encoder("conv-image", size=64, grid=4, width=32).tokens == 16
    assert build_encoder("conv-sound", tokens=5).tokens == 5
    assert build_encoder("conv-video", frames=6, grid=2).tokens == 24


def test_reading_options_are_what_the_encoder_works_with() -> None:
    assert build_encoder("conv-image").options == {}
    assert build_encoder("conv-sound").options == {"rate": 8000, "seconds": 2.0}
    assert build_encoder("conv-video").options == {"frames": 4}


def test_loudness_does_not_matter() -> None:
    encoder = build_encoder("conv-sound").eval()
    assert isinstance(encoder, ConvSound)
    loud = sound(16000, 8000).samples
    x = torch.stack([encoder.prepare(Sound(loud * factor, 8000)) for factor in (1.0, 0.1)])
    first, second = encoder(x)
    assert torch.allclose(first, second, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40000), st.sampled_from([4000, 8000, 16000, 22050, 48000]))
def test_a_prepared_sound_has_a_fixed_length(count: int, rate: int) -> None:
    assert ENCODER.prepare(sound(count, rate)).shape == (16000,)


ENCODER: Encoder = build_encoder("conv-sound")


def test_an_unknown_family_names_the_known_ones() -> None:
    with pytest.raises(PlanError, match="conv-image, conv-sound, conv-video"):
        build_encoder("vit")


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(PlanError, match="depth"):
        build_encoder("conv-image", depth=3)
