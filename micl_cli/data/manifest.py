"""``manifest.jsonl``: the manifest of a task, one example per line.

The short form of a line has media by modality, in order, followed by a prompt::

    {"id": "1", "split": "train", "image": "a.jpg", "prompt": "What?", "references": ["A bird."]}

The long form has texts and media in any order and number: ``"content": [{"image": "a.jpg"}, "What?"]`` instead of
modality and prompt. Both may have ``choices`` (a list of answers) and ``meta`` (an object that micl ignores).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from micl_cli.api.task import CHOICE, SPLITS, Content, Media, Row, media_in
from micl_cli.data.description import DESCRIPTION, LINE_KEYS, MANIFEST, Description, modality_line
from micl_cli.errors import ManifestError, nearest
from micl_cli.io.characters import has_control
from micl_cli.io.text import TextError, parse_json, read_lines

_NEAR_MISS = 0.8
_SHORTEST_NEAR_MISS = 4  # letters: shorter keys are similar by chance
_Line = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A row of a manifest, its line number, and its extra keys, which were moved to its metadata."""

    line: int
    row: Row
    extra_keys: tuple[str, ...] = ()


def relative_path(medium: Media) -> str:
    """Return the path of a row's medium relative to the task's folder, with / as the separator."""
    return medium.path.as_posix() if medium.path else ""


def path_fault(text: str, windows: bool = os.name == "nt") -> str:
    """Return the fault of a medium's relative path, or an empty string. Symbolic links are not followed here.

    On ``windows``, a backslash separates folders, and a letter with a colon is a drive. Elsewhere both are ordinary
    characters of names, except in what is a path of Windows that leads out.
    """
    if not text or has_control(text):
        return "is empty or contains control characters"
    if windows and "\\" in text:
        return "contains a backslash (write / between folders)"
    if text.startswith(("/", "\\\\")) or re.match(r"[A-Za-z]:" if windows else r"[A-Za-z]:[/\\]", text):
        return "is absolute"
    if ".." in PureWindowsPath(text).parts:
        return "leads out of the folder by '..'"
    return "" if PurePosixPath(text).parts else "is empty"


# Reading


def read_manifest(path: Path, description: Description, registered: Collection[str] = ()) -> Iterator[Entry]:
    """Yield the rows of a manifest; blank lines are skipped.

    ``registered`` names all installed modalities: a key with such a name that the task does not declare is an error.
    Raises ManifestError, with file and line, at the first line that is malformed or repeats an id.
    """
    first: dict[str, int] = {}
    for line, text in _lines(path):
        row, extra_keys = parse_row(text, description, f"{path}:{line}", registered)
        if row.id in first:
            message = f"{path}:{line}: id {row.id!r} is also the id of line {first[row.id]}"
            raise ManifestError(message, "Give each line a unique id.")
        first[row.id] = line
        yield Entry(line, row, extra_keys)


def parse_row(
    text: str, description: Description, where: str, registered: Collection[str] = ()
) -> tuple[Row, tuple[str, ...]]:
    """Return the row of one line, and its extra keys, which were moved to its metadata.

    ``where`` names the line in errors. Raises ManifestError.
    """
    line = _load(text, description, where)
    known = (*LINE_KEYS, *sorted(description.modalities))
    extra_keys = tuple(key for key in line if key not in known)
    for key in extra_keys:
        _check_extra_key(where, key, line, description, registered)
    _check_fields(where, line, description)
    content = _content(where, line, description.modalities)
    references, choices = tuple(line["references"]), tuple(line.get("choices", ()))
    row = Row(line["id"], line["split"], content, references, choices, _meta(where, line, extra_keys))
    return check_row(row, description, where), extra_keys


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        for line, text in read_lines(path):
            yield line, text.strip()
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"The folder of a task contains {DESCRIPTION} and {MANIFEST}, with one JSON object per line."
        raise ManifestError(f"{path} does not exist", hint) from error
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}", "Make the file readable.") from error
    except TextError as error:
        where = f"{path}:{error.line}" if error.line else f"{path}"
        raise ManifestError(f"{where}: {error}", "Write one example per line, as JSON in UTF-8.") from error


def _load(text: str, description: Description, where: str) -> _Line:
    try:
        line = parse_json(text, object_pairs_hook=_unique_keys)
    except TextError as error:
        raise ManifestError(f"{where}: not JSON: {error}", f"Write {_sample(description)}") from error
    if not isinstance(line, dict):
        raise ManifestError(f"{where}: not a JSON object", f"Write {_sample(description)}")
    return line


def _unique_keys(pairs: list[tuple[str, Any]]) -> _Line:
    line = dict(pairs)
    if len(line) < len(pairs):
        duplicate = next(key for key in line if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"duplicate key {duplicate!r}")
    return line


def _sample(description: Description) -> str:
    media = "".join(f'"{modality}": "media/…", ' for modality in sorted(description.modalities))
    return f'{{"id": "…", "split": "train", {media}"prompt": "…", "references": ["…"]}}'


def _check_extra_key(where: str, key: str, line: _Line, description: Description, registered: Collection[str]) -> None:
    """Raise ManifestError for a key that is a modality of other tasks, or similar to a known key."""
    if key in registered:
        raise _undeclared(where, key, line, description)
    if guess := _near_miss(key, (*LINE_KEYS, *sorted(description.modalities))):
        hint = f'Did you mean {guess!r}? For metadata, move the key into "meta".'
        raise ManifestError(f"{where}: unknown key {key!r}", hint)


def _undeclared(where: str, key: str, line: _Line, description: Description) -> ManifestError:
    """Return the error for a medium of a modality that the task does not declare."""
    declared = sorted(description.modalities)
    names = " and ".join(map(repr, declared))
    what = f"the task declares {names}" if len(declared) > 1 else f"the task's modality is {names}"
    hint = f'Write {modality_line({key, *declared})} in {DESCRIPTION}, or move the key into "meta" if it is no medium.'
    if len(declared) == 1 and declared[0] not in line and isinstance(path := line.get(key), str):
        hint = f'Write "{declared[0]}": {json.dumps(path)}, or {modality_line({key})} in {DESCRIPTION}.'
    what = what if declared else "the task declares no modality"
    return ManifestError(f"{where}: the medium is under {key!r}, and {what}", hint)


@lru_cache(maxsize=1024)
def _near_miss(key: str, known: tuple[str, ...]) -> str:
    """Return the known key that ``key`` is probably a misspelling of, or an empty string."""
    if len(key) < _SHORTEST_NEAR_MISS:
        return ""
    ratios = {name: SequenceMatcher(None, key, name).ratio() for name in known if len(name) >= _SHORTEST_NEAR_MISS}
    best = max(ratios, key=lambda name: ratios[name])
    return best if ratios[best] >= _NEAR_MISS else ""


def _check_fields(where: str, line: _Line, description: Description) -> None:
    """Raise ManifestError if a key is missing or its value has the wrong type."""
    media = [modality for modality in line if modality in description.modalities]
    _check_present(where, line, media, description)
    for key in ("id", "split", *media, *(["prompt"] if "prompt" in line else [])):
        if not isinstance(line[key], str):
            raise ManifestError(f"{where}: {key} is not a string", f'Write "{key}": "…", in quotes.')
    for key in ("references", "choices"):
        texts = line.get(key, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ManifestError(f"{where}: {key} is not a list of strings", f'Write "{key}": ["…", "…"].')


def _check_present(where: str, line: _Line, media: list[str], description: Description) -> None:
    if "content" in line:
        required = ["id", "split", "content", "references"]
        if extra := next((key for key in ("prompt", *media) if key in line), None):
            hint = "Move it into content, as a string or as {modality: path}, or leave content out."
            raise ManifestError(f"{where}: both content and {extra!r} are given", hint)
    else:
        one_of = [" or ".join(sorted(description.modalities))] if description.modalities else []
        required = ["id", "split", *(media or one_of), "prompt", "references"]
    if missing := [key for key in required if key not in line]:
        hint = f"Required keys: {', '.join(required)}."
        if description.modalities and not media and "content" not in line:
            hint += ' For an example without media, write "content": ["…"].'
        raise ManifestError(f"{where}: {', '.join(missing)} missing", hint)


def _content(where: str, line: _Line, modalities: Collection[str]) -> Content:
    """Return the texts and media of an example in order, without empty texts."""
    items = line["content"] if "content" in line else [*({k: line[k]} for k in line if k in modalities), line["prompt"]]
    if not isinstance(items, list):
        raise ManifestError(f"{where}: content is not a list", 'Write "content": [{"image": "a.jpg"}, "…"].')
    return tuple(_content_item(where, number, item) for number, item in enumerate(items, 1) if item != "")


def _content_item(where: str, number: int, item: Any) -> str | Media:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and len(item) == 1:
        ((modality, path),) = item.items()
        if isinstance(path, str):
            return Media(modality, Path(path))
    hint = 'Write "…" for a text, or {"image": "a.jpg"} for a medium.'
    raise ManifestError(f"{where}: item {number} of content is neither a text nor a medium", hint)


def _meta(where: str, line: _Line, extra_keys: Iterable[str]) -> _Line:
    meta = line.get("meta", {})
    if not isinstance(meta, dict):
        raise ManifestError(f"{where}: meta is not an object", 'Write "meta": {"source": "…"}.')
    if (duplicate := next((key for key in extra_keys if key in meta), None)) is not None:
        raise ManifestError(f"{where}: {duplicate!r} is both in the line and in its meta", "Leave one of them out.")
    return {**meta, **{key: line[key] for key in extra_keys}}


# Checking


def check_row(row: Row, description: Description, where: str) -> Row:
    """Return ``row`` without digests and empty texts. Raises ManifestError if a field is invalid for the task."""
    if not row.id or has_control(row.id):
        message = f"{where}: id {row.id!r} is empty or contains control characters"
        raise ManifestError(message, "Give it a printable id.")
    if row.split not in SPLITS:
        hint = f"Use one of {', '.join(SPLITS)}. {nearest(row.split, SPLITS)}".strip()
        raise ManifestError(f"{where}: unknown split {row.split!r}", hint)
    for medium in row.media:
        _check_medium(where, medium, description)
    content = tuple(item if isinstance(item, str) else Media(*item[:2]) for item in row.content if item != "")
    if not content:
        raise ManifestError(f"{where}: the example has neither a medium nor a text", "Write at least one of them.")
    if not row.references or not all(reference.strip() for reference in row.references):
        raise ManifestError(f"{where}: references are missing or empty", 'Write at least one: "references": ["…"].')
    _check_choices(where, row, description)
    _check_writable(where, row)
    return Row(row.id, row.split, content, tuple(row.references), tuple(row.choices), row.meta)


def _check_medium(where: str, medium: Media, description: Description) -> None:
    if fault := path_fault(relative_path(medium)):
        hint = "Write a path relative to the task's folder, of a file inside it."
        raise ManifestError(f"{where}: the path {relative_path(medium)!r} {fault}", hint)
    modality, declared = medium.modality, description.modalities
    if modality not in declared:
        change = f"To add it, write {modality_line({modality, *declared})} in {DESCRIPTION}."
        hint = f"{nearest(modality, declared)} {change}".strip()
        raise ManifestError(f"{where}: {modality!r} is not a modality of the task", hint)


def _check_choices(where: str, row: Row, description: Description) -> None:
    choices = row.choices
    if not all(choice.strip() for choice in choices) or len(set(choices)) < len(choices):
        raise ManifestError(f"{where}: a choice is empty or repeated", "Write each choice once.")
    if description.type != CHOICE:
        return
    if len(choices) < 2:
        hint = f'A task of type "{CHOICE}" needs at least two: "choices": ["…", "…"].'
        raise ManifestError(f"{where}: choices are missing", hint)
    if row.references[0] not in choices:
        hint = f"The first reference must be the correct choice: one of {', '.join(map(repr, choices))}."
        raise ManifestError(f"{where}: the reference {row.references[0]!r} is not one of the choices", hint)


def _check_writable(where: str, row: Row) -> None:
    """Raise ManifestError if the row cannot be written as a line of JSON in UTF-8."""
    try:
        json.dumps(row.meta, allow_nan=False)
        row_text(row).encode()
    except UnicodeEncodeError as error:
        hint = "Write the character itself, as UTF-8."
        raise ManifestError(f"{where}: a text contains half of a surrogate pair", hint) from error
    except (TypeError, ValueError, RecursionError) as error:
        hint = "Use strings, finite numbers, true, false, null, lists and objects."
        raise ManifestError(f"{where}: meta cannot be written as JSON: {error}", hint) from error


# Writing


def row_text(row: Row) -> str:
    """Return the canonical line of a row, without the newline."""
    fields: dict[str, Any] = {"id": row.id, "split": row.split, **_content_fields(row.content)}
    fields["references"] = row.references
    if row.choices:
        fields["choices"] = row.choices
    if row.meta:
        fields["meta"] = dict(row.meta)
    return json.dumps(fields, ensure_ascii=False)


def _content_fields(content: Content) -> Mapping[str, Any]:
    """Return the short form for media of different modalities followed by at most one text, else the long form."""
    media, texts = media_in(content), [item for item in content if isinstance(item, str)]
    paths = {medium.modality: relative_path(medium) for medium in media}
    if media and len(paths) == len(media) and content == (*media, *texts[:1]):
        return {**paths, "prompt": texts[0] if texts else ""}
    return {"content": [item if isinstance(item, str) else {item.modality: relative_path(item)} for item in content]}


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write ``rows`` as a manifest."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(row_text(row) + "\n" for row in rows)
