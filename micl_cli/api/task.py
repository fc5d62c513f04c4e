"""Tasks, their examples, and sources of registered tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from micl_cli.api.presets import FetchProgress

SPLITS = ("train", "val", "test")
CAPTIONING, QA, CHOICE = "captioning", "qa", "choice"
"""The task types with built-in behaviour: captions, open answers to questions, multiple choice."""


class Media(NamedTuple):
    """One image, sound, clip or medium of another modality.

    ``path`` is relative to the task's folder in a :class:`Row` and absolute in an :class:`Example`; ``digest`` is
    the sha256 of the file's bytes, or empty if unknown.
    """

    modality: str
    path: Path | None = None
    digest: str = ""

    @property
    def key(self) -> str:
        """An identifier of the bytes: the digest, or the path if there is none."""
        return self.digest or str(self.path or "")


Content = tuple[str | Media, ...]
"""The content of an example: texts and media in order, any number of each."""


def media_in(content: Iterable[str | Media]) -> tuple[Media, ...]:
    """Return the media of a content, in order."""
    return tuple(item for item in content if isinstance(item, Media))


def prompt_of(content: Iterable[str | Media]) -> str:
    """Return the texts of a content, joined by newlines."""
    return "\n".join(item for item in content if isinstance(item, str))


@dataclass(frozen=True, slots=True)
class Example:
    """One example to learn from or to answer: content, references and, in multiple choice, its own choices.

    ``content`` holds texts and media in the order in which the model reads them. ``answer`` is the training target;
    if it is None, the first reference is. ``meta`` holds extra keys of the manifest, which micl ignores.
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
        """The training target: the answer, or the first reference."""
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
        """An identifier of the media, equal for examples with the same media in the same order."""
        return tuple(f"{medium.modality}:{medium.key}" for medium in self.media)

    @property
    def prompt(self) -> str:
        """The texts of the content, joined by newlines."""
        return prompt_of(self.content)

    def with_answer(self, answer: str) -> Example:
        """Return a copy of the example with ``answer`` as its target."""
        return replace(self, answer=answer)

    def with_prompt(self, prompt: str, answer: str | None = None) -> Example:
        """Return an example with the same media followed by ``prompt``, without references and choices."""
        return Example(self.id, (*self.media, prompt) if prompt else self.media, answer=answer, task=self.task)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, so that a strategy can keep examples in its state."""
        content = [
            item if isinstance(item, str) else [item.modality, str(item.path) if item.path else None, item.digest]
            for item in self.content
        ]
        lists = {"references": list(self.references), "choices": list(self.choices)}
        return {"id": self.id, "content": content, **lists, "answer": self.answer, "task": self.task}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Example:
        """Return the example that ``as_json`` was called on, without ``meta``."""
        content = tuple(item if isinstance(item, str) else _media(*item) for item in data["content"])
        references, choices = tuple(data["references"]), tuple(data["choices"])
        return cls(data["id"], content, references, choices, data["answer"], data["task"])


def _media(modality: str, path: str | None, digest: str) -> Media:
    return Media(modality, Path(path) if path else None, digest)


@dataclass(frozen=True)
class Task:
    """A prepared task: its description, and its examples by split.

    ``name`` is the full name, ``benchmark/task``. ``modalities`` are those of its media, empty for text alone. ``type``
    is "captioning", "qa", "choice" or one that a plugin declares. ``instruction`` is the prompt that all examples share
    (captioning), or empty if each asks its own question. ``answers`` is the closed set of answers of a question
    answering task, if it has one; ``longest_reference`` is the one with the most bytes. ``prompts`` and ``scorer`` name
    the variants of a published benchmark, and ``source`` its reader; they are empty for other tasks. ``sha256`` covers
    the manifest and all media. ``facts`` holds by the digest of a medium what its modality found in it (see
    Modality.inspect), as far as it is known.
    """

    name: str
    modalities: frozenset[str]
    type: str
    metric: str
    description: str = ""
    instruction: str = ""
    prompts: str = ""
    scorer: str = ""
    source: str = ""
    sha256: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    longest_reference: str = ""
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False, compare=False)
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
            raise ValueError(f"unknown split {split!r}: use one of {', '.join(SPLITS)}")
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
        """The texts of the content, joined by newlines."""
        return prompt_of(self.content)


class TaskSource(ABC):
    """The source of a registered task, which writes media files and yields manifest rows.

    ``embedded`` sources need no external data: ``micl learn`` prepares them automatically.
    """

    benchmark: ClassVar[str]
    name: ClassVar[str]
    modalities: ClassVar[frozenset[str]]
    type: ClassVar[str]
    metric: ClassVar[str]
    description: ClassVar[str] = ""
    instruction: ClassVar[str] = ""
    embedded: ClassVar[bool] = False

    def fetch(self, folder: Path, tell: FetchProgress) -> TaskSource:
        """Download the data of the source to ``folder``, and return a source that uses it. Called before ``rows``.

        ``folder`` is shared by all sources and processes of a home folder, and is not deleted afterwards. The
        default, for a source without downloads, returns ``self``. Raises PlanError.
        """
        return self

    @abstractmethod
    def rows(self, folder: Path) -> Iterable[Row]:
        """Write the media files below ``folder`` and yield one row for each example."""
