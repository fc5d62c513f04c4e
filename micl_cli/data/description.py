"""``task.toml``: the description of a task."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micl_cli.errors import ManifestError, nearest
from micl_cli.io.text import read_toml
from micl_cli.io.toml_text import toml_string

DESCRIPTION = "task.toml"
MANIFEST = "manifest.jsonl"
LINE_KEYS = ("id", "split", "content", "prompt", "references", "choices", "meta")
"""The keys of a manifest line besides modalities; a modality must not have one of these names."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NAME_HINT = "Use at most 64 lowercase letters, digits, _ and -, starting with a letter or digit."
_REQUIRED = ("name", "type", "metric")
_MODALITY_KEYS = ("modality", "modalities")
OWN = "own"
"""The benchmark of tasks whose description names none."""
_OPTIONAL = {"benchmark": OWN, "description": "", "instruction": "", "prompts": "", "scorer": ""}


@dataclass(frozen=True)
class Description:
    """The content of a ``task.toml``.

    ``modalities`` is empty for text alone; ``instruction`` is the prompt shared by all examples, or empty. ``prompts``
    and ``scorer`` name the variants of a published benchmark that was prepared.
    """

    name: str
    modalities: frozenset[str]
    type: str
    metric: str
    benchmark: str = OWN
    description: str = ""
    instruction: str = ""
    prompts: str = ""
    scorer: str = ""

    @property
    def full_name(self) -> str:
        """The full name of the task, benchmark/name."""
        return f"{self.benchmark}/{self.name}"


def is_full_name(text: str) -> bool:
    """Return whether ``text`` is a valid full task name, benchmark/task, which is safe in paths."""
    names = text.split("/")
    return len(names) == 2 and all(_NAME.fullmatch(name) for name in names)


def modality_line(modalities: Iterable[str]) -> str:
    """Return the line of ``task.toml`` that declares modalities, or an empty string for none."""
    names = sorted(modalities)
    if len(names) == 1:
        return f"modality = {toml_string(names[0])}"
    return f"modalities = [{', '.join(map(toml_string, names))}]" if names else ""


def read_description(path: Path) -> Description:
    """Read ``task.toml``. Raises ManifestError if it is missing, not TOML, or has an invalid value."""
    try:
        table = read_toml(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"The folder of a task contains {DESCRIPTION} (name, modality, type, metric) and {MANIFEST}."
        raise ManifestError(f"{path} does not exist", hint) from error
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}", "Make the file readable.") from error
    except ValueError as error:
        raise ManifestError(f"{path}: not TOML: {error}", 'Write one key = "value" per line.') from error
    return _description(path, table)


def description_text(description: Description) -> str:
    """Return ``description`` as the text of a ``task.toml``."""
    keys = ("benchmark", "name", "type", "metric", "description", "instruction", "prompts", "scorer")
    lines = [f"{key} = {toml_string(value)}" for key in keys if (value := getattr(description, key))]
    lines.insert(2, modality_line(description.modalities))
    return "".join(f"{line}\n" for line in lines if line)


def _description(path: Path, table: Mapping[str, Any]) -> Description:
    _check_keys(path, table)
    texts = {key: value for key, value in table.items() if key not in _MODALITY_KEYS}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ManifestError(f"{path}: {key} is not a string", f'Write {key} = "…".')
        if key not in {"description", "instruction"}:
            _check_name(path, key, value)
    return Description(modalities=_modalities(path, table), **{**_OPTIONAL, **texts})


def _check_keys(path: Path, table: Mapping[str, Any]) -> None:
    known = (*_REQUIRED, *_MODALITY_KEYS, *_OPTIONAL)
    if unknown := next((key for key in table if key not in known), None):
        hint = f"{nearest(unknown, set(known) - set(table))} Known keys: {', '.join(known)}.".strip()
        raise ManifestError(f"{path}: unknown key {unknown!r}", hint)
    if missing := [key for key in _REQUIRED if key not in table]:
        hint = f"Required keys: {', '.join(_REQUIRED)}, and modality if examples contain media."
        raise ManifestError(f"{path}: {', '.join(missing)} missing", hint)
    if all(key in table for key in _MODALITY_KEYS):
        raise ManifestError(f"{path}: both modality and modalities are given", "Write one of them.")


def _modalities(path: Path, table: Mapping[str, Any]) -> frozenset[str]:
    if "modality" in table and not isinstance(table["modality"], str):
        raise ManifestError(f"{path}: modality is not a string", 'Write modality = "…", or modalities = ["…", "…"].')
    names = [table["modality"]] if "modality" in table else table.get("modalities", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ManifestError(f"{path}: modalities is not a list of strings", 'Write modalities = ["image", "audio"].')
    for name in names:
        _check_name(path, "modality", name)
        if name in LINE_KEYS:
            hint = f"These keys of a manifest line are reserved: {', '.join(LINE_KEYS)}."
            raise ManifestError(f"{path}: {name!r} cannot be a modality", hint)
    return frozenset(names)


def _check_name(path: Path, key: str, value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ManifestError(f"{path}: {key} = {value!r} is not a valid name", _NAME_HINT)
