"""The page of the keys of run files and ``micl.toml``, from their JSON schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from generator.markdown import code, escaped, page, table
from generator.parts import DISTRIBUTION
from micl_cli.cli.main import micl
from micl_cli.cli.schema import FILES, schema_of
from micl_cli.registry import Registry

SAME = "The same as "
"""The beginning of the description of a key that is another name of an option."""


def pages() -> dict[str, str]:
    """Return the page by path."""
    return {"reference/run-file-keys.md": keys_page()}


def keys_page() -> str:
    """Return the page of keys."""
    text = (
        "The keys of files for `micl learn` and `micl sweep`, and of the top level of `micl.toml`. "
        "[Run files](../run-files.md) explains how they are used; `micl config schema FILE` prints the JSON schemas. "
        "In `micl.toml`, each command has a table with the keys of its options, which the pages of "
        "[commands](commands/index.md) name."
    )
    registry = Registry.discover()
    tables = [each for name in FILES for each in _section(name, schema_of(name, micl, registry, DISTRIBUTION))]
    return page("Keys of run files", text, *tables)


def _section(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"## {name}.toml"
    yield escaped(schema["description"])
    yield table(["key", "value", "description"], _rows(schema["properties"], micl_toml=name == "micl"))


def _rows(properties: dict[str, Any], prefix: str = "", *, micl_toml: bool = False) -> Iterator[tuple[str, str, str]]:
    """Yield the keys of a table and of the tables in it; in micl.toml, not those of commands."""
    for name, schema in properties.items():
        text = schema.get("description", "")
        if text.startswith(SAME) or (micl_toml and not text and schema.get("type") == "object"):
            continue
        yield code(f"{prefix}{name}"), escaped(_value(schema)), escaped(text)
        yield from _rows(schema.get("properties", {}) if not micl_toml else {}, f"{prefix}{name}.")


def _value(schema: dict[str, Any]) -> str:
    """Return the values that a schema allows, in words."""
    if "enum" in schema:
        return ", ".join(json.dumps(each) for each in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_value(each) for each in schema["anyOf"]))
    kind = schema.get("type", "table" if "$ref" in schema or "allOf" in schema else "any")
    words = kind if isinstance(kind, list) else [kind]
    return " or ".join({"object": "table", "array": "list"}.get(word, word) for word in words)
