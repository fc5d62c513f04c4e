from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def again(finished: str, learn_words: Any, micl: Any) -> str:
    """Another attempt at the plan of the run ``finished``."""
    return str(micl(*learn_words("--strategy", "moincl", "--again")).out.strip())


def test_attempts_of_one_plan_are_equal(finished: str, again: str, micl: Any) -> None:
    code, out, err = micl("diff", finished, again)
    assert (code, err) == (0, "")
    assert f"{finished} and {again} are equal in everything that decides scores." in " ".join(out.split())
    assert "seconds" in out, "costs are shown, and decide nothing"
    found = json.loads(micl("diff", finished, again[:6], "--json").out)
    assert (found["runs"], found["equal"], found["explains_id"]) == ([finished, again], True, ["plan attempt"])


def test_other_code_is_no_equal_run(finished: str, again: str, micl: Any, isolated: Path) -> None:
    change = "UPDATE environments SET environment = json_set(environment, '$.code', '0123456789ab') WHERE run = ?"
    with closing(sqlite3.connect(isolated / "micl.db")) as store:
        store.execute(change, (again,))
        store.commit()
    code, out, _ = micl("diff", finished, again)
    assert (code, "0123456789ab" in out) == (1, True)
    refused = micl("report", finished, again, "--strict")
    assert (refused.code, refused.out) == (4, "")
    assert "0123456789ab" in refused.err and "hint: " in refused.err
    shown = micl("report", finished, again).out
    assert "[a]" in shown and "[b]" in shown


def test_another_seed_is_another_plan(finished: str, learn_words: Any, micl: Any) -> None:
    other = micl(*learn_words("--strategy", "moincl", "--seed", "3")).out.strip()
    code, out, _ = micl("diff", finished, other)
    assert code == 1
    assert "Their ids differ because of: plan seed." in " ".join(out.split())
    assert "training.epochs" not in out
    assert "training.epochs" in micl("diff", finished, other, "--all").out


def test_a_damaged_environment_is_named_and_not_shown(finished: str, micl: Any, isolated: Path) -> None:
    with closing(sqlite3.connect(isolated / "micl.db")) as store:
        store.execute("UPDATE environments SET environment = ?", (json.dumps({"commit": "\x1b[2Jx"}),))
        store.commit()
    code, out, err = micl("diff", finished, finished)
    assert (code, out) == (1, "")
    assert f"run {finished} is damaged in the store: a row of environments" in err
    assert "\x1b[2J" not in err


def test_an_unknown_run_is_a_wrong_usage(finished: str, micl: Any) -> None:
    assert micl("diff", finished, "nothing").code == 2
    assert micl("diff", finished).code == 2
