from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from micl_cli.api.answer import Answer
from micl_cli.api.events import Answered, Routed, Scored
from micl_cli.api.selection import as_mixtures, combine
from micl_cli.api.strategy import Route
from micl_cli.api.task import CHOICE, Example, Media, Task
from micl_cli.errors import Interrupted, PlanError
from micl_cli.plan import Evaluation
from micl_cli.testing import toy_task
from micl_cli.training.evaluation import answer, metric_notes, score, validate, validation_loss

QA = toy_task("image", "qa")


@pytest.fixture
def knowing(make_components: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """RunComponents whose backbone answers rightly, but for questions about a shape; batches are recorded."""
    components = make_components(tasks=[QA, toy_task("image", "captioning")], evaluation=Evaluation(batch_size=2))
    components.batches = []

    def generate(examples: Sequence[Example], **options: Any) -> list[str]:
        components.batches.append([example.prompt for example in examples])
        components.options = options
        return ["" if "shape" in example.prompt else example.references[0] for example in examples]

    monkeypatch.setattr(components.backbone, "generate", generate)
    return components


def test_answers_keep_their_order_while_like_prompts_are_answered_together(knowing: Any) -> None:
    examples = QA.examples("test")
    answers = answer(knowing, examples)
    assert answers == ["" if "shape" in e.prompt else e.references[0] for e in examples]
    assert all(len(set(map(len, batch))) == 1 for batch in knowing.batches[:1] + knowing.batches[2:])
    assert max(map(len, knowing.batches)) == 2
    assert knowing.options == {"max_new_tokens": 40, "num_beams": 1}


def test_questions_on_one_medium_are_answered_together(knowing: Any) -> None:
    first, second = QA.examples("test")[:2]
    prompts = ["is it red?", "is the thing that is to be seen here red?"]
    asked = [e.with_prompt(prompt, "yes") for prompt in prompts for e in (first, second)]
    asked = [replace(e, references=("yes",)) for e in asked]
    assert len(answer(knowing, [*asked, Example("text", ("say a word",), ("yes",))])) == 5
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


def test_answers_are_yielded_where_asked_for(knowing: Any) -> None:
    *_, told = score(knowing, QA, 1, max_answers=None)
    assert isinstance(told, Answered)
    assert [row[0] for row in told.rows] == [example.id for example in QA.examples("test")]
    assert {row[1] for row in told.rows} <= {"", "red", "green", "blue"}
    assert told.scores == [100.0 if answer in references else 0.0 for _, answer, references in told.rows]
    assert told.missing == []


def test_more_answers_than_the_limit_are_not_yielded(knowing: Any) -> None:
    assert any(isinstance(event, Answered) for event in score(knowing, QA, 1, max_answers=6))
    for limit in (0, 5):
        assert not any(isinstance(event, Answered) for event in score(knowing, QA, 1, max_answers=limit))


def test_a_score_says_how_it_was_made(knowing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = replace(QA, prompts="published", scorer="strict", load=lambda split: _with_categories(QA.examples(split)))
    monkeypatch.setattr(type(knowing.metrics["accuracy"]), "version", 7)
    missing = Answer("", missing=True)
    monkeypatch.setattr(
        knowing.backbone, "generate", lambda examples, **_: [missing if e.id == "skipped" else "x" for e in examples]
    )
    first, *_, told = score(knowing, task, 1, max_answers=None)
    assert isinstance(first, Scored)
    assert isinstance(told, Answered)
    assert (first.version, first.prompts, first.scorer, first.missing) == (7, "published", "strict", 1)
    assert first.figures == {"first": 0.0, "later": 0.0}
    assert told.missing == ["skipped"]


def _with_categories(examples: Sequence[Example]) -> list[Example]:
    head, *tail = examples
    return [
        replace(head, id="skipped", meta={"category": "first"}),
        *(replace(example, meta={"category": "later"}) for example in tail),
    ]


def test_validation_is_the_mean_over_the_stages_tasks(knowing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(knowing.metrics["cider"]), "scale", (0.0, 1.0))
    assert validate(knowing, [QA]) == 50.0
    both = validate(knowing, knowing.tasks)
    caption = validate(knowing, knowing.tasks[1:])
    assert caption is not None
    assert both == pytest.approx((50.0 + caption) / 2)


def test_validation_does_not_mix_scales(knowing: Any) -> None:
    caption = validate(knowing, knowing.tasks[1:])
    assert caption is not None and caption > 100
    assert validate(knowing, knowing.tasks) == pytest.approx((50.0 + caption / 10) / 2)


def test_without_validation_examples_there_is_no_score(knowing: Any) -> None:
    bare = replace(QA, load=lambda split: () if split == "val" else QA.examples(split))
    assert validate(knowing, [bare]) is None
    with pytest.raises(PlanError, match="has no val examples"):
        list(score(knowing, bare, 1, split="val"))


def test_tasks_whose_scores_say_nothing_about_the_model_are_named(knowing: Any) -> None:
    captions = toy_task("image", "captioning")
    assert metric_notes(knowing, [QA, captions], "test") == []
    equal = [replace(example, references=("a dog",)) for example in captions.examples("test")]
    same = replace(captions, load=lambda split: equal if split == "test" else captions.examples(split))
    (note,) = metric_notes(knowing, [QA, same], "test")
    assert note.startswith(f"cider gives every answer to the test examples of {captions.name} the same score")
    assert metric_notes(knowing, [QA, same], "val") == []


def test_a_single_scored_example_says_nothing_by_a_metric_of_rare_words(make_components: Any) -> None:
    captions = toy_task("image", "captioning")
    one = make_components(tasks=[captions], evaluation=Evaluation(examples=1))
    assert len(metric_notes(one, [captions], "test")) == 1


def test_a_pause_may_stop_between_batches(knowing: Any) -> None:
    def pause() -> None:
        if knowing.batches:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        list(score(knowing, QA, 1, pause=pause))
    assert len(knowing.batches) == 1


def test_examples_are_ordered_by_modalities_length_and_media(knowing: Any) -> None:
    """As the answers of several media need no other order than those of one."""
    image, sound = Media("image", digest="aa"), Media("audio", digest="bb")
    contents = [(image, sound, "both"), (image, "longer"), ("text",), (sound, "x"), (image, "y")]
    examples = [Example(str(i), content, ("",)) for i, content in enumerate(contents)]
    knowing.plan = replace(knowing.plan, evaluation=Evaluation(batch_size=9))
    answer(knowing, examples)
    assert knowing.batches == [["text", "x", "both", "y", "longer"]]


# Routes


@pytest.fixture
def routed(make_components: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Components that route questions about shapes to adapter two, others to one; who answered is recorded."""
    components = make_components(tasks=[QA], evaluation=Evaluation(batch_size=4, score="choices", max_new_tokens=2))
    adapters = components.backbone.adapters
    for name in ("one", "two"):
        adapters.add(name)
    adapters.activate("one")
    components.routed, components.answered, components.chosen = [], {}, {}

    def route(batch: Sequence[Example]) -> list[Route]:
        components.routed.extend(example.id for example in batch)
        return [Route("toy/x", 0.9, "two") if "shape" in e.prompt else Route("toy/y", 0.1, "one") for e in batch]

    def active_names(count: int) -> list[str]:
        (mixture,) = as_mixtures(adapters.active)
        weights = mixture.weights.expand(count, -1).tolist()
        return [mixture.names[row.index(1.0)] for row in weights]

    def generate(examples: Sequence[Example], **options: Any) -> list[str]:
        components.answered.update(zip((e.id for e in examples), active_names(len(examples)), strict=True))
        return [""] * len(examples)

    def score_choices(examples: Sequence[Example], choices: Sequence[str] | None) -> torch.Tensor:
        components.chosen.update(zip((e.id for e in examples), active_names(len(examples)), strict=True))
        own = [choices or example.choices for example in examples]
        return torch.tensor([[float(c == e.references[0]) for c in row] for e, row in zip(examples, own, strict=True)])

    monkeypatch.setattr(components.strategy, "route", route)
    monkeypatch.setattr(components.backbone, "generate", generate)
    monkeypatch.setattr(components.backbone, "score_choices", score_choices)
    return components


def by_question() -> dict[str, str]:
    return {e.id: "two" if "shape" in e.prompt else "one" for e in QA.examples("test")}


def test_each_example_is_answered_by_the_selection_of_its_route(routed: Any) -> None:
    list(score(routed, QA, 1))
    assert routed.answered == by_question()
    assert routed.backbone.adapters.active == "one"


def test_routes_of_the_answers_hold_for_the_choices_too(routed: Any) -> None:
    list(score(routed, QA, 1))
    assert sorted(routed.routed) == sorted(example.id for example in QA.examples("test"))
    assert routed.chosen == by_question()


def test_routes_are_reported_with_the_scores(routed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, event = score(routed, QA, 1)
    assert isinstance(event, Routed)
    assert (event.n, event.chosen, event.unsure) == (6, {"toy/x": 3, "toy/y": 3}, 3)
    assert (event.router, event.passes) == ("finetune", 0)
    assert event.seconds > 0
    monkeypatch.setattr(type(routed.strategy), "routed_by", ("oracle", 2))
    *_, event = score(routed, QA, 1)
    assert (event.router, event.passes) == ("oracle", 2)


def test_validation_routes_nothing(routed: Any) -> None:
    assert validate(routed, [QA]) == 0.0
    assert routed.routed == []
    assert set(routed.answered.values()) == {"one"}


def test_validation_is_routed_if_the_router_knows_the_tasks_before(
    routed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(routed.strategy), "routes_validation", True)
    validate(routed, [QA])
    assert routed.answered == {e.id: "two" if "shape" in e.prompt else "one" for e in QA.examples("val")}
    assert routed.backbone.adapters.active == "one"


def test_the_validation_loss_is_routed_alike(routed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    routed.plan = replace(routed.plan, evaluation=Evaluation(batch_size=3))  # the last batch is smaller
    adapters, backbone = routed.backbone.adapters, routed.backbone
    torch.nn.init.ones_(adapters.parameters("two")["connector.image.weight"])
    assert validation_loss(routed, [QA]) == pytest.approx(loss_by(backbone, ["one"] * 4), rel=1e-5)
    monkeypatch.setattr(type(routed.strategy), "routes_validation", True)
    own = ["two" if "shape" in e.prompt else "one" for e in QA.examples("val")]
    assert validation_loss(routed, [QA]) == pytest.approx(loss_by(backbone, own), rel=1e-5)
    assert adapters.active == "one"


def loss_by(backbone: Any, names: Sequence[str]) -> float:
    """Return the mean loss over the validation examples, read by these adapters."""
    with backbone.adapters.using(combine(list(names))):
        return float(backbone.loss(backbone.batch(QA.examples("val"))))


# Choices


def choice_task() -> Task:
    return toy_task("image", CHOICE)


def test_multiple_choice_is_scored_by_each_example_s_own_choices(
    make_components: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = choice_task()
    components = make_components(tasks=[task], evaluation=Evaluation(batch_size=8))
    components.backbone.adapters.add("main")
    components.backbone.adapters.activate("main")
    sizes: list[int] = []

    def score_choices(examples: Sequence[Example], choices: Sequence[str] | None) -> torch.Tensor:
        assert choices is None
        sizes.append(len(examples))
        right = [[float(c == e.references[0] or "shape" in e.prompt) for c in e.choices] for e in examples]
        return torch.tensor(right)

    monkeypatch.setattr(components.backbone, "score_choices", score_choices)
    monkeypatch.setattr(components.backbone, "generate", lambda *args, **more: pytest.fail("nothing is generated"))
    first, *others = score(components, task, 1, max_answers=None)
    assert isinstance(first, Scored)
    assert (first.metric, first.main, first.n) == ("accuracy", True, 6)
    rows = {row[0]: row[1] for row in others[-1].rows}
    for example in task.examples("test"):
        assert rows[example.id] == (example.choices[0] if "shape" in example.prompt else example.references[0])
    assert max(sizes) == 2, "each prompt is read with every choice"
    assert validate(components, [task]) is not None


def test_multiple_choice_is_answered_by_routes_too(routed: Any) -> None:
    task = choice_task()
    *_, event = score(routed, task, 1)
    assert isinstance(event, Routed)
    assert routed.chosen == {e.id: "two" if "shape" in e.prompt else "one" for e in task.examples("test")}
    assert sorted(routed.routed) == sorted(example.id for example in task.examples("test"))


def test_a_closed_set_of_answers_is_also_scored_by_choosing(
    make_components: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = Evaluation(batch_size=8, score="choices", max_new_tokens=2)
    components = make_components(tasks=[QA], evaluation=evaluation)
    components.backbone.adapters.add("main")
    components.backbone.adapters.activate("main")

    def score_choices(examples: Sequence[Example], choices: Sequence[str]) -> torch.Tensor:
        assert components.backbone.adapters.active == "main"
        return torch.tensor([[float(choice == e.references[0]) for choice in choices] for e in examples])

    monkeypatch.setattr(components.backbone, "score_choices", score_choices)
    (chosen,) = [e for e in score(components, QA, 1) if isinstance(e, Scored) and e.metric == "choices"]
    assert (chosen.value, chosen.main, chosen.n) == (100.0, False, 6)


def test_captions_are_not_chosen_among(knowing: Any) -> None:
    knowing.plan = replace(knowing.plan, evaluation=Evaluation(score="choices"))
    events = score(knowing, toy_task("image", "captioning"), 1)
    assert all(event.metric != "choices" for event in events if isinstance(event, Scored))


@pytest.mark.parametrize("type", ["qa", "choice"])
def test_the_base_model_reads_the_text_of_what_no_task_has_learnt(make_components: Any, type: str) -> None:
    tasks = [toy_task("audio", "qa"), toy_task("image", "qa")]
    components = make_components("router", tasks, options={"router": "ridge"}, evaluation=Evaluation(max_new_tokens=3))
    strategy, stage = components.strategy, components.enter(1)
    strategy.begin(stage)
    components.eval()
    strategy.end(stage)
    list(strategy.after(stage))
    pictures = [replace(e, choices=("red", "blue")) for e in tasks[1].examples("test")]
    task = replace(tasks[1], type=type, load=lambda split: pictures)
    routed = [event for event in score(components, task, 1) if isinstance(event, Routed)]
    assert [event.chosen for event in routed] == [{"base": len(pictures)}]
