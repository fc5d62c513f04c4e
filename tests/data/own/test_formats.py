"""Formats are plugins: a third-party format is recognised by content, and prepared like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCE = """
from typing import Annotated

from micl_cli.api import Format, Item, Match, hookimpl

@hookimpl
def micl_register_formats(register):
    register("cards", "cards_plugin:Cards", "front = back")

class Cards(Format):
    name = "cards"
    columns = {"prompt": ("front",), "answer": ("back",)}

    def __init__(self, *, mark: Annotated[str, "what separates front and back"] = "="):
        self.mark = mark

    @classmethod
    def match(cls, path):
        return Match.NAME if path.suffix == ".cards" else Match.NONE

    def items(self, path, source):
        for where, line in source.lines(path):
            front, _, back = line.partition(self.mark)
            yield Item(where, {"front": front, "back": back})
"""


def test_a_format_of_a_plugin(micl: Any, data_folder: Any, install: Any, isolated: Path) -> None:
    install("micl-cards", entry_points="[micl]\ncards = cards_plugin\n", files={"cards_plugin.py": SOURCE})
    path = data_folder.write("x.cards", "1+1:2\n2+2:4\n")
    done = micl("prepare", "--from", path, "--as", "own/sums", "--split", "50/50", "-o", "mark", ":")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (isolated / "tasks/own/sums/manifest.jsonl").read_text().splitlines()]
    assert sorted((row["content"][0], row["references"][0]) for row in rows) == [("1+1", "2"), ("2+2", "4")]
    record = json.loads((isolated / "tasks/own/sums/prepared.json").read_text())
    assert record["source"]["reader"] == "format:cards"
    shown = micl("plugins", "--kind", "formats")
    assert "cards" in shown.out
    assert "imagefolder" in shown.out
