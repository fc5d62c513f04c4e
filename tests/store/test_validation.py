"""What is read from a store is checked: it may be damaged, or written by somebody else."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from micl_cli.errors import MiclError, StoreError
from micl_cli.plan import Plan
from micl_cli.store import EnvironmentRecord, NewRun, PredictionRecord, Store, check
from micl_cli.store.validation import is_run_id, plan_problem

GOOD = "aaaaaaaaaaaa"
BAD = "bbbbbbbbbbbb"
PLAN = Plan(strategy="finetune", backbone="toy", tasks=("own/a",), data={"own/a": "ab"}).as_json()


@pytest.fixture
def two(store: Store, file: Path, stage: Any) -> Path:
    """A store with two runs, of which BAD is the last."""
    for run in (GOOD, BAD):
        store.start_run(NewRun(id=run, plan=PLAN, environment={"threads": 1, "torch": "2"}))
        store.record_environment(run, EnvironmentRecord(environment={"threads": 1, "torch": "2"}))
        store.write(run, stage())
        store.write_predictions(run, 1, "mini/img_cap", "test", [PredictionRecord("a", "b", ("c",))])
        store.end_run(run, "finished")
    return file


def change(file: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(statement, values)
        connection.commit()


@pytest.mark.parametrize(
    "plan",
    [
        "{",
        "null",
        "[]",
        "5",
        '"text"',
        "[" * 100_000,
        '{"strategy": 5}',
        '{"tasks": "a"}',
        '{"parent": "../x"}',
        b"\xff",
    ],
)
def test_one_bad_plan_damages_its_run_only(two: Path, store: Store, url: str, plan: Any) -> None:
    change(two, "UPDATE runs SET plan = ? WHERE id = ?", plan, BAD)
    assert [(run.id, run.status) for run in store.runs()] == [(BAD, "damaged"), (GOOD, "finished")]
    assert store.details(GOOD).run.plan == PLAN
    with pytest.raises(StoreError, match=f"run {BAD} is damaged in the store") as caught:
        store.details(BAD)
    assert f"micl runs rm {BAD}" in caught.value.hint
    found = check(url)
    assert found.state == "damaged"
    assert found.problems[0].startswith(f"run {BAD}: ")
    store.delete_run(BAD)
    assert check(url).state == "ok"


@pytest.mark.parametrize("run", ["../../victim", "/etc", "..", ".", "a/b", "", "a" * 65, "a\nb", "@last"])
def test_a_value_that_is_no_id_is_damage(two: Path, store: Store, run: str) -> None:
    change(two, "UPDATE runs SET id = ? WHERE id = ?", run, BAD)
    assert not is_run_id(run)
    assert store.runs()[0].status == "damaged"
    with pytest.raises(StoreError, match="is damaged in the store: its id"):
        store.details(run)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE runs SET parent = ? WHERE id = ?", "../other"),
        ("UPDATE runs SET status = ? WHERE id = ?", "done"),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"threads": "many"}'),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"threads": -1}'),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"cores": true}'),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"commit": "\\u001b[2J"}'),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"commit": "8fa1c59d0eb5+changes\\n"}'),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"code": "../../x"}'),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"code": 5}'),
        ("UPDATE runs SET environment = ? WHERE id = ?", '{"torch": ["2"]}'),
        ("UPDATE runs SET recipe = ? WHERE id = ?", "[]"),
        ("UPDATE runs SET recipe = ? WHERE id = ?", '{"name": {"a": 1}}'),
        ("UPDATE environments SET environment = ? WHERE run = ?", '{"commit": "zz"}'),
        ("UPDATE environments SET environment = ? WHERE run = ?", "{"),
        ("UPDATE environments SET purpose = ? WHERE run = ?", "sleeping"),
        ("UPDATE environments SET position = ? WHERE run = ?", -1),
        ("UPDATE environments SET number = ? WHERE run = ?", "first"),
        ("UPDATE stages SET checkpoint = ? WHERE run = ?", "../../other"),
        ("UPDATE stages SET tasks = ? WHERE run = ?", '{"a": 1}'),
        ("UPDATE stages SET seconds = ? WHERE run = ?", float("inf")),
        ("UPDATE stages SET steps = ? WHERE run = ?", "three"),
        ("UPDATE scores SET value = ? WHERE run = ?", "high"),
        ("UPDATE scores SET n = ? WHERE run = ?", b"\x00"),
    ],
)
def test_a_bad_value_of_a_run_is_reported(two: Path, store: Store, url: str, statement: str, value: Any) -> None:
    change(two, statement, value, BAD)
    with pytest.raises(StoreError, match=f"run {BAD} is damaged in the store"):
        store.details(BAD)
    assert store.details(GOOD).scores
    assert check(url).state == "damaged"


def test_bad_steps_and_predictions_are_reported(two: Path, store: Store, url: str) -> None:
    change(two, "UPDATE steps SET terms = '{' WHERE run = ?", BAD)
    change(two, 'UPDATE predictions SET "references" = 5 WHERE run = ?', BAD)
    with pytest.raises(StoreError, match="damaged"):
        store.steps(BAD)
    with pytest.raises(StoreError, match="damaged"):
        store.predictions(BAD, 1, "mini/img_cap", "test")
    assert len(store.steps(GOOD)) == 2
    assert "2 rows of steps are not JSON" in check(url).problems


def test_a_damaged_run_is_written_again_by_starting_it(two: Path, store: Store) -> None:
    change(two, "UPDATE runs SET plan = '{', turn = 'x', parent = '../x', name = x'ff' WHERE id = ?", BAD)
    assert store.resolve("@last") == GOOD
    store.start_run(NewRun(id=BAD, plan=PLAN))
    assert store.details(BAD).run.plan == PLAN
    assert store.resolve("@last") == BAD


@pytest.mark.parametrize("damage", ["environment = '{'", "number = 'x'", "purpose = ''", "step = -5"])
def test_a_damaged_environment_is_replaced_when_its_run_goes_on(two: Path, store: Store, damage: str) -> None:
    change(two, f"UPDATE environments SET {damage} WHERE run = ?", BAD)
    store.record_environment(BAD, EnvironmentRecord(position=2, environment={"threads": 3}))
    (known,) = store.details(BAD).environments
    assert (known.number, known.position, known.environment) == (1, 2, {"threads": 3})


@pytest.mark.parametrize(
    "statement",
    [
        *(
            f"DROP TABLE {table}"
            for table in ("runs", "environments", "stages", "scores", "steps", "predictions", "routings", "leases")
        ),
        "ALTER TABLE stages DROP COLUMN after_seconds",
        "DROP INDEX ix_runs_turn",
        "DROP TABLE alembic_version",
        "DELETE FROM alembic_version",
    ],
)
def test_what_is_missing_of_the_schema_is_found(two: Path, url: str, statement: str) -> None:
    change(two, statement)
    try:
        state, text = check(url).state, ""
    except StoreError as error:
        state, text = "damaged", error.message
        assert "is damaged" in text
    assert state == "damaged"


def test_random_damage_is_never_unforeseen(two: Path, store: Store, url: str) -> None:
    """Every change of one value gives a result or an error that says what is wrong."""
    store.close()
    noise = random.Random(7)
    original = two.read_bytes()
    with closing(sqlite3.connect(two)) as connection:
        tables = {t: [row[1] for row in connection.execute(f"PRAGMA table_info({t})")] for t in TABLES}
    values = [None, "", "x", "{", "[]", "null", "NaN", '{"a": NaN}', -1, 2**63 - 1, 1e308, b"\xff", "../..", "[" * 5000]
    for _ in range(60):
        table = noise.choice(TABLES)
        two.write_bytes(original)
        for path in two.parent.glob("micl.db-*"):
            path.unlink()
        try:
            change(two, f'UPDATE OR IGNORE {table} SET "{noise.choice(tables[table])}" = ?', noise.choice(values))
        except sqlite3.IntegrityError:
            continue
        with Store.open(url) as store:
            for ask in (store.runs, lambda: store.details(GOOD), lambda: store.steps(GOOD), store.tasks, _check(url)):
                try:
                    json.dumps([str(ask())])  # type: ignore[operator]
                except MiclError as error:
                    assert error.hint or "damaged" in error.message


TABLES = ("runs", "environments", "stages", "scores", "steps", "predictions", "run_plugins", "leases")


def _check(url: str) -> Any:
    return lambda: check(url)


def test_a_plan_of_this_version_is_accepted_and_one_without_a_section_is_not() -> None:
    assert plan_problem(PLAN) == ""
    for name in ("strategy", "tasks", "training", "evaluation"):
        assert name in plan_problem({key: value for key, value in PLAN.items() if key != name})
    assert plan_problem({**PLAN, "later": 1}) == ""
    assert plan_problem({**PLAN, "training": {**PLAN["training"], "epochs": "3"}}) != ""
