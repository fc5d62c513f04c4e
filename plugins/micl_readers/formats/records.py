"""JSON: a list of objects, or one object per line."""

from __future__ import annotations

from pathlib import Path

from micl_cli.api import Fault, Format, Item, Items, Match, Source, json_head, json_values


class Json(Format):
    """Objects in a JSON list, or one per line (JSON Lines)."""

    name = "json"
    suffixes = (".json", ".jsonl", ".ndjson")

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match lists and lines of objects in files with a known suffix."""
        if not path.is_file() or path.suffix.lower() not in cls.suffixes:
            return Match.NONE
        return Match.NAME if json_head(path).shape != "object" else Match.NONE

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each object, with its keys as columns."""
        for where, value in json_values(path, source):
            yield Item(where, value) if isinstance(value, dict) else Fault(where, "", "it is not an object")
