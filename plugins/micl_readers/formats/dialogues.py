"""Dialogues: LLaVA and ShareGPT conversations, messages of chat models, instructions in the format of Alpaca.

Media are in ``image``, ``images``, ``video``, ``audio`` and so on beside the turns, placed at the marks ``<image>``,
``<video>`` and ``<audio>`` of the text, or before it if it has none. In messages they may also be parts of a turn.
Every answer of the assistant is an example, whose content holds all turns before it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from micl_cli.api import (
    Fault,
    Format,
    Item,
    Items,
    ManifestError,
    Match,
    MediumValue,
    Source,
    field_of,
    interleave,
    json_head,
    json_values,
    text_field,
)

_MEDIA = {
    "image": ("image", "images"),
    "video": ("video", "videos"),
    "audio": ("audio", "audios", "sound"),
}
"""The keys of media by modality."""
_SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "system": "system",
}
_FORMER = "former"
"""The speaker of an assistant's answer that is excluded from training."""
_COLUMNS = {"content": ("content",), "answer": ("answer",), "id": ("id",)}
_MARKS = {"image": "<image>", "video": "<video>", "audio": "<audio>"}


class Turn(NamedTuple):
    """One turn: the speaker ("user", "assistant" or "system"), the text, and the media that are parts of it."""

    speaker: str
    text: str
    media: tuple[MediumValue, ...] = ()


class _Dialogues(Format):
    """Reads dialogues from a JSON list, or from JSON Lines. ``key`` is the key of the turns."""

    type = "qa"
    suffixes = (".json", ".jsonl", ".ndjson")
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = _COLUMNS
    key: ClassVar[str] = ""

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match files whose first item has the key of the turns."""
        if not path.is_file() or path.suffix.lower() not in cls.suffixes:
            return Match.NONE
        shape, keys = json_head(path)
        return Match.CONTENT if shape != "object" and cls.has_keys(keys) else Match.NONE

    @classmethod
    def has_keys(cls, keys: frozenset[str]) -> bool:
        """Return whether an item with these keys is in this format."""
        return cls.key in keys

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each answer of the assistant."""
        for number, (where, value) in enumerate(json_values(path, source), 1):
            try:
                yield from self._examples(value, str(number), where)
            except ManifestError as error:
                name = str(value.get("id", number)) if isinstance(value, Mapping) else str(number)
                yield Fault(where, name, error.message.removeprefix(f"{where}: "))

    def _examples(self, value: Any, number: str, where: str) -> Iterator[Item]:
        turns = list(self.turns(value, where))
        _check_order([turn.speaker for turn in turns], where)
        media = [*_media(value, where), *(medium for turn in turns for medium in turn.media)]
        name = text_field(value, "id", where) if value.get("id") is not None else number
        answers = [index for index, turn in enumerate(turns) if turn.speaker == "assistant"]
        examples = []
        for index in answers:
            before = turns[:index]
            shown = _shown(before, turns, media)
            text = "\n".join(turn.text.strip() for turn in before)
            content = interleave(text, shown, where)
            row_id = name if len(answers) == 1 else f"{name}/{answers.index(index) + 1}"
            values = {"id": row_id, "content": content, "answer": [turns[index].text]}
            examples.append(Item(where, values, group=name if len(answers) > 1 else ""))
        yield from examples

    @abstractmethod
    def turns(self, value: Any, where: str) -> Iterator[Turn]:
        """Yield the turns of a dialogue. Raises ManifestError."""


class Conversations(_Dialogues):
    """Conversations of LLaVA and ShareGPT: ``{"conversations": [{"from": "human", "value": "..."}, ...]}``."""

    name = "conversations"
    key = "conversations"

    def turns(self, value: Any, where: str) -> Iterator[Turn]:
        """Yield each turn, beginning with the system text."""
        if isinstance(value, Mapping) and value.get("system"):
            yield Turn("system", text_field(value, "system", where))
        for turn in _listed(value, self.key, where):
            yield Turn(_speaker(text_field(turn, "from", where), where), text_field(turn, "value", where))


class Messages(_Dialogues):
    """Messages of chat models: ``{"messages": [{"role": "user", "content": "..."}, ...]}``."""

    name = "messages"
    key = "messages"

    def turns(self, value: Any, where: str) -> Iterator[Turn]:
        """Yield each message."""
        for message in _listed(value, self.key, where):
            speaker = _speaker(text_field(message, "role", where), where)
            content = field_of(message, "content", where)
            if not isinstance(content, list):
                yield Turn(speaker, text_field(message, "content", where))
                continue
            parts = [_part(part, where) for part in content]
            text = "\n".join(part if isinstance(part, str) else _MARKS[part.modality] for part in parts)
            # A part without a value refers to one of the media beside the messages.
            media = [part for part in parts if isinstance(part, MediumValue) and part.value is not None]
            yield Turn(speaker, text, tuple(media))


class Alpaca(_Dialogues):
    """Instructions: ``{"instruction", "input", "output"}`` as in Alpaca, or ``{"query", "response"}``."""

    name = "alpaca"

    @classmethod
    def has_keys(cls, keys: frozenset[str]) -> bool:
        """Return whether an item has an instruction and its answer."""
        return {"instruction", "output"} <= keys or {"query", "response"} <= keys

    def turns(self, value: Any, where: str) -> Iterator[Turn]:
        """Yield the earlier turns, the instruction and the answer."""
        asked, answer = (
            ("query", "response") if isinstance(value, Mapping) and "query" in value else ("instruction", "output")
        )
        if isinstance(value, Mapping) and value.get("system"):
            yield Turn("system", text_field(value, "system", where))
        for former in value.get("history") or () if isinstance(value, Mapping) else ():
            if not isinstance(former, list) or len(former) != 2:
                raise ManifestError(f"{where}: history is not a list of pairs of texts")
            yield Turn("user", str(former[0]))
            yield Turn(_FORMER, str(former[1]))
        texts = [text_field(value, asked, where)]
        texts += [text_field(value, "input", where)] if value.get("input") else []
        yield Turn("user", "\n".join(texts))
        yield Turn("assistant", text_field(value, answer, where))


def _listed(value: Any, key: str, where: str) -> Sequence[Any]:
    turns = field_of(value, key, where)
    if not isinstance(turns, list) or not turns:
        raise ManifestError(f"{where}: {key} is not a list of turns")
    return turns


def _speaker(name: str, where: str) -> str:
    if name not in _SPEAKERS:
        raise ManifestError(f"{where}: unknown speaker {name!r} (known: {', '.join(_SPEAKERS)})")
    return _SPEAKERS[name]


def _check_order(speakers: Sequence[str], where: str) -> None:
    """Raise ManifestError unless user and assistant take turns, and the assistant has answered."""
    turns = ["assistant" if speaker == _FORMER else speaker for speaker in speakers if speaker != "system"]
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    if "assistant" not in speakers or turns != expected[: len(turns)]:
        raise ManifestError(f"{where}: the turns are {', '.join(turns) or 'missing'}, not user, assistant, ...")


def _media(value: Mapping[str, Any], where: str) -> Iterator[MediumValue]:
    """Yield the media beside the turns."""
    for modality, keys in _MEDIA.items():
        found = [value[key] for key in keys if value.get(key)]
        if len(found) > 1:
            raise ManifestError(f"{where}: both {' and '.join(key for key in keys if value.get(key))} are given")
        for each in found[0] if found and isinstance(found[0], list) else found:
            yield MediumValue(modality, each)


def _shown(before: Sequence[Turn], turns: Sequence[Turn], media: Sequence[MediumValue]) -> list[MediumValue]:
    """Return the media that the turns ``before`` an answer refer to: one for each mark, or all without marks."""
    shown = []
    for modality, mark in _MARKS.items():
        all_of = [medium for medium in media if medium.modality == modality]
        marks = sum(turn.text.count(mark) for turn in turns)
        seen = sum(turn.text.count(mark) for turn in before)
        shown += all_of[:seen] if marks and marks == len(all_of) else all_of
    return shown


def _part(part: Any, where: str) -> str | MediumValue:
    """Return a part of a message: a text, or a medium, whose value is None if it is beside the messages."""
    part_type = text_field(part, "type", where)
    if part_type == "text":
        return text_field(part, "text", where)
    modality = part_type.removesuffix("_url").removeprefix("input_")
    if modality not in _MARKS:
        raise ManifestError(f"{where}: unknown type {part_type!r} of a part")
    value = next((part[key] for key in (part_type, modality, "path", "url") if part.get(key)), None)
    value = value.get("url") if isinstance(value, Mapping) and "url" in value else value
    return MediumValue(modality, value)
