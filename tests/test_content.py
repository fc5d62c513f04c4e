"""Content of every shape through prepare, learn, eval and report: on tiny, and on tiny checkpoints that can take it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import soundfile

sys.path.append(str(Path(__file__).parent / "plugins" / "micl_backbones"))

from checkpoints import build

COLOURS = ("red", "green", "blue")
SPLITS = ("train",) * 6 + ("val",) * 2 + ("test",) * 4
SMALL = ["--max-steps", "2", "--batch-size", "3", "--accumulation", "1", "--max-new-tokens", "3", "--quiet"]
IMAGES = ("llava", "llava_onevision", "internvl", "smolvlm", "qwen2_vl", "qwen2_5_vl", "qwen3_vl")
Line = dict[str, Any]


def two_images(number: int) -> Line:
    return {"content": [{"image": f"{number % 3}.png"}, {"image": f"{(number + 1) % 3}.png"}, "What changed?"]}


def image_and_sound(number: int) -> Line:
    return {"content": ["Look:", {"image": f"{number % 3}.png"}, {"audio": f"{number % 3}.wav"}, "Which colour?"]}


def text_alone(number: int) -> Line:
    return {"prompt": f"Name colour number {number % 3 + 1}."}


def own_choices(number: int) -> Line:
    others = [colour for colour in COLOURS if colour != COLOURS[number % 3]][: 1 + number % 2]
    return {"image": f"{number % 3}.png", "prompt": "Which colour?", "choices": [COLOURS[number % 3], *others]}


SHAPES: dict[str, tuple[Callable[[int], Line], list[str], str]] = {
    "two_images": (two_images, ["image"], "qa"),
    "image_and_sound": (image_and_sound, ["image", "audio"], "qa"),
    "text_alone": (text_alone, [], "qa"),
    "own_choices": (own_choices, ["image"], "choice"),
}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Four folders, one a shape of content."""
    for name, (line, modalities, type_) in SHAPES.items():
        write_task(tmp_path / "tasks" / name, name, line, modalities, type_)
    return tmp_path / "tasks"


def write_task(folder: Path, name: str, line: Callable[[int], Line], modalities: list[str], type_: str) -> None:
    folder.mkdir(parents=True)
    for place in range(3):
        pixels = np.full((24, 24, 3), 40, np.uint8)
        pixels[:, :, place] = 220
        PIL.Image.fromarray(pixels).save(folder / f"{place}.png")
        wave = 0.5 * np.sin(np.arange(4000) * (0.1 + 0.2 * place))
        soundfile.write(folder / f"{place}.wav", wave.astype(np.float32), 8000)
    table = f'name = "{name}"\nmodalities = {json.dumps(modalities)}\ntype = "{type_}"\nmetric = "accuracy"\n'
    (folder / "task.toml").write_text(table)
    rows = [{"id": str(i), "split": s, **line(i), "references": [COLOURS[i % 3]]} for i, s in enumerate(SPLITS)]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def through(micl: Any, folders: Path, backbone: str, names: list[str]) -> dict[str, Any]:
    """Prepare, learn, evaluate and report tasks; return the report's run."""
    prepared = micl("prepare", *(folders / name for name in names))
    assert prepared.code == 0, prepared.err
    tasks = ",".join(f"own/{name}" for name in names)
    learned = micl("learn", "--backbone", backbone, "--strategy", "finetune", "--tasks", tasks, *SMALL)
    assert learned.code == 0, learned.err
    run = learned.out.strip()
    scored = micl("eval", run, "--stage", "1", "--split", "val", "--json")
    assert scored.code == 0, scored.err
    assert {json.loads(line)["task"] for line in scored.out.splitlines()} == {f"own/{name}" for name in names}
    report: dict[str, Any] = json.loads(micl("report", run, "--json").out)["runs"][0]
    assert all(score is not None for score in report["matrix"][-1])
    return report


def test_every_shape_on_tiny(micl: Any, folders: Path) -> None:
    report = through(micl, folders, "tiny", list(SHAPES))
    assert len(report["matrix"]) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["llava", "llava_onevision", "internvl", "smolvlm", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
)
def test_images_on_checkpoints(name: str, micl: Any, folders: Path, tmp_path: Path) -> None:
    through(micl, folders, f"hf:{build(name, tmp_path / name)}", ["two_images", "text_alone", "own_choices"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2_5_omni", "qwen3_omni_moe", "gemma4"])
def test_every_shape_on_checkpoints_that_see_and_hear(name: str, micl: Any, folders: Path, tmp_path: Path) -> None:
    through(micl, folders, f"hf:{build(name, tmp_path / name)}", list(SHAPES))


def test_what_a_checkpoint_cannot_take_is_refused_by_dry_run(micl: Any, folders: Path, tmp_path: Path) -> None:
    checkpoint = build("llava", tmp_path / "llava")
    template = checkpoint / "chat_template.jinja"
    first = "{% for m in messages %}{% set ns = namespace(seen=false) %}{% for c in m.content %}"
    first += "{% if c.type == 'image' and not ns.seen %}<image>{% set ns.seen = true %}"
    first += "{% elif c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}\n{% endfor %}"
    template.write_text(first)
    assert micl("prepare", folders / "two_images", folders / "own_choices").code == 0
    words = ["learn", "--backbone", f"hf:{checkpoint}", "--strategy", "finetune", "--dry-run", *SMALL]
    assert micl(*words, "--tasks", "own/own_choices").code == 0
    refused = micl(*words, "--tasks", "own/own_choices,own/two_images")
    assert refused.code == 4
    assert "2 media of modality image" in refused.err
