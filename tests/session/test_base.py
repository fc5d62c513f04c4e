"""A run goes on with the base model that it was planned with, and with no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.errors import StoreError
from micl_cli.store import Store, reading

PLUGIN = """
from pathlib import Path

from micl_cli.api import hookimpl
from micl_cli.testing import ToyBackbone


class Filed(ToyBackbone):
    @classmethod
    def resolve(cls, preset, resources):
        return str(Path(preset).absolute())

    @classmethod
    def digest(cls, preset, resources):
        return resources.file_digest(Path(preset))

    @classmethod
    def former_digests(cls, preset, resources):
        return ["former " + Path(preset).read_text()]


@hookimpl
def micl_register_backbones(register):
    register("filed", "filed_plugin:Filed", "a toy with a file of weights")
"""
CHANGED = "has changed"


@pytest.fixture
def weights(install: Any, home: Path, tmp_path: Path) -> Path:
    """The weights of the backbone ``filed``."""
    install("micl-filed", entry_points="[micl]\nfiled = filed_plugin\n", files={"filed_plugin.py": PLUGIN})
    path = tmp_path / "weights"
    path.write_text("one")
    return path


@pytest.fixture
def run(weights: Path, learn: Any) -> str:
    """A finished run on these weights."""
    done = learn("--backbone", "filed:weights", "--quiet")
    assert done.code == 0, done.err
    return str(done.out).strip()


def set_digest(micl: Any, home: Path, run: str, digest: str) -> str:
    """Let a run be one that an earlier version planned with ``digest``, without later settings, and return its id."""
    import sqlite3

    from micl_cli.plan import Plan

    with sqlite3.connect(home / "micl.db") as store:
        ((text,),) = store.execute("SELECT plan FROM runs WHERE id = ?", [run])
        plan = json.loads(text) | {"backbone_digest": digest}
        for later in ("score", "repetition_penalty", "length_penalty"):
            del plan["evaluation"][later]
        new = Plan.from_json(plan).id
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = {row[1] for row in store.execute(f"PRAGMA table_info({table})")}
            for column in columns & {"run", "run_id"}:
                store.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", [new, run])
        store.execute("UPDATE runs SET plan = ?, id = ? WHERE id = ?", [json.dumps(plan), new, run])
    (home / "runs" / run).rename(home / "runs" / new)
    return new


def test_a_relative_path_is_absolute_in_the_plan(run: str, micl: Any, weights: Path) -> None:
    assert json.loads(micl("report", run, "--json").out)["runs"][0]["backbone"] == f"filed:{weights}"


def test_the_same_command_elsewhere_is_another_base_or_an_error(
    run: str, learn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "weights").write_text("two")
    other = learn("--backbone", "filed:weights", "--quiet", "--dry-run", "--json")
    assert json.loads(other.out)["run"] != run
    assert learn("--backbone", f"filed:{tmp_path / 'weights'}", "--quiet").out.strip() == run


def test_a_changed_base_is_refused_everywhere(run: str, weights: Path, learn: Any, micl: Any) -> None:
    weights.write_text("two")
    for done in (
        learn("--resume", run),
        micl("eval", run),
        micl("eval", run, "--json"),
        learn("--after", run, "--tasks", "own/img_qa", "--backbone", f"filed:{weights}"),
        learn("--backbone", "filed:weights"),
        learn("--backbone", "filed:weights", "--dry-run"),
        micl("sweep", "--backbone", "filed:weights", "--strategy", "finetune", "--tasks", "own/img_cap,own/aud_qa",
             "--batch-size", "4", "--max-steps", "4", "--lr", "0.01", "--max-new-tokens", "6",
             "--validation-examples", "2", "--eval-examples", "3", "--dry-run"),
    ):  # fmt: skip
        assert (done.code, done.out) == (4, ""), done
        assert CHANGED in done.err and "hint: Restore its files" in done.err
    weights.write_text("one")
    assert micl("eval", run).code == 0
    assert learn("--resume", run, "--quiet").out.strip() == run


def test_again_starts_a_run_on_the_changed_base(run: str, weights: Path, learn: Any) -> None:
    weights.write_text("two")
    again = learn("--backbone", "filed:weights", "--quiet", "--again")
    assert again.code == 0, again.err
    assert again.out.strip() != run
    assert learn("--backbone", "filed:weights", "--quiet").out == again.out


@pytest.mark.parametrize("recorded", ["", "former one"])
def test_what_an_earlier_version_recorded_is_accepted_with_a_notice(
    recorded: str, run: str, home: Path, learn: Any, micl: Any
) -> None:
    run = set_digest(micl, home, run, recorded)
    scored = micl("eval", run)
    assert scored.code == 0, scored.err
    assert "is not compared completely" in scored.err
    same = learn("--backbone", "filed:weights", "--quiet")
    assert same.out.strip() == run, "no second run of the same plan"


def test_a_former_record_of_another_base_is_refused(run: str, home: Path, micl: Any) -> None:
    run = set_digest(micl, home, run, "former two")
    done = micl("eval", run)
    assert done.code == 4
    assert CHANGED in done.err


def test_the_base_of_a_continued_run_may_be_named_again(run: str, learn: Any, weights: Path) -> None:
    words = ["--after", run, "--tasks", "own/img_qa", "--quiet"]
    done = learn(*words, "--backbone", "filed:weights")
    assert done.code == 0, done.err
    other = learn(*words, "--backbone", "filed:others")
    assert other.code == 2
    assert f"was learnt with backbone filed:{weights}" in other.err


def test_unknown_default_settings_of_a_backbone_are_refused() -> None:
    from micl_cli.errors import PlanError
    from micl_cli.session.request import checked_defaults

    good = {"epochs": 2, "threads": 1, "evaluation": {"batch_size": 3}}
    assert checked_defaults(good, "toy") == good
    for bad, message in (
        ({"epoch": 2}, "unknown key 'epoch' in its training"),
        ({"evaluation": {"bogus": 2}}, "unknown key 'bogus' in its training.evaluation"),
        ({"evaluation": 3}, "its training.evaluation is 3"),
        ({"epochs": "many"}, "option 'epochs' of the default training expects a whole number"),
        ({"epochs": 0}, "option 'epochs' of the default training expects a whole number, at least 1"),
    ):
        with pytest.raises(PlanError, match=message):
            checked_defaults(bad, "toy")


def test_a_dry_run_needs_only_to_read_the_store(run: str, learn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(url: str) -> Store:
        raise StoreError("the run store cannot be opened")

    monkeypatch.setattr(reading, "is_writable", lambda file: False)
    monkeypatch.setattr("micl_cli.store.store.is_writable", lambda file: False)
    monkeypatch.setattr(Store, "open", refused)
    done = learn("--backbone", "filed:weights", "--dry-run", "--json")
    assert json.loads(done.out)["run"] == run
