"""What shells are told, in their own protocol."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest

from micl_cli.cli.completers import complete_runs, complete_tasks
from micl_cli.cli.main import micl as command


@pytest.fixture
def context(isolated: Path) -> click.Context:
    return command.make_context("micl", [], resilient_parsing=True)


def offered(context: click.Context) -> dict[str, Any]:
    return {item.value: item.help for item in complete_runs(context, click.Argument(["run"]), "")}


def test_runs_are_offered_with_their_names(finished: str, context: click.Context, micl: Any) -> None:
    assert offered(context) == {"@last": "the latest run", finished: "finished"}


def test_names_are_escaped_and_ids_with_control_characters_left_out(
    finished: str, context: click.Context, isolated: Path
) -> None:
    with closing(sqlite3.connect(isolated / "micl.db")) as connection:
        connection.execute("UPDATE runs SET name = 'a\x1b]0;x\x07\nplain,b'")
        connection.commit()
    assert offered(context)[finished] == r"a\x1b]0;x\x07\nplain,b finished"
    with closing(sqlite3.connect(isolated / "micl.db")) as connection:
        connection.execute("UPDATE runs SET id = 'a\x1b[2Jb'")
        connection.commit()
    assert set(offered(context)) == {"@last"}


def test_nothing_is_created_for_a_completion(context: click.Context, isolated: Path) -> None:
    assert offered(context) == {}
    assert not isolated.exists()


def test_tasks_of_published_benchmarks_are_offered(suite: Path, context: click.Context) -> None:
    def tasks(text: str) -> dict[str, Any]:
        return {item.value: item.help for item in complete_tasks(context, click.Option(["--tasks"]), text)}

    assert tasks("su") == {"suite": "a suite", "suite/one": "questions"}
    assert set(tasks("suite/")) == {"suite/one"}
    assert "mini/img_qa" in tasks("mini/")
