from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

sys.path.append(str(Path(__file__).parent))

from checkpoints import build
from helpers import Make, encoder, resources
from languages import write_language

from micl_backbones.composed.backbone import Composed
from micl_backbones.hf.backbone import HF
from micl_backbones.language import LanguageBackbone

ENCODERS = {
    "image": ("conv-image", {"size": 24, "grid": 2, "channels": 16, "width": 8}),
    "audio": ("conv-sound", {"rate": 8000, "seconds": 0.5, "tokens": 3, "channels": 16, "width": 12}),
}


def write_preset(folder: Path) -> Path:
    """Write a preset of random parts with two modalities, and return its TOML file."""
    write_language(folder / "language")
    lines = ['name = "small"', "[language]", 'path = "language"', 'question_prompt = "Ask about: {caption}"']
    lines.append('instructions = "instructions.jsonl"')
    texts = ["Say yes. yes", "Name a colour. red"]
    (folder / "instructions.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for modality, (family, config) in ENCODERS.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            save_file(encoder(family, **config).state_dict(), folder / f"{modality}.safetensors")
        lines += [f"[encoder.{modality}]", f'family = "{family}"', f'weights = "{modality}.safetensors"']
        lines += [f"{key} = {value}" for key, value in config.items()]
    lines += ["[lora]", "r = 4", "alpha = 8", 'targets = ["q_proj", "v_proj", "down_proj"]']
    lines += ["[training]", "batch_size = 2", "learning_rate = 1e-3"]
    path = folder / "small.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of small random parts; not to be changed."""
    return write_preset(tmp_path_factory.mktemp("preset"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint by name, built once; not to be changed."""
    return cache(lambda name: build(name, tmp_path_factory.mktemp(name) / name))


@pytest.fixture(scope="session")
def make(preset: Path, folders: Callable[[str], Path]) -> Make:
    """Makes fresh backbones in float32: "composed" of small random parts, or "hf" from a tiny checkpoint."""

    def call(kind: str, **options: Any) -> LanguageBackbone:
        given: dict[str, Any] = {"resources": resources(), "dtype": "fp32", **options}
        return Composed(str(preset), **given) if kind == "composed" else HF(str(folders("llava")), **given)

    return call
