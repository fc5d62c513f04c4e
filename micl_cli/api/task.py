"""Tasks, their examples, and the sources that named tasks come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

SPLITS = ("train", "val", "test")
CAPTIONING, QA, CHOICE = "captioning", "qa", "choice"
"""The task types that micl itself knows: captions, free answers to questions, multiple choice."""


class Media(NamedTuple):
    """One image, sound, clip or medium of another modality.

    ``path`` is relative to the task's folder in a :class:`Row` and absolute in an :class:`Example`; ``digest`` is
    the sha256 of the file's bytes, empty where it is not known.
    """

    modality: str
    path: Path | None = None
    digest: str = ""

    @property
    def key(self) -> str:
        """What identifies the bytes: the digest, or the path where there is none."""
        return self.digest or str(self.path or "")


Content = tuple[str | Media, ...]
"""What an example shows, in order: texts and media, any number of each."""


def media_in(content: Iterable[str | Media]) -> tuple[Media, ...]:
    """Return the media of a content, in order."""
    return tuple(part for part in content if isinstance(part, Media))


def prompt_of(content: Iterable[str | Media]) -> str:
    """Return the texts of a content, one a line."""
    return "\n".join(part for part in content if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Example:
    """One example to learn from or to answer: content, references, and (multiple choice) its own choices.

    ``content`` holds texts and media in the order in which the model reads them. ``answer`` is the text that is
    taught; where it is None the first reference is. ``meta`` holds further keys of the manifest, which micl ignores.
    """

    id: str
    content: Content = ()
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    answer: str | None = None
    task: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def target(self) -> str:
        """The text to be learnt."""
        if self.answer is not None:
            return self.answer
        return self.references[0] if self.references else ""

    @property
    def media(self) -> tuple[Media, ...]:
        """The media of the content, in order."""
        return media_in(self.content)

    @property
    def modalities(self) -> frozenset[str]:
        """The modalities of the media; empty for text alone."""
        return frozenset(medium.modality for medium in self.media)

    @property
    def media_key(self) -> tuple[str, ...]:
        """What identifies the media: equal for examples that show the same ones in the same order."""
        return tuple(f"{medium.modality}:{medium.key}" for medium in self.media)

    @property
    def prompt(self) -> str:
        """The texts of the content, one a line."""
        return prompt_of(self.content)

    def with_answer(self, answer: str) -> Example:
        """Return the same example with ``answer`` as the text to be learnt."""
        return replace(self, answer=answer)

    def with_prompt(self, prompt: str, answer: str | None = None) -> Example:
        """Return an example on the same media with another prompt behind them, and without references and choices."""
        return Example(self.id, (*self.media, prompt) if prompt else self.media, answer=answer, task=self.task)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, so that a strategy can keep examples in its state."""
        content = [
            part if isinstance(part, str) else [part.modality, str(part.path) if part.path else None, part.digest]
            for part in self.content
        ]
        lists = {"references": list(self.references), "choices": list(self.choices)}
        return {"id": self.id, "content": content, **lists, "answer": self.answer, "task": self.task}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Example:
        """Return the example that ``as_json`` described."""
        content = tuple(part if isinstance(part, str) else _media(*part) for part in data["content"])
        references, choices = tuple(data["references"]), tuple(data["choices"])
        return cls(data["id"], content, references, choices, data["answer"], data["task"])


def _media(modality: str, path: str | None, digest: str) -> Media:
    return Media(modality, Path(path) if path else None, digest)


@dataclass(frozen=True)
class Task:
    """A prepared task: what it is, and its examples by split.

    ``name`` is the full name, ``benchmark/task``. ``modalities`` are those of its media, none for text alone.
    ``type`` is "captioning", "qa", "choice" or another word of the task's author. ``instruction`` is the prompt that
    its inputs share (captioning), or empty (each example asks its own question). ``answers`` is the closed set of
    answers of a question answering task, where it has one. ``sha256`` covers the manifest and all media.
    """

    name: str
    modalities: frozenset[str]
    type: str
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
        """Return the examples of "train", "val" or "test", in the manifest's order."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        return self.load(split) if self.load else ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest. The paths of its media are relative to the task's folder."""

    id: str
    split: str
    content: Content
    references: tuple[str, ...]
    choices: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def media(self) -> tuple[Media, ...]:
        """The media of the content, in order."""
        return media_in(self.content)

    @property
    def prompt(self) -> str:
        """The texts of the content, one a line."""
        return prompt_of(self.content)


class TaskSource(ABC):
    """Where a named task comes from: it writes media below a folder and yields manifest rows.

    ``embedded`` sources need nothing but a seed: ``micl learn`` prepares them by itself.
    """

    benchmark: ClassVar[str]
    name: ClassVar[str]
    modalities: ClassVar[frozenset[str]]
    type: ClassVar[str]
    metric: ClassVar[str]
    description: ClassVar[str] = ""
    instruction: ClassVar[str] = ""
    embedded: ClassVar[bool] = False

    @abstractmethod
    def rows(self, folder: Path) -> Iterable[Row]:
        """Write the media files below ``folder`` and yield one row for each example."""
