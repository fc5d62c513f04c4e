"""Encoders of pretrained weights: shapes, media of any size, and names of what is converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from helpers import encoder, resources
from languages import write_encoders, write_language, write_sound_models
from safetensors.torch import load_file
from transformers import AutoModel

from micl_backbones.composed.backbone import Composed
from micl_backbones.composed.encoders.pretrained import EfficientNetLite, Whisper
from micl_backbones.composed.media import faulty_media
from micl_backbones.weights.convert import efficientnet_lite, whisper_encoder
from micl_cli.api import InspectedMedium, Media, PlanError, Sound
from micl_cli.testing import toy_examples, toy_media


def picture(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def sound(seconds: float, rate: int = 16000) -> Sound:
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)
    return Sound(samples, rate)


@torch.no_grad()
def seen(encoder: Any, *media: Any) -> torch.Tensor:
    encoder.eval()
    made: torch.Tensor = encoder(torch.stack([encoder.prepare(medium) for medium in media]))
    assert made.shape == (len(media), encoder.tokens, encoder.width)
    assert torch.isfinite(made).all()
    return made


def test_pictures_and_clips_of_any_size() -> None:
    assert seen(encoder("efficientnet-lite", grid=4), picture(50, 300), picture(1, 1)).shape[1] == 16
    assert seen(encoder("efficientnet-lite", grid=2, frames=3), picture(3, 64, 48)).shape[1] == 12


@pytest.mark.parametrize("height", [1, 2, 3, 4])
def test_rows_of_a_strip_are_not_taken_for_channels(tmp_path: Path, height: int) -> None:
    write_encoders(tmp_path)
    still = encoder("hf-vision", checkpoint=str(tmp_path / "clip"), grid=2)
    strip = picture(height, 60)
    expected = still.processor(PIL.Image.fromarray(strip), return_tensors="pt").pixel_values
    torch.testing.assert_close(still.prepare(strip), expected)
    moving = encoder("hf-vision", checkpoint=str(tmp_path / "clip"), grid=2, frames=2)
    torch.testing.assert_close(moving.prepare(np.stack([strip, strip])), torch.cat([expected, expected]))


def test_a_strip_that_would_be_enlarged_to_gigabytes_is_refused(tmp_path: Path) -> None:
    write_encoders(tmp_path)
    still = encoder("hf-vision", checkpoint=str(tmp_path / "clip"), grid=2)
    assert "would enlarge to" in still.check({"width": 20_000_000, "height": 1})
    assert not still.check({"width": 60, "height": 1})
    assert not still.check({})


def test_a_clip_is_its_frames() -> None:
    torch.manual_seed(0)
    clip, still = encoder("efficientnet-lite", grid=2, frames=2), encoder("efficientnet-lite", grid=2)
    still.load_state_dict(clip.state_dict())
    frames = picture(2, 64, 48)
    both = torch.cat([seen(still, frames[0]), seen(still, frames[1])], dim=1)
    torch.testing.assert_close(seen(clip, frames), both, atol=1e-5, rtol=1e-4)


def test_sounds_of_any_length_and_rate() -> None:
    made = encoder("whisper", width=64, heads=2, layers=1, tokens=5, seconds=1.0)
    seen(made, sound(0.0), sound(0.3), sound(4.0), sound(1.0, rate=8000))


def test_a_lite_checkpoint_is_renamed_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = EfficientNetLite()
    old = {_old_lite(name): weight for name, weight in encoder.state_dict().items()}
    torch.save({**old, "_fc.weight": torch.zeros(2, 2), "_fc.bias": torch.zeros(2)}, tmp_path / "old.pth")
    found = load_file(efficientnet_lite(tmp_path / "old.pth", tmp_path / "new.safetensors"))
    assert found.keys() == encoder.state_dict().keys()
    assert all(torch.equal(weight, found[name]) for name, weight in encoder.state_dict().items())


def _old_lite(name: str) -> str:
    names = {"stem": "_conv_stem", "head": "_conv_head", "stem_norm": "_bn0", "head_norm": "_bn1", "blocks": "_blocks"}
    names |= {"expand": "_expand_conv", "depthwise": "_depthwise_conv", "project": "_project_conv"}
    names |= {"expand_norm": "_bn0", "depthwise_norm": "_bn1", "project_norm": "_bn2"}
    return ".".join(names.get(part, part) for part in name.split("."))


def test_a_whisper_checkpoint_is_renamed_and_cut(tmp_path: Path) -> None:
    size = 64
    shapes = {"positional_embedding": (1500, size), "conv1.weight": (size, 80, 3), "conv1.bias": (size,)}
    shapes |= {
        "conv2.weight": (size, size, 3),
        "conv2.bias": (size,),
        "ln_post.weight": (size,),
        "ln_post.bias": (size,),
    }
    for layer in range(4):
        at = f"blocks.{layer}"
        shapes |= {f"{at}.{norm}.{kind}": (size,) for norm in ("attn_ln", "mlp_ln") for kind in ("weight", "bias")}
        shapes |= {f"{at}.attn.{part}.weight": (size, size) for part in ("query", "key", "value", "out")}
        shapes |= {f"{at}.attn.{part}.bias": (size,) for part in ("query", "value", "out")}
        shapes |= {f"{at}.mlp.0.weight": (4 * size, size), f"{at}.mlp.0.bias": (4 * size,)}
        shapes |= {f"{at}.mlp.2.weight": (size, 4 * size), f"{at}.mlp.2.bias": (size,)}
    old = {f"encoder.{name}": torch.randn(shape) for name, shape in shapes.items()}
    torch.save({"dims": {}, "model_state_dict": {**old, "decoder.x": torch.zeros(1)}}, tmp_path / "old.pt")
    encoder = Whisper(width=size, heads=2, layers=3)
    encoder.load_state_dict(load_file(whisper_encoder(tmp_path / "old.pt", tmp_path / "new.safetensors")))
    assert torch.equal(encoder.encoder.layers[2].fc1.weight, old["encoder.blocks.2.mlp.0.weight"])


def test_a_file_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "run",)

    torch.save({"model_state_dict": Bad()}, tmp_path / "bad.pt")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        whisper_encoder(tmp_path / "bad.pt", tmp_path / "new.safetensors")
    assert not (tmp_path / "run").exists()


def test_a_preset_of_ones_own_takes_any_language_model_and_encoders(tmp_path: Path) -> None:
    write_language(tmp_path / "words")
    write_encoders(tmp_path)
    (tmp_path / "mine.toml").write_text(MINE)
    made = Composed(str(tmp_path / "mine.toml"), resources=resources())
    made.read = toy_media
    made.adapters.add("main")
    made.adapters.activate("main")
    assert made.modalities == {"image", "audio"}
    examples = toy_examples(["audio", "image"])
    made.calibrate(examples)
    assert len(made.modules.standardizers) == 2 and not made.modules.standardizers.unfitted()
    assert torch.isfinite(made.loss(made.batch(examples)))
    assert len(made.generate(examples, max_new_tokens=2)) == len(examples)
    assert len(made.instructions()) >= 100
    made.write_questions(["a red box"])


MINE = """
name = "mine"
[language]
checkpoint = "words"
[encoder.image]
family = "hf-vision"
checkpoint = "clip"
grid = 2
[encoder.audio]
family = "hf-audio"
checkpoint = "ast"
tokens = 4
seconds = 0.5
[lora]
r = 8
alpha = 16
targets = ["q_proj", "v_proj"]
"""


def test_encoders_of_transformers(tmp_path: Path) -> None:
    write_encoders(tmp_path)
    seen(encoder("hf-vision", checkpoint=str(tmp_path / "clip"), grid=2), picture(30, 50), picture(90, 20))
    seen(encoder("hf-vision", checkpoint=str(tmp_path / "clip"), grid=2, frames=2), picture(2, 30, 50))
    seen(encoder("hf-audio", checkpoint=str(tmp_path / "ast"), tokens=4, seconds=0.5), sound(0.2), sound(2.0))


def test_a_sound_beyond_the_window_of_an_extractor_is_known_to_be_cut(tmp_path: Path) -> None:
    write_encoders(tmp_path)
    made = encoder("hf-audio", checkpoint=str(tmp_path / "ast"), seconds=10.0)
    assert made.options == {"rate": 16000, "seconds": 0.655}  # 64 windows of 25 ms, one each 10 ms
    heard = Sound(sound(0.655).samples, 16000)
    longer = Sound(np.concatenate([heard.samples, sound(1.0).samples]), 16000)
    assert torch.equal(made.prepare(heard), made.prepare(longer))
    silenced = Sound(np.concatenate([heard.samples[:-240], np.zeros(240, np.float32)]), 16000)
    assert not torch.equal(made.prepare(heard), made.prepare(silenced))
    media = [InspectedMedium(Media("audio", Path(f"{n}.wav"), str(n)), {"seconds": n}) for n in (0.5, 5.0)]
    (fault,) = faulty_media(media, {"audio": made})
    assert fault.partial and fault.medium.path == Path("5.0.wav")


@pytest.mark.parametrize("name", ["clap", "clap-fused", "whisper"])
def test_the_sound_encoder_of_a_model_that_does_more(name: str, tmp_path: Path) -> None:
    write_sound_models(tmp_path)
    made = encoder("hf-audio", checkpoint=str(tmp_path / name), tokens=5, seconds=10.0).eval()
    seen(made, sound(0.2), sound(2.0), sound(12.0, rate=8000))


def test_silence_that_only_fills_up_is_not_heard(tmp_path: Path) -> None:
    """Whisper takes thirty seconds: what stands behind a sound's own seconds is not among its tokens."""
    write_sound_models(tmp_path)
    folder = str(tmp_path / "whisper")
    whole, part = (encoder("hf-audio", checkpoint=folder, tokens=30 // n, seconds=30 / n).eval() for n in (1, 3))
    medium = sound(9.0)
    heard = [made(made.prepare(medium)[None]) for made in (whole, part)]
    torch.testing.assert_close(heard[0][:, :10], heard[1], atol=1e-5, rtol=1e-5)


def test_of_a_long_sound_clap_hears_the_beginning(tmp_path: Path) -> None:
    write_sound_models(tmp_path)
    made = encoder("hf-audio", checkpoint=str(tmp_path / "clap"), tokens=5, seconds=15.0).eval()
    first, second = (made.prepare(sound(15.0)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("kind", ["hf-vision", "hf-audio"])
def test_encoders_compute_in_float32_whatever_is_stored(kind: str, tmp_path: Path) -> None:
    write_encoders(tmp_path)
    name = {"hf-vision": "clip", "hf-audio": "ast"}[kind]
    AutoModel.from_pretrained(tmp_path / name).half().save_pretrained(tmp_path / name)
    made = encoder(kind, checkpoint=str(tmp_path / name))
    tokens = seen(made, picture(30, 50) if kind == "hf-vision" else sound(0.2))
    assert tokens.dtype == torch.float32


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be loaded") as caught:
        encoder("hf-vision", checkpoint=str(tmp_path / "nothing"))
    assert caught.value.hint
