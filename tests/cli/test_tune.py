from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_cli.io.lock import locked_folder
from micl_cli.store import Store

EWC = ("--strategy", "ewc", "--seed", "0", "--space", "lambda_ewc=0.01..10:log", "--name", "s")
SIGNALS = """
@hookimpl
def micl_event(run, event):
    if os.environ.get("PARENT") == "1" and event.name == "step" and (event.position, event.step) == (2, 2):
        os.kill(os.getppid(), signal.SIGINT)
        import time

        time.sleep(1)  # the toy's steps are faster than the signal
"""


@pytest.fixture(autouse=True)
def rate(tmp_path: Path) -> None:
    """Let the default learning rate be one with which the toy learns."""
    (tmp_path / "micl.toml").write_text("[learn]\nlearning_rate = 0.01\n")


@pytest.fixture
def show(micl: Any) -> Any:
    """The JSON document of a study."""

    def call(name: str = "s") -> Any:
        done = micl("tune", "show", name, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return call


def options(study: Any) -> list[Any]:
    return [trial["options"] for trial in study["strategies"][0]["trials"]]


def test_every_strategy_gets_as_many_trials_and_the_first_has_the_defaults(
    tune: Any, micl: Any, show: Any, learn: Any, in_process: list[str]
) -> None:
    words = ("--strategy", "ewc,finetune", "--trials", "2", "--seed", "0..1", "--name", "s")
    done = tune(*words, "--space", "lambda_ewc=0.01..10:log")
    assert (done.code, done.out) == (0, "s\n"), done.err
    assert "no option of finetune itself is tuned, only settings of training: learning_rate" in done.err
    study = show()
    ewc, finetune = study["strategies"]
    assert study["complete"]
    for strategy in (ewc, finetune):
        assert [trial["state"] for trial in strategy["trials"]] == ["finished", "finished"]
        assert [sorted(trial["objectives"]) for trial in strategy["trials"]] == [["0", "1"]] * 2
    assert ewc["trials"][0]["options"] == {"lambda_ewc": 0.1, "learning_rate": 0.01}
    assert finetune["space"] == {"learning_rate": "0.002..0.05, log"}
    assert len(in_process) == len(set(in_process)) == 8
    # Trials are ordinary runs: `micl learn` makes the same one, and reports take it.
    run = finetune["trials"][0]["runs"]["0"]
    assert learn("--strategy", "finetune", "--eval-split", "val", "--lr", "0.01").out.strip() == run
    assert json.loads(micl("report", run, "--json").out)["runs"][0]["split"] == "val"
    shown = micl("tune", "show", "s").out
    assert "ewc: lambda_ewc in 0.01..10, log; learning_rate in 0.002..0.05, log" in shown
    assert "best: trial " in shown
    assert [row["trials"] for row in json.loads(micl("tune", "ls", "--json").out)] == [2, 2]


def test_the_same_command_continues_and_learns_nothing_twice(
    tune: Any, show: Any, in_process: list[str], kill: list[str], home: Path
) -> None:
    assert tune(*EWC, "--trials", "3").code == 0
    whole = show()
    runs = [trial["runs"]["0"] for trial in whole["strategies"][0]["trials"]]
    shutil.rmtree(home / "runs")
    for name in ("micl.db", "tune.db"):
        (home / name).unlink()
    in_process.clear()
    kill.append(runs[1])
    stopped = tune(*EWC, "--trials", "3")
    assert (stopped.code, stopped.out) == (1, "")
    assert f"ewc: run {runs[1]} (ewc trial 1 seed 0) is not finished: its process was ended by SIGKILL" in stopped.err
    assert "hint: Continue with the same command" in stopped.err
    assert [trial["state"] for trial in show()["strategies"][0]["trials"]] == ["finished", "open", "open"]
    first = list(in_process)
    assert tune(*EWC, "--trials", "3").code == 0
    assert options(show()) == options(whole)
    assert sorted(in_process) == sorted(runs)
    assert set(first).isdisjoint(in_process[len(first) :])
    again = tune(*EWC, "--trials", "3")
    assert (again.code, len(in_process)) == (0, 3)
    assert tune(*EWC, "--trials", "4").code == 0
    assert options(show())[:3] == options(whole)
    assert len(options(show())) == 4


def test_a_trial_that_diverges_counts_and_is_recorded_as_failed(tune: Any, show: Any, micl: Any) -> None:
    words = (*EWC[:4], "--name", "s", "--trials", "4", "--space", "learning_rate=0.01|1e30")
    done = tune(*words, "--space", "lambda_ewc=0.1")
    assert done.code == 0, done.err
    trials = show()["strategies"][0]["trials"]
    assert trials[0]["state"] == "finished"
    failed = [trial for trial in trials if trial["options"]["learning_rate"] == 1e30]
    assert failed
    assert {trial["state"] for trial in failed} == {"failed"}
    assert "seed 0: the " in failed[0]["error"]
    assert failed[0]["value"] is None
    frozen = micl("tune", "freeze", "s", "--as", "t")
    assert f"failed_trials = {len(failed)}\n" in Path(frozen.out.strip()).read_text()


def test_nothing_is_recorded_if_the_defaults_fail(tune: Any, show: Any, micl: Any) -> None:
    done = tune(*EWC, "--trials", "2", "--lr", "1e30")
    assert (done.code, done.out) == (1, "")
    assert "ewc: the first trial, with the defaults, has failed: seed 0: the " in done.err
    assert {trial["state"] for trial in show()["strategies"][0]["trials"]} == {"open"}
    refused = micl("tune", "freeze", "s", "--as", "t")
    assert (refused.code, refused.out) == (4, "")


def test_a_frozen_recipe_makes_the_runs_of_the_best_trial_and_is_cited(
    tune: Any, tune_words: Any, show: Any, micl: Any, home: Path, tmp_path: Path
) -> None:
    def learn(*more: str) -> Any:
        return micl("learn", *tune_words(*more)[1:], "--recipe", "tuned-ewc")

    tune(*EWC, "--trials", "3")
    best = show()["strategies"][0]
    (frozen,) = micl("tune", "freeze", "s", "--as", "tuned").out.splitlines()
    assert frozen == str(home / "recipes" / "tuned-ewc.toml")
    (tmp_path / "micl.toml").unlink()  # the recipe has the learning rate
    same = json.loads(learn("--eval-split", "val", "--dry-run", "--json").out)
    assert same["run"] == best["trials"][best["best"]]["runs"]["0"]
    done = learn("--tasks", "own/img_qa,own/aud_qa")
    assert "note: recipe tuned-ewc was tuned on own/aud_qa: scores on these tasks favour it" in done.err
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        run = store.run(done.out.strip())
        assert run and run.recipe
        assert (run.recipe["name"], len(run.recipe["sha256"])) == ("tuned-ewc", 64)
        assert run.recipe["citation"] == "3 trials x 1 seeds on own/img_cap,own/aud_qa, val"
        changed = learn("--tasks", "own/img_qa", "-o", "lambda_ewc", "9", "--lr", "0.03")
        run = store.run(changed.out.strip())
        assert run and run.recipe
        assert run.recipe["citation"].endswith("val; with other values of lambda_ewc, learning_rate")
        text = Path(frozen).read_text()
        Path(frozen).write_text(text.replace("summary = ", "# ours\nsummary = "))
        assert "edited" not in learn("--tasks", "own/img_qa", "--dry-run").err
        Path(frozen).write_text(text.replace("lambda_ewc = ", "lambda_ewc = 1", 1))
        edited = learn("--tasks", "own/img_qa")
        assert "note: recipe tuned-ewc was edited after it was frozen" in edited.err
        run = store.run(edited.out.strip())
        assert run and run.recipe
        assert run.recipe["citation"].endswith("val; edited after it was frozen")
    refused = micl("tune", "freeze", "s", "--as", "tuned")
    assert (refused.code, refused.out) == (2, "")
    assert micl("tune", "freeze", "s", "--as", "tuned", "--force").code == 0
    assert micl("tune", "freeze", "s", "--as", "tuned", "-o", "here").out == f"{Path('here/tuned-ewc.toml')}\n"


def test_a_study_on_reserved_tasks_is_refused(tune: Any, micl: Any, home: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "table.toml"
    recipe.write_text('tasks = ["own/img_qa", "own/aud_qa"]\n')
    for reserved in ("own/aud_qa", str(recipe)):
        done = tune(*EWC, "--for", reserved)
        assert (done.code, done.out) == (4, "")
        assert "the study tunes on tasks that --for reserves for results: own/aud_qa\n" in done.err
    assert not (home / "tune.db").exists()
    allowed = tune(*EWC, "--for", "own/aud_qa", "--allow-overlap", "--dry-run")
    assert allowed.code == 0
    assert "warning: the study tunes on tasks that --for reserves" in allowed.err
    fair = tune(*EWC, "--for", "own/img_qa", "--dry-run")
    assert (fair.code, fair.err) == (0, "")
    assert "note: report no results on own/img_cap" in tune(*EWC, "--dry-run").err


def test_the_same_data_under_another_name_is_an_overlap_too(tune: Any, micl: Any, home: Path) -> None:
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        task = store.task("own/img_cap")
        assert task
        store.record_task(type(task)(**{**vars(task), "name": "own/copy"}))
    done = tune(*EWC, "--for", "own/copy")
    assert done.code == 4
    assert "own/img_cap (the same data as own/copy)" in done.err


def test_a_dry_run_shows_the_space_and_writes_nothing(tune: Any, isolated: Path, home: Path) -> None:
    before = sorted(isolated.rglob("*"))
    done = tune(*EWC, "--trials", "3", "--dry-run")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["ewc", "lambda_ewc", "0.01..10,", "log", "0.1"] in rows
    assert ["ewc", "learning_rate", "0.002..0.05,", "log", "0.01"] in rows
    assert "3 runs to learn (3 trials x 1 seeds for each strategy): no time estimate" in done.out
    document = json.loads(tune(*EWC, "--trials", "3", "--dry-run", "--json").out)
    assert document["strategies"][0]["defaults"] == {"lambda_ewc": 0.1, "learning_rate": 0.01}
    assert sorted(isolated.rglob("*")) == before


def test_a_study_keeps_its_definition(tune: Any) -> None:
    assert tune(*EWC, "--trials", "2").code == 0
    for more, what in (
        (("--seed", "1"), "--seed"),
        (("--objective", "stages"), "--objective"),
        (("--space", "learning_rate=0.01"), "the space"),
        (("--tasks", "own/img_qa"), "--tasks"),
        (("--epochs", "3"), "training.epochs"),
    ):
        done = tune(*EWC, "--trials", "2", *more)
        assert (done.code, done.out) == (2, ""), done.err
        assert "study 's' for ewc was started with other values of: " in done.err
        assert what in done.err.partition("other values of: ")[2].splitlines()[0]
    fewer = tune(*EWC, "--trials", "1")
    assert (fewer.code, "has 2 trials already" in fewer.err) == (2, True)


def test_the_strategies_of_a_study_are_tuned_on_the_same_and_scored_alike(tune: Any, micl: Any, show: Any) -> None:
    assert tune(*EWC, "--trials", "1").code == 0
    finetune = ("--strategy", "finetune", "--name", "s", "--trials", "1")
    seed = ("--seed", "0")
    for more, what in (
        (("--seed", "0..1"), "--seed"),
        ((*seed, "--objective", "stages"), "--objective"),
        ((*seed, "--tasks", "own/img_qa,own/aud_qa"), "--tasks"),
        ((*seed, "--max-new-tokens", "7"), "evaluation.max_new_tokens"),
    ):
        for dry in ((), ("--dry-run",)):
            done = tune(*finetune, *more, *dry)
            assert (done.code, done.out) == (2, "")
            assert f"study 's' has ewc with other values of: {what}\n" in done.err
    assert tune(*finetune, *seed, "--space", "finetune:epochs=1").code == 0
    assert [each["strategy"] for each in show()["strategies"]] == ["ewc", "finetune"]
    assert micl("tune", "freeze", "s", "--as", "both").code == 0


def test_a_study_whose_creation_was_cut_off_is_created_again(tune: Any, show: Any, home: Path) -> None:
    import optuna

    assert tune(*EWC, "--trials", "1").code == 0
    optuna.delete_study(study_name="s/ewc", storage=f"sqlite:///{home / 'tune.db'}")
    optuna.create_study(study_name="s/ewc", storage=f"sqlite:///{home / 'tune.db'}", direction="maximize")
    done = tune(*EWC, "--trials", "1")
    assert (done.code, done.out) == (0, "s\n"), done.err
    assert len(show()["strategies"][0]["trials"]) == 1


def test_a_study_that_another_process_works_on_is_busy(tune: Any, home: Path) -> None:
    with locked_folder(home / "tune" / "s"):
        done = tune(*EWC)
    assert (done.code, done.out) == (1, "")
    assert "works on study s\nhint: Wait for it, or stop it.\n" in done.err


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ((), 2, "no strategy is named"),
        (("--strategy", "fintune"), 3, "Did you mean 'finetune'?"),
        (("--strategy", "ewc,ewc[form=online]"), 2, "a strategy is named twice"),
        (("--strategy", "ewc", "--tasks", ""), 2, "no task is named"),
        (("--strategy", "ewc", "--trials", "0"), 2, "--trials"),
        (("--strategy", "ewc", "--seed", "2..0"), 2, "ends before it starts"),
        (("--strategy", "ewc", "--name", "../s"), 2, "--name '../s' is not a valid name"),
        (("--strategy", "ewc", "--space", "lambda_ewc"), 2, "is not NAME=SPACE"),
        (("--strategy", "ewc", "--space", "lamda_ewc=1..2"), 2, "Did you mean 'lambda_ewc'?"),
        (("--strategy", "ewc", "--space", "lambda_ewc=2..1"), 2, "is not an interval"),
        (("--strategy", "ewc", "--space", "lambda_ewc=0..1:log"), 2, "must begin above 0"),
        (("--strategy", "ewc", "--space", "lambda_ewc=-1..1"), 2, "expects a number, at least 0"),
        (("--strategy", "ewc", "--space", "form=0..1"), 2, "expects one of sum, online"),
        (("--strategy", "ewc", "--space", "form=sum|sums"), 2, "expects one of sum, online"),
        (("--strategy", "ewc", "--space", "3:form=sum|online"), 2, "options of single tasks"),
        (("--strategy", "ewc", "--space", "lwf:temperature=1..2"), 2, "strategy 'lwf' is not tuned"),
        (("--strategy", "ewc", "--space", "form=sum|online", "-o", "form", "sum"), 2, "set by a flag and by --space"),
        (("--strategy", "finetune", "--lr", "0.1"), 2, "finetune has nothing to tune"),
        (("--strategy", "ewc", "--eval-split", "test"), 2, "--eval-split"),
        (("--strategy", "ewc", "--storage", "tune.db"), 1, "is not the URL"),
    ],
)
def test_invalid_arguments_are_reported_before_anything_is_done(
    wrong: tuple[str, ...], code: int, message: str, tune: Any, home: Path
) -> None:
    done = tune(*wrong)
    assert (done.code, done.out) == (code, ""), done.err
    assert message in done.err
    assert not (home / "tune.db").exists()


@pytest.mark.parametrize("command", [("show", "s"), ("ls",), ("freeze", "s", "--as", "t")])
def test_a_damaged_storage_is_said_with_the_way_out(command: tuple[str, ...], micl: Any, home: Path) -> None:
    (home / "tune.db").write_bytes(b"no database " * 100)
    done = micl("tune", *command)
    assert (done.code, done.out) == (1, "")
    assert f"the studies in {home / 'tune.db'} are damaged: file is not a database" in done.err
    assert "hint: Restore a backup, or move it away and repeat the `micl tune` commands" in done.err


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("study_user_attributes", "micl", "{}", "it has no "),
        ("study_user_attributes", "micl", "[1", "are damaged"),
        (
            "trial_user_attributes",
            "micl",
            '{"number": 0, "values": {"lambda_ewc": "x"}}',
            "other options than the space",
        ),
        ("study_user_attributes", "micl_open", "3", "a list of trials is not a list"),
    ],
)
def test_damaged_records_are_said_with_the_way_out(
    table: str, key: str, value: str, message: str, tune: Any, micl: Any, home: Path
) -> None:
    tune(*EWC, "--trials", "1")
    with sqlite3.connect(home / "tune.db") as storage:
        storage.execute(f"update {table} set value_json = ? where key = ?", (value, key))
    done = micl("tune", "show", "s")
    assert (done.code, done.out) == (1, "")
    assert message in done.err
    assert "hint: Restore a backup" in done.err
    listed = micl("tune", "ls")
    assert "damaged" in listed.out + listed.err


def test_there_are_no_studies_yet(micl: Any, home: Path) -> None:
    assert micl("tune", "ls").out == ""
    assert json.loads(micl("tune", "ls", "--json").out) == []
    assert "no study 's': there are no studies yet" in micl("tune", "show", "s").err
    assert not (home / "tune.db").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals between processes")
def test_a_stop_changes_nothing_in_the_end_whatever_the_number_of_processes(
    home: Path, tune: Any, tune_words: Any, show: Any, listener: Any, toy_site: Path, on_path: Any, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(home, tmp_path / "other"))
    assert tune(*EWC, "--trials", "3").code == 0
    on_path(listener(SIGNALS), toy_site)
    command = [sys.executable, "-m", "micl_cli", *tune_words(*EWC, "--trials", "3", "--jobs", "2")]
    env = {**os.environ, "MICL_HOME": str(other)}
    stopped = subprocess.run(command, env={**env, "PARENT": "1"}, capture_output=True, text=True, check=False)
    assert (stopped.returncode, stopped.stdout) == (130, ""), stopped.stderr
    assert stopped.stderr.endswith("hint: Continue with the same command.\n")
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "s\n"), done.stderr
    words = [sys.executable, "-m", "micl_cli", "tune", "show", "s", "--json"]
    found = json.loads(subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout)
    trials, expected = (study["strategies"][0]["trials"] for study in (found, show()))
    assert [(t["options"], t["runs"]) for t in trials] == [(t["options"], t["runs"]) for t in expected]
