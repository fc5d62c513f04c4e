"""Rehearsal memory: examples of earlier tasks, limited in number and in bytes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from micl_cli.api import Example, Task

Stored = tuple[str, Example]
"""A task's name and one of its examples."""


class Buffer:
    """Examples of earlier tasks. Media are referenced by path, not copied.

    The examples of a task are in random order, so that any prefix of them is a uniform sample.
    """

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self.offered = 0

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def modalities(self) -> set[str]:
        """The modalities of the stored examples."""
        return {modality for _, example in self.stored for modality in example.modalities}

    @property
    def bytes(self) -> int:
        """The size of the stored examples on disk; a medium shared by several of them counts once."""
        media = {medium.path for _, example in self.stored for medium in example.media if medium.path}
        return sum(path.stat().st_size for path in media) + sum(_text_bytes(example) for _, example in self.stored)

    def draw(self, count: int, rng: random.Random) -> list[Example]:
        """Return up to ``count`` stored examples, each with one of its references as the answer."""
        drawn = rng.sample(self.stored, min(count, len(self.stored)))
        return [example.with_answer(_answer(example, rng)) for _, example in drawn]

    def add(self, task: Task, capacity: int, policy: str, max_bytes: int, rng: random.Random) -> None:
        """Store examples of a task within a total of ``capacity`` examples and ``max_bytes`` bytes (0: no limit)."""
        new: list[Stored] = [(task.name, example) for example in task.examples("train")]
        rng.shuffle(new)
        if policy == "reservoir":
            self._sample_reservoir(new, capacity, rng)
        else:
            self.offered += len(new)
            self._balance([*self.stored, *new], capacity)
        while max_bytes and self.stored and self.bytes > max_bytes:
            if policy == "reservoir":
                self._drop_random(rng)
            else:
                self._drop_from_largest()

    def _sample_reservoir(self, new: Sequence[Stored], capacity: int, rng: random.Random) -> None:
        """Store every example offered so far with equal probability (reservoir sampling, Vitter 1985, algorithm R)."""
        if self.offered > len(self.stored):
            # Examples have been dropped before: growing the reservoir now would favour the new ones.
            capacity = min(capacity, len(self.stored))
        while len(self.stored) > capacity:
            self._drop_random(rng)
        for item in new:
            self.offered += 1
            if len(self.stored) < capacity:
                self.stored.append(item)
            elif (index := rng.randrange(self.offered)) < capacity:
                self.stored[index] = item

    def _balance(self, items: Sequence[Stored], capacity: int) -> None:
        """Store equally many examples of each task; the first tasks take the remainder."""
        names = list(dict.fromkeys(name for name, _ in items))
        share, remainder = divmod(capacity, len(names))
        self.stored = []
        for index, name in enumerate(names):
            self.stored += [item for item in items if item[0] == name][: share + (index < remainder)]

    def _drop_random(self, rng: random.Random) -> None:
        del self.stored[rng.randrange(len(self.stored))]

    def _drop_from_largest(self) -> None:
        """Drop the last example of the task with the most stored examples."""
        (largest, _), *_ = Counter(name for name, _ in self.stored).most_common(1)
        last = max(index for index, (name, _) in enumerate(self.stored) if name == largest)
        del self.stored[last]

    def as_json(self) -> dict[str, Any]:
        """Return the ids of the stored examples as JSON-ready data."""
        return {"offered": self.offered, "stored": [[name, example.id] for name, example in self.stored]}

    def restore(self, data: Mapping[str, Any], tasks: Sequence[Task]) -> None:
        """Restore the buffer from the data of ``as_json``; the examples are looked up in ``tasks``."""
        names = {name for name, _ in data["stored"]}
        examples = {(t.name, e.id): e for t in tasks if t.name in names for e in t.examples("train")}
        self.offered = data["offered"]
        self.stored = [(name, examples[name, id]) for name, id in data["stored"]]


def _answer(example: Example, rng: random.Random) -> str:
    return rng.choice(example.references) if example.answer is None and example.references else example.target


def _text_bytes(example: Example) -> int:
    content = (part for part in example.content if isinstance(part, str))
    texts = (*content, example.answer or "", *example.references, *example.choices)
    return sum(len(text.encode()) for text in texts)
