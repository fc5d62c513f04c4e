"""``--save-config``: what is learnt from the file that it writes is the run of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from micl_cli.api.options import Option, options_of
from micl_cli.io.text import read_toml
from micl_cli.registry import Registry

STRATEGIES = ("ewc", "ewf", "finetune", "joint", "lwf", "moincl", "olora", "replay", "router")
HOSTILE = '[learn]\nepochs = 77\nbackbone = "smol"\n[learn.training]\nweight_decay = 0.9\n[sweep]\nseed = "7..9"\n'
"""Project settings that must not change what a saved file means."""


@pytest.fixture
def saved(home: Path, micl: Any, tmp_path: Path) -> Any:
    """Save the file of a command, and return it, and what --dry-run says of the command and of the file.

    The file is used from another folder, with other defaults. None if the command line is not valid.
    """
    target = tmp_path / "saved" / "run.toml"
    target.parent.mkdir()

    def call(command: str, *words: object) -> tuple[Path, Any, Any] | None:
        (tmp_path / "micl.toml").unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        done = micl(command, *words, "--dry-run", "--json", "--save-config", target)
        if done.code:
            assert not target.exists()
            return None
        (tmp_path / "micl.toml").write_text(HOSTILE)
        again = micl(command, target, "--dry-run", "--json")
        assert again.code == 0, again.err
        return target, json.loads(done.out), json.loads(again.out)

    return call


def values_of(option: Option) -> st.SearchStrategy[Any]:
    if option.choices:
        value: st.SearchStrategy[Any] = st.sampled_from(option.choices)
    elif option.type is bool:
        value = st.booleans()
    elif option.type is int:
        low = int(option.range.low) if option.range and option.range.low is not None else 0
        high = int(option.range.high) if option.range and option.range.high is not None else low + 9
        value = st.integers(low, high)
    elif option.type is float:
        low, high = (option.range.low, option.range.high) if option.range else (None, None)
        value = st.floats(low or 0.0, 1.0 if high is None else high, allow_nan=False).filter(
            lambda number: option.range is None or number in option.range
        )
    else:
        value = st.just(option.default)
    return st.none() | value if option.optional else value


@st.composite
def plugin_words(draw: st.DrawFn, strategy: str) -> list[str]:
    """Draw options of a strategy, some of them for single stages."""
    options = options_of(Registry.discover().load("strategies", strategy))
    drawn = {name: option for name, option in options.items() if option.type in (bool, int, float) or option.choices}
    words = []
    for name in draw(st.lists(st.sampled_from(sorted(drawn)), unique=True, max_size=4)) if drawn else ():
        place = draw(st.sampled_from(("", "", "1:", "02:")))
        words += ["-o", f"{place}{name}", str(draw(values_of(drawn[name]))).lower()]
    return words


SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "--epochs": st.integers(1, 99),
    "--max-steps": st.integers(1, 99) | st.just("none"),
    "--batch-size": st.integers(1, 9),
    "--lr": st.floats(1e-12, 1e3),
    "--warmup": st.floats(0, 1),
    "--weight-decay": st.floats(0, 1e20),
    "--patience": st.integers(0, 9),
    "--precision": st.sampled_from(("auto", "fp32", "bf16")),
    "--eval-examples": st.integers(1, 9) | st.just("none"),
    "--eval-batch-size": st.integers(1, 9),
    "--num-beams": st.integers(1, 4),
    "--eval-split": st.sampled_from(("test", "val")),
    "--name": st.text("a b\"'\\#=äλ", min_size=1).map(lambda text: f"x{text}x"),
    "--device": st.sampled_from(("auto", "cpu")),
    "--threads": st.integers(0, 2),
    "--save-seconds": st.floats(0, 99),
    "--predictions": st.sampled_from(("all", "none", "12")),
}


@st.composite
def setting_words(draw: st.DrawFn) -> list[str]:
    """Draw settings of training and evaluation, and others that are not part of plans."""
    names = draw(st.lists(st.sampled_from(sorted(SETTINGS)), unique=True, max_size=6))
    words = [word for name in names for word in (name, str(draw(SETTINGS[name])))]
    return [*words, *draw(st.sampled_from(((), ("--eval-unseen",), ("--gradient-checkpointing",))))]


def few(examples: int) -> Any:
    return settings(
        max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )


TASKS = ("own/img_cap", "own/aud_qa", "own/img_qa")


@few(20)
@given(data=st.data())
def test_a_saved_file_means_the_same_run(saved: Any, data: st.DataObject) -> None:
    strategy = data.draw(st.sampled_from(STRATEGIES))
    tasks = data.draw(st.permutations(TASKS).map(lambda names: names[:2]))
    words = [*data.draw(plugin_words(strategy)), *data.draw(setting_words())]
    fixed = ("--strategy", strategy, "--tasks", ",".join(tasks), "--backbone", "toy")
    seed = data.draw(st.integers(0, 2**62))
    found = saved("learn", *fixed, "--seed", seed, *words)
    assume(found)
    _, first, again = found
    assert again == first
    assert again["plan"]["name"] == (words[words.index("--name") + 1] if "--name" in words else "")


@few(8)
@given(data=st.data())
def test_a_saved_grid_means_the_same_cells(saved: Any, data: st.DataObject) -> None:
    strategies = data.draw(st.lists(st.sampled_from(STRATEGIES), unique=True, min_size=1, max_size=2))
    options = data.draw(plugin_words(strategies[0]))
    words = [word for word in data.draw(setting_words()) if word]
    if "--name" in words:
        del words[words.index("--name") : words.index("--name") + 2]
    orders = [f"--tasks={','.join(TASKS[:n])}" for n in data.draw(st.sampled_from(((1,), (2,), (1, 3))))]
    seeds = data.draw(st.sampled_from(("0", "0..1", "5,2")))
    found = saved(
        "sweep", "--strategy", ",".join(strategies), *orders, "--seed", seeds, "--backbone", "toy", *options, *words
    )
    assume(found)
    _, first, again = found
    assert again == first


def test_a_file_holds_the_whole_plan_and_what_else_was_given(saved: Any) -> None:
    own = ("--strategy", "moincl", "--tasks", "own/img_cap,own/aud_qa", "--backbone", "toy")
    path, first, _ = saved("learn", *own, "-o", "2:alpha", "0.7", "--name", "mine", "--device", "cpu")
    table = read_toml(path)
    assert set(table) == {
        "strategy",
        "tasks",
        "backbone",
        "seed",
        "name",
        "device",
        "options",
        "training",
        "evaluation",
    }
    assert table["options"]["2"] == {"alpha": 0.7}
    plan = first["plan"]
    options = options_of(Registry.discover().load("strategies", "moincl"))
    assert table["options"].keys() == {*options, "2"}
    assert table["options"].items() >= plan["strategy_options"].items()
    assert {name: "none" if value is None else value for name, value in plan["training"].items()} == table["training"]
    assert path.read_text().startswith(f"# The options of run {first['run']}, written by micl ")


def test_a_recipe_and_project_settings_are_part_of_what_is_saved(learn: Any, micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text("[learn]\npatience = 2\n[learn.options]\nalpha = 0.9\n")
    (tmp_path / "mine.toml").write_text("[options]\ntemperature = 7\n[evaluation]\nbatch_size = 3\n")
    words = ("--strategy", "moincl", "--recipe", "mine.toml", "--tasks", "own/img_cap", "--save-config", "out.toml")
    done = learn(*words, "--dry-run", "--json")
    (tmp_path / "micl.toml").unlink()
    assert json.loads(micl("learn", "out.toml", "--dry-run", "--json").out)["run"] == json.loads(done.out)["run"]


def test_a_sweep_with_recipes_is_saved_with_what_overrides_them(home: Path, micl: Any, tmp_path: Path) -> None:
    (home / "recipes").mkdir()
    for strategy, rest in (("ewc", "lambda_ewc = 7.0"), ("lwf", "temperature = 3.0")):
        text = f'strategy = "{strategy}"\n[options]\n{rest}\n[training]\nweight_decay = 0.2\n'
        (home / "recipes" / f"tuned-{strategy}.toml").write_text(text)
    (tmp_path / "micl.toml").write_text("[learn]\npatience = 2\nweight_decay = 0.3\n[learn.options]\nalpha = 0.9\n")
    words = ("sweep", "--strategy", "ewc,lwf", "--recipe-set", "tuned", "--tasks", "own/img_cap", "--backbone", "toy")
    given = (*words, "--epochs", "3", "-o", "temperature", "4", "--dry-run", "--json")
    first = micl(*given, "--save-config", "out.toml")
    assert first.code == 0, first.err
    table = read_toml(tmp_path / "out.toml")
    assert (table["recipe_set"], table["training"]) == ("tuned", {"epochs": 3, "patience": 2})
    (tmp_path / "micl.toml").unlink()
    assert json.loads(micl("sweep", "out.toml", "--dry-run", "--json").out) == json.loads(first.out)
    # A value that only some recipes override cannot be said for all cells.
    (tmp_path / "micl.toml").write_text("[learn.options]\ntemperature = 0.9\n")
    refused = micl(*words, "--dry-run", "--save-config", "other.toml")
    assert (refused.code, "temperature is set by a configuration file and by the recipes of some" in refused.err) == (
        2,
        True,
    )
    assert not (tmp_path / "other.toml").exists()


def test_paths_are_saved_as_absolute_ones(saved: Any, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a text\n")
    (tmp_path / "mine.toml").write_text('tasks = ["own/img_cap"]\n')
    own = ("--backbone", "toy", "--strategy")
    path, first, again = saved("learn", *own, "moincl", "--tasks", "own/img_cap", "-o", "instructions", "texts.txt")
    assert (again, read_toml(path)["options"]["instructions"]) == (first, str(tmp_path / "texts.txt"))
    for words in (("moincl[instructions=texts.txt]",), ("moincl,finetune", "-o", "instructions", "texts.txt")):
        path, first, again = saved("sweep", *own, *words, "--order", "mine.toml")
        assert read_toml(path)["order"] == [str(tmp_path / "mine.toml")]
        assert [cell["run"] for cell in again["cells"]] == [cell["run"] for cell in first["cells"]]


def test_another_file_is_not_overwritten(learn: Any, tmp_path: Path) -> None:
    words = ("--dry-run", "--save-config", "run.toml")
    assert learn(*words).code == 0
    text = (tmp_path / "run.toml").read_text()
    assert learn(*words).code == 0
    done = learn(*words, "--seed", "1")
    assert (done.code, done.err) == (
        2,
        "error: run.toml exists, with other content\nhint: Name another file for --save-config.\n",
    )
    assert (tmp_path / "run.toml").read_text() == text


def test_what_refers_to_another_run_is_not_saved(finished: str, micl: Any, tmp_path: Path) -> None:
    done = micl("learn", "--after", finished, "--tasks", "own/img_qa", "--dry-run", "--save-config", "run.toml")
    assert (done.code, "a run file cannot hold --after" in done.err) == (2, True)
    assert not (tmp_path / "run.toml").exists()


def test_a_permission_to_run_code_is_not_saved(learn: Any, install: Any, tmp_path: Path) -> None:
    plugin = (
        "from typing import Annotated\nfrom micl_cli.api import hookimpl\nfrom micl_cli.testing import ToyBackbone\n"
        "class Coded(ToyBackbone):\n    def __init__(self, preset='', *, resources=None,\n"
        "        trust_remote_code: Annotated[bool, 'run code'] = False):\n"
        "        super().__init__(preset, resources=resources)\n"
        "@hookimpl\ndef micl_register_backbones(register):\n    register('coded', 'coded_plugin:Coded', 'a toy')\n"
    )
    install("micl-coded", entry_points="[micl]\ncoded = coded_plugin\n", files={"coded_plugin.py": plugin})
    flag = ("--trust-remote-code", "--dry-run", "--json")
    done = learn("--backbone", "coded", *flag, "--save-config", "run.toml")
    assert (
        "note: run.toml cannot allow the checkpoint's code to run: add --trust-remote-code when you use it" in done.err
    )
    assert "trust" not in (tmp_path / "run.toml").read_text()
    again = learn("run.toml", "--backbone", "coded", *flag)
    assert json.loads(again.out)["run"] == json.loads(done.out)["run"]
