from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import PIL.Image
import pytest
import torch

from micl_cli.api.metric import Metric
from micl_cli.api.options import options_of
from micl_cli.api.resources import Resources
from micl_cli.api.task import Example, Media
from micl_cli.errors import OptionError, PlanError, PluginError
from micl_cli.registry import Registry
from micl_cli.testing import ToyBackbone, toy_task, toy_tasks
from micl_cli.training.components import RegisteredReader, UnaugmentedCache, load_metrics, strategy_options


def test_components_are_put_together_as_the_plan_says(make_components: Any) -> None:
    components = make_components("moincl", options={"alpha": 0.25}, backbone_options={"rank": 2})
    assert type(components.strategy).__name__ == "MoInCL"
    assert components.strategy.backbone is components.backbone
    assert (components.strategy.alpha, components.backbone.rank) == (0.25, 2)
    assert [[task.name for task in stage] for stage in components.stages] == [["toy/img_cap"], ["toy/img_qa"]]
    assert components.accelerator.device.type == "cpu"


@pytest.fixture
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture
def resources(registry: Registry, tmp_path: Path) -> Resources:
    return Resources(tmp_path / "home", registry.load)


def test_a_task_s_own_metric_and_those_for_its_type_are_loaded(registry: Registry, resources: Resources) -> None:
    metrics = load_metrics(registry, [toy_task("image", "captioning")], resources)
    assert set(metrics) == {"cider", "bleu4", "rouge_l"}
    assert set(load_metrics(registry, toy_tasks(), resources)) == {*metrics, "accuracy", "vqa_accuracy"}


def test_each_metric_is_set_up_once_with_the_resources(
    registry: Registry, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, Resources]] = []
    monkeypatch.setattr(Metric, "setup", lambda self, given: seen.append((self.name, given)))
    load_metrics(registry, toy_tasks(), resources)
    assert sorted(name for name, _ in seen) == ["accuracy", "bleu4", "cider", "rouge_l", "vqa_accuracy"]
    assert {id(given) for _, given in seen} == {id(resources)}


def test_an_unknown_metric(registry: Registry, resources: Resources) -> None:
    with pytest.raises(PluginError, match="no metric 'cidre'"):
        load_metrics(registry, [replace(toy_task("image", "qa"), metric="cidre")], resources)


def test_options_of_one_stage_are_typed(make_components: Any) -> None:
    components = make_components("moincl", options={"alpha": 0.25})
    plan = replace(components.plan, stage_options={"2": {"alpha": "0.75"}})
    chosen = [strategy_options(plan, type(components.strategy), position)["alpha"] for position in (1, 2)]
    assert chosen == [0.25, 0.75]
    wrong = replace(plan, stage_options={"2": {"alpha": "x"}})
    with pytest.raises(OptionError, match="expects a number"):
        strategy_options(wrong, type(components.strategy), 2)


def test_a_plan_without_a_newer_option_goes_on_as_it_began(make_components: Any) -> None:
    """Runs of MoInCL that were begun before there was a choice fused after every epoch."""
    components = make_components("moincl", options={"alpha": 0.25})
    cls = type(components.strategy)
    assert components.strategy.fusion == "gradual"
    former = {name: o.default for name, o in options_of(cls).items() if not o.added_later and name != "fusion"}
    plan = replace(components.plan, strategy_options=former)
    assert [strategy_options(plan, cls, position)["fusion"] for position in (None, 1)] == ["epoch", "epoch"]
    staged = replace(plan, stage_options={"2": {"fusion": "gradual"}})
    assert [strategy_options(staged, cls, position)["fusion"] for position in (1, 2)] == ["epoch", "gradual"]
    given = replace(plan, strategy_options={**former, "fusion": "gradual"})
    assert strategy_options(given, cls)["fusion"] == "gradual"


@pytest.mark.parametrize(("asked", "used"), [("auto", "no"), ("fp32", "no"), ("bf16", "bf16")])
def test_precision_on_a_cpu(make_components: Any, asked: str, used: str) -> None:
    assert make_components(precision=asked).accelerator.mixed_precision == used


@pytest.mark.parametrize(
    ("asked", "stated", "used"),
    [("auto", None, "auto"), ("fp32", None, "fp32"), ("fp32", "bf16", "bf16"), ("bf16", None, "auto")],
)
def test_fp32_is_asked_of_a_backbone_that_chooses(
    asked: str, stated: str | None, used: str, make_components: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Choosing(ToyBackbone):
        def __init__(self, *, dtype: Annotated[str, "number format"] = "auto", **options: Any) -> None:
            super().__init__(**options)
            self.dtype = dtype

    monkeypatch.setattr("micl_cli.testing.toy.ToyBackbone", Choosing)
    components = make_components(backbone_options={"dtype": stated} if stated else {}, precision=asked)
    assert components.backbone.dtype == used


def test_features_of_a_medium_that_is_read_differently_each_time_are_not_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from micl_modalities.image import Image

    registry, asked = Registry.discover(), []
    monkeypatch.setattr(Image, "version", 1)
    cache = UnaugmentedCache(lambda key, media, compute: asked.append(key) or compute(media), registry)
    pictures = [Media("image", digest="1")]
    for _ in range(2):
        assert torch.equal(cache("stored", pictures, lambda media: torch.ones(1, 2)), torch.ones(1, 2))
    monkeypatch.setattr(Image, "augments", True)
    assert torch.equal(cache("not stored", pictures, lambda media: torch.ones(1, 2)), torch.ones(1, 2))
    assert asked == ["stored", "stored"]


def test_a_new_version_of_a_modality_has_features_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def stored(key: str, media: Sequence[Media], compute: Callable[[Sequence[Media]], torch.Tensor]) -> torch.Tensor:
        asked.append(key)
        return compute(media)

    from micl_modalities.image import Image

    cache = UnaugmentedCache(stored, Registry.discover())
    for version in (1, 2, 3):
        monkeypatch.setattr(Image, "version", version)
        cache("key", [Media("image", digest="1")], lambda media: torch.ones(1, 2))
    assert asked == ["key", "key-image2", "key-image3"]


def test_media_are_read_by_their_modality(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.full((4, 6, 3), 9, np.uint8)).save(tmp_path / "x.png")
    read = RegisteredReader(Registry.discover())
    assert read(Media("image", tmp_path / "x.png"), {}).shape == (4, 6, 3)
    with pytest.raises(ValueError, match="has no file to read"):
        read(Media("image"), {})


def test_a_backbone_that_cannot_checkpoint_gradients(make_components: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ToyBackbone, "enable_gradient_checkpointing")
    with pytest.raises(PlanError, match="does not support gradient checkpointing"):
        make_components(gradient_checkpointing=True)


# What a backbone is asked before anything is learnt


def test_a_backbone_is_given_the_home_folder(
    make_components: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = []

    class Homely(ToyBackbone):
        def __init__(self, preset: str = "", *, resources: Resources, **options: Any) -> None:
            super().__init__(preset, resources=resources, **options)
            homes.append(resources.home)

    monkeypatch.setattr("micl_cli.testing.toy.ToyBackbone", Homely)
    make_components()
    assert homes == [tmp_path / "home"]


def test_a_backbone_checks_each_form_of_content_once(make_components: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a task with single images, pairs of images and text alone, in any split."""
    task, image = toy_task("image", "qa"), Media("image", digest="00" * 32)
    more = {"train": [Example("two", (image, image, "same?"), ("yes",))], "test": [Example("text", ("?",), ("!",))]}
    mixed = replace(task, load=lambda split: [*task.examples(split), *more.get(split, ())])
    checked: list[str] = []
    monkeypatch.setattr(ToyBackbone, "check", lambda self, examples: checked.extend(e.id for e in examples))
    make_components(tasks=[mixed])
    assert checked == [task.examples("train")[0].id, "two", "text"]


def test_content_that_the_backbone_cannot_take_is_refused_before_learning(
    make_components: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: ToyBackbone, examples: Sequence[Example]) -> None:
        if any(len(example.media) > 1 for example in examples):
            raise PlanError("one image only", "Choose another --backbone.")

    image = Media("image", digest="00" * 32)
    pairs = replace(toy_task("image", "qa"), load=lambda split: [Example("1", (image, image, "same?"), ("yes",))])
    monkeypatch.setattr(ToyBackbone, "check", check)
    make_components()
    with pytest.raises(PlanError, match="one image only"):
        make_components(tasks=[pairs])
