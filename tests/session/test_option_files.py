"""Files that options name are part of a run: another content is another run, and is noticed when one goes on."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from micl_cli.errors import PlanError
from micl_cli.plan import Plan
from micl_cli.session.option_files import check_option_files

MOINCL = ("--strategy", "moincl", "--tasks", "own/img_qa,own/img_cap")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A file of pseudo targets."""
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps({"a red thing": ["which?", "red"]}))
    return path


def planned(learn: Any, *words: object) -> tuple[str, dict[str, Any]]:
    done = learn(*MOINCL, *words, "--dry-run", "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    return Plan.from_json(data["plan"]).id, data["plan"]


def test_a_plan_without_the_files_is_as_in_earlier_versions(learn: Any) -> None:
    _, plan = planned(learn)
    assert "option_files" not in plan
    assert "pseudo_targets" not in plan["strategy_options"]
    assert plan["strategy_options"]["instructions"] == ""


def test_another_content_is_another_run(learn: Any, pairs: Path) -> None:
    first, plan = planned(learn, "-o", "pseudo_targets", pairs)
    assert list(plan["option_files"]) == [str(pairs)]
    assert planned(learn, "-o", "pseudo_targets", pairs)[0] == first
    assert planned(learn, "-o", "2:pseudo_targets", pairs)[1]["option_files"] == plan["option_files"]
    pairs.write_text(pairs.read_text() + "\n")
    assert planned(learn, "-o", "pseudo_targets", pairs)[0] != first


def test_a_folder_is_another_one_with_each_change_of_its_files(learn: Any, pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pseudo_targets"
    folder.mkdir()
    ids = set()
    for name in ("a.json", "b.json", "c.json"):
        (folder / name).write_text(pairs.read_text())
        ids.add(planned(learn, "-o", "pseudo_targets", folder)[0])
    (folder / "c.json").rename(folder / "d.json")
    ids.add(planned(learn, "-o", "pseudo_targets", folder)[0])
    assert len(ids) == 4


def test_a_run_is_not_continued_with_other_files(learn: Any, pairs: Path) -> None:
    done = learn(*MOINCL, "-o", "pseudo_targets", pairs, "--quiet")
    assert done.code == 0, done.err
    run = done.out.strip()
    pairs.write_text("{}")
    after = learn("--after", run, "--tasks", "own/aud_qa")
    assert (after.code, after.out) == (4, "")
    assert f"{pairs} has changed since run {run} was planned" in after.err


def test_a_run_of_an_earlier_version_is_the_same_run(learn: Any, home: Path, tmp_path: Path) -> None:
    """Earlier versions recorded no digests of files."""
    texts = tmp_path / "texts"
    texts.write_text("one\ntwo\n")
    words = ("--strategy", "moincl", "-o", "instructions", texts, "-o", "text_instruct_num", "1")
    run = learn(*words, "--quiet").out.strip()
    with sqlite3.connect(home / "micl.db") as store:
        ((text,),) = store.execute("SELECT plan FROM runs WHERE id = ?", [run])
        plan = json.loads(text)
        del plan["option_files"]
        old = Plan.from_json(plan).id
        assert old != run
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = {row[1] for row in store.execute(f"PRAGMA table_info({table})")}
            for column in columns & {"run", "run_id"}:
                store.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", [old, run])
        store.execute("UPDATE runs SET plan = ?, id = ? WHERE id = ?", [json.dumps(plan), old, run])
    (home / "runs" / run).rename(home / "runs" / old)
    again = learn(*words)
    assert again.code == 0
    assert "this run is already finished" in again.err
    assert old in again.err + again.out


def test_a_changed_or_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "texts"
    path.write_text("one")
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    plan = Plan(strategy="moincl", backbone="toy", tasks=("own/a",), option_files={str(path): digest})
    check_option_files(plan)
    path.write_text("two")
    with pytest.raises(PlanError, match="texts has changed since run"):
        check_option_files(plan)
    path.unlink()
    with pytest.raises(PlanError, match=r"cannot read .*texts: No such file"):
        check_option_files(plan)
