from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from micl_cli.api.events import Answered, Routed, Scored
from micl_cli.api.task import Example
from micl_cli.errors import Interrupted, PlanError
from micl_cli.plan import Evaluation
from micl_cli.testing import toy_task
from micl_cli.training.evaluation import answer, score, validate

QA = toy_task("image", "qa")


@pytest.fixture
def knowing(make_parts: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """RunComponents whose backbone answers rightly, but for questions about a shape; batches are recorded."""
    parts = make_parts(tasks=[QA, toy_task("image", "captioning")], evaluation=Evaluation(batch_size=2))
    parts.batches = []

    def generate(examples: Sequence[Example], **options: Any) -> list[str]:
        parts.batches.append([example.prompt for example in examples])
        parts.options = options
        return ["" if "shape" in example.prompt else example.references[0] for example in examples]

    monkeypatch.setattr(parts.backbone, "generate", generate)
    return parts


def test_answers_keep_their_order_while_like_prompts_are_answered_together(knowing: Any) -> None:
    examples = QA.examples("test")
    answers = answer(knowing, examples)
    assert answers == ["" if "shape" in e.prompt else e.references[0] for e in examples]
    assert all(len(set(map(len, batch))) == 1 for batch in knowing.batches[:1] + knowing.batches[2:])
    assert max(map(len, knowing.batches)) == 2
    assert knowing.options == {"adapters": None, "max_new_tokens": 40, "num_beams": 1}


def test_questions_on_one_medium_are_answered_together(knowing: Any) -> None:
    first, second = QA.examples("test")[:2]
    prompts = ["is it red?", "is the thing that is to be seen here red?"]
    asked = [replace(e, prompt=prompt) for prompt in prompts for e in (first, second)]
    assert len(answer(knowing, [*asked, Example("text", "say a word", ("yes",))])) == 5
    assert knowing.batches == [["say a word", prompts[0]], [prompts[1], prompts[0]], [prompts[1]]]
    knowing.batches.clear()
    answer(knowing, asked)
    assert knowing.batches == [prompts, prompts]


def test_a_task_is_scored_by_its_own_metric_first(knowing: Any) -> None:
    first, second = score(knowing, QA, 1)
    assert isinstance(first, Scored)
    assert (first.metric, first.value, first.n, first.main, first.split) == ("accuracy", 50.0, 6, True, "test")
    assert isinstance(second, Scored)
    assert (second.metric, second.main) == ("vqa_accuracy", False)


def test_answers_are_told_where_asked_for(knowing: Any) -> None:
    *_, told = score(knowing, QA, 1, keep_answers=True)
    assert isinstance(told, Answered)
    assert [row[0] for row in told.rows] == [example.id for example in QA.examples("test")]
    assert {row[1] for row in told.rows} <= {"", "red", "green", "blue"}


def test_a_strategy_that_routes_names_an_adapter_for_each_example(
    knowing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowing.strategy, "route", lambda batch: ["main"] * len(batch))
    answer(knowing, QA.examples("test")[:1])
    assert knowing.options["adapters"] == ["main"]


def test_validation_is_the_mean_over_the_stages_tasks(knowing: Any) -> None:
    assert validate(knowing, [QA], lambda: None) == 50.0
    both = validate(knowing, knowing.tasks, lambda: None)
    caption = validate(knowing, knowing.tasks[1:], lambda: None)
    assert caption is not None
    assert both == pytest.approx((50.0 + caption) / 2)


def test_without_validation_examples_there_is_no_score(knowing: Any) -> None:
    from dataclasses import replace

    bare = replace(QA, load=lambda split: () if split == "val" else QA.examples(split))
    assert validate(knowing, [bare], lambda: None) is None
    with pytest.raises(PlanError, match="has no val examples"):
        list(score(knowing, bare, 1, split="val"))


def test_a_pause_may_stop_between_batches(knowing: Any) -> None:
    def pause() -> None:
        if knowing.batches:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        list(score(knowing, QA, 1, pause=pause))
    assert len(knowing.batches) == 1


def test_validation_asks_the_adapter_in_work_and_no_router(knowing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def route(batch: Sequence[Example]) -> list[str]:
        raise AssertionError("what is in work cannot be routed to yet")

    monkeypatch.setattr(knowing.strategy, "route", route)
    assert validate(knowing, [QA], pause=lambda: None) is not None
    assert knowing.options["adapters"] is None


def test_what_was_routed_is_told_with_the_scores(knowing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def route(batch: Sequence[Example]) -> list[str]:
        knowing.strategy.routes = [("toy/img_qa", 0.9), *[("toy/aud_qa", 0.1)] * (len(batch) - 1)]
        return ["main"] * len(batch)

    monkeypatch.setattr(knowing.strategy, "route", route)
    *_, told = score(knowing, QA, 1)
    assert isinstance(told, Routed)
    assert (told.n, told.chosen, told.unsure) == (6, {"toy/img_qa": 3, "toy/aud_qa": 3}, 3)
    assert told.seconds > 0


def test_a_closed_set_of_answers_is_also_scored_by_choosing(make_parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = make_parts(tasks=[QA], evaluation=Evaluation(batch_size=8, score="choices", max_new_tokens=2))
    parts.backbone.add_adapter("main")
    parts.backbone.activate("main")

    def choose(examples: Sequence[Example], choices: Sequence[str]) -> torch.Tensor:
        assert parts.backbone.active == "main"
        right = [[float(choice == example.references[0]) for choice in choices] for example in examples]
        return torch.tensor(right)

    monkeypatch.setattr(parts.backbone, "choose", choose)
    (chosen,) = [event for event in score(parts, QA, 1) if isinstance(event, Scored) and event.metric == "choices"]
    assert (chosen.value, chosen.main, chosen.n) == (100.0, False, 6)


def test_captions_are_not_chosen_among(knowing: Any) -> None:
    knowing.plan = replace(knowing.plan, evaluation=Evaluation(score="choices"))
    told = score(knowing, toy_task("image", "captioning"), 1)
    assert all(event.metric != "choices" for event in told if isinstance(event, Scored))


def test_what_was_routed_for_the_answers_is_not_routed_again_for_the_choices(
    make_parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make_parts(tasks=[QA], evaluation=Evaluation(batch_size=4, score="choices", max_new_tokens=2))
    for name in ("one", "two"):
        parts.backbone.add_adapter(name)
    parts.backbone.activate("one")
    routed: list[str] = []
    chosen: dict[str, str | None] = {}

    def route(batch: Sequence[Example]) -> list[str]:
        routed.extend(example.id for example in batch)
        return ["two" if "shape" in example.prompt else "one" for example in batch]

    def choose(examples: Sequence[Example], choices: Sequence[str]) -> torch.Tensor:
        chosen.update({example.id: parts.backbone.active for example in examples})
        return torch.zeros(len(examples), len(choices))

    monkeypatch.setattr(parts.strategy, "route", route)
    monkeypatch.setattr(parts.backbone, "choose", choose)
    list(score(parts, QA, 1))
    asked = QA.examples("test")
    assert sorted(routed) == sorted(example.id for example in asked)
    assert chosen == {e.id: "two" if "shape" in e.prompt else "one" for e in asked}
