"""Two small runs of two tasks each, to be reported."""

from __future__ import annotations

from dataclasses import replace

import pytest

from micl_cli.records import ScoreRecord, StageRecord
from micl_cli.report.data import RunData

TASKS = ("mini/img_cap", "mini/aud_qa")
TYPES = dict(zip(TASKS, ("captioning", "qa"), strict=True))
SCALES = dict(zip(TASKS, ((0.0, 10.0), (0.0, 1.0)), strict=True))


@pytest.fixture(scope="session")
def learnt() -> RunData:
    """A finished run with every figure."""
    stage = StageRecord(
        position=1,
        tasks=TASKS[:1],
        status="learned",
        steps=300,
        examples=480,
        seconds=12.25,
        peak_bytes=612_000_000,
        trainable_parameters=41_472,
        stored_bytes=402_000,
    )
    second = replace(stage, position=2, tasks=TASKS[1:], seconds=15.5, peak_bytes=1_240_000_000, stored_bytes=803_000)
    caption = ScoreRecord(after=1, task=TASKS[0], metric="cider", value=512.5, n=64)
    answer = ScoreRecord(after=2, task=TASKS[1], metric="accuracy", value=88.25, n=60)
    return RunData(
        id="3f2a91c04d1e",
        name="demo",
        strategy="moincl",
        backbone="composed:tiny",
        seed=0,
        status="finished",
        tasks=TASKS,
        matrix=[[512.5, None], [480.0, 88.25]],
        zero_shot=[2.5, None],
        stages=[stage, second],
        scores=[
            replace(caption, after=0, value=2.5),
            caption,
            replace(caption, metric="bleu4", value=71.5, main=False),
            replace(caption, after=2, value=480.0),
            replace(caption, after=2, metric="bleu4", value=60.25, main=False),
            answer,
            replace(answer, split="val", value=91.0, n=30),
        ],
        extra={"routing accuracy": 99.5},
        types=TYPES,
        scales=SCALES,
    )


@pytest.fixture(scope="session")
def plain() -> RunData:
    """A run without name, costs and single scores."""
    return RunData(
        id="77ab91c04d1e",
        name="",
        strategy="finetune",
        backbone="composed:tiny",
        seed=1,
        status="finished",
        tasks=TASKS,
        matrix=[[500.0, None], [120.0, 90.0]],
    )


@pytest.fixture
def nasty(plain: RunData) -> RunData:
    """A run whose name contains markup of every format."""
    return replace(
        plain, name="a|b <b>x</b> \\textbf{y} [z](u) *_$&%#~^\x1b[31m\u202e", strategy="=cmd()", backbone="[1]"
    )
