"""The rule knows modalities and leading words, and nothing else."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Example, Media, Task
from micl_cli.testing import ToyBackbone, learn_task
from micl_routers.rule import RuleRouter


def asked(prompt: str, *modalities: str) -> Example:
    return Example("x", (*(Media(name, digest="0") for name in modalities), prompt))


def taught(words: int = 3, **prompts: list[Example]) -> RuleRouter:
    router = RuleRouter(ToyBackbone(), words=words)
    for name, examples in prompts.items():
        learn_task(router, Task(name, frozenset(), "qa", "accuracy"), examples)
    return router


def chosen(router: RuleRouter, *examples: Example) -> list[str]:
    return [route.task for route in router.route(examples)]


def test_captions_and_questions_are_told_apart_by_their_leading_words() -> None:
    router = taught(
        captions=[asked("describe the image.", "image")],
        questions=[asked("what colour is it?", "image"), asked("where is the ring?", "image")],
        sounds=[asked("what is heard?", "audio")],
    )
    queries = [asked("Describe the image.", "image"), asked("where is it?", "image"), asked("what is it?", "audio")]
    assert chosen(router, *queries) == ["captions", "questions", "sounds"]
    assert [route.margin for route in router.route(queries)] == [1.0, 1.0, 1.0]


def test_more_leading_words_decide_where_the_first_do_not() -> None:
    first = [asked("what colour is it?", "image"), asked("what colour is that?", "image")]
    second = [asked("what colour is it?", "image"), asked("what shape is it?", "image")]
    router = taught(first=first, second=second)
    assert chosen(router, asked("what shape is this?", "image")) == ["second"]
    (route,) = router.route([asked("what colour was it?", "image")])
    assert route.task == "first"
    assert route.margin == pytest.approx((1 - 0.5) / 1.5)
    assert chosen(taught(words=1, first=first, second=second), asked("what shape is this?", "image")) == ["first"]


def test_of_equal_tasks_the_first_learnt_is_chosen_without_certainty() -> None:
    router = taught(first=[asked("describe it.", "image")], second=[asked("describe it.", "image")])
    for prompt in ("describe it.", "never seen"):
        (route,) = router.route([asked(prompt, "image")])
        assert (route.task, route.margin) == ("first", 0.0)


def test_only_the_tasks_that_can_read_a_query_are_chosen() -> None:
    router = taught(first=[asked("describe it.", "image")], second=[asked("what?", "image", "audio")])
    (route,) = router.route_among([asked("describe it.", "image")], [["second"]])
    assert (route.task, route.margin) == ("second", 1.0)


@given(st.lists(st.text(alphabet="ab ", max_size=8), min_size=1), st.text(alphabet="ab ", max_size=8))
def test_any_prompts_give_a_margin_between_0_and_1(prompts: list[str], query: str) -> None:
    router = taught(first=[asked(text) for text in prompts], second=[asked("a b"), asked("b")])
    (route,) = router.route([asked(query)])
    assert route.task in ("first", "second")
    assert 0 <= route.margin <= 1


def test_nothing_of_the_model_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("the model was used")

    for name in ("batch", "features", "generate", "score_choices"):
        monkeypatch.setattr(ToyBackbone, name, refused)
    assert chosen(taught(first=[asked("a", "image")]), asked("a", "image")) == ["first"]
