"""Plugins of strangers: short, and they keep the contract on the toy backbone, on tiny, and on a checkpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from micl_cli.api import Backbone, Resources, Strategy, Task
from micl_cli.registry import Registry
from micl_cli.testing import StrategyContract, toy_media

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "plugins" / "micl_backbones"))

from checkpoints import build  # noqa: E402


@pytest.mark.parametrize("name", ["moelora", "prompt_pool", "similarity", "points"])
def test_a_plugin_takes_at_most_sixty_lines(name: str) -> None:
    assert len((HERE / f"{name}.py").read_text().splitlines()) <= 60


class Contract(StrategyContract):
    """The contract of one stranger's strategy, on the toy backbone."""

    module: ClassVar[str]
    name: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _find(self, installed: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory) -> None:
        found = next(
            v for v in vars(installed[self.module]).values() if isinstance(v, type) and v.__name__ == self.name
        )
        assert issubclass(found, Strategy)
        type(self).strategy = found
        self.folder = tmp_path_factory.getbasetemp() / "strangers-llava"


class OnTiny(Contract):
    """The same on tiny."""

    def backbone(self) -> Backbone:
        return _ready(Registry.discover().load("backbones", "tiny")(resources=_resources()))


class OnCheckpoint(Contract):
    """The same on a small random LLaVA checkpoint."""

    def backbone(self) -> Backbone:
        folder = self.folder if self.folder.exists() else build("llava", self.folder)
        return _ready(Registry.discover().load("backbones", "hf")(str(folder), resources=_resources()))

    def tasks(self) -> Sequence[Task]:
        return super().tasks()[:2]


def _resources() -> Resources:
    return Resources(Path(), Registry.discover().load)


def _ready(backbone: Backbone) -> Backbone:
    backbone.read = toy_media
    return backbone


class MoELoRA:
    module, name = "moelora", "MoELoRA"


class PromptPool:
    module, name, adapter = "prompt_pool", "PromptPool", None


class Similarity:
    module, name, adapter = "similarity", "Similarity", None


class TestMoELoRA(MoELoRA, Contract):
    """Token-gated experts."""


@pytest.mark.slow
class TestMoELoRAOnTiny(MoELoRA, OnTiny):
    """Token-gated experts."""


@pytest.mark.slow
class TestMoELoRAOnCheckpoint(MoELoRA, OnCheckpoint):
    """Token-gated experts."""


class TestPromptPool(PromptPool, Contract):
    """Soft prompts chosen per example."""


@pytest.mark.slow
class TestPromptPoolOnTiny(PromptPool, OnTiny):
    """Soft prompts chosen per example."""


@pytest.mark.slow
class TestPromptPoolOnCheckpoint(PromptPool, OnCheckpoint):
    """Soft prompts chosen per example."""


class TestSimilarity(Similarity, Contract):
    """Weights over experts per example."""


@pytest.mark.slow
class TestSimilarityOnTiny(Similarity, OnTiny):
    """Weights over experts per example."""


@pytest.mark.slow
class TestSimilarityOnCheckpoint(Similarity, OnCheckpoint):
    """Weights over experts per example."""


def test_a_new_modality_is_learnt_from_the_command_line(micl: Any, tmp_path: Path) -> None:
    folder, splits = tmp_path / "clouds", ("train",) * 6 + ("val",) * 2 + ("test",) * 4
    folder.mkdir()
    lines = []
    for number, split in enumerate(splits):
        scale = 1 + 3 * (number % 2)
        np.save(folder / f"{number}.npy", np.random.default_rng(number).normal(size=(20, 3)) * scale)
        line = {"id": str(number), "split": split, "points": f"{number}.npy", "prompt": "Large or small?"}
        lines.append(json.dumps({**line, "references": [("small", "large")[number % 2]]}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    (folder / "task.toml").write_text('name = "clouds"\nmodality = "points"\ntype = "qa"\nmetric = "accuracy"\n')
    import micl_backbones

    language = Path(micl_backbones.__file__).parent / "presets" / "tiny" / "language"
    preset = tmp_path / "clouds.toml"
    preset.write_text(
        f'name = "clouds"\n[language]\npath = "{language}"\n[encoder.points]\nfamily = "points-mlp"\n'
        '[lora]\nr = 4\nalpha = 8\ntargets = ["q_proj", "v_proj"]\n'
    )
    assert micl("prepare", folder).code == 0
    words = ["--strategy", "finetune", "--tasks", "own/clouds", "--lr", "1e-2", "--batch-size", "6", "--epochs", "60"]
    done = micl("learn", "--backbone", f"composed:{preset}", *words, "--patience", "0")
    assert done.code == 0, done.err
    report = json.loads(micl("report", done.out.strip(), "--json").out)["runs"][0]
    assert report["matrix"] == [[100.0]]
