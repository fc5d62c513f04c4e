"""Examples of earlier tasks, stored for rehearsal within a limit of examples and of bytes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from micl_cli.api import Example, Task

Stored = tuple[str, Example]
"""A task's name, and an example of it."""


class Buffer:
    """The stored examples. Media are not copied: an example names their paths.

    Within a task, examples stand in random order, so that its first ones are a fair sample.
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
        """The bytes that the stored examples take on a disk; a medium that several share counts once."""
        media = {medium.path for _, example in self.stored for medium in example.media if medium.path}
        return sum(path.stat().st_size for path in media) + sum(_text_bytes(example) for _, example in self.stored)

    def draw(self, count: int, rng: random.Random) -> list[Example]:
        """Return up to ``count`` stored examples, each with one of its references as the answer."""
        drawn = rng.sample(self.stored, min(count, len(self.stored)))
        return [example.with_answer(_answer(example, rng)) for _, example in drawn]

    def add(self, task: Task, capacity: int, policy: str, max_bytes: int, rng: random.Random) -> None:
        """Add examples of a task, within ``capacity`` examples and ``max_bytes`` bytes (0: no limit) in all."""
        fresh: list[Stored] = [(task.name, example) for example in task.examples("train")]
        rng.shuffle(fresh)
        if policy == "reservoir":
            self._sample(fresh, capacity, rng)
        else:
            self.offered += len(fresh)
            self._share([*self.stored, *fresh], capacity)
        while max_bytes and self.stored and self.bytes > max_bytes:
            if policy == "reservoir":
                self._drop_any(rng)
            else:
                self._drop_one()

    def _sample(self, fresh: Sequence[Stored], capacity: int, rng: random.Random) -> None:
        """Sample a reservoir (Vitter 1985, algorithm R): every example so far is stored with the same chance."""
        if self.offered > len(self.stored):
            # Once something was dropped, for whatever limit, more room would favour the newest.
            capacity = min(capacity, len(self.stored))
        while len(self.stored) > capacity:
            self._drop_any(rng)
        for item in fresh:
            self.offered += 1
            if len(self.stored) < capacity:
                self.stored.append(item)
            elif (place := rng.randrange(self.offered)) < capacity:
                self.stored[place] = item

    def _share(self, items: Sequence[Stored], capacity: int) -> None:
        """Store the same number of each task; the remainder goes to the first ones."""
        names = list(dict.fromkeys(name for name, _ in items))
        share, more = divmod(capacity, len(names))
        self.stored = []
        for place, name in enumerate(names):
            self.stored += [item for item in items if item[0] == name][: share + (place < more)]

    def _drop_any(self, rng: random.Random) -> None:
        del self.stored[rng.randrange(len(self.stored))]

    def _drop_one(self) -> None:
        """Drop the last example of the task with the most."""
        (largest, _), *_ = Counter(name for name, _ in self.stored).most_common(1)
        last = max(place for place, (name, _) in enumerate(self.stored) if name == largest)
        del self.stored[last]

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready data: which examples are stored."""
        return {"offered": self.offered, "stored": [[name, example.id] for name, example in self.stored]}

    def restore(self, data: Mapping[str, Any], tasks: Sequence[Task]) -> None:
        """Take back what ``as_json`` returned, with the examples looked up in ``tasks``."""
        wanted = {name for name, _ in data["stored"]}
        known = {(t.name, e.id): e for t in tasks if t.name in wanted for e in t.examples("train")}
        self.offered = data["offered"]
        self.stored = [(name, known[name, id]) for name, id in data["stored"]]


def _answer(example: Example, rng: random.Random) -> str:
    return rng.choice(example.references) if example.answer is None and example.references else example.target


def _text_bytes(example: Example) -> int:
    content = (part for part in example.content if isinstance(part, str))
    texts = (*content, example.answer or "", *example.references, *example.choices)
    return sum(len(text.encode()) for text in texts)
