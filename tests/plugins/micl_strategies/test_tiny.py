"""Strategies on the embedded model: a contract, pseudo targets that say something, and gradient checkpointing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from micl_cli.api import Backbone, Resources, Strategy
from micl_cli.registry import Registry
from micl_cli.testing import Course, StrategyContract, toy_media, toy_task
from micl_strategies.moincl import MoInCL
from micl_strategies.pathweave import PathWeave
from micl_strategies.slm import SLM


def tiny() -> Backbone:
    registry = Registry.discover()
    backbone: Backbone = registry.load("backbones", "tiny")(resources=Resources(Path(), registry.load))
    backbone.read = toy_media
    return backbone


@pytest.mark.slow
class TestMoInCLOnTiny(StrategyContract):
    strategy = MoInCL
    options = {"pseudo_num": 2, "text_instruct_num": 2}

    def backbone(self) -> Backbone:
        """Return the embedded model with a few of its texts: the teacher reads each text in every stage."""
        backbone = tiny()
        texts = list(backbone.instructions())[:12]
        backbone.instructions = lambda: texts
        return backbone


@pytest.mark.slow
def test_the_embedded_model_writes_questions_and_brings_texts() -> None:
    backbone = tiny()
    captions = ["a blue cross goes slowly up", "first comes a high bell, after that a medium knock"]
    pairs = backbone.write_questions(captions)
    for pair, caption in zip(pairs, captions, strict=True):
        assert pair and pair[0].endswith("?")
        assert pair[1] in {*caption.replace(",", "").split(), "none"}  # "which shape stands still?": none
    assert len(backbone.instructions()) >= 100


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "options"), [(PathWeave, {}), (SLM, {"key_steps": 10})])
def test_gradient_checkpointing_computes_layers_with_the_same_noise_and_weights(
    strategy: type[Strategy], options: dict[str, int]
) -> None:
    found = []
    for checkpointed in (False, True):
        made = Course(strategy(tiny(), **options), [toy_task("image", "qa"), toy_task("audio", "qa")], options=options)
        if checkpointed:
            made.strategy.backbone.enable_gradient_checkpointing()
        for position in (1, 2):
            made.begin(position)
        batch = made.strategy.batch(toy_task("audio", "qa").examples("train")[:4])
        torch.autograd.backward(made.strategy.loss(batch))  # type: ignore[arg-type]
        found.append({name: weight.grad for name, weight in made.strategy.trainable() if weight.grad is not None})
    assert found[0].keys() == found[1].keys() and found[0]
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], atol=1e-5, rtol=1e-3)
