from __future__ import annotations

from pathlib import Path

from micl_cli.api import Example, Media, Task
from micl_cli.data.leaks import Leak, find_leaks


def example(id: str, *content: str) -> Example:
    """An example; content that starts with # is a medium with that digest."""
    items = tuple(Media("image", Path(f"{id}{text}"), text) if text.startswith("#") else text for text in content)
    return Example(id, items, ("a",))


def task(**splits: list[Example]) -> Task:
    return Task("own/x", frozenset({"image"}), "qa", "accuracy", load=lambda split: splits.get(split, []))


def test_media_and_examples_in_two_splits_are_counted() -> None:
    train = [example("1", "#a", "What?"), example("2", "#b", "What?"), example("3", "Who?")]
    val = [example("4", "#c", "What?")]
    test = [
        *(example("5", "#a", "What?"), example("6", "#a", "What?"), example("7", "#b", "Where?")),
        *(example("8", "Who?"), example("9", "#c", "What?")),
    ]
    leaks = find_leaks(task(train=train, val=val, test=test))
    assert leaks == (Leak(("train", "test"), 2, 3), Leak(("val", "test"), 1, 1))
    assert [str(leak) for leak in leaks] == [
        "2 media are in both train and test; 3 examples of test with the same media and text as in train",
        "1 medium is in both val and test; 1 example of test with the same media and text as in val",
    ]


def test_separate_splits_have_no_leak() -> None:
    train = [example("1", "#a", "What?"), example("2", "#a", "#b")]
    assert find_leaks(task(train=train, test=[example("3", "#c", "What?")])) == ()
    assert find_leaks(task(train=train, test=[example("3", "What?")])) == ()
