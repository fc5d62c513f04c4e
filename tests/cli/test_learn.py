from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Score
from micl_cli.api.backbone import InspectedMedium, MediumFault
from micl_cli.store import Store
from micl_cli.testing import ToyBackbone
from micl_metrics.accuracy import Accuracy


def weights(home: Path, run: str) -> dict[str, str]:
    """The sha256 of each stage's adapters."""
    stages = sorted((home / "runs" / run / "stages").glob("*/adapters.safetensors"))
    return {path.parent.name: sha256(path.read_bytes()).hexdigest() for path in stages}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(home: Path, run: str) -> tuple[int, int, int]:
    """(stages, scores, steps) of a run in the store."""
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        details = store.details(run)
        return len(details.stages), len(details.scores), len(store.steps(run))


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def matrix(micl: Any, run: str) -> list[list[float | None]]:
    found: list[list[float | None]] = json.loads(micl("report", run, "--json").out)["runs"][0]["matrix"]
    return found


# Output


def test_a_score_that_is_not_finite_is_null_everywhere(
    learn: Any, micl: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undefined(metric: object, answers: Any, references: Any) -> Score:
        return Score(float("nan"), (float("nan"),) * len(answers))

    monkeypatch.setattr("micl_metrics.cider.CIDEr.score", undefined)
    code, out, err = learn("--json")
    assert code == 0, err
    run = events(out)[0]["run"]
    scored = [e["value"] for e in events(out) if e["event"] == "scored" and e["metric"] == "cider"]
    assert scored == [None, None]
    assert "NaN" not in out + "".join(path.read_text() for path in (home / "runs" / run).rglob("*.json"))
    again = learn("--json")
    assert again.code == 0, again.err
    assert [e["value"] for e in events(again.out) if e["event"] == "scored" and e["metric"] == "cider"] == [None, None]
    assert micl("eval", run, "--json").code == 0
    assert micl("runs", "show", run, "--json").code == 0
    assert [row[0] for row in matrix(micl, run)] == [None, None]


def test_stdout_is_the_id_alone_and_stderr_shows_the_progress(learn: Any, home: Path) -> None:
    code, out, err = learn()
    assert code == 0
    run = out.strip()
    assert (len(run), out) == (12, f"{run}\n")
    shown = err.splitlines()
    assert shown[0] == f"run {run}: finetune on toy, seed 0"
    assert shown[1] == "1/2 own/img_cap: 12 examples, 4 steps"
    assert shown[2].startswith("  learnt in ")
    assert shown[3].startswith("  own/img_cap  cider ")
    assert shown[4] == "2/2 own/aud_qa: 12 examples, 4 steps"
    assert rows(home, run)[::2] == (2, 8)
    assert learn("--quiet", "--seed", "1").err == ""


def test_json_lines_tell_every_event_in_order(learn: Any) -> None:
    code, out, err = learn("--json", "--strategy", "moincl", "-o", "fusion", "epoch")
    assert code == 0
    assert err.splitlines() == [
        "note: --max-steps ends task 2 after 1 of the 3 steps of an epoch: moincl acts at the end of whole epochs only"
    ]
    found = events(out)
    stage = ["task_started", *["step"] * 3, "validated", "step", "validated", "task_learned"]
    names = [event["event"] for event in found]
    # Three steps are a pass over 12 examples; validation follows it, and the last step.
    assert [name for name in names if name == "step"] == ["step"] * 8
    first = names.index("task_learned")
    order = [name for name in names[1 : first + 1] if name != "validated"]
    assert order == [name for name in stage if name != "validated"]
    assert (names[0], names[-1]) == ("run_started", "run_finished")
    fields = {
        "run_started": {"run", "tasks", "strategy", "backbone", "seed", "resumed_from", "plan"},
        "task_started": {"position", "tasks", "examples", "steps_planned", "trainable_parameters"},
        "step": {"position", "step", "epoch", "loss", "lr", "seconds", "terms"},
        "validated": {"position", "step", "epoch", "value", "best"},
        "task_learned": {
            *("position", "tasks", "data_sha256", "steps", "examples", "seconds", "peak_bytes"),
            *("trainable_parameters", "stored_bytes", "checkpoint", "restored"),
        },
        "scored": {"after", "task", "metric", "value", "n", "split", "main", "seconds", "restored"}
        | {"version", "prompts", "scorer", "missing", "figures"},
        "answered": {"after", "task", "split", "rows", "scores", "missing"},
        "notice": {"text"},
        "run_finished": {"run", "status", "seconds"},
    }
    assert set(names) == set(fields)
    for event in found:
        assert event.keys() - {"event"} >= fields[event["event"]]
    terms = next(e["terms"] for e in found if e["event"] == "step" and e["position"] == 2)
    assert {"answers", "text_kl"} <= terms.keys()


def test_embedded_tasks_are_prepared_when_they_are_missing(learn: Any, home: Path, little_mini: Any) -> None:
    shutil.rmtree(home)
    code, out, err = learn("--tasks", "img_qa")
    assert (code, err.splitlines()[0]) == (0, "preparing mini/img_qa")
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        (task,) = store.tasks()
        assert (task.name, task.counts["train"]) == ("mini/img_qa", little_mini["train"])
        assert store.run(out.strip()) is not None


# The same command again


def test_the_same_command_tells_the_finished_run_and_repeats_nothing(learn: Any, home: Path, micl: Any) -> None:
    first = learn()
    run = first.out.strip()
    before, known = files(home / "runs"), rows(home, run)
    again = learn("--json", "--name", "another label", "--device", "cpu")
    found = events(again.out)
    assert [e["event"] for e in found if e["event"] not in ("scored", "task_learned")] == [
        *("run_started", "notice", "notice", "run_finished")  # it has another name, and is finished
    ]
    assert all(e["restored"] for e in found if e["event"] in ("scored", "task_learned"))
    assert (files(home / "runs"), rows(home, run)) == (before, known)
    assert "--again starts another one" in learn().err
    assert len(json.loads(micl("runs", "--json").out)["runs"]) == 1


def test_again_makes_a_second_run_of_the_same_plan(learn: Any, home: Path) -> None:
    first, second = learn("--again").out.strip(), learn("--again").out.strip()
    assert first == learn().out.strip() != second
    assert weights(home, first) == weights(home, second)


def test_a_run_whose_folder_is_gone_is_learnt_again(learn: Any, home: Path) -> None:
    run = learn().out.strip()
    before = weights(home, run)
    shutil.rmtree(home / "runs" / run / "stages" / "02")
    again = learn()
    assert (again.code, again.out.strip()) == (0, run)
    assert weights(home, run) == before
    shutil.rmtree(home / "runs")
    assert learn().code == 0
    assert weights(home, run) == before
    assert rows(home, run)[::2] == (2, 8)


# Continuing


def test_after_goes_on_from_a_finished_run(finished: str, isolated: Path, micl: Any) -> None:
    before = files(isolated / "runs" / finished)
    done = micl("learn", "--after", finished, "--tasks", "own/img_qa")
    assert done.code == 0
    run = done.out.strip()
    assert run != finished
    old, new = matrix(micl, finished), matrix(micl, run)
    assert [row[:2] for row in new[:2]] == old
    assert [row[2] for row in new[:2]] == [None, None]
    assert None not in new[2]
    assert files(isolated / "runs" / finished) == before
    shown = json.loads(micl("runs", "show", run, "--json").out)
    assert (shown["parent"], shown["plan"]["tasks"][2]) == (finished, "own/img_qa")
    assert weights(isolated, run) | weights(isolated, finished) == weights(isolated, run)


def test_after_equals_learning_all_tasks_at_once(learn: Any, home: Path, micl: Any) -> None:
    whole = learn("--tasks", "own/img_cap,own/aud_qa,own/img_qa", "--strategy", "moincl").out.strip()
    first = learn("--strategy", "moincl").out.strip()
    rest = micl("learn", "--after", first, "--tasks", "own/img_qa").out.strip()
    assert weights(home, rest) == weights(home, whole)
    assert matrix(micl, rest) == matrix(micl, whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strategy", "finetune", "--tasks", "own/img_qa"), "was learnt with strategy moincl"),
        (("--seed", "3", "--tasks", "own/img_qa"), "was learnt with seed 0"),
        (("--backbone", "tiny", "--tasks", "own/img_qa"), "was learnt with backbone toy"),
        (("-b", "rank", "2", "--tasks", "own/img_qa"), "cannot be changed"),
        (("--tasks", "own/aud_qa"), "task own/aud_qa is named twice"),
        ((), "no task is named"),
    ],
)
def test_after_keeps_what_the_run_is(finished: str, micl: Any, words: tuple[str, ...], message: str) -> None:
    code, out, err = micl("learn", "--after", finished, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "hint: " in err


def test_after_a_strategy_that_learns_all_at_once_is_refused(learn: Any) -> None:
    run = learn("--strategy", "joint").out.strip()
    done = learn("--after", run, "--tasks", "own/img_qa")
    assert (done.code, done.out) == (4, "")
    assert "in a new run" in done.err


def test_after_a_run_without_checkpoints_is_refused(finished: str, micl: Any, isolated: Path) -> None:
    shutil.rmtree(isolated / "runs" / finished)
    done = micl("learn", "--after", finished, "--tasks", "own/img_qa")
    assert done.code == 1
    assert f"run {finished} has no checkpoints" in done.err


def test_resume_takes_nothing_that_the_plan_has(finished: str, micl: Any) -> None:
    done = micl("learn", "--resume", finished, "--epochs", "3", "-o", "alpha", "0.1")
    assert (done.code, done.out) == (2, "")
    assert "Leave out --epochs, -o." in done.err


# A dry run


def test_a_dry_run_writes_nothing(finished: str, micl: Any, isolated: Path) -> None:
    before = files(isolated)
    done = micl("learn", "--after", finished, "--tasks", "own/img_qa", "--dry-run")
    assert done.code == 0
    assert "own/img_qa" in done.out
    assert "s of learning, based on recent runs" in done.out
    for words in (("--resume", finished), ("--after", finished, "--tasks", "img_qa", "--again")):
        assert micl("learn", *words, "--dry-run").code == 0
    assert files(isolated) == before


def test_a_dry_run_works_where_there_is_no_home_and_makes_none(
    micl: Any, isolated: Path, toy_site: Path, monkeypatch: pytest.MonkeyPatch, little_mini: Any
) -> None:
    monkeypatch.syspath_prepend(str(toy_site))
    words = ("learn", "--strategy", "joint", "--tasks", "img_qa,img_cap", "--backbone", "toy", "--epochs", "2")
    done = micl(*words, "--dry-run", "--again", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["estimate"]["steps"] == 8  # 2 x 32 examples in batches of 8
    (stage,) = told["estimate"]["stages"]
    assert (stage["tasks"], stage["examples"]) == (["mini/img_qa", "mini/img_cap"], 32)
    assert micl("learn", "--resume", "@last", "--dry-run").code == 2
    assert not isolated.exists()


def test_media_that_are_cut_are_told_by_a_dry_run_and_when_learning(
    learn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: ToyBackbone, media: Sequence[InspectedMedium]) -> list[MediumFault]:
        return [MediumFault(media[0].medium, "the first 2 s are read", partial=True)]

    monkeypatch.setattr(ToyBackbone, "check_media", check)
    told = "1 of 22 image files are cut: the first 2 s are read"
    assert told in learn("--dry-run").err
    assert told in json.loads(learn("--dry-run", "--json").out)["estimate"]["notes"][0]
    assert learn().err.count(f"own/img_cap: {told}") == 1


def test_a_dry_run_tells_the_id_that_the_run_will_have(learn: Any) -> None:
    planned = json.loads(learn("--dry-run", "--json").out)["run"]
    shown = learn("--dry-run").out
    assert shown.startswith(f"run       {planned}\n")
    assert learn().out.strip() == planned
    assert learn("--dry-run").out.startswith(f"run       {planned} (finished)\n")


# Options and settings


def plan_of(done: Any) -> dict[str, Any]:
    assert done.code == 0, done.err
    plan: dict[str, Any] = json.loads(done.out)["plan"]
    return plan


def test_options_hold_for_the_run_or_for_one_stage(learn: Any) -> None:
    words = ("--strategy", "moincl", "-o", "alpha", "0.3", "-o", "2:alpha", "0.8", "--dry-run", "--json")
    plan = plan_of(learn(*words))
    assert (plan["strategy_options"]["alpha"], plan["stage_options"]) == (0.3, {"2": {"alpha": 0.8}})
    assert plan["strategy_options"]["temperature"] == 2.0


@pytest.mark.parametrize("name", ["micl-order-1", "micl-order-2"])
def test_the_papers_orders_are_recipes(name: str, micl: Any, little_mini: Any) -> None:
    plan = plan_of(micl("learn", "--recipe", name, "--dry-run", "--json"))
    assert plan["strategy"] == "moincl"
    assert len(plan["tasks"]) == 6
    assert sorted(plan["stage_options"]) == ["2", "3", "4", "5", "6"]
    assert plan["stage_options"]["6"]["alpha"] == 0.5
    assert plan["tasks"][0] == {"micl-order-1": "mini/aud_cap", "micl-order-2": "mini/img_cap"}[name]


def test_flags_go_before_a_recipe_and_a_recipe_before_files(learn: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'strategy = "moincl"\ntasks = ["own/img_cap", "own/img_qa"]\n'
        "[options]\nalpha = 0.2\n[training]\nepochs = 7\npatience = 2\n[evaluation]\nnum_beams = 2\n"
    )
    (tmp_path / "micl.toml").write_text(
        '[learn]\nstrategy = "joint"\nepochs = 99\nweight-decay = 0.5\n[learn.options]\nalpha = 0.9\ntemperature = 3\n'
    )
    words = ("learn", "--recipe", "mine.toml", "--backbone", "toy", "--dry-run", "--json")
    plan = plan_of(learn(*words[1:], "--patience", "4"))
    training = plan["training"]
    assert (plan["strategy"], plan["tasks"]) == ("moincl", ["own/img_cap", "own/img_qa"])
    assert (training["epochs"], training["patience"], training["weight_decay"]) == (7, 4, 0.5)
    assert (plan["strategy_options"]["alpha"], plan["strategy_options"]["temperature"]) == (0.2, 3.0)
    assert plan["evaluation"]["num_beams"] == 2
    other = plan_of(learn(*words[1:], "-o", "alpha", "0.7"))
    assert other["strategy_options"]["alpha"] == 0.7


def test_a_runs_own_plan_goes_before_files(finished: str, micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text('[learn]\nstrategy = "finetune"\nepochs = 99\n[learn.options]\nalpha = 0.9\n')
    plan = plan_of(micl("learn", "--after", finished, "--tasks", "own/img_qa", "--dry-run", "--json"))
    assert (plan["strategy"], plan["training"]["epochs"], plan["strategy_options"]["alpha"]) == ("moincl", 10, 0.5)
    assert micl("learn", "--resume", finished).code == 0


@pytest.mark.parametrize("words", [(), ("--save-predictions",), ("--predictions", "all"), ("--predictions", "3")])
def test_predictions_are_kept_with_their_scores(learn: Any, home: Path, words: Any) -> None:
    done = learn(*words)
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        run = done.out.strip()
        kept = store.predictions(run, 2, "own/aud_qa", "test")
        (score,) = (s for s in store.details(run).scores if (s.after, s.task, s.main) == (2, "own/aud_qa", True))
    assert [row.references for row in kept] == [("middle",), ("high",), ("low",)]
    assert score.value == pytest.approx(sum(row.score or 0 for row in kept) / 3)
    assert (score.version, score.missing) == (Accuracy.version, 0)
    assert "are not stored" not in done.err


@pytest.mark.parametrize(("limit", "notices"), [("2", 2), ("none", 0)])
def test_more_predictions_than_the_limit_are_not_kept_and_that_is_said(
    learn: Any, home: Path, limit: str, notices: int
) -> None:
    done = learn("--predictions", limit)
    assert done.err.count("are more than 2 and are not stored") == notices
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        assert store.prediction_sets(done.out.strip()) == ()


def test_scores_before_learning_are_for_forward_transfer_and_change_no_weights(
    learn: Any, home: Path, micl: Any
) -> None:
    plain, unseen = learn().out.strip(), learn("--eval-unseen").out.strip()
    assert weights(home, plain) == weights(home, unseen)
    (report,) = json.loads(micl("report", unseen, "--json").out)["runs"]
    assert all(None not in row for row in [report["zero_shot"], *report["matrix"]])
    assert report["metrics"]["fwt"] == pytest.approx(report["matrix"][0][1] - report["zero_shot"][1])
    assert json.loads(micl("report", plain, "--json").out)["runs"][0]["metrics"]["fwt"] is None


def test_joint_learning_is_one_stage_and_fills_the_last_row(learn: Any, micl: Any, home: Path) -> None:
    run = learn("--strategy", "joint").out.strip()
    assert rows(home, run)[::2] == (1, 8)  # --max-steps counts a task
    first, last = matrix(micl, run)
    assert first == [None, None]
    assert None not in last


def test_scores_on_validation_data_leave_test_data_unseen(learn: Any, micl: Any) -> None:
    run = learn("--eval-split", "val").out.strip()
    (report,) = json.loads(micl("report", run, "--json").out)["runs"]
    assert {row["split"] for row in report["scores"]} == {"val"}
    assert None not in report["matrix"][1]


@pytest.mark.parametrize("wrong", [("--strategy", "moinc"), ("--backbone", "toi"), ("-o", "alfa", "1")])
def test_invalid_arguments_are_reported_before_any_task_is_prepared(
    wrong: tuple[str, ...], learn: Any, home: Path
) -> None:
    shutil.rmtree(home)
    code, _, err = learn("--tasks", "img_qa", *wrong)
    assert code in (2, 3)
    assert "preparing" not in err
    assert not (home / "tasks").exists()


STRICT = """
from typing import Annotated

from micl_cli.api import ExistingFile, Range, Strategy
from micl_cli.testing import ToyBackbone

class Strict(Strategy):
    def __init__(
        self,
        backbone,
        *,
        alpha: Annotated[float, "a weight", Range(0, 1)] = 0.5,
        temperature: Annotated[float, "of the softmax", Range(0, low_open=True)] = 1.0,
        replay: Annotated[int, "examples kept", Range(0)] = 0,
        instructions: Annotated[str, "a file of texts", ExistingFile()] = "",
    ):
        super().__init__(backbone)

class StrictToy(ToyBackbone):
    def __init__(self, preset="", *, lora_rank: Annotated[int, "rank of LoRA", Range(1)] = 4, resources):
        super().__init__(preset, resources=resources)
"""
STRICT_PLUGIN = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_strategies(register):
    register("strict", "strict_parts:Strict")

@hookimpl
def micl_register_backbones(register):
    register("stricttoy", "strict_parts:StrictToy")
"""


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("-o", "alpha", "-5"), "'alpha' of strategy strict expects a number, at least 0 and at most 1, not '-5'"),
        (("-o", "2:alpha", "1.5"), "'alpha' of strategy strict expects a number, at least 0 and at most 1, not '1.5'"),
        (("-o", "temperature", "0"), "expects a number, more than 0, not '0'"),
        (("-o", "replay", "-3"), "expects a whole number, at least 0, not '-3'"),
        (("-o", "instructions", "/nope.txt"), "expects the path of a file that exists, not '/nope.txt'"),
        (("-b", "lora_rank", "0"), "'lora_rank' of backbone stricttoy expects a whole number, at least 1, not '0'"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_options_out_of_range_are_refused(
    option: tuple[str, ...], message: str, more: tuple[str, ...], learn: Any, install: Any, home: Path
) -> None:
    install("micl-strict", entry_points="[micl]\nstrict = strict_plugin\n",
            files={"strict_plugin.py": STRICT_PLUGIN, "strict_parts.py": STRICT})  # fmt: skip
    done = learn("--strategy", "strict", "--backbone", "stricttoy", *option, *more)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not (home / "runs").exists()


@pytest.mark.parametrize("flag", ["--learning-rate", "--lr"])
def test_settings_have_the_ranges_that_they_declare(flag: str, learn: Any) -> None:
    done = learn(flag, "0")
    assert (done.code, done.out) == (2, "")
    assert "0.0 is not in the range x>0" in done.err


def test_a_recipes_settings_have_the_same_ranges(learn: Any, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('strategy = "finetune"\ntasks = "own/img_cap"\n[evaluation]\nbatch_size = 0\n')
    done = learn("--recipe", "r.toml")
    assert (done.code, done.out) == (2, "")
    assert "option 'batch_size' of evaluation expects a whole number, at least 1, not 0" in done.err


def test_switches_go_before_files(learn: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text("[learn]\neval-unseen = true\ngradient_checkpointing = true\n")
    words = ("--no-eval-unseen", "--no-gradient-checkpointing", "--dry-run", "--json")
    plan = plan_of(learn(*words))
    assert (plan["evaluation"]["unseen"], plan["training"]["gradient_checkpointing"]) == (False, False)


def test_a_task_in_another_variant_says_how_it_was_prepared_for_the_run(suite: Path, learn: Any, micl: Any) -> None:
    assert micl("prepare", "suite/one", "--root", suite).code == 0
    run = learn("--tasks", "suite/one,own/aud_qa").out.strip()
    assert micl("prepare", "suite/one", "--root", suite, "--scorer", "strict").code == 0
    done = micl("eval", run)
    assert done.code == 4
    assert f"the data of suite/one has changed since run {run} started" in done.err
    assert "It was prepared with scorer 'release' then. It is prepared now by: micl prepare suite/one" in done.err
    assert "--prompts published --scorer strict. Restore" in done.err
    assert micl("prepare", "suite/one", "--root", suite).code == 0
    assert micl("eval", run).code == 0
