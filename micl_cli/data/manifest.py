"""``manifest.jsonl``: one example a line.

The short form of a line names media by modality, in order, and then a prompt::

    {"id": "1", "split": "train", "image": "a.jpg", "prompt": "What?", "references": ["A bird."]}

The long form holds texts and media in any order and number: ``"content": [{"image": "a.jpg"}, "What?"]`` instead of
modality and prompt. ``choices`` (a list of answers) and ``meta`` (an object that micl ignores) may follow in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from micl_cli.api.task import CHOICE, SPLITS, Content, Media, Row, media_in
from micl_cli.data.description import DESCRIPTION, LINE_KEYS, MANIFEST, Description, modality_line
from micl_cli.errors import ManifestError, nearest

_NEAR_MISS = 0.8
_SHORTEST_NEAR_MISS = 4  # letters: shorter keys resemble each other by chance
_LINE = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A row of a manifest, the number of its line, and its keys that were kept as metadata."""

    line: int
    row: Row
    further_keys: tuple[str, ...] = ()


def relative_path(medium: Media) -> str:
    """Return the path of a row's medium below the task's folder, with / between folders."""
    return medium.path.as_posix() if medium.path else ""


def path_fault(text: str) -> str:
    """Return what is wrong with a medium's path below its folder, or an empty text. Links are not followed here."""
    if not text or not text.isprintable():
        return "is empty or holds control characters"
    if "\\" in text:
        return "holds a backslash (write / between folders)"
    if PurePosixPath(text).is_absolute() or re.match(r"[A-Za-z]:", text):
        return "is absolute"
    if ".." in PurePosixPath(text).parts:
        return "leads out of its folder by '..'"
    return "" if PurePosixPath(text).parts else "is empty"


# Reading


def read_manifest(path: Path, description: Description, registered: Collection[str] = ()) -> Iterator[Entry]:
    """Yield the rows of a manifest; blank lines are skipped.

    ``registered`` names all modalities that are installed: a key that is one of them, but not declared by the task, is
    an error. Raises ManifestError, naming file and line, at the first line that is malformed or repeats an id.
    """
    first: dict[str, int] = {}
    for line, text in _lines(path):
        row, further = parse_row(text, description, f"{path}:{line}", registered)
        if row.id in first:
            message = f"{path}:{line}: id {row.id!r} is already that of line {first[row.id]}"
            raise ManifestError(message, "Give every line its own id.")
        first[row.id] = line
        yield Entry(line, row, further)


def parse_row(
    text: str, description: Description, where: str, registered: Collection[str] = ()
) -> tuple[Row, tuple[str, ...]]:
    """Return the row of one line, and its keys that were kept as metadata.

    ``where`` names the line in errors. Raises ManifestError.
    """
    line = _load(text, description, where)
    known = (*LINE_KEYS, *sorted(description.modalities))
    further = tuple(key for key in line if key not in known)
    for key in further:
        _check_further(where, key, line, description, registered)
    _check_fields(where, line, description)
    content = _content(where, line, description.modalities)
    references, choices = tuple(line["references"]), tuple(line.get("choices", ()))
    row = Row(line["id"], line["split"], content, references, choices, _meta(where, line, further))
    return check_row(row, description, where), further


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            for line, data in enumerate(file, 1):
                if text := _decoded(data, f"{path}:{line}").strip():
                    yield line, text
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"A task's folder holds {DESCRIPTION} and {MANIFEST}, one JSON object a line."
        raise ManifestError(f"{path} does not exist", hint) from error
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}", "Make the file readable.") from error


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{where}: not UTF-8: {error.reason}", "Save the manifest as UTF-8.") from error


def _load(text: str, description: Description, where: str) -> _LINE:
    try:
        line = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not JSON: {error}", f"A line reads {_sample(description)}") from error
    if not isinstance(line, dict):
        raise ManifestError(f"{where}: not a JSON object", f"A line reads {_sample(description)}")
    return line


def _unique_keys(pairs: list[tuple[str, Any]]) -> _LINE:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"key {twice!r} stands twice")
    return found


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _sample(description: Description) -> str:
    media = "".join(f'"{modality}": "media/…", ' for modality in sorted(description.modalities))
    return f'{{"id": "…", "split": "train", {media}"prompt": "…", "references": ["…"]}}'


def _check_further(where: str, key: str, line: _LINE, description: Description, registered: Collection[str]) -> None:
    """Raise ManifestError for a key that is a modality of other tasks, or resembles a known one."""
    if key in registered:
        raise _undeclared(where, key, line, description)
    if guess := _near_miss(key, (*LINE_KEYS, *sorted(description.modalities))):
        hint = f'Did you mean {guess!r}? To keep it as metadata, write it into "meta".'
        raise ManifestError(f"{where}: unknown key {key!r}", hint)


def _undeclared(where: str, key: str, line: _LINE, description: Description) -> ManifestError:
    """Return the error for a medium of a modality that the task does not declare."""
    declared = sorted(description.modalities)
    own = " and ".join(map(repr, declared))
    what = f"the task declares {own}" if len(declared) > 1 else f"the task's modality is {own}"
    hint = f'Write {modality_line({key, *declared})} in {DESCRIPTION}, or move what is no medium into "meta".'
    if len(declared) == 1 and declared[0] not in line and isinstance(path := line.get(key), str):
        hint = f'Write "{declared[0]}": {json.dumps(path)}, or {modality_line({key})} in {DESCRIPTION}.'
    what = what if declared else "the task declares no modality"
    return ManifestError(f"{where}: the medium is under {key!r}, and {what}", hint)


@lru_cache(maxsize=1024)
def _near_miss(key: str, known: tuple[str, ...]) -> str:
    """Return the known key that ``key`` is likely a misspelling of, or an empty text."""
    if len(key) < _SHORTEST_NEAR_MISS:
        return ""
    ratios = {name: SequenceMatcher(None, key, name).ratio() for name in known if len(name) >= _SHORTEST_NEAR_MISS}
    best = max(ratios, key=lambda name: ratios[name])
    return best if ratios[best] >= _NEAR_MISS else ""


def _check_fields(where: str, line: _LINE, description: Description) -> None:
    """Raise ManifestError where a key is missing or its value has the wrong type."""
    media = [modality for modality in line if modality in description.modalities]
    _check_present(where, line, media, description)
    for key in ("id", "split", *media, *(["prompt"] if "prompt" in line else [])):
        if not isinstance(line[key], str):
            raise ManifestError(f"{where}: {key} is not a text", f'Write "{key}": "…", in quotes.')
    for key in ("references", "choices"):
        texts = line.get(key, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ManifestError(f"{where}: {key} is not a list of texts", f'Write "{key}": ["…", "…"].')


def _check_present(where: str, line: _LINE, media: list[str], description: Description) -> None:
    if "content" in line:
        required = ["id", "split", "content", "references"]
        if beside := next((key for key in ("prompt", *media) if key in line), None):
            hint = "Move it into content, as a text or as {modality: path}, or leave content out."
            raise ManifestError(f"{where}: {beside!r} stands beside content", hint)
    else:
        one_of = [" or ".join(sorted(description.modalities))] if description.modalities else []
        required = ["id", "split", *(media or one_of), "prompt", "references"]
    if missing := [key for key in required if key not in line]:
        hint = f"Needed are {', '.join(required)}."
        if description.modalities and not media and "content" not in line:
            hint += ' An example of text alone reads "content": ["…"].'
        raise ManifestError(f"{where}: {', '.join(missing)} missing", hint)


def _content(where: str, line: _LINE, modalities: Collection[str]) -> Content:
    """Return the parts of an example in order; empty texts are left out."""
    parts = line["content"] if "content" in line else [*({k: line[k]} for k in line if k in modalities), line["prompt"]]
    if not isinstance(parts, list):
        raise ManifestError(f"{where}: content is not a list", 'Write "content": [{"image": "a.jpg"}, "…"].')
    return tuple(_part(where, number, part) for number, part in enumerate(parts, 1) if part != "")


def _part(where: str, number: int, part: Any) -> str | Media:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and len(part) == 1:
        ((modality, path),) = part.items()
        if isinstance(path, str):
            return Media(modality, Path(path))
    hint = 'A part reads "…" (a text) or {"image": "a.jpg"} (one medium).'
    raise ManifestError(f"{where}: part {number} of content is neither a text nor a medium", hint)


def _meta(where: str, line: _LINE, further: Iterable[str]) -> _LINE:
    meta = line.get("meta", {})
    if not isinstance(meta, dict):
        raise ManifestError(f"{where}: meta is not an object", 'Write "meta": {"source": "…"}.')
    if (twice := next((key for key in further if key in meta), None)) is not None:
        raise ManifestError(f"{where}: {twice!r} stands both in the line and in its meta", "Leave one of them out.")
    return {**meta, **{key: line[key] for key in further}}


# Checking


def check_row(row: Row, description: Description, where: str) -> Row:
    """Return ``row`` in plain form. Raises ManifestError where a field is impossible for the task."""
    if not row.id or not row.id.isprintable():
        raise ManifestError(f"{where}: id {row.id!r} is empty or holds control characters", "Give it a printable id.")
    if row.split not in SPLITS:
        hint = f"It is one of {', '.join(SPLITS)}. {nearest(row.split, SPLITS)}".strip()
        raise ManifestError(f"{where}: split {row.split!r} is unknown", hint)
    for medium in row.media:
        _check_medium(where, medium, description)
    content = tuple(part if isinstance(part, str) else Media(*part[:2]) for part in row.content if part != "")
    if not content:
        raise ManifestError(f"{where}: there is neither a medium nor a text", "Write at least one of them.")
    if not row.references or not all(reference.strip() for reference in row.references):
        raise ManifestError(f"{where}: references are missing or empty", 'Write at least one: "references": ["…"].')
    _check_choices(where, row, description)
    _check_writable(where, row)
    return Row(row.id, row.split, content, tuple(row.references), tuple(row.choices), row.meta)


def _check_medium(where: str, medium: Media, description: Description) -> None:
    if fault := path_fault(relative_path(medium)):
        hint = "Write the path relative to the task's folder, with the file inside it."
        raise ManifestError(f"{where}: the path {relative_path(medium)!r} {fault}", hint)
    modality, declared = medium.modality, description.modalities
    if modality not in declared:
        change = f"To add it, write {modality_line({modality, *declared})} in {DESCRIPTION}."
        hint = f"{nearest(modality, declared)} {change}".strip()
        raise ManifestError(f"{where}: {modality!r} is none of the task's modalities", hint)


def _check_choices(where: str, row: Row, description: Description) -> None:
    choices = row.choices
    if not all(choice.strip() for choice in choices) or len(set(choices)) < len(choices):
        raise ManifestError(f"{where}: choices are empty or repeat each other", "Write each choice once.")
    if description.type != CHOICE:
        return
    if len(choices) < 2:
        hint = f'A task of type "{CHOICE}" needs at least two: "choices": ["…", "…"].'
        raise ManifestError(f"{where}: choices are missing", hint)
    if row.references[0] not in choices:
        hint = f"The first reference is the right choice: one of {', '.join(map(repr, choices))}."
        raise ManifestError(f"{where}: the reference {row.references[0]!r} is none of the choices", hint)


def _check_writable(where: str, row: Row) -> None:
    """Raise ManifestError where the row cannot be written as a line of JSON in UTF-8."""
    try:
        json.dumps(row.meta, allow_nan=False)
        row_text(row).encode()
    except UnicodeEncodeError as error:
        hint = "Write the character itself, as UTF-8."
        raise ManifestError(f"{where}: a text holds half of a surrogate pair", hint) from error
    except (TypeError, ValueError, RecursionError) as error:
        hint = "Use texts, finite numbers, true, false, null, lists and objects."
        raise ManifestError(f"{where}: meta cannot be written as JSON: {error}", hint) from error


# Writing


def row_text(row: Row) -> str:
    """Return a row as its one canonical line, without the newline."""
    fields: dict[str, Any] = {"id": row.id, "split": row.split, **_content_fields(row.content)}
    fields["references"] = row.references
    if row.choices:
        fields["choices"] = row.choices
    if row.meta:
        fields["meta"] = dict(row.meta)
    return json.dumps(fields, ensure_ascii=False)


def _content_fields(content: Content) -> Mapping[str, Any]:
    """Return the short form for media of different modalities with at most one text behind them, else the long one."""
    media, texts = media_in(content), [part for part in content if isinstance(part, str)]
    paths = {medium.modality: relative_path(medium) for medium in media}
    if media and len(paths) == len(media) and content == (*media, *texts[:1]):
        return {**paths, "prompt": texts[0] if texts else ""}
    return {"content": [part if isinstance(part, str) else {part.modality: relative_path(part)} for part in content]}


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write ``rows`` as a manifest."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(row_text(row) + "\n" for row in rows)
