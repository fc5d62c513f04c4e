"""A checkpoint with code of its own: refused without a question, and its code does not run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import resources

from micl_backbones.composed.backbone import Composed
from micl_backbones.hf.backbone import HF
from micl_cli.api import PlanError

PRESET = """
name = "own"
[language]
checkpoint = "{language}"
[encoder.image]
family = "hf-vision"
checkpoint = "{image}"
[lora]
r = 4
alpha = 8
targets = ["q_proj"]
"""


class Answering(io.StringIO):
    """A stdin that always says yes, and notes that it was asked."""

    asked = False

    def readline(self, *_: Any) -> str:
        self.asked = True
        return "y\n"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Answering:
    answering = Answering()
    monkeypatch.setattr("sys.stdin", answering)
    return answering


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """A checkpoint folder whose code leaves a trace."""
    folder = tmp_path / "coded"
    folder.mkdir()
    classes = {"AutoConfig": "own.C", "AutoModel": "own.M", "AutoModelForCausalLM": "own.M", "AutoProcessor": "own.P"}
    config = {"model_type": "of-its-own", "auto_map": classes, "architectures": ["M"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass C: pass\nclass M: pass\n")
    return folder


def test_a_checkpoint_alone(coded: Path, stdin: Answering, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as refused:
        HF(str(coded), resources=resources())
    assert "--trust-remote-code" in refused.value.hint
    assert not stdin.asked and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", ["language", "image"])
def test_a_part_of_a_preset(part: str, coded: Path, preset: Path, stdin: Answering, tmp_path: Path) -> None:
    parts = {"language": str(preset.parent / "language"), "image": "none", part: str(coded)}
    (tmp_path / "own.toml").write_text(PRESET.format(**parts))
    if part == "language":
        (tmp_path / "none").mkdir()
    with pytest.raises(PlanError) as refused:
        Composed(str(tmp_path / "own.toml"), resources=resources())
    assert "trust_remote_code" not in refused.value.hint
    assert not stdin.asked and not (tmp_path / "ran").exists()
