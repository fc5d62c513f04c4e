"""The keys of a preset file, their types and ranges."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micl_cli.api import PlanError, Range, nearest

_WORDS = {int: "a whole number", float: "a number", str: "text", dict: "a table", list: "a list"}


@dataclass(frozen=True)
class Key:
    """A key of a table: the type of its value, the range of a number, and whether a text must not be empty.

    ``choices`` are the only valid values, if there are any.
    """

    type: type[Any]
    required: bool = False
    range: Range | None = None
    filled: bool = False
    choices: Sequence[str] = ()

    @property
    def expected(self) -> str:
        """A description of valid values, for error messages."""
        if self.choices:
            return " or ".join(self.choices)
        return f"{_WORDS[self.type]}, {self.range}" if self.range else _WORDS[self.type]

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` has the type and lies in the range."""
        if not has_type(value, self.type) or ((self.required or self.filled) and value == ""):
            return False
        if self.choices and value not in self.choices:
            return False
        return self.range is None or value in self.range


_COUNT, _TEXT, _PLACE = Range(1), Key(str), Key(str, filled=True)
PRESET = {
    "name": Key(str, required=True),
    "language": Key(dict, required=True),
    "encoder": Key(dict, required=True),
    "lora": Key(dict, required=True),
    "connector": Key(dict),
    "training": Key(dict),
    "fetch": Key(list),
    "parameters": Key(int, range=Range(0)),
    "bytes": Key(int, range=Range(0)),
    **dict.fromkeys(("summary", "licence", "source"), _TEXT),
}
LANGUAGE = dict.fromkeys(("path", "checkpoint", "revision", "question_prompt", "instructions"), _PLACE)
LANGUAGE["template"] = Key(str, choices=("plain", "chat"))
ENCODER = {"family": Key(str, required=True), **dict.fromkeys(("weights", "checkpoint", "revision"), _PLACE)}
"""The keys of every encoder's table; all others are settings of its family."""
TARGETS = "targets"
LORA = {
    "r": Key(int, required=True, range=_COUNT),
    "alpha": Key(float, required=True, range=Range(0)),
    "dropout": Key(float, range=Range(0, 1, high_open=True)),
    TARGETS: Key(object),
}
CONNECTOR = {"hidden": Key(int, range=_COUNT)}
TRAINING = {"threads": Key(int, range=Range(0))}
FETCH = {
    **{name: Key(str, required=True) for name in ("package", "version", "sha256", "file", "convert", "to")},
    "bytes": Key(int, required=True, range=_COUNT),
}


def has_type(value: Any, expected: type[Any]) -> bool:
    """Whether a TOML value has a type; whole numbers are numbers too, truth values are not."""
    if expected is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, expected) and not (expected is int and isinstance(value, bool))


def check_preset(path: Path, data: Mapping[str, Any]) -> None:
    """Raise PlanError, naming file and key, for a key that is missing, unknown or has an invalid value."""
    check_table(path, data, PRESET)
    check_table(path, data["language"], LANGUAGE, "language")
    for modality, table in data["encoder"].items():
        if not isinstance(table, dict):
            raise PlanError(f"{path}: {modality!r} in [encoder] is {table!r}", f"Write [encoder.{modality}].")
        check_table(path, table, ENCODER, f"encoder.{modality}", open_=True)
    check_table(path, data["lora"], LORA, "lora")
    _check_targets(path, data["lora"])
    check_table(path, data.get("connector", {}), CONNECTOR, "connector")
    check_table(path, data.get("training", {}), TRAINING, "training", open_=True)  # the others are micl's own settings
    for part in data.get("fetch", []):
        check_table(path, part if isinstance(part, dict) else {}, FETCH, "[fetch]")
    _check_sources(path, data)
    _check_prompt(path, data["language"].get("question_prompt"))


def check_table(
    path: Path, table: Mapping[str, Any], keys: Mapping[str, Key], title: str = "", *, open_: bool = False
) -> None:
    """Raise PlanError if a table lacks a key, has another one (unless ``open_``), or one has an invalid value."""
    where = f" in [{title}]" if title else ""
    if missing := [name for name, key in keys.items() if key.required and name not in table]:
        hint = "A preset needs name, [language], [encoder.MODALITY] and [lora]."
        raise PlanError(f"{path} lacks {missing[0]!r}{where}", f"It must be {keys[missing[0]].expected}. {hint}")
    for name, value in table.items():
        if name not in keys and not open_:
            raise PlanError(f"{path}: unknown key {name!r}{where}", suggestion(name, keys))
        if name in keys and not keys[name].accepts(value):
            raise PlanError(f"{path}: {name} is {value!r}{where}", f"It must be {keys[name].expected}.")


def suggestion(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """Return "Did you mean 'X'?" for a similar known name, or the list of known names."""
    return nearest(name, known) or f"Known: {', '.join(sorted(known)) or 'none'}."


def _check_targets(path: Path, lora: Mapping[str, Any]) -> None:
    """Raise PlanError for targets that are no list of names. Without targets, all linear layers of the blocks are."""
    if TARGETS not in lora:
        return
    targets = lora[TARGETS]
    names = isinstance(targets, list) and targets and all(isinstance(name, str) and name.strip() for name in targets)
    if not names:
        hint = (
            'It must be a list of names of linear layers, like ["q_proj", "v_proj"], each of them named. '
            "Leave it out for all linear layers of the blocks."
        )
        raise PlanError(f"{path}: {TARGETS} is {targets!r} in [lora]", hint)


def _check_sources(path: Path, data: Mapping[str, Any]) -> None:
    """Raise PlanError if it is ambiguous where weights come from, or a revision has no meaning."""
    language = data["language"]
    if ("path" in language) == ("checkpoint" in language):
        hint = "Give path (a folder) or checkpoint (a folder or hub id)."
        number = "both 'path' and 'checkpoint'" if "path" in language else "neither 'path' nor 'checkpoint'"
        raise PlanError(f"{path}: [language] has {number}", hint)
    for title, table in [("language", language), *((f"encoder.{n}", t) for n, t in data["encoder"].items())]:
        if "revision" in table and "checkpoint" not in table:
            raise PlanError(f"{path}: revision in [{title}] has no checkpoint", "Only hub ids have revisions.")


def _check_prompt(path: Path, prompt: Any) -> None:
    if prompt is None:
        return
    try:
        valid = prompt.format(caption="\0") != prompt and "\0" in prompt.format(caption="\0")
    except (LookupError, ValueError, AttributeError):
        valid = False
    if not valid:
        hint = "Write {caption} where the caption goes, and other braces twice: {{ }}."
        raise PlanError(f"{path}: question_prompt in [language] is {prompt!r}", hint)


def check_places(path: Path, name: Any, parts: Sequence[Mapping[str, Any]], in_tree: Sequence[str]) -> None:
    """Raise PlanError if a preset would write outside its folder, or into that of one in this package."""
    if not parts:
        return
    if not re.fullmatch(r"[\w-][\w.-]*", str(name)):
        raise PlanError(f"{path}: {name!r} is not a valid preset name", "Use letters, digits, '_', '-' and '.'.")
    if name in in_tree:
        raise PlanError(f"{path}: {name} is the name of an in-tree preset", "Choose another name.")
    for value in (part[key] for part in parts for key in ("to", "package", "version")):
        if not re.fullmatch(r"[\w-][\w.+-]*", str(value)):
            raise PlanError(f"{path}: {value!r} in [[fetch]] is not a plain name", "Write it without folders.")
