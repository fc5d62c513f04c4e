"""Tasks and their examples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn from or to answer: a medium (or none), a prompt, and its references.

    ``modality`` is None for text alone. ``answer`` is what is taught; where it is None the
    first reference is. ``digest`` is the sha256 of the medium's bytes. ``context`` is text that
    stands before the medium: where many examples share it, a backbone may read it once.
    """

    id: str
    prompt: str
    references: tuple[str, ...] = ()
    modality: str | None = None
    media: Path | None = None
    digest: str = ""
    task: str = ""
    answer: str | None = None
    context: str = ""

    @property
    def target(self) -> str:
        """The text to be learnt."""
        if self.answer is not None:
            return self.answer
        return self.references[0] if self.references else ""

    def with_answer(self, answer: str) -> Example:
        """The same example, with ``answer`` as the text to be learnt."""
        return replace(self, answer=answer)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields, so that a strategy can keep examples in its state."""
        return {**asdict(self), "references": list(self.references), "media": str(self.media) if self.media else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Example:
        """The example that ``as_json`` gave."""
        media = Path(data["media"]) if data["media"] else None
        return cls(**{**data, "references": tuple(data["references"]), "media": media})


@dataclass(frozen=True)
class Task:
    """A prepared task: what it is, and its examples by split.

    ``name`` is the full name, ``benchmark/task``; ``kind`` is "captioning", "qa" or another
    word of its author; ``instruction`` is the prompt that its inputs share (captioning), or
    empty (each example asks its own question); ``sha256`` covers the manifest and all media.
    """

    name: str
    modality: str
    kind: str
    metric: str
    description: str = ""
    instruction: str = ""
    sha256: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    load: Callable[[str], Sequence[Example]] | None = field(default=None, repr=False, compare=False)

    @property
    def short(self) -> str:
        """The name without its benchmark."""
        return self.name.rpartition("/")[2]

    @property
    def benchmark(self) -> str:
        """The benchmark that the task belongs to."""
        return self.name.rpartition("/")[0]

    def examples(self, split: str) -> Sequence[Example]:
        """The examples of "train", "val" or "test", in the manifest's order."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        return self.load(split) if self.load else ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest: ``media`` is a path below the task's folder."""

    id: str
    split: str
    media: str
    prompt: str
    references: tuple[str, ...]


class TaskSource(ABC):
    """Where a named task comes from: it writes media below a folder and yields manifest rows.

    ``embedded`` sources need nothing but a seed: ``micl learn`` prepares them by itself.
    """

    benchmark: ClassVar[str]
    name: ClassVar[str]
    modality: ClassVar[str]
    kind: ClassVar[str]
    metric: ClassVar[str]
    description: ClassVar[str] = ""
    instruction: ClassVar[str] = ""
    embedded: ClassVar[bool] = False

    @abstractmethod
    def rows(self, folder: Path) -> Iterable[Row]:
        """Write the media files below ``folder`` and yield one row for each example."""
