"""Learning from Python gives the run that the command gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import micl_cli
from micl_cli.errors import MiclError, OptionError, PluginError, UsageError


def test_the_command_and_the_function_make_the_same_run(quick: dict[str, Any], learn: Any, micl: Any) -> None:
    run = micl_cli.learn(**quick)
    before = json.loads(micl("report", run.id, "--json").out)["runs"][0]
    done = learn()
    assert done.out.strip() == run.id and "already finished" in done.err
    assert micl("runs", "rm", run.id, "--yes").code == 0
    assert learn().out.strip() == run.id
    after = json.loads(micl("report", run.id, "--json").out)["runs"][0]
    assert before["matrix"] == after["matrix"] and before["metrics"] == after["metrics"]
    assert [step["loss"] for step in run.losses()]


def test_the_same_call_returns_the_finished_run(quick: dict[str, Any]) -> None:
    run = micl_cli.learn(**quick)
    losses = run.losses()
    assert micl_cli.learn(**quick).id == run.id
    assert run.losses() == losses and run.status == "finished"


def test_random_numbers_of_other_code_and_learning_do_not_meet(quick: dict[str, Any], events: Any) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn = []
    with events(strategy="moincl") as stepwise:
        for event in stepwise:
            if event.name == "step" and len(drawn) < 3:
                drawn.append(torch.rand(1))
        run = stepwise.run
    assert torch.equal(torch.cat(drawn), expected)
    losses = [step["loss"] for step in run.losses()]
    again = micl_cli.learn(**quick | {"strategy": "moincl", "again": True}, progress=False)
    assert again.id != run.id and [step["loss"] for step in again.losses()] == losses


def test_options_are_dicts_and_those_of_stages_are_nested(quick: dict[str, Any]) -> None:
    quick |= {"strategy": "moincl", "strategy_options": {"alpha": 0.25, 2: {"alpha": 0.75}}}
    run = micl_cli.learn(**quick)
    assert run.plan["strategy_options"]["alpha"] == 0.25
    assert run.plan["stage_options"] == {"2": {"alpha": 0.75}}


def test_a_run_file_is_overridden_by_arguments(quick: dict[str, Any], tmp_path: Path) -> None:
    settings = "".join(f"{name} = {json.dumps(quick[name])}\n" for name in quick if name != "progress")
    (tmp_path / "run.toml").write_text(f"{settings}seed = 3\nname = 'of file'\n")
    run = micl_cli.learn(config=tmp_path / "run.toml", seed=4, progress=False)
    assert (run.plan["seed"], run.name, run.strategy) == (4, "of file", "finetune")


def test_configuration_and_variables_apply(quick: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "micl.toml").write_text("[learn]\nmax_steps = 1\n")
    monkeypatch.setenv("MICL_LEARN_SEED", "7")
    del quick["max_steps"]
    run = micl_cli.learn(**quick)
    assert run.plan["seed"] == 7 and len(run.losses()) == 2


def test_another_home_is_used_and_returned_to(quick: dict[str, Any], home: Path, tmp_path: Path) -> None:
    import shutil

    shutil.move(home, tmp_path / "other")
    run = micl_cli.learn(**quick, home=tmp_path / "other")
    assert not home.exists()
    assert [each.id for each in micl_cli.list_runs(home=tmp_path / "other")] == [run.id]
    assert run.resume(progress=False).status == "finished"
    with pytest.raises(UsageError, match="there are no runs yet"):
        micl_cli.load_run(run.id)


def test_after_takes_a_run(quick: dict[str, Any]) -> None:
    run = micl_cli.learn(**quick)
    further = micl_cli.learn(tasks="own/img_qa", after=run, progress=False)
    assert further.tasks == (*run.tasks, "own/img_qa")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"stratgy": "ewc"}, UsageError, "there is no argument 'stratgy'\nDid you mean 'strategy'?"),
        (
            {"alpha": 0.3},
            UsageError,
            "there is no argument 'alpha'\nOptions of plugins are given as strategy_options=",
        ),
        ({"strategy": "moincl", "alpha": 0.3}, UsageError, "Write: strategy_options={'alpha': 0.3}"),
        ({"width": 64}, UsageError, "Write: backbone_options={'width': 64}"),
        ({"options": {}}, UsageError, "there is no argument 'options'"),
        ({"dry_run": True}, UsageError, "there is no argument 'dry_run'"),
        ({"strategy": "moinc"}, PluginError, "Did you mean 'moincl'?"),
        ({"strategy": None}, UsageError, "no strategy is named"),
        ({"tasks": "own/img_capt"}, PluginError, "Did you mean 'own/img_cap'?"),
        ({"strategy_options": {"alhpa": 1}}, OptionError, "alhpa"),
        ({"strategy_options": "alpha"}, UsageError, "strategy_options cannot be 'alpha'"),
        ({"seed": "x"}, UsageError, "seed cannot be used: 'x' is not a valid integer"),
        ({"seed": object}, UsageError, "seed cannot be"),
        ({"again": 1}, UsageError, "again cannot be 1"),
        ({"device": "gpu"}, UsageError, "'gpu' is not one of"),
        ({"name": "-rf", "max_steps": -1}, UsageError, "max_steps cannot be used: -1 is not in the range"),
        ({"config": "absent.toml"}, UsageError, "absent.toml"),
        ({"listen": "absent"}, PluginError, "absent"),
    ],
)
def test_errors_say_what_to_do(quick: dict[str, Any], arguments: dict[str, Any], error: Any, text: str) -> None:
    with pytest.raises(MiclError) as raised:
        micl_cli.learn(**{**quick, **arguments})
    assert isinstance(raised.value, error) and text in str(raised.value) and raised.value.hint


def test_without_progress_nothing_is_written(quick: dict[str, Any], capsys: Any) -> None:
    micl_cli.learn(**quick)
    assert capsys.readouterr() == ("", "")
    micl_cli.learn(**{**quick, "progress": True, "seed": 1})
    out, err = capsys.readouterr()
    assert not out and "1/2 own/img_cap: 12 examples" in err
