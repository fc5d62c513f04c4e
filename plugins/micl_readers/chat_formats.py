"""Formats of chat data other than LLaVA's: those of ms-swift.

An item is an object in one of these forms; all may have ``system``, a text that comes first, and media:

- messages: ``{"messages": [{"role": "user", "content": "<image>..."}, {"role": "assistant", "content": "..."}]}``;
  a content may also be a list of parts, ``{"type": "text", "text": "..."}`` or ``{"type": "image", "image": "path"}``;
- ShareGPT: ``{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}``, or
  ``{"conversation": [{"human": "...", "assistant": "..."}]}``;
- Alpaca: ``{"instruction": "...", "input": "...", "output": "..."}``, of which ``input`` may be missing;
- query and response: ``{"query": "...", "response": "...", "history": [["...", "..."]]}``; history may be missing.

Media are paths under ``images``, ``videos`` and ``audios`` (or the singular): a text, an object with ``path``, or a
list of them. They stand where the texts have ``<image>``, ``<video>`` and ``<audio>``, or first if there is no such
mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from micl_cli.api import Content, ManifestError, Media, field_of, text_field
from micl_readers.llava import joined

MODALITIES = ("image", "video", "audio")
_MARK = re.compile(f"<({'|'.join(MODALITIES)})>")
_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
Place = Callable[[str, str], str]
"""Returns the path of a medium below the media root, given its modality and the path in the item."""
_PUBLISHED = "Is this the file that was published?"


class ChatTurn(NamedTuple):
    """The content before a reply, earlier turns included, and the reply."""

    content: Content
    reply: str


class _Message(NamedTuple):
    speaker: str
    text: str


_Media = dict[str, list[str]]
"""Paths by modality, in order."""


def chat_turns(item: Any, where: str, place: Place) -> list[ChatTurn]:
    """Return the turns of an item in any of the formats. Raises ManifestError if it is in none of them, or malformed.

    The content of a turn includes all earlier texts and replies.
    """
    if not isinstance(item, Mapping):
        raise ManifestError(f"{where}: it is not an object", _PUBLISHED)
    keys = next((keys for keys in _FORMATS if all(key in item for key in keys)), None)
    if keys is None:
        known = "; ".join(" and ".join(keys) for keys in _FORMATS)
        names = ", ".join(map(str, list(item)[:8])) or "none"
        raise ManifestError(f"{where}: no keys of a known format ({names})", f"It needs one of: {known}.")
    media = _media(item, where)
    messages = _FORMATS[keys](item, where, media)
    if isinstance(item.get("system"), str) and item["system"].strip():
        messages = [_Message("system", item["system"]), *messages]
    _check_order(messages, where)
    _check_marks(messages, media, where)
    return list(_turns(messages, {modality: [place(modality, path) for path in media[modality]] for modality in media}))


def _turns(messages: Sequence[_Message], media: _Media) -> Iterator[ChatTurn]:
    marked = _marks(messages)
    left = {modality: iter(paths) for modality, paths in media.items()}
    before: Content = tuple(Media(name, Path(path)) for name in media if not marked[name] for path in left[name])
    for message in messages:
        if message.speaker == "assistant":
            yield ChatTurn(before, message.text)
            before = joined(*before, message.text.strip())
        else:
            before = joined(*before, *_content(message.text, left))


def _content(text: str, left: Mapping[str, Iterator[str]]) -> Iterator[str | Media]:
    """Yield the text with marks replaced by the next media."""
    position = 0
    for mark in _MARK.finditer(text):
        yield text[position : mark.start()].strip()
        yield Media(mark[1], Path(next(left[mark[1]])))
        position = mark.end()
    yield text[position:].strip()


def _marks(messages: Sequence[_Message]) -> dict[str, int]:
    """Return the number of marks of each modality in all texts."""
    text = "\n".join(message.text for message in messages if message.speaker != "assistant")
    return {modality: text.count(f"<{modality}>") for modality in MODALITIES}


def _check_order(messages: Sequence[_Message], where: str) -> None:
    """Raise ManifestError unless users and assistant take turns after an optional system text."""
    speakers = [message.speaker for message in messages]
    turns = speakers[1:] if speakers[:1] == ["system"] else speakers
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        raise ManifestError(f"{where}: the turns are {', '.join(speakers) or 'missing'}, not user, assistant, ...")


def _check_marks(messages: Sequence[_Message], media: _Media, where: str) -> None:
    """Raise ManifestError unless the numbers of marks and media are equal."""
    for modality, count in _marks(messages).items():
        given = len(media[modality])
        if count and count != given:
            raise ManifestError(f"{where}: the texts refer to {count} {modality} files, and {given} are given")


# Media


def _media(item: Mapping[str, Any], where: str) -> _Media:
    found: _Media = {}
    for modality in MODALITIES:
        given = [key for key in (modality, f"{modality}s") if item.get(key) is not None]
        if len(given) > 1:
            raise ManifestError(f"{where}: both {given[0]} and {given[1]} are given")
        value = item[given[0]] if given else []
        found[modality] = [_path(each, where, given[0]) for each in (value if isinstance(value, list) else [value])]
    return found


def _path(value: Any, where: str, key: str) -> str:
    path = value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(path, str) or not path:
        raise ManifestError(f"{where}: {key} is not a path", "Media inside the file are not read: save them as files.")
    return path


# Formats


def _from_messages(item: Mapping[str, Any], where: str, media: _Media) -> list[_Message]:
    messages = _list(item, "messages", where)
    return [_Message(_speaker(each, "role", where), _text(each, where, media)) for each in messages]


def _text(message: Any, where: str, media: _Media) -> str:
    """Return the text of a message; media among its parts are added to ``media``, with marks in the text."""
    content = field_of(message, "content", where)
    if not isinstance(content, list):
        return text_field(message, "content", where)
    return "\n".join(_part(part, where, media) for part in content)


def _part(part: Any, where: str, media: _Media) -> str:
    part_type = text_field(part, "type", where)
    if part_type == "text":
        return text_field(part, "text", where)
    if part_type not in MODALITIES:
        raise ManifestError(f"{where}: a part of a message is of the unknown type {part_type!r}")
    media[part_type].append(_path(field_of(part, part_type, where), where, part_type))
    return f"<{part_type}>"


def _from_sharegpt(item: Mapping[str, Any], where: str, media: _Media) -> list[_Message]:
    turns = _list(item, "conversations", where)
    return [_Message(_speaker(each, "from", where), text_field(each, "value", where)) for each in turns]


def _from_pairs(item: Mapping[str, Any], where: str, media: _Media) -> list[_Message]:
    turns = _list(item, "conversation", where)
    return [_Message(_SPEAKERS[key], text_field(each, key, where)) for each in turns for key in ("human", "assistant")]


def _from_alpaca(item: Mapping[str, Any], where: str, media: _Media) -> list[_Message]:
    asked = text_field(item, "instruction", where)
    if item.get("input"):
        asked = f"{asked}\n{text_field(item, 'input', where)}"
    return [_Message("user", asked), _Message("assistant", text_field(item, "output", where))]


def _from_query(item: Mapping[str, Any], where: str, media: _Media) -> list[_Message]:
    pairs = [[item["query"], item["response"]]]
    if item.get("history"):
        pairs = [*_list(item, "history", where), *pairs]
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ManifestError(f"{where}: query, response or a pair of history is not a text")
    speakers = ("user", "assistant")
    return [_Message(speaker, text) for pair in pairs for speaker, text in zip(speakers, pair, strict=True)]


def _list(item: Any, key: str, where: str) -> list[Any]:
    value = field_of(item, key, where)
    if not isinstance(value, list):
        raise ManifestError(f"{where}: {key} is not a list", _PUBLISHED)
    return value


def _speaker(message: Any, key: str, where: str) -> str:
    name = text_field(message, key, where)
    if name not in _SPEAKERS:
        raise ManifestError(f"{where}: {key} is {name!r}, which is none of {', '.join(_SPEAKERS)}")
    return _SPEAKERS[name]


_FORMATS: dict[tuple[str, ...], Callable[[Mapping[str, Any], str, _Media], list[_Message]]] = {
    ("messages",): _from_messages,
    ("conversations",): _from_sharegpt,
    ("conversation",): _from_pairs,
    ("instruction", "output"): _from_alpaca,
    ("query", "response"): _from_query,
}
"""The formats by the keys that identify them."""
