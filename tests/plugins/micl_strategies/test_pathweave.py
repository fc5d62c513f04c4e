"""PathWeave learns a path for each set of modalities, and changes nothing of other paths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from micl_cli.api import BASE, AdapterSpec, Example, PlanError, Task, combine
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.pathweave import PathWeave

IMG_CAP, IMG_QA = toy_task("image", "captioning"), toy_task("image", "qa")
AUD_QA, VID_QA = toy_task("audio", "qa"), toy_task("video", "qa")
PAIR = ("A", "B")


def course(*tasks: Task) -> Course:
    return Course(PathWeave(ToyBackbone()), tasks)


def weaver(made: Course) -> PathWeave:
    assert isinstance(made.strategy, PathWeave)
    return made.strategy


def state(made: Course, path: str) -> dict[str, Tensor]:
    return made.strategy.backbone.adapters.state(path)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def both() -> Task:
    """A task whose examples have an image and a sound."""
    images, sounds = IMG_QA.examples("train"), AUD_QA.examples("train")
    pairs = [
        replace(e, content=(*e.media, *other.content), task="toy/both") for e, other in zip(images, sounds, strict=True)
    ]
    return replace(AUD_QA, name="toy/both", modalities=frozenset({"image", "audio"}), load=lambda split: pairs)


@torch.no_grad()
def routed_logits(made: Course, examples: Sequence[Example]) -> Tensor:
    backbone, routes = made.strategy.backbone, made.strategy.route(examples)
    assert routes is not None
    with backbone.adapters.using(combine([route.selection for route in routes])):
        return backbone.answer_logits(backbone.batch(examples))[0]


def test_learning_a_modality_changes_no_bit_of_another() -> None:
    made = course(IMG_CAP, AUD_QA, VID_QA)
    before: dict[str, Tensor] = {}
    for position, task in enumerate((IMG_CAP, AUD_QA, VID_QA), 1):
        made.learn(position)
        for earlier, logits in before.items():
            known = next(t for t in (IMG_CAP, AUD_QA) if t.name == earlier)
            assert torch.equal(routed_logits(made, known.examples("test")), logits)
        before[task.name] = routed_logits(made, task.examples("test"))


def test_the_first_path_is_plain_lora_and_later_ones_hold_the_pairs_of_all_before() -> None:
    made = course(IMG_CAP, AUD_QA, VID_QA)
    adapters = made.strategy.backbone.adapters
    for position in (1, 2):
        made.learn(position)
    made.begin(3)
    kinds = [adapters.spec(name).kind for name in adapters.names]
    assert (adapters.names, kinds) == (("path1", "path2", "path3"), ["lora", "woven", "woven"])
    first, second, third = (state(made, name) for name in adapters.names)
    for layer in adapters.layer_adapters("path1"):
        for matrix in PAIR:
            key = f"layers.{layer}.{matrix}"
            expected = torch.stack([first[key], second[key]])
            assert torch.equal(third[f"layers.{layer}.earlier_{matrix}"], expected)
            assert first[key].any() and second[key].any()
        eye = torch.eye(4).repeat(2, 1, 1)
        assert torch.equal(third[f"layers.{layer}.inner"], eye)
        assert not third[f"layers.{layer}.gate"].any() and not third[f"layers.{layer}.noise"].any()


def test_inner_matrices_the_new_pair_gates_and_connector_learn_and_nothing_else() -> None:
    made = course(IMG_CAP, AUD_QA)
    made.learn(1)
    first = state(made, "path1")
    made.begin(2)
    fresh = state(made, "path2")
    made.rest()
    made.finish()
    after = state(made, "path2")
    changed = {name for name in fresh if not torch.equal(fresh[name], after[name])}
    layers = [name for name in changed if name.startswith("layers.")]
    assert {name.rpartition(".")[2] for name in layers} == {"A", "B", "inner", "gate", "noise"}
    assert changed - set(layers) == {"connector.audio.weight", "connector.audio.bias"}
    assert same(state(made, "path1"), first)


def test_a_second_task_of_the_same_modality_continues_its_path_alone() -> None:
    made = course(IMG_CAP, AUD_QA, IMG_QA)
    made.learn(1)
    made.learn(2)
    image, sound = state(made, "path1"), state(made, "path2")
    made.learn(3)
    assert made.strategy.backbone.adapters.active == "path1"
    assert made.strategy.backbone.adapters.names == ("path1", "path2")
    assert not same(state(made, "path1"), image)
    assert same(state(made, "path2"), sound), "the pairs inside a path stay as they were when it began"


def test_the_modalities_of_an_example_choose_its_path() -> None:
    made = course(IMG_CAP, both(), AUD_QA)
    image, sound, video = (task.examples("test")[0] for task in (IMG_CAP, AUD_QA, VID_QA))
    text = Example("text", ("say a word",), ("yes",))
    asked = [image, both().examples("test")[0], sound, video, text]
    chosen: list[list[tuple[str, Any]]] = []
    assert made.strategy.route(asked) is None
    for position in (1, 2, 3):
        made.learn(position)
        chosen.append([(route.task, route.selection) for route in made.strategy.route(asked) or ()])
    none = (BASE, None)
    assert chosen[0] == [("image", "path1"), none, none, none, ("image", "path1")]
    two = ("audio+image", "path2")
    assert chosen[1] == [("image", "path1"), two, two, none, ("image", "path1")]
    assert chosen[2] == [("image", "path1"), two, ("audio", "path3"), none, ("image", "path1")]


def test_a_text_task_has_a_path_of_its_own() -> None:
    examples = [Example(f"t{i}", ("say a word",), ("yes",), task="toy/text") for i in range(4)]
    text = replace(IMG_QA, name="toy/text", modalities=frozenset(), load=lambda split: examples)
    made = course(IMG_CAP, text)
    made.learn(1)
    made.learn(2)
    routes = made.strategy.route([examples[0], IMG_CAP.examples("test")[0]]) or ()
    assert [(route.task, route.selection) for route in routes] == [("text", "path2"), ("image", "path1")]


def test_noise_is_drawn_in_training_from_seed_stage_and_batch() -> None:
    losses = {}
    for seed in (0, 1):
        made = Course(PathWeave(ToyBackbone()), [IMG_CAP, AUD_QA])
        made.learn(1)
        made.begin(2)
        made.strategy.stage = replace(made.strategy.stage, seed=seed)
        batch = made.strategy.batch(AUD_QA.examples("train")[:4])
        for mode in ("train", "eval"):
            getattr(made.components, mode)()
            with torch.no_grad():
                values = [float(made.strategy.loss(batch)) for _ in range(2)]  # type: ignore[arg-type]
            assert values[0] == values[1]
            losses[seed, mode] = values[0]
    assert losses[0, "train"] != losses[1, "train"]
    assert losses[0, "train"] != losses[0, "eval"]
    assert losses[0, "eval"] == losses[1, "eval"]


def test_another_adapter_than_lora_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "default_spec", lambda self: AdapterSpec("experts", {"rank": 4}))
    with pytest.raises(PlanError, match="low-rank matrices, and that of this backbone is 'experts'") as refused:
        course(IMG_CAP).begin(1)
    assert refused.value.hint


def test_a_run_of_two_modalities_forgets_nothing_and_reports_no_routing(learn: Any, micl: Any) -> None:
    run = learn("--strategy", "pathweave").out.strip()
    (report,) = json.loads(micl("report", run, "--json").out)["runs"]
    first, second = report["matrix"]
    assert first[0] == second[0]
    assert "routing" not in report
