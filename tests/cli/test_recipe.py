from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.options import parse_options
from micl_cli.api.task import Task
from micl_cli.cli.recipe import read_recipe, recipe_names
from micl_cli.errors import UsageError
from micl_cli.plan import Evaluation, Training, resolve_settings
from micl_cli.registry import Registry
from micl_cli.store import Store


def write(tmp_path: Path, text: str) -> str:
    (tmp_path / "r.toml").write_text(text)
    return str(tmp_path / "r.toml")


def test_the_papers_orders_come_with_micl() -> None:
    first, second = (read_recipe(name) for name in ("micl-order-1", "micl-order-2"))
    assert sorted(first.tasks.split(",")) == sorted(second.tasks.split(","))
    assert first.options["5:lambda_kl"] == 0.5
    assert second.options["3:pseudo_num"] == 4


@pytest.mark.parametrize("name", recipe_names())
def test_a_built_in_recipe_names_options_and_settings_that_exist(name: str) -> None:
    recipe = read_recipe(name)
    cls = Registry.discover().load("strategies", recipe.strategy or "finetune")
    parse_options(cls, {key.rpartition(":")[2]: value for key, value in recipe.options.items()}, owner=name)
    resolve_settings(Training, {}, recipe.training)
    resolve_settings(Evaluation, {}, recipe.evaluation)
    assert recipe.summary


def test_the_paper_s_form_of_moincl_has_the_paper_s_decoding() -> None:
    recipe = read_recipe("moincl-paper")
    assert recipe.options["loss"] == "mean_over_all"
    assert recipe.evaluation["num_beams"] == 5
    assert recipe.evaluation["repetition_penalty"] == 1.15
    assert recipe.evaluation["length_penalty"] == 0


def test_a_recipe_is_read_from_a_file(tmp_path: Path) -> None:
    text = 'summary = "mine"\ntasks = "a,b"\n[options]\nalpha = 0.1\n[options.2]\nalpha = 0.2\n[training]\nepochs = 3\n'
    recipe = read_recipe(write(tmp_path, text))
    assert (recipe.summary, recipe.strategy, recipe.tasks) == ("mine", "", "a,b")
    assert recipe.options == {"alpha": 0.1, "2:alpha": 0.2}
    assert recipe.training == {"epochs": 3}


def test_a_recipe_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xef\xbb\xbftasks = ['a', 'b']\r\n")
    assert read_recipe(str(tmp_path / "r.toml")).tasks == "a,b"


def test_recipes_of_the_home_folder_are_found_by_name(isolated: Path) -> None:
    from micl_cli.settings import load_settings

    settings = load_settings()
    settings.recipes.mkdir(parents=True)
    (settings.recipes / "mine.toml").write_text("tasks = ['a']\n[citation]\ndate = 2026-03-01\nruns = ['x']\n")
    (settings.recipes / "micl-order-1.toml").write_text("tasks = ['a']\n")
    assert recipe_names(settings) == sorted([*recipe_names(), "mine"])
    recipe = read_recipe("mine", settings)
    assert (recipe.name, recipe.tasks, len(recipe.sha256)) == ("mine", "a", 64)
    assert recipe.citation == {"date": "2026-03-01", "runs": ["x"]}
    assert read_recipe("micl-order-1", settings).strategy == "moincl"
    with pytest.raises(UsageError, match="no recipe 'mine'"):
        read_recipe("mine")


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.toml")
    with pytest.raises(UsageError, match=r"r\.toml is not a recipe: it is not a regular file"):
        read_recipe(str(tmp_path / "r.toml"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("strategy = ", "is not a recipe", "TOML"),
        ("task = 'a'", "unknown key 'task'", "Did you mean 'tasks'?"),
        ("tasks = 3", "tasks is 3", "It must be a string."),
        ("training = 3", "training is 3", "It must be a table."),
    ],
)
def test_malformed_recipes(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_recipe(write(tmp_path, text))
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["micl-order-3", "../recipes/micl-order-1", "nowhere.toml", ""])
def test_a_recipe_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError, match="no recipe"):
        read_recipe(name)


def test_every_option_of_the_recipes_exists() -> None:
    from micl_cli.session import Request, Session
    from micl_cli.settings import load_settings

    for name in recipe_names():
        recipe = read_recipe(name)
        names = (recipe.tasks or "any").split(",")
        tasks = [Task(name, frozenset({"image"}), "qa", "accuracy", sha256="0") for name in names]
        stages: dict[str, dict[str, object]] = {}
        for key, value in recipe.options.items():
            position, _, option = key.rpartition(":")
            stages.setdefault(position, {})[option] = value
        request = Request(
            strategy=recipe.strategy or "finetune",
            backbone="tiny",
            tasks=tuple(task.name for task in tasks),
            strategy_options=stages.pop("", {}),
            stage_options=stages,
        )
        assert Session(load_settings()).plan(request, tasks).stage_options == stages


def test_the_options_of_a_recipe_reach_its_strategy_or_it_is_told(learn: Any, tmp_path: Path) -> None:
    options = "[options]\nlambda_ewc = 7.0\n"
    plans = []
    for head in ("", 'strategy = "ewc"\n'):
        recipe = write(tmp_path, head + 'tasks = ["own/img_cap"]\n' + options)
        done = learn("--recipe", recipe, "--strategy", "ewc", "--dry-run", "--json")
        plans.append(json.loads(done.out)["plan"]["strategy_options"])
    assert plans[0] == plans[1]
    assert plans[0]["lambda_ewc"] == 7.0
    other = learn("--recipe", recipe, "--strategy", "finetune", "--dry-run")
    assert other.code == 0
    assert f"the options of recipe {recipe} are for strategy ewc; finetune ignores them" in other.err


def test_settings_that_another_strategy_gets_of_a_recipe_are_said_and_recorded(
    learn: Any, home: Path, tmp_path: Path
) -> None:
    head = 'strategy = "ewc"\n[options]\nlambda_ewc = 7.0\n'
    recipe = write(tmp_path, head + "[training]\nweight_decay = 0.5\n[evaluation]\nmax_new_tokens = 9\n")
    words = ("--strategy", "finetune", "--tasks", "own/img_cap", "--recipe", recipe)
    done = learn(*words, "--max-new-tokens", "8")
    assert "note: recipe r is for strategy ewc: finetune gets its max_new_tokens, weight_decay only" in done.err
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        run = store.run(done.out.strip())
    assert run and run.recipe
    assert run.plan["training"]["weight_decay"] == 0.5
    assert run.recipe["citation"] == "for ewc, without its options; with other values of max_new_tokens"
    options_only = write(tmp_path, head)
    done = learn(*words[:-1], options_only, "--seed", "5")
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        run = store.run(done.out.strip())
    assert run and run.recipe is None
