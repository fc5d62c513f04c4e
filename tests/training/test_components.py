from __future__ import annotations

from typing import Any

import pytest

from micl_cli.api.task import Example
from micl_cli.errors import OptionError, PlanError, PluginError
from micl_cli.registry import Registry
from micl_cli.testing import toy_task, toy_tasks
from micl_cli.training.components import Reader, Unaugmented, load_metrics, strategy_options


def test_parts_are_put_together_as_the_plan_says(make_parts: Any) -> None:
    parts = make_parts("moincl", options={"alpha": 0.25}, backbone_options={"rank": 2})
    assert type(parts.strategy).__name__ == "MoInCL"
    assert parts.strategy.backbone is parts.backbone
    assert (parts.strategy.alpha, parts.backbone.rank) == (0.25, 2)
    assert [[task.name for task in stage] for stage in parts.stages] == [["toy/img_cap"], ["toy/img_qa"]]
    assert parts.accelerator.device.type == "cpu"


def test_a_tasks_own_metric_and_those_of_its_kind_are_loaded() -> None:
    metrics = load_metrics(Registry.discover(), [toy_task("image", "captioning")])
    assert set(metrics) == {"cider", "bleu4", "rouge_l"}
    assert set(load_metrics(Registry.discover(), toy_tasks())) == {*metrics, "accuracy", "vqa_accuracy"}


def test_a_metric_that_nobody_knows() -> None:
    from dataclasses import replace

    with pytest.raises(PluginError, match="no metric 'cidre'"):
        load_metrics(Registry.discover(), [replace(toy_task("image", "qa"), metric="cidre")])


def test_options_of_one_stage_are_typed(make_parts: Any) -> None:
    from dataclasses import replace

    parts = make_parts("moincl", options={"alpha": 0.25})
    plan = replace(parts.plan, stage_options={"2": {"alpha": "0.75"}})
    chosen = [strategy_options(plan, type(parts.strategy), position)["alpha"] for position in (1, 2)]
    assert chosen == [0.25, 0.75]
    wrong = replace(plan, stage_options={"2": {"alpha": "x"}})
    with pytest.raises(OptionError, match="expects a number"):
        strategy_options(wrong, type(parts.strategy), 2)


@pytest.mark.parametrize(("asked", "used"), [("auto", "no"), ("fp32", "no"), ("bf16", "bf16")])
def test_precision_on_a_cpu(make_parts: Any, asked: str, used: str) -> None:
    assert make_parts(precision=asked).accelerator.mixed_precision == used


@pytest.mark.parametrize(
    ("asked", "stated", "used"),
    [("auto", None, "auto"), ("fp32", None, "fp32"), ("fp32", "bf16", "bf16"), ("bf16", None, "auto")],
)
def test_fp32_is_asked_of_a_backbone_that_chooses(
    asked: str, stated: str | None, used: str, make_parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from micl_backbones import composed

    found: list[str] = []
    load = composed.load_parts
    monkeypatch.setattr(composed, "load_parts", lambda p, q, dtype: found.append(dtype) or load(p, q, "fp32"))
    make_parts(backbone="tiny", backbone_options={"dtype": stated} if stated else {}, precision=asked)
    assert found == [used]


def test_nothing_is_kept_of_a_medium_that_is_read_differently_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from micl_modalities.image import Image

    registry, asked = Registry.discover(), []
    cache = Unaugmented(lambda key, examples, compute: asked.append(key) or compute(examples), registry)
    pictures = [Example("1", "", modality="image", digest="1")]
    for _ in range(2):
        assert torch.equal(cache("kept", pictures, lambda examples: torch.ones(1, 2)), torch.ones(1, 2))
    monkeypatch.setattr(Image, "augments", True)
    assert torch.equal(cache("not kept", pictures, lambda examples: torch.ones(1, 2)), torch.ones(1, 2))
    assert asked == ["kept", "kept"]


def test_media_are_read_by_the_modality_of_their_example(tmp_path: Any) -> None:
    import numpy as np
    import PIL.Image

    PIL.Image.fromarray(np.full((4, 6, 3), 9, np.uint8)).save(tmp_path / "x.png")
    read = Reader(Registry.discover())
    pixels = read(Example("1", "", modality="image", media=tmp_path / "x.png"), {})
    assert pixels.shape == (4, 6, 3)
    with pytest.raises(ValueError, match="has no medium"):
        read(Example("2", ""), {})


def test_gradients_that_cannot_be_checkpointed(make_parts: Any) -> None:
    with pytest.raises(PlanError, match="cannot checkpoint gradients"):
        make_parts(gradient_checkpointing=True)
