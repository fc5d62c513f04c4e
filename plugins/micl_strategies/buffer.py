"""Examples of earlier tasks, kept for rehearsal within a bound of examples and of bytes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from micl_cli.api import Example, Task

Kept = tuple[str, Example]
"""A task's name, and an example of it."""


class Buffer:
    """The kept examples. Media stay where they are; what is kept of them is their path.

    Within a task, examples stand in random order, so that its first ones are a fair sample.
    """

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.offered = 0

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def modalities(self) -> set[str]:
        """The modalities of what is kept."""
        return {example.modality for _, example in self.kept if example.modality}

    @property
    def bytes(self) -> int:
        """What the kept examples take on a disk, a medium that several share counted once."""
        media = {example.media for _, example in self.kept if example.media}
        return sum(path.stat().st_size for path in media) + sum(_text_bytes(example) for _, example in self.kept)

    def draw(self, count: int, rng: random.Random) -> list[Example]:
        """Up to ``count`` kept examples, each with one of its references as the answer."""
        drawn = rng.sample(self.kept, min(count, len(self.kept)))
        return [example.with_answer(_answer(example, rng)) for _, example in drawn]

    def take(self, task: Task, capacity: int, policy: str, most_bytes: int, rng: random.Random) -> None:
        """Take a learnt task in, and keep to ``capacity`` examples and ``most_bytes`` bytes (0: any)."""
        fresh: list[Kept] = [(task.name, example) for example in task.examples("train")]
        rng.shuffle(fresh)
        if policy == "reservoir":
            self._sample(fresh, capacity, rng)
        else:
            self.offered += len(fresh)
            self._share([*self.kept, *fresh], capacity)
        while most_bytes and self.kept and self.bytes > most_bytes:
            if policy == "reservoir":
                self._drop_any(rng)
            else:
                self._drop_one()

    def _sample(self, fresh: Sequence[Kept], capacity: int, rng: random.Random) -> None:
        """Reservoir sampling (Vitter 1985, algorithm R): every example seen is kept with the same chance."""
        if self.offered > len(self.kept):
            # Once something was let go, for whatever bound, more room would favour the newest.
            capacity = min(capacity, len(self.kept))
        while len(self.kept) > capacity:
            self._drop_any(rng)
        for item in fresh:
            self.offered += 1
            if len(self.kept) < capacity:
                self.kept.append(item)
            elif (place := rng.randrange(self.offered)) < capacity:
                self.kept[place] = item

    def _share(self, items: Sequence[Kept], capacity: int) -> None:
        """The same number of each task; the first ones get what is left over."""
        names = list(dict.fromkeys(name for name, _ in items))
        share, more = divmod(capacity, len(names))
        self.kept = []
        for place, name in enumerate(names):
            self.kept += [item for item in items if item[0] == name][: share + (place < more)]

    def _drop_any(self, rng: random.Random) -> None:
        del self.kept[rng.randrange(len(self.kept))]

    def _drop_one(self) -> None:
        """Let go of the last example of the task with the most."""
        (largest, _), *_ = Counter(name for name, _ in self.kept).most_common(1)
        last = max(place for place, (name, _) in enumerate(self.kept) if name == largest)
        del self.kept[last]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready: which examples are kept."""
        return {"offered": self.offered, "kept": [[name, example.id] for name, example in self.kept]}

    def restore(self, data: Mapping[str, Any], tasks: Sequence[Task]) -> None:
        """Take back what ``as_json`` gave, with the examples out of ``tasks``."""
        wanted = {name for name, _ in data["kept"]}
        known = {(t.name, e.id): e for t in tasks if t.name in wanted for e in t.examples("train")}
        self.offered = data["offered"]
        self.kept = [(name, known[name, id]) for name, id in data["kept"]]


def _answer(example: Example, rng: random.Random) -> str:
    return rng.choice(example.references) if example.answer is None and example.references else example.target


def _text_bytes(example: Example) -> int:
    return sum(len(text.encode()) for text in (example.prompt, example.answer or "", *example.references))
