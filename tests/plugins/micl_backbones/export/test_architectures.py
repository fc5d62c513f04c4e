"""The code of model cards for many architectures gives the answers of the backbone."""

from __future__ import annotations

import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import soundfile
from checkpoints import MODALITIES
from helpers import ready, resources

from micl_backbones.export.hf_code import prompts_are_plain
from micl_backbones.hf.backbone import HF
from micl_cli.api import Example, ExportRequest, Media, PlanError, Sound

QUESTION = "What do you see or hear?"


def read(medium: Media, options: Any) -> Any:
    """Read a picture or a sound that needs no conversion."""
    if medium.modality == "image":
        return np.array(PIL.Image.open(str(medium.path)))
    samples, rate = soundfile.read(str(medium.path), dtype="float32")
    return Sound(samples, rate)


def example(modality: str) -> Example:
    """An example about a file in the current folder, which is written."""
    noise = np.random.default_rng(0)
    path = Path("image.png" if modality == "image" else "audio.wav")
    if modality == "image":
        PIL.Image.fromarray(noise.integers(0, 256, (48, 48, 3), np.uint8)).save(path)
    else:
        soundfile.write(path, noise.uniform(-0.5, 0.5, 16000).astype(np.float32), 16000)
    return Example("example", (Media(modality, path), QUESTION))


def request(form: Any, asked: Example, place: Path, **decoding: Any) -> ExportRequest:
    given = {"max_new_tokens": 6, "num_beams": 1, **decoding}
    one: dict[str, Any] = {"adapters": {"main": ""}, "answering": ["main"], "active": "main"}
    one |= {"base": str(Path("base").absolute()), "place": str(place)}
    return ExportRequest(format=form, **one, example=asked, decoding=given)


def said(code: str) -> str:
    with redirect_stdout(StringIO()) as stdout:
        exec(compile(code, "card", "exec"), {})
    return stdout.getvalue().strip()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["peft", "merged"])
@pytest.mark.parametrize("name", sorted(MODALITIES))
def test_the_code_of_the_card_gives_the_answer(name: str, form: str, folders: Any, tmp_path: Path) -> None:
    (tmp_path / "base").symlink_to(folders(name), target_is_directory=True)
    made = ready(HF(str(folders(name)), resources=resources(), dtype="fp32"), "main", scale=0.3)
    made.read = read
    asked = example("image" if "image" in MODALITIES[name] else "audio")
    (expected,) = made.generate([asked], max_new_tokens=6)
    with made.adapters.using(None):
        assert made.generate([asked], max_new_tokens=6) != [expected], "the adapter changes the answer"
    assert prompts_are_plain(made)
    out = tmp_path / "out"
    summary = made.export(out, request(form, asked, out))
    assert said(summary.usage[0].code) == expected


@pytest.mark.slow
@pytest.mark.parametrize("form", ["peft", "merged"])
def test_beams_and_penalties_are_those_of_the_run(form: str, folders: Any, tmp_path: Path) -> None:
    (tmp_path / "base").symlink_to(folders("llava"), target_is_directory=True)
    made = ready(HF(str(folders("llava")), resources=resources(), dtype="fp32"), "main", scale=0.3)
    made.read = read
    asked = example("image")
    search: dict[str, Any] = {"num_beams": 3, "repetition_penalty": 1.5, "length_penalty": 0.2, "max_new_tokens": 12}
    (expected,) = made.generate([asked], **search)
    out = tmp_path / "out"
    summary = made.export(out, request(form, asked, out, **search))
    assert said(summary.usage[0].code) == expected


def test_four_bits_are_loaded_as_four_bits_and_not_merged(folders: Any, tmp_path: Path) -> None:
    (tmp_path / "base").symlink_to(folders("llava"), target_is_directory=True)
    made = ready(HF(str(folders("llava")), resources=resources(), quantize="nf4"), "main", scale=0.3)
    made.read = read
    asked = example("image")
    (expected,) = made.generate([asked], max_new_tokens=6)
    with pytest.raises(PlanError, match="quantised"):
        made.export(tmp_path / "merged", request("merged", asked, tmp_path))
    out = tmp_path / "out"
    summary = made.export(out, request("peft", asked, out))
    assert "load_in_4bit" in summary.usage[0].code
    assert said(summary.usage[0].code) == expected


def test_the_licence_is_that_of_the_card_of_the_base(folders: Any, tmp_path: Path) -> None:
    base = shutil.copytree(folders("llava"), tmp_path / "base")
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    made = ready(HF(str(base), resources=resources(), dtype="fp32"), "main")
    assert made.export(tmp_path / "out", request("peft", example("image"), tmp_path)).licence == "apache-2.0"
    (base / "README.md").write_text("---\nlicense: [unclosed\n---\n")
    assert made.export(tmp_path / "again", request("peft", example("image"), tmp_path)).licence == ""
