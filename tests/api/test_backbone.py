"""What every backbone has from its base class."""

from __future__ import annotations

import pytest
import torch

from micl_cli.api import Batch, Example
from micl_cli.testing import ToyBackbone, toy_examples, toy_task


@pytest.fixture
def backbone() -> ToyBackbone:
    made = ToyBackbone()
    made.add_adapter("main", seed=1)
    made.activate("main")
    return made


def test_rows_say_whose_each_answer_position_is() -> None:
    labels = torch.tensor([[7, -100, 5, 6, -100], [-100, -100, -100, 8, -100], [-100, 1, 2, 3, 4]])
    batch = Batch([Example(str(i), "") for i in range(3)], labels)
    # The first column has nothing before it that could predict it.
    assert batch.example_index.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert len(batch) == 3


def test_texts_have_neither_medium_nor_prompt(backbone: ToyBackbone) -> None:
    batch = backbone.text_batch(["one", "two three"])
    assert [(e.modality, e.prompt, e.target) for e in batch.examples] == [(None, "", "one"), (None, "", "two three")]


def test_using_nests_and_returns(backbone: ToyBackbone) -> None:
    backbone.add_adapter("other")
    with backbone.using("other"):
        with backbone.using(None):
            assert backbone.active is None
        assert backbone.active == "other"
        assert not torch.is_grad_enabled()
    assert backbone.active == "main"
    assert torch.is_grad_enabled()


def test_a_copy_takes_the_place_of_what_was_there(backbone: ToyBackbone) -> None:
    backbone.add_adapter("teacher", seed=9)
    backbone.copy_adapter("main", "teacher")
    ours, theirs = backbone.adapter_state("main"), backbone.adapter_state("teacher")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert backbone.adapters == ("main", "teacher")


def test_weights_of_other_names_are_refused(backbone: ToyBackbone) -> None:
    state = backbone.adapter_state("main")
    with pytest.raises(KeyError, match="adapter 'main'"):
        backbone.load_adapter("main", {**state, "more": torch.zeros(1)})


def test_trainable_leaves_out_the_connectors_not_asked_for(backbone: ToyBackbone) -> None:
    names = set(backbone.trainable({"video"}))
    assert {name.partition("-")[0] for name in names} == {"lora", "video"}
    backbone.activate(None)
    assert backbone.trainable({"video"}) == {}


def test_what_a_backbone_cannot_is_said() -> None:
    class Silent(ToyBackbone):
        from micl_cli.api.backbone import Backbone

        ask = Backbone.ask
        instructions = Backbone.instructions

    with pytest.raises(TypeError, match="Silent does not write questions"):
        Silent().ask(["a box"])
    with pytest.raises(TypeError, match="Silent does not checkpoint gradients"):
        Silent().checkpoint_gradients()
    assert Silent().instructions() == ()
    assert Silent.defaults("") == {}


def test_the_loss_of_a_mixed_batch_weighs_positions_alike(backbone: ToyBackbone) -> None:
    examples = [*toy_examples(["image", "audio"]), *toy_task("video", "captioning").examples("val")]
    with torch.no_grad():
        parts = [(float(backbone.loss(backbone.batch([e]))), len(e.target) + 1) for e in examples]
        together = float(backbone.loss(backbone.batch(examples)))
    expected = sum(loss * count for loss, count in parts) / sum(count for _, count in parts)
    assert together == pytest.approx(expected, rel=1e-4)
