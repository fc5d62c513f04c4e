"""Leaks between the splits of a task: what the model is validated or tested on, but has also learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
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
    media: dict[str, set[str]] = {split: set() for split in SPLITS}
    contents: dict[str, list[bytes]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        for example in task.examples(split):
            media[split].update(medium.key for medium in example.media)
            contents[split].append(_content(example))
    return tuple(_leaks(media, contents))


def _leaks(media: dict[str, set[str]], contents: dict[str, list[bytes]]) -> Iterator[Leak]:
    for first, second in combinations(SPLITS, 2):
        known = set(contents[first])
        leak = Leak((first, second), len(media[first] & media[second]), sum(key in known for key in contents[second]))
        if leak.media or leak.examples:
            yield leak


def _content(example: Example) -> bytes:
    """Return a digest of the media and texts of an example, since there may be many examples."""
    items = [f"text:{item}" if isinstance(item, str) else f"medium:{item.key}" for item in example.content]
    return blake2b("\0".join(items).encode(), digest_size=16).digest()
