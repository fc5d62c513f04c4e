"""Learning connectors only leaves the language model as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from micl_cli.api import PlanError
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.connectors import Connectors

IMG_CAP, IMG_QA, AUD_QA = toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")


def test_only_connectors_of_the_stage_s_modalities_learn() -> None:
    made = Course(Connectors(ToyBackbone()), [IMG_CAP, AUD_QA])
    made.begin(1)
    fresh = made.strategy.backbone.adapters.state("main")
    made.rest()
    made.finish()
    made.learn(2)
    after = made.strategy.backbone.adapters.state("main")
    changed = {name.rpartition(".")[0] for name in fresh if not torch.equal(fresh[name], after[name])}
    assert changed == {"connector.image", "connector.audio"}


def test_the_language_model_answers_texts_as_the_base_model_does() -> None:
    made, asked = Course(Connectors(ToyBackbone()), [IMG_CAP]), [IMG_QA.examples("test")[0].with_prompt("say a word")]
    texts = [replace(example, content=("say a word",)) for example in asked]
    base = ToyBackbone().generate(texts)
    made.learn(1)
    assert made.strategy.backbone.generate(texts) == base


def test_a_task_without_a_connected_medium_is_refused_before_anything_is_learnt() -> None:
    text = replace(IMG_QA, name="toy/text", modalities=frozenset())
    with pytest.raises(PlanError, match=r"nothing to learn from toy/text: .* no connector for text") as refused:
        Course(Connectors(ToyBackbone()), [IMG_CAP, text])
    assert "audio, image, video" in refused.value.hint


def test_a_backbone_that_reads_media_by_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "new_connectors", lambda self: {})
    with pytest.raises(PlanError, match="no connector for image"):
        Course(Connectors(ToyBackbone()), [IMG_CAP])
