"""Pages of output for programs: the events of a run, and the fields of the documents of ``--json``."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from generator.markdown import code, escaped, page, prose, table
from micl_cli.api import events
from micl_cli.report.matrix import FIGURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("outputs.toml")
RECORD = "= "
"""The beginning of a meaning that refers to a record."""


def pages() -> dict[str, str]:
    """Return the pages by path."""
    return {"reference/events.md": events_page(), "reference/json.md": json_page()}


def event_types() -> list[type[events.Event]]:
    """Return the classes of events, in the order of the module."""
    found = [each for each in vars(events).values() if inspect.isclass(each) and issubclass(each, events.Event)]
    return [each for each in found if each is not events.Event]


def events_page() -> str:
    """Return the page of events."""
    text = (
        "A run is a sequence of events. `micl learn --json` writes them as JSON Lines, with the name under `event`; "
        "[listeners](plugins/listeners.md) and the hook `micl_event` receive them as objects of `micl_cli.api`. "
        "Fields are added in later versions, and never removed."
    )
    rows = [(f"[`{each.name}`](#{each.name})", f"`{each.__name__}`", _first(each)) for each in event_types()]
    sections = [text for each in event_types() for text in (f"## {each.name}", *record(each))]
    return page("Events", text, table(["event", "class", "meaning"], rows), *sections)


def json_page() -> str:
    """Return the page of the output of ``--json``."""
    text = (
        "Commands with `--json` write one JSON document to stdout, or JSON Lines where they say so. In a path, `[]` is "
        "an item of a list and `*` any key. Numbers that are not finite are null. Fields are added in later versions, "
        "and never removed. Messages go to stderr."
    )
    figures = [(code(each.name), each.title, escaped(each.formula)) for each in FIGURES.values()]
    sections = [text for name, rows in outputs().items() for text in (f"## {name}", _fields(rows))]
    records = [text for cls in records_of(outputs()) for text in (f"### {cls.__name__}", *record(cls))]
    heading = "## Figures", "R[t][i] is the score on task i after learning task t; T is the number of tasks."
    shown = table(["field", "figure", "formula"], figures)
    return page("JSON output", text, *sections, *heading, shown, "## Records", *records)


def outputs() -> dict[str, dict[str, str]]:
    """Return the meaning of each field by command and path."""
    found: dict[str, dict[str, str]] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return found


def record_class(meaning: str) -> type[Any] | None:
    """Return the class that a meaning refers to, or None for a text."""
    if not meaning.startswith(RECORD):
        return None
    module, _, name = meaning.removeprefix(RECORD).partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def records_of(commands: dict[str, dict[str, str]]) -> list[type[Any]]:
    """Return the classes that are referred to, once each, by name."""
    found = {cls for rows in commands.values() for meaning in rows.values() if (cls := record_class(meaning))}
    return sorted(found, key=lambda cls: cls.__name__)


def _fields(rows: dict[str, str]) -> str:
    return table(["field", "meaning"], [(code(path), _meaning(meaning)) for path, meaning in rows.items()])


def _meaning(meaning: str) -> str:
    cls = record_class(meaning)
    return meaning if cls is None else f"the fields of [{cls.__name__}](#{cls.__name__.lower()})"


def record(cls: type[Any]) -> Iterator[str]:
    """Yield the description of a dataclass, and its fields with types and defaults."""
    yield prose(inspect.getdoc(cls) or "")
    hints = typing.get_type_hints(cls, vars(import_module(cls.__module__)) | _TYPING)
    yield table(
        ["field", "type", "default"], [(code(f.name), code(_type(hints[f.name])), _default(f)) for f in fields(cls)]
    )


_TYPING = {name: getattr(typing, name) for name in ("Any", "Literal")}


def _type(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) and not typing.get_args(hint) else _short(str(hint))


def _short(text: str) -> str:
    for prefix in ("typing.", "collections.abc.", "micl_cli.records."):
        text = text.replace(prefix, "")
    return text


def _default(field: Any) -> str:
    return "" if field.default is MISSING else code(repr(field.default))


def _first(cls: type[Any]) -> str:
    return prose(inspect.getdoc(cls) or "").partition("\n\n")[0].split(". ")[0].rstrip(".")
