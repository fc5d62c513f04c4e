from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_cli.io.lock import locked_folder
from micl_cli.store import Store

ONE_ORDER = ("--tasks", "own/img_cap,own/aud_qa")
BREAKS = """
@hookimpl
def micl_event(run, event):
    if event.name == "step" and os.environ.get("BREAK") in (run, "all"):
        os.kill(os.getpid(), signal.SIGKILL)
"""
SIGNALS = """
@hookimpl
def micl_event(run, event):
    if os.environ.get("PARENT") == "1" and event.name == "step" and (event.position, event.step) == (2, 2):
        os.kill(os.getppid(), signal.SIGINT)
        import time

        time.sleep(1)  # the toy's steps are faster than the signal
"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def words(learn_words: Any) -> Any:
    """The words of ``micl sweep`` with ``toy`` and the settings of the other tests."""

    def call(*more: object) -> list[str]:
        # In the place of "learn", "--strategy", "finetune", "--tasks", "...": the settings between stay.
        common = learn_words("--strategy", "x", "--tasks", "y")
        order = [] if {"--tasks", "--order"} & set(map(str, more)) else [*ONE_ORDER]
        return ["sweep", *common[1 : common.index("--strategy")], *order, *map(str, more)]

    return call


@pytest.fixture
def sweep(home: Path, micl: Any, words: Any, toy_site: Path, on_path: Any) -> Any:
    """Run ``micl sweep`` in this process; its workers find ``toy`` as well."""
    on_path(toy_site)
    return lambda *more: micl(*words(*more))


def planned(done: Any) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["cells"]
    return found


@pytest.fixture
def cells(sweep: Any) -> Any:
    """What ``--dry-run`` lists."""
    return lambda *more: planned(sweep(*more, "--dry-run", "--json"))


# A grid that is learnt


def test_a_grid_is_learnt_and_the_same_command_skips_it(sweep: Any, micl: Any, learn: Any, home: Path) -> None:
    first = sweep("--strategy", "finetune,moincl[alpha=0.3]", "--jobs", "2")
    assert first.code == 0, first.err
    ids = first.out.splitlines()
    assert [len(run) for run in ids] == [12, 12]
    started = [line for line in first.err.splitlines() if line.startswith("learning ")]
    assert "learning finetune own/img_cap,own/aud_qa seed 0" in started
    told = [line for line in first.err.splitlines() if line not in started]
    assert sorted(line[:4] for line in told) == ["1/2 ", "2/2 "]
    assert any("moincl[alpha=0.3] own/img_cap,own/aud_qa seed 0: captions " in line for line in told)
    before = files(home / "runs")
    again = sweep("--strategy", "finetune,moincl[alpha=0.3]")
    assert (again.code, again.out) == (0, first.out)
    assert again.err.count("finished earlier") == 2
    assert files(home / "runs") == before
    # Each cell is the run that `micl learn` makes, and reports take the ids.
    assert learn().out.split() == ids[:1]
    reports = json.loads(micl("report", *ids, "--json").out)["runs"]
    assert [report["strategy"] for report in reports] == ["finetune", "moincl"]
    found = lines(sweep("--strategy", "finetune,moincl[alpha=0.3]", "--json").out)
    assert [cell["run"] for cell in found] == ids
    assert [cell["mfn"] for cell in found] == [report["metrics"]["mfn"] for report in reports]
    assert [(cell["event"], cell["status"], cell["seed"]) for cell in found] == [("cell", "finished", 0)] * 2
    assert [cell["strategy"] for cell in found] == ["finetune", "moincl[alpha=0.3]"]
    # Where the store says finished and there is no folder here, another machine learnt it.
    shutil.rmtree(home / "runs")
    assert sweep("--strategy", "finetune,moincl[alpha=0.3]").out == first.out
    assert not (home / "runs").exists()


def test_a_cell_that_fails_stops_no_other(
    sweep: Any, cells: Any, listener: Any, toy_site: Path, on_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (cell["run"] for cell in cells("--strategy", "finetune", "--seed", "0,1"))
    on_path(listener(BREAKS), toy_site)
    monkeypatch.setenv("BREAK", first)
    done = sweep("--strategy", "finetune", "--seed", "0,1")
    assert (done.code, done.out) == (1, f"{second}\n")
    assert "1/2 finetune own/img_cap,own/aud_qa seed 0: failed: its process was ended by SIGKILL\n" in done.err
    assert "error: 1 of 2 cells failed\nhint: The same command" in done.err
    assert [cell["status"] for cell in cells("--strategy", "finetune", "--seed", "0,1")] == ["partly", "finished"]


def test_a_cell_that_another_process_learns_is_skipped(sweep: Any, cells: Any, home: Path) -> None:
    (cell,) = cells("--strategy", "finetune")
    with locked_folder(home / "runs" / cell["run"]):
        done = sweep("--strategy", "finetune")
        told = lines(sweep("--strategy", "finetune", "--json").out)
    assert (done.code, done.out) == (0, "")
    assert "1/1 finetune own/img_cap,own/aud_qa seed 0: busy\n" in done.err
    assert [line["status"] for line in told] == ["busy"]


def test_machines_that_share_a_store_share_the_grid(
    home: Path, words: Any, toy_site: Path, on_path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(toy_site)
    monkeypatch.setenv("MICL_STORE", f"sqlite:///{tmp_path / 'shared.db'}")
    homes = [home, Path(shutil.copytree(home, tmp_path / "elsewhere"))]
    command = [sys.executable, "-m", "micl_cli", *words("--strategy", "finetune", "--seed", "0..2", "--json")]
    machines = [
        subprocess.Popen(command, env={**os.environ, "MICL_HOME": str(own)}, stdout=subprocess.PIPE, text=True)
        for own in homes
    ]
    told = [lines(machine.communicate(timeout=120)[0]) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0]
    learnt = [{path.name for path in (own / "runs").iterdir() if (path / "stages").exists()} for own in homes]
    assert not learnt[0] & learnt[1]
    assert learnt[0] | learnt[1] == {cell["run"] for cell in told[0]}
    assert {cell["status"] for found in told for cell in found} <= {"finished", "busy"}
    with Store.open(os.environ["MICL_STORE"]) as store:
        assert [(run.status, store.lease_holder(run.id)) for run in store.runs()] == [("finished", None)] * 3


def test_a_cell_that_another_machine_learns_is_skipped(
    sweep: Any, cells: Any, learn: Any, micl: Any, home: Path
) -> None:
    (cell,) = cells("--strategy", "finetune")
    learn("--max-steps", "1")
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        store.acquire_lease(cell["run"], "node7:/home/ada/.micl")
    assert [line["status"] for line in lines(sweep("--strategy", "finetune", "--json").out)] == ["busy"]
    refused = learn()
    assert (refused.code, refused.out) == (1, "")
    assert "node7:/home/ada/.micl works on run" in refused.err
    assert "its lease expires 120 seconds later" in refused.err
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        store.acquire_lease(cell["run"], "node7:/home/ada/.micl", now=0.0)  # it was killed long ago
    assert sweep("--strategy", "finetune").out.split() == [cell["run"]]


@pytest.mark.skipif(os.name != "posix", reason="signals between processes")
def test_a_stop_keeps_what_is_learnt_and_the_same_command_goes_on(
    home: Path, micl: Any, words: Any, listener: Any, toy_site: Path, on_path: Any
) -> None:
    on_path(listener(SIGNALS), toy_site)
    command = [sys.executable, "-m", "micl_cli", *words("--strategy", "finetune", "--seed", "0..1")]
    env = {**os.environ, "PARENT": "1"}
    stopped = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert (stopped.returncode, stopped.stdout) == (130, ""), stopped.stderr
    assert "1/2 finetune own/img_cap,own/aud_qa seed 0: interrupted\n" in stopped.stderr
    assert stopped.stderr.endswith("hint: Continue with the same command.\n")
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        (run,) = store.runs()
        assert run.status == "interrupted"
    before = files(home / "runs" / run.id / "stages" / "01")
    done = micl(*words("--strategy", "finetune", "--seed", "0"))
    assert (done.code, done.out) == (0, f"{run.id}\n"), done.err
    assert files(home / "runs" / run.id / "stages" / "01") == before


# Workers


def test_cells_get_the_home_of_the_flag(sweep: Any, words: Any, home: Path, micl: Any, tmp_path: Path) -> None:
    other = Path(shutil.copytree(home, tmp_path / "other"))
    done = micl("--home", other, *words("--strategy", "finetune"))
    assert done.code == 0, done.err
    run = done.out.strip()
    assert (other / "runs" / run / "stages" / "02").is_dir()
    assert not (home / "runs").exists()


def test_workers_import_nothing_from_the_current_folder(sweep: Any, tmp_path: Path) -> None:
    for name in ("queue", "json", "micl_cli", "micl_toy_plugin"):
        (tmp_path / f"{name}.py").write_text(
            "from pathlib import Path\nPath('imported').touch()\nraise SystemExit(9)\n"
        )
    done = sweep("--strategy", "finetune", "--max-steps", "1")
    assert done.code == 0, done.err
    assert not (tmp_path / "imported").exists()


def test_cells_send_their_events_to_listeners(
    sweep: Any, install: Any, toy_site: Path, on_path: Any, tmp_path: Path
) -> None:
    plugin = "from micl_cli.api import hookimpl\n\n@hookimpl\ndef micl_register_listeners(register):\n    {}\n"
    log = (
        "from pathlib import Path\nfrom typing import Annotated\nfrom micl_cli.api import Listener\n\n"
        "class Log(Listener):\n"
        "    def __init__(self, *, folder: Annotated[Path, 'where to write']):\n        self.folder = folder\n"
        "    def start(self, run):\n        self.group = run.group\n        return ''\n"
        "    def consume(self, run, event):\n"
        "        with (self.folder / run).open('a') as file:\n            file.write(f'{event.name} {self.group}\\n')\n"
    )
    files = {"log_plugin.py": plugin.format("register('log', 'log_part:Log')"), "log_part.py": log}
    on_path(install("micl-log", entry_points="[micl]\nlog = log_plugin\n", files=files), toy_site)
    (tmp_path / "logs").mkdir()
    (tmp_path / "micl.toml").write_text('[listen.log]\nfolder = "logs"\n[learn]\nlisten = ["log"]\n')
    done = sweep("--strategy", "finetune", "--seed", "0..1", "--max-steps", "1")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == sorted(done.out.split())
    lines = [path.read_text().splitlines() for path in (tmp_path / "logs").iterdir()]
    assert [(each[0].split()[0], each[-1].split()[0]) for each in lines] == [("run_started", "run_finished")] * 2
    (group,) = {line.split()[1] for each in lines for line in each}  # the cells of a sweep have a group in common
    assert group.startswith("sweep-")
    (tmp_path / "micl.toml").write_text("[listen.log]\nfoldr = 1\n")
    refused = sweep("--strategy", "finetune", "--listen", "log")
    assert (refused.code, refused.out) == (2, "")
    assert "listener log needs the option 'folder'" in refused.err


# Plans


def test_a_dry_run_lists_the_grid_and_writes_nothing(sweep: Any, isolated: Path, home: Path) -> None:
    before = files(isolated)
    words = ("--strategy", "finetune,joint", "--tasks", "own/img_cap,own/aud_qa", "--seed", "0..1", "--dry-run")
    done = sweep(*words, "--tasks", "own/aud_qa,own/img_cap")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()[1:9]]
    assert [(row[1], row[2][:8], row[3], row[4]) for row in rows] == [
        (strategy, order, seed, "new")
        for strategy in ("finetune", "joint")
        for order in ("own/img_", "own/aud_")
        for seed in "01"
    ]
    assert done.out.splitlines()[-1].startswith("8 of 8 cells to learn: no time estimate")
    assert files(isolated) == before


def test_a_dry_run_tells_what_is_finished_and_how_long_the_rest_takes(
    finished: str, micl: Any, words: Any, isolated: Path
) -> None:
    before = files(isolated)
    found = planned(micl(*words("--strategy", "moincl", "--seed", "0..1", "--dry-run", "--json")))
    assert [(cell["run"] == finished, cell["status"], cell["steps"]) for cell in found] == [
        (True, "finished", 0),
        (False, "new", 8),
    ]
    assert found[1]["seconds"] > 0
    shown = micl(*words("--strategy", "moincl", "--seed", "0..1", "--dry-run")).out
    assert "1 of 2 cells to learn: about " in shown
    assert files(isolated) == before


def test_micls_orders_are_their_tasks_alone(micl: Any, learn: Any, sweep: Any, little_mini: Any) -> None:
    words = ("--strategy", "moincl", "--order", "order-1,micl-order-2", "--dry-run", "--json")
    one, two = planned(sweep(*words))
    assert (one["order"], two["order"]) == ("order-1", "micl-order-2")
    tasks = "aud_cap,img_cap,vid_qa,aud_qa,img_qa,vid_cap"
    plain = json.loads(learn("--strategy", "moincl", "--tasks", tasks, "--dry-run", "--json").out)
    assert one["run"] == plain["run"]


def test_options_reach_the_strategies_that_have_them(cells: Any, learn: Any) -> None:
    def plain(*more: str) -> str:
        return str(json.loads(learn(*more, "--dry-run", "--json").out)["run"])

    found = cells("--strategy", "finetune,moincl,moincl[alpha=0.7,2:temperature=3]", "-o", "alpha", "0.3")
    assert [cell["run"] for cell in found] == [
        plain(),
        plain("--strategy", "moincl", "-o", "alpha", "0.3"),
        plain("--strategy", "moincl", "-o", "alpha", "0.7", "-o", "2:temperature", "3"),
    ]


def test_what_files_set_for_learn_holds_for_a_sweep(cells: Any, learn: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text(
        '[learn]\nstrategy = "joint"\nepochs = 3\npatience = 2\n[learn.options]\nalpha = 0.3\n[sweep]\nepochs = 4\n'
    )
    finetune, moincl = cells("--strategy", "finetune,moincl")
    (tmp_path / "micl.toml").unlink()
    rest = ("--epochs", "4", "--patience", "2", "--dry-run", "--json")
    assert finetune["run"] == json.loads(learn(*rest).out)["run"]
    told = json.loads(learn("--strategy", "moincl", "-o", "alpha", "0.3", *rest).out)
    assert moincl["run"] == told["run"]


RECIPE = """
strategy = "ewc"
[options]
lambda_ewc = 7.0
[training]
learning_rate = 0.01
weight_decay = 0.1
[citation]
trials = 8
seeds = [0, 1]
task_set = "mini-tuning"
tasks = ["own/aud_qa"]
split = "val"
backbone = "toy"
"""


@pytest.fixture
def recipe_set(home: Path) -> Path:
    """The folder with the recipe set ``tuned``, which has a recipe for ewc."""
    (home / "recipes").mkdir()
    (home / "recipes" / "tuned-ewc.toml").write_text(RECIPE)
    return home / "recipes"


def test_a_recipe_set_has_the_options_of_each_strategy(
    recipe_set: Path, cells: Any, learn: Any, sweep: Any, in_process: list[str], home: Path
) -> None:
    (own,) = cells("--strategy", "ewc", "--recipe-set", "tuned")
    plain = ("--strategy", "ewc", "-o", "lambda_ewc", "7", "--weight-decay", "0.1", "--dry-run", "--json")
    assert own["run"] == json.loads(learn(*plain).out)["run"]
    assert cells("--strategy", "ewc", "--recipe-set", str(recipe_set / "tuned"))[0]["run"] == own["run"]
    # A run that was learnt before it was that of a recipe is cited, too.
    assert sweep("--strategy", "ewc[lambda_ewc=7]", "--weight-decay", "0.1").out.split() == [own["run"]]
    done = sweep("--strategy", "ewc,ewc[lambda_ewc=2]", "--recipe-set", "tuned")
    assert in_process.count(own["run"]) == 1
    assert done.code == 0, done.err
    assert "note: recipe tuned-ewc was tuned on own/aud_qa: scores on these tasks favour it" in done.err
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        recipes = [store.run(run) for run in done.out.split()]
    assert [run and run.recipe and (run.recipe["name"], run.recipe["citation"]) for run in recipes] == [
        ("tuned-ewc", "8 trials x 2 seeds on mini-tuning, val"),
        ("tuned-ewc", "8 trials x 2 seeds on mini-tuning, val; with other values of lambda_ewc"),
    ]


def test_a_strategy_without_a_recipe_of_the_set_is_refused_or_said(recipe_set: Path, sweep: Any, cells: Any) -> None:
    words = ("--strategy", "ewc,finetune", "--recipe-set", "tuned")
    refused = sweep(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "the recipe set tuned has no recipe for finetune\nhint: Tune it, leave it out" in refused.err
    allowed = sweep(*words, "--allow-defaults", "--dry-run", "--json")
    assert "the recipe set tuned has no recipe for finetune: the defaults are used" in allowed.err
    (plain,) = cells("--strategy", "finetune")
    assert json.loads(allowed.out)["cells"][1]["run"] == plain["run"]
    unknown = sweep("--strategy", "ewc", "--recipe-set", "tunde")
    assert (unknown.code, "no recipe set 'tunde'\nhint: Did you mean 'tuned'?" in unknown.err) == (2, True)
    (recipe_set / "tuned-lwf.toml").write_text(RECIPE)
    other = sweep("--strategy", "lwf", "--recipe-set", "tuned")
    assert (other.code, "recipe tuned-lwf is for strategy ewc, not lwf" in other.err) == (2, True)


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ((), 2, "no strategy is named"),
        (("--strategy", "fintune"), 3, "Did you mean 'finetune'?"),
        (("--strategy", "moincl[alfa=1]"), 2, "Did you mean 'alpha'?"),
        (("--strategy", "moincl[alpha=much]"), 2, "expects a number"),
        (("--strategy", "moincl[alpha=1"), 2, "a bracket is not closed"),
        (("--strategy", "moincl,finetune", "-o", "alfa", "1"), 2, "no strategy of this sweep has the option 'alfa'"),
        (("--strategy", "moincl,moincl[alpha=0.5]"), 2, "are the same run"),
        (("--strategy", "finetune", "--order", "order-3"), 2, "no order 'order-3'"),
        (("--strategy", "finetune", "--order", ""), 2, "no order is named"),
        (("--strategy", "finetune", "--order", "order-1,micl-order-1"), 2, "are the same"),
        (("--strategy", "finetune", "--seed", "2..0"), 2, "ends before it starts"),
        (("--strategy", "finetune", "--jobs", "0"), 2, "--jobs"),
    ],
)
def test_invalid_arguments_are_reported_before_anything_is_done(
    wrong: tuple[str, ...], code: int, message: str, sweep: Any, home: Path
) -> None:
    before = files(home)
    done = sweep(*wrong)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert files(home) == before


def test_a_sweep_is_recorded_with_the_cells_that_wait(sweep: Any, in_process: list[str], home: Path) -> None:
    from micl_cli.settings import load_settings
    from micl_cli.sweep.record import sweep_records

    words = ("--strategy", "finetune", "--seed", "0..1")
    assert sweep(*words, "--dry-run").code == 0
    assert sweep_records(load_settings(), 10) == []
    assert sweep(*words).code == 0
    (record,) = sweep_records(load_settings(), 10)
    assert [(cell.strategy, cell.seed) for cell in record.cells] == [("finetune", 0), ("finetune", 1)]
    assert [cell.run for cell in record.cells] == in_process
    assert sweep(*words).code == 0
    assert [each.id for each in sweep_records(load_settings(), 10)] == [record.id]
