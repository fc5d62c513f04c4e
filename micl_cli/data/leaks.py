"""Leaks between the splits of a task: what the model is validated or tested on, but has also learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from micl_cli.api.task import SPLITS, Example, Task


@dataclass(frozen=True)
class Leak:
    """What two splits have in common.

    ``media`` counts distinct media (by sha256) that are in both. ``examples`` counts the examples of the second split
    whose media and texts are also those of an example of the first.
    """

    splits: tuple[str, str]
    media: int
    examples: int

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"splits": list(self.splits), "media": self.media, "examples": self.examples}

    def __str__(self) -> str:
        first, second = self.splits
        media = "1 medium is" if self.media == 1 else f"{self.media} media are"
        examples = "1 example" if self.examples == 1 else f"{self.examples} examples"
        shared = [f"{media} in both {first} and {second}"] if self.media else []
        if self.examples:
            shared.append(f"{examples} of {second} with the same media and text as in {first}")
        return "; ".join(shared)


def find_leaks(task: Task) -> tuple[Leak, ...]:
    """Return the leaks between the splits of a task, for every pair of splits that have something in common."""
    media = {split: {medium.key for example in task.examples(split) for medium in example.media} for split in SPLITS}
    contents = {split: [_content(example) for example in task.examples(split)] for split in SPLITS}
    return tuple(_leaks(media, contents))


def _leaks(media: dict[str, set[str]], contents: dict[str, list[tuple[str, ...]]]) -> Iterator[Leak]:
    for first, second in combinations(SPLITS, 2):
        known = set(contents[first])
        leak = Leak((first, second), len(media[first] & media[second]), sum(key in known for key in contents[second]))
        if leak.media or leak.examples:
            yield leak


def _content(example: Example) -> tuple[str, ...]:
    return tuple(f"text:{item}" if isinstance(item, str) else f"medium:{item.key}" for item in example.content)
