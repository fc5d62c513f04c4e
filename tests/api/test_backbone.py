"""What every backbone has from its base class."""

from __future__ import annotations

import pytest
import torch

from micl_cli.api import Backbone, Batch, Example
from micl_cli.testing import ToyBackbone, toy_examples, toy_task


@pytest.fixture
def backbone() -> ToyBackbone:
    made = ToyBackbone()
    made.adapters.add("main", seed=1)
    made.adapters.activate("main")
    return made


LABELS = torch.tensor([[7, -100, 5, 6, -100], [-100, -100, -100, 8, -100], [-100, 1, 2, 3, 4]])


def test_each_answer_position_belongs_to_an_example() -> None:
    batch = Batch([Example(str(i)) for i in range(3)], LABELS)
    # The first column has nothing before it that could predict it.
    assert batch.example_index.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert len(batch) == 3


def test_groups_name_answer_positions() -> None:
    batch = Batch([Example(str(i)) for i in range(3)], LABELS, groups={"added": [0, 2], "none": []})
    assert batch.positions("added").tolist() == [True, True, False, True, True, True, True]
    assert not batch.positions("none").any()
    with pytest.raises(KeyError):
        batch.positions("other")


def test_groups_are_part_of_a_batch(backbone: ToyBackbone) -> None:
    examples = toy_examples(["image"])
    assert backbone.batch(examples, {"texts": [2, 3]}).groups == {"texts": [2, 3]}
    assert backbone.batch(examples).groups == {}


def test_texts_have_neither_media_nor_prompt(backbone: ToyBackbone) -> None:
    batch = backbone.text_batch(["one", "two three"])
    assert [(e.content, e.target) for e in batch.examples] == [((), "one"), ((), "two three")]


def test_what_a_backbone_cannot_is_said() -> None:
    class Silent(ToyBackbone):
        write_questions = Backbone.write_questions
        instructions = Backbone.instructions
        enable_gradient_checkpointing = Backbone.enable_gradient_checkpointing
        plain_passes = Backbone.plain_passes

    with pytest.raises(TypeError, match="Silent does not generate questions"):
        Silent().write_questions(["a box"])
    with pytest.raises(TypeError, match="Silent does not support gradient checkpointing"):
        Silent().enable_gradient_checkpointing()
    with pytest.raises(TypeError, match="Silent has no layer statistics"):
        next(Silent().layer_statistics(toy_examples([]), "inputs"))
    assert Silent().instructions() == ()


def test_the_loss_of_a_mixed_batch_weighs_positions_alike(backbone: ToyBackbone) -> None:
    examples = [*toy_examples(["image", "audio"]), *toy_task("video", "captioning").examples("val")]
    with torch.no_grad():
        terms = [(float(backbone.loss(backbone.batch([e]))), len(e.target) + 1) for e in examples]
        together = float(backbone.loss(backbone.batch(examples)))
    expected = sum(loss * count for loss, count in terms) / sum(count for _, count in terms)
    assert together == pytest.approx(expected, rel=1e-4)
