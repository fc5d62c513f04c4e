"""The model itself names the task: what it reads, what it may say, what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from micl_cli.api import Batch, Example, Media, PlanError
from micl_cli.testing import ToyBackbone, learn_task, toy_task
from micl_routers.mllm import ADAPTER, MLLMRouter

IMG_CAP = replace(toy_task("image", "captioning"), description="describe pictures")
IMG_QA = replace(toy_task("image", "qa"), description="answer about pictures")
AUD_QA = replace(toy_task("audio", "qa"), description="answer about sounds")
TASKS = (IMG_CAP, IMG_QA, AUD_QA)


class Watched(ToyBackbone):
    """Records what was learnt, and among which choices it was asked to choose."""

    def __init__(self) -> None:
        super().__init__()
        self.taught: list[Example] = []
        self.choices: list[Sequence[str]] = []
        self.asked: list[Example] = []
        self.adapters.add("expert1", seed=1)
        self.adapters.activate("expert1")

    def batch(self, examples: Sequence[Example], groups: Any = None) -> Batch:
        if self.adapters.active == ADAPTER and self.module.training is False and torch.is_grad_enabled():
            self.taught += examples
        return super().batch(examples, groups)

    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        self.choices.append(choices or ())
        self.asked += examples
        return super().score_choices(examples, choices)


def router(**options: Any) -> MLLMRouter:
    return MLLMRouter(Watched(), **{"epochs": 2, "samples": 4, "learning_rate": 0.02, **options})


def learnt(count: int = 3, **options: Any) -> tuple[MLLMRouter, Watched]:
    made = router(**options)
    for task in TASKS[:count]:
        learn_task(made, task)
    assert isinstance(made.backbone, Watched)
    return made, made.backbone


def asked() -> list[Example]:
    return [example for task in TASKS for example in task.examples("test")]


# What it reads


def test_prompts_hold_every_task_s_letter_and_description_and_the_question() -> None:
    made, backbone = learnt()
    made.route(asked())
    for posed, example in zip(backbone.asked, asked(), strict=True):
        assert str(posed.content[0]).splitlines() == [
            "A: describe pictures",
            "B: answer about pictures",
            "C: answer about sounds",
        ]
        assert posed.content[1:] == (*example.media, f"{example.prompt}\nletter:")
        assert posed.id == example.id


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ((Media("image"),), (Media("image"), "\nletter:")),
        (("look", Media("image")), ("look", Media("image"), "\nletter:")),
        ((Media("image"), "one", Media("audio"), "two"), (Media("image"), "one", Media("audio"), "two\nletter:")),
        (("text alone",), ("text alone\nletter:",)),
    ],
)
def test_the_letter_is_asked_for_behind_any_content(content: Any, asked: Any) -> None:
    made, _ = learnt(2, epochs=1)
    (posed,) = made._task_prompts([Example("1", content)])
    assert posed.content[1:] == asked


def test_it_is_taught_the_letters_of_the_tasks() -> None:
    _, backbone = learnt()
    letters = {IMG_CAP.name: "A", IMG_QA.name: "B", AUD_QA.name: "C"}
    assert {(e.task, e.target) for e in backbone.taught} == set(letters.items())
    assert all(str(e.content[0]).startswith("A: describe pictures\nB: ") for e in backbone.taught)


def test_a_file_of_descriptions_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "told.toml"
    path.write_text(f'"{IMG_QA.name}" = "questions on images"\n')
    made, backbone = learnt(descriptions=str(path))
    made.route(asked()[:1])
    assert str(backbone.asked[0].content[0]).splitlines() == [
        "A: describe pictures",
        "B: questions on images",
        "C: answer about sounds",
    ]


@pytest.mark.parametrize("text", [None, "no = = toml", "\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "told.toml"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(PlanError, match=r"told\.toml") as refused:
        router(descriptions=str(path))
    assert '"mini/img_cap" = ' in refused.value.hint


def test_a_task_without_a_description_is_named_by_what_it_is() -> None:
    made = router()
    for task in (replace(IMG_CAP, description=""), AUD_QA):
        learn_task(made, task)
    assert made.state().data["descriptions"][IMG_CAP.name] == "image captioning"


# What it may say


def test_choices_are_the_letters_of_the_tasks_known() -> None:
    made, backbone = learnt(2)
    routes = made.route(asked())
    assert set(map(tuple, backbone.choices)) == {("A", "B")}
    assert {route.task for route in routes} <= {IMG_CAP.name, IMG_QA.name}
    learn_task(made, AUD_QA)
    made.route(asked())
    assert tuple(backbone.choices[-1]) == ("A", "B", "C")


def test_beyond_twenty_six_tasks_letters_stay_apart() -> None:
    made = router(epochs=1, samples=1)
    tasks = [replace(IMG_QA, name=f"toy/{i}", description=f"task {i}") for i in range(28)]
    for task in tasks[:-1]:
        made._descriptions[task.name] = task.description
    learn_task(made, tasks[-1], IMG_QA.examples("train"))
    made.route(asked()[:1])
    assert isinstance(made.backbone, Watched)
    letters = list(made.backbone.choices[-1])
    assert len(set(letters)) == 28
    assert (letters[0], letters[25], letters[26], letters[27]) == ("A", "Z", "A1", "B1")


def test_margins_are_those_of_the_choices() -> None:
    made, backbone = learnt()
    routes = made.route(asked())
    posed, letters = backbone.asked[-len(asked()) :], backbone.choices[-1]
    with backbone.adapters.using(ADAPTER):
        chances = backbone.score_choices(posed, letters).double().exp()
    first, second = chances.sort(1, descending=True).values[:, :2].T
    assert [route.task for route in routes] == [TASKS[i].name for i in chances.argmax(1).tolist()]
    assert [route.margin for route in routes] == pytest.approx((first - second).tolist(), abs=1e-6)


def test_a_single_task_needs_no_model() -> None:
    made, backbone = learnt(1)
    assert {(route.task, route.margin) for route in made.route(asked())} == {(IMG_CAP.name, 1.0)}
    assert backbone.adapters.names == ("expert1",)
    assert not backbone.choices


def test_it_learns_to_tell_tasks_apart() -> None:
    made, _ = learnt(2, samples=12, epochs=30)
    examples = [*IMG_CAP.examples("test"), *IMG_QA.examples("test")]
    assert [route.task for route in made.route(examples)] == [example.task for example in examples]


# What it keeps, and leaves alone


@pytest.mark.parametrize(("samples", "kept"), [(3, 3), (50, 12)])
def test_only_so_many_examples_of_a_task_are_kept_without_their_answers(samples: int, kept: int) -> None:
    made, _ = learnt(samples=samples, epochs=1)
    found = made.state().data["stored"]
    for task in TASKS:
        mine = [Example.from_json(example) for name, example in found if name == task.name]
        assert len(mine) == kept
        assert {e.id for e in mine} <= {e.id for e in task.examples("train")}
        assert all(e.references == () and e.choices == () and e.answer is None for e in mine)


def test_it_draws_from_its_own_randomness_alone() -> None:
    def drawn(seed: int) -> Any:
        made = router(epochs=1)
        learn_task(made, IMG_CAP, seed=seed)
        return made.state().data["stored"]

    assert drawn(1) == drawn(1) != drawn(2)


def test_the_experts_stay_as_they_are() -> None:
    made = router()
    backbone = made.backbone
    backbone.adapters.add("expert2", seed=2)
    experts = {IMG_CAP.name: "expert1", IMG_QA.name: "expert2"}
    before = {name: backbone.adapters.state(name) for name in ("expert1", "expert2")}
    backbone.module.train()
    for task in TASKS[:2]:
        learn_task(made, task, experts=experts)
    made.route(asked())
    for name, weights in before.items():
        after = backbone.adapters.state(name)
        assert all(torch.equal(after[key], weights[key]) for key in weights)
    assert (backbone.adapters.active, backbone.module.training) == ("expert1", True)


def test_the_router_starts_from_the_experts_average() -> None:
    made = router(learning_rate=0.0)
    backbone = made.backbone
    backbone.adapters.add("expert2", seed=2)
    experts = {IMG_CAP.name: "expert1", IMG_QA.name: "expert2"}
    first, second = backbone.adapters.state("expert1"), backbone.adapters.state("expert2")
    for task in TASKS[:2]:
        learn_task(made, task, experts=experts)
    found = backbone.adapters.state(ADAPTER)
    assert all(torch.allclose(found[name], (first[name] + second[name]) / 2) for name in found)


def test_teaching_ends_when_all_are_told_apart_surely() -> None:
    made, backbone = learnt(2, epochs=40, sure=1e9)
    assert len(backbone.taught) == 8
    assert made.passes == 1
