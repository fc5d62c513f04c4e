"""MoInCL on the embedded model: the contract, and pseudo targets that say something."""

from __future__ import annotations

from pathlib import Path

import pytest

from micl_cli.api import Backbone, Resources
from micl_cli.registry import Registry
from micl_cli.testing import StrategyContract, toy_media
from micl_strategies.moincl import MoInCL


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
