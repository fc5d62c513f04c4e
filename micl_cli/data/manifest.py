"""The files that describe a task: ``task.toml``, and ``manifest.jsonl`` with one example a line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from micl_cli.api.task import SPLITS, Row
from micl_cli.errors import ManifestError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DESCRIPTION = "task.toml"
MANIFEST = "manifest.jsonl"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NAME_HINT = "Use small letters, digits, _ and -, a letter or digit first, at most 64."
_REQUIRED = ("name", "modality", "type", "metric")
_OPTIONAL = {"benchmark": "own", "description": "", "instruction": ""}


@dataclass(frozen=True)
class Description:
    """What ``task.toml`` says. ``kind`` is its "type"; ``instruction`` the prompt shared by all examples, or empty."""

    name: str
    modality: str
    kind: str
    metric: str
    benchmark: str = "own"
    description: str = ""
    instruction: str = ""

    @property
    def full_name(self) -> str:
        """benchmark/name."""
        return f"{self.benchmark}/{self.name}"


@dataclass(frozen=True)
class Entry:
    """A row of a manifest and the number of its line."""

    line: int
    row: Row


def check_name(text: str) -> bool:
    """Whether ``text`` is a full task name, benchmark/task, in letters that are safe in paths."""
    parts = text.split("/")
    return len(parts) == 2 and all(_NAME.fullmatch(part) for part in parts)


def path_fault(text: str) -> str:
    """What is wrong with a medium's path below its folder, or an empty text. Links are not followed here."""
    if not text or not text.isprintable():
        return "is empty or holds control characters"
    if "\\" in text:
        return "holds a backslash (write / between folders)"
    if PurePosixPath(text).is_absolute() or re.match(r"[A-Za-z]:", text):
        return "is absolute"
    if ".." in PurePosixPath(text).parts:
        return "leads out of its folder by '..'"
    return ""


# task.toml


def read_description(path: Path) -> Description:
    """Read ``task.toml``. Raises ManifestError where it is missing, no TOML, or says something impossible."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"A task's folder holds {DESCRIPTION} (name, modality, type, metric) and {MANIFEST}."
        raise ManifestError(f"{path} does not exist", hint) from error
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}", "Make the file readable.") from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not TOML: {error}", 'Write one key = "value" a line.') from error
    return _description(path, table)


def description_text(description: Description) -> str:
    """``description`` as the text of a ``task.toml``."""
    fields = {"benchmark": description.benchmark, "name": description.name, "modality": description.modality}
    fields |= {"type": description.kind, "metric": description.metric}
    fields |= {"description": description.description, "instruction": description.instruction}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in fields.items() if value)


def _toml(text: str) -> str:
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _description(path: Path, table: Mapping[str, Any]) -> Description:
    _check_keys(str(path), table, _REQUIRED, (*_REQUIRED, *_OPTIONAL))
    for key, value in table.items():
        if not isinstance(value, str):
            raise ManifestError(f"{path}: {key} is not a text", f'Write {key} = "…".')
        if key not in {"description", "instruction"} and not _NAME.fullmatch(value):
            raise ManifestError(f"{path}: {key} = {value!r} is no name", _NAME_HINT)
    told = {**_OPTIONAL, **table}
    return Description(kind=told.pop("type"), **told)


# manifest.jsonl


def read_manifest(path: Path, modality: str) -> Iterator[Entry]:
    """Yield the rows of a manifest whose media are under the key ``modality``; blank lines are passed over.

    Raises ManifestError, naming file and line, at the first line that is malformed or repeats an id.
    """
    first: dict[str, int] = {}
    for line, text in _lines(path):
        row = parse_row(text, modality, f"{path}:{line}")
        if row.id in first:
            message = f"{path}:{line}: id {row.id!r} is already that of line {first[row.id]}"
            raise ManifestError(message, "Give every line its own id.")
        first[row.id] = line
        yield Entry(line, row)


def parse_row(text: str, modality: str, where: str) -> Row:
    """Read one line of a manifest. ``where`` names it in errors. Raises ManifestError."""
    try:
        line = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not JSON: {error}", f"A line reads {_sample(modality)}") from error
    if not isinstance(line, dict):
        raise ManifestError(f"{where}: not a JSON object", f"A line reads {_sample(modality)}")
    _check_media_key(where, line, modality)
    keys = ("id", "split", modality, "prompt", "references")
    _check_keys(where, line, keys, keys)
    _check_texts(where, line, modality)
    row = Row(line["id"], line["split"], line[modality], line["prompt"], tuple(line["references"]))
    return check_row(row, where)


def check_row(row: Row, where: str) -> Row:
    """Return ``row`` with its path in plain form. Raises ManifestError where a field is impossible."""
    if not row.id or not row.id.isprintable():
        raise ManifestError(f"{where}: id {row.id!r} is empty or holds control characters", "Give it a printable id.")
    if row.split not in SPLITS:
        hint = f"It is one of {', '.join(SPLITS)}. {nearest(row.split, SPLITS)}".strip()
        raise ManifestError(f"{where}: split {row.split!r} is unknown", hint)
    if fault := path_fault(row.media):
        hint = "Write the path relative to the task's folder, with the file inside it."
        raise ManifestError(f"{where}: the path {row.media!r} {fault}", hint)
    if not row.references or not all(reference.strip() for reference in row.references):
        raise ManifestError(f"{where}: references are missing or empty", 'Write at least one: "references": ["…"].')
    if not _encodable(row):
        raise ManifestError(f"{where}: a text holds half of a surrogate pair", "Write the character itself, as UTF-8.")
    return Row(row.id, row.split, str(PurePosixPath(row.media)), row.prompt, row.references)


def row_text(row: Row, modality: str) -> str:
    """A row as its one canonical line, without the newline."""
    fields = {"id": row.id, "split": row.split, modality: row.media, "prompt": row.prompt}
    return json.dumps({**fields, "references": row.references}, ensure_ascii=False)


def write_manifest(path: Path, rows: Iterable[Row], modality: str) -> None:
    """Write ``rows`` as a manifest."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(row_text(row, modality) + "\n" for row in rows)


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"key {twice!r} stands twice")
    return found


def _sample(modality: str) -> str:
    return f'{{"id": "…", "split": "train", "{modality}": "media/…", "prompt": "…", "references": ["…"]}}'


def _check_media_key(where: str, line: Mapping[str, Any], modality: str) -> None:
    """A medium under another modality's name deserves more than "unknown key"."""
    others = {"image", "audio", "video"} - {modality}
    if modality not in line and (wrong := next((key for key in line if key in others), None)):
        hint = f'Write "{modality}": "{line[wrong]}", or set modality = "{wrong}" in {DESCRIPTION}.'
        raise ManifestError(f"{where}: the medium is under {wrong!r}, and the task's modality is {modality!r}", hint)


def _check_keys(where: str, table: Mapping[str, Any], required: Iterable[str], known: tuple[str, ...]) -> None:
    if unknown := next((key for key in table if key not in known), None):
        hint = f"{nearest(unknown, set(known) - set(table))} Known are {', '.join(known)}.".strip()
        raise ManifestError(f"{where}: unknown key {unknown!r}", hint)
    if missing := [key for key in required if key not in table]:
        raise ManifestError(f"{where}: {', '.join(missing)} missing", f"Needed are {', '.join(required)}.")


def _check_texts(where: str, line: Mapping[str, Any], modality: str) -> None:
    for key in ("id", "split", modality, "prompt"):
        if not isinstance(line[key], str):
            raise ManifestError(f"{where}: {key} is not a text", f'Write "{key}": "…", in quotes.')
    references = line["references"]
    if not isinstance(references, list) or not all(isinstance(reference, str) for reference in references):
        raise ManifestError(f"{where}: references is not a list of texts", 'Write "references": ["…", "…"].')


def _encodable(row: Row) -> bool:
    try:
        "".join((row.id, row.media, row.prompt, *row.references)).encode()
    except UnicodeEncodeError:
        return False
    return True
