from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import GROUP, Example, Media, subset


def example(number: int, name: str, label: str) -> Example:
    return Example(str(number), (Media("image", Path(f"/{name}"), name), "Dark or light?"), (label,))


def sorted_by_class(count: int) -> list[Example]:
    """Examples of two classes, one after the other, with repeated media and ids that are line numbers."""
    names = [(f"{label}-{i % 20}", label) for label in ("dark", "light") for i in range(count)]
    return [example(number, *name) for number, name in enumerate(names)]


def contents(examples: object) -> Counter[tuple[object, ...]]:
    assert isinstance(examples, list)
    return Counter((e.content, e.references) for e in examples)


@given(st.randoms(use_true_random=False), st.integers(0, 90))
def test_choice_does_not_depend_on_order_or_line_numbers(rng: random.Random, size: int) -> None:
    first = sorted_by_class(40)
    lines = [(e.media[0].digest, e.references[0]) for e in first]
    rng.shuffle(lines)
    second = [example(number, *line) for number, line in enumerate(lines)]
    assert contents(list(subset(first, size))) == contents(list(subset(second, size)))
    assert len(subset(first, size)) == min(size, 80)


def test_choice_is_spread_over_a_sorted_list_and_keeps_its_order() -> None:
    examples = sorted_by_class(200)
    chosen = list(subset(examples, 100))
    assert [e.id for e in chosen] == sorted((e.id for e in chosen), key=int)
    assert 35 <= sum(e.references == ("dark",) for e in chosen) <= 65
    assert subset(examples, 100) == chosen
    assert subset(examples, 100, salt="other") != chosen


def test_smaller_choice_is_part_of_a_larger_one() -> None:
    examples = sorted_by_class(40)
    assert {e.id for e in subset(examples, 10)} < {e.id for e in subset(examples, 20)}


def test_all_examples_stay_as_they_are() -> None:
    examples = sorted_by_class(10)
    for size in (None, 20, 1000):
        assert subset(examples, size) is examples


def test_choice_is_the_same_in_every_version() -> None:
    texts = [Example(str(number), (f"question {number}",), ("a",)) for number in range(10)]
    assert [e.id for e in subset(texts, 3)] == ["2", "8", "9"]


@given(st.integers(1, 30), st.integers(1, 4), st.randoms(use_true_random=False))
def test_examples_that_are_scored_together_are_chosen_together(size: int, members: int, rng: random.Random) -> None:
    examples = [
        Example(f"{group}/{i}", (f"question {group} {i}",), ("a",), meta={GROUP: f"g{group}"})
        for group in range(8)
        for i in range(members)
    ]
    chosen = subset(examples, size)
    counts = Counter(example.meta[GROUP] for example in chosen)
    assert set(counts.values()) == {members}
    assert min(size, 8 * members) - members < len(chosen) <= max(size, members)
    shuffled = rng.sample(examples, len(examples))
    assert {example.id for example in subset(shuffled, size)} == {example.id for example in chosen}
