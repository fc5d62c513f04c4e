"""The path for any checkpoint, on tiny random ones that need no hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from checkpoints import MODALITIES
from helpers import ready, resources

from micl_backbones.hf.backbone import HF
from micl_cli.api import Backbone, Example, PlanError
from micl_cli.testing import BackboneContract
from micl_cli.testing.tasks import toy_examples


class Contract(BackboneContract):
    """What every backbone keeps, for one architecture."""

    name: ClassVar[str]
    learning_rate = 3e-3
    steps = 150

    @pytest.fixture(autouse=True)
    def _folder(self, folders: Any) -> None:
        self.folder = folders(self.name)

    def make(self) -> Backbone:
        made = HF(str(self.folder), resources=resources())
        made.place(torch.device("cpu"))
        return made


@pytest.mark.slow
class TestLlava(Contract):
    name = "llava"


@pytest.mark.slow
class TestLlavaNext(Contract):
    name = "llava_next"


@pytest.mark.slow
class TestLlavaOneVision(Contract):
    name = "llava_onevision"


@pytest.mark.slow
class TestInternVL(Contract):
    name = "internvl"


@pytest.mark.slow
class TestIdefics(Contract):
    name = "smolvlm"


@pytest.mark.slow
class TestQwen2VL(Contract):
    name = "qwen2_vl"


@pytest.mark.slow
class TestQwen25VL(Contract):
    name = "qwen2_5_vl"


@pytest.mark.slow
class TestQwen3VL(Contract):
    name = "qwen3_vl"


@pytest.mark.slow
class TestQwen2Audio(Contract):
    name = "qwen2_audio"


@pytest.mark.slow
class TestQwen25Omni(Contract):
    name = "qwen2_5_omni"


@pytest.mark.slow
class TestQwen3Omni(Contract):
    name = "qwen3_omni_moe"


@pytest.mark.slow
class TestGemma4(Contract):
    name = "gemma4"


def backbone(folder: Path, **options: Any) -> HF:
    return ready(HF(str(folder), resources=resources(), **options), scale=0.0)


@pytest.mark.parametrize("name", sorted(MODALITIES))
def test_what_it_takes_is_read_from_the_processor(name: str, folders: Any) -> None:
    assert HF(str(folders(name)), resources=resources()).modalities == MODALITIES[name]


@pytest.mark.parametrize("name", ["llava", "smolvlm", "qwen3_vl", "gemma4"])
def test_the_answer_and_what_ends_it_are_taught(name: str, folders: Any) -> None:
    made = backbone(folders(name))
    batch = made.batch([Example("1", ("what is it?",), ("a cat .",))])
    (row,) = batch.labels.tolist()
    target = [token for token in row if token != -100]
    assert made.chat.tokenizer.decode(target) == "a cat .<|im_end|>"


def test_texts_are_read_apart_and_answered_in_order(folders: Any) -> None:
    made = backbone(folders("llava"))
    seen, plain = toy_examples(["image"])[:2], toy_examples([])
    mixed = [plain[0], seen[0], plain[1], seen[1]]
    with torch.no_grad():
        logits, labels = made.answer_logits(batch := made.batch(mixed))
        alone = [made.answer_logits(made.batch([example])) for example in mixed]
    assert torch.equal(labels, torch.cat([each for _, each in alone]))
    torch.testing.assert_close(logits, torch.cat([each for each, _ in alone]), atol=1e-4, rtol=1e-4)
    assert batch.example_index.tolist() == [row for row, (_, each) in enumerate(alone) for _ in each]


def test_lora_adapts_the_language_model_alone(folders: Any) -> None:
    for name in ("llava", "smolvlm", "qwen3_omni_moe"):
        made = backbone(folders(name))
        layers = set(made.adapters.layer_adapters("main"))
        assert layers, name
        assert not [layer for layer in layers if any(part in layer for part in ("vision", "visual", "audio"))]


def test_targets_that_no_layer_has(folders: Any) -> None:
    with pytest.raises(PlanError, match="is called 'w_proj'") as caught:
        HF(str(folders("llava")), resources=resources(), lora_targets="w_proj")
    assert "q_proj" in caught.value.hint


def test_content_stands_in_its_order(folders: Any) -> None:
    made = backbone(folders("llava"))
    (medium,) = toy_examples(["image"])[0].media
    (prompt,) = made.chat.prompts([Example("1", ("a dog", medium, "b?"))])
    assert prompt.text.index("a dog") < prompt.text.index("<image>") < prompt.text.index("b?")


def test_the_digest_follows_the_folder(folders: Any, tmp_path: Path) -> None:
    folder = folders("llava")
    before = HF.digest(str(folder), resources())
    assert before == HF.digest(str(folder), resources())
    (tmp_path / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert HF.digest(str(tmp_path), resources()) != before


@pytest.mark.parametrize(
    ("argument", "message"),
    [("", "needs a checkpoint"), ("nobody/nothing", "nobody/nothing cannot be loaded")],
)
def test_a_checkpoint_that_is_not_there(argument: str, message: str) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        HF(argument, resources=resources())
    assert caught.value.hint


def test_a_folder_has_no_revisions(folders: Any) -> None:
    with pytest.raises(PlanError, match="a folder has no revisions"):
        HF(f"{folders('llava')}@v1", resources=resources())
    with pytest.raises(PlanError, match="needs a checkpoint"):
        HF.fetch("@main", lambda name, done, total: None, resources())


def test_a_folder_without_a_chat_template(folders: Any, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(folders("llava"), tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(PlanError, match="has no chat template"):
        HF(str(folder), resources=resources())
