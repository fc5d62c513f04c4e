"""Run files: the options of ``micl learn`` and ``micl sweep`` in a TOML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from micl_cli.cli.learn import learn as learn_command
from micl_cli.cli.run_file import LEARN_ONLY, NOT_IN_FILES, SWEEP_ONLY
from micl_cli.cli.sweep import sweep as sweep_command
from micl_cli.store import Store

RUN = """
summary = "a run"
strategy = "moincl"
tasks = ["own/img_cap", "own/aud_qa"]
backbone = "toy"
seed = 3
epochs = 2
lr = 0.01

[options]
alpha = 0.3

[options.2]
alpha = 0.5

[training]
max_steps = 4
batch-size = 4

[evaluation]
batch_size = 5
eval_examples = 3
max_new_tokens = 6
"""
FLAGS = (
    *("--strategy", "moincl", "--tasks", "own/img_cap,own/aud_qa", "--backbone", "toy", "--seed", "3", "--epochs", "2"),
    *("--lr", "0.01", "-o", "alpha", "0.3", "-o", "2:alpha", "0.5", "--max-steps", "4", "--batch-size", "4"),
    *("--eval-batch-size", "5", "--eval-examples", "3", "--max-new-tokens", "6"),
)


@pytest.fixture
def plan(home: Path, micl: Any) -> Any:
    """Return the plan of ``micl learn`` with the given arguments, and its id as ``run``."""

    def call(*words: object) -> dict[str, Any]:
        done = micl("learn", *words, "--dry-run", "--json")
        assert done.code == 0, done.err
        document = json.loads(done.out)
        return {**document["plan"], "run": document["run"]}

    return call


@pytest.fixture
def refused(home: Path, micl: Any) -> Any:
    """Return the message of a usage error of ``micl learn`` or of another command."""

    def call(*words: object, command: str = "learn") -> str:
        done = micl(command, *words, "--dry-run")
        assert (done.code, done.out) == (2, ""), done.err
        assert "This is a bug" not in done.err
        return str(done.err)

    return call


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def option_keys(command: click.Command) -> set[str]:
    return {str(each.name) for each in command.params if isinstance(each, click.Option) and each.expose_value}


# What a file says


def test_a_file_means_what_its_options_mean(plan: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", RUN)
    assert plan(file) == plan(*FLAGS)


def test_options_of_the_command_line_override_the_file(plan: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", RUN)
    given = ("--seed", "4", "--epochs", "5", "-o", "2:alpha", "0.7", "-o", "temperature", "3")
    found = plan(file, *given, "--tasks", "own/img_qa,own/aud_qa")
    assert found["tasks"] == ["own/img_qa", "own/aud_qa"]
    assert (found["seed"], found["training"]["epochs"], found["training"]["max_steps"]) == (4, 5, 4)
    assert found["stage_options"] == {"2": {"alpha": 0.7}}
    assert (found["strategy_options"]["alpha"], found["strategy_options"]["temperature"]) == (0.3, 3.0)


def test_a_file_overrides_variables_and_configuration_files(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = plan(*FLAGS)
    monkeypatch.setenv("MICL_LEARN_SEED", "8")
    write(
        tmp_path / "micl.toml", "[learn]\nepochs = 9\n[learn.options]\nalpha = 0.9\n[learn.training]\nmax_steps = 9\n"
    )
    assert plan(write(tmp_path / "run.toml", RUN)) == expected


def test_the_options_of_a_file_are_for_its_strategy(plan: Any, micl: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", RUN)
    done = micl("learn", file, "--strategy", "finetune", "--dry-run")
    assert f"the options of {file} are for strategy moincl; finetune ignores them" in done.err
    found = plan(file, "--strategy", "finetune")
    assert (found["strategy"], found["stage_options"], found["training"]["epochs"]) == ("finetune", {}, 2)


def test_a_run_file_in_micl_toml_is_the_same(plan: Any, tmp_path: Path) -> None:
    expected = plan(*FLAGS)
    table = RUN.replace('summary = "a run"\n', "").replace("[", "[learn.").replace("= [learn.", "= [")
    write(tmp_path / "micl.toml", f"[learn]\n{table}")
    assert plan() == expected


def test_tables_of_settings_in_two_configuration_files_are_merged(plan: Any, isolated: Path, tmp_path: Path) -> None:
    write(
        isolated / "config.toml",
        "[learn]\nepochs = 5\n[learn.training]\npatience = 2\n[learn.evaluation]\nexamples = 3\n",
    )
    write(tmp_path / "micl.toml", '[learn.training]\nepochs = 6\n[learn.evaluation]\nexamples = "none"\n')
    found = plan("--strategy", "finetune", "--tasks", "own/img_cap", "--backbone", "toy")
    assert (found["training"]["epochs"], found["training"]["patience"]) == (6, 2)
    assert found["evaluation"]["examples"] is None


def test_none_lifts_a_limit_in_files_and_flags(plan: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", RUN)
    assert plan(file, "--max-steps", "none")["training"]["max_steps"] is None
    lifted = write(tmp_path / "lifted.toml", RUN.replace("max_steps = 4", 'max_steps = "none"'))
    assert plan(lifted)["run"] == plan(file, "--max-steps", "none")["run"]


def test_quantization_of_the_command_line_replaces_that_of_a_file(plan: Any, refused: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", RUN + '[backbone_options]\nquantize = "nf4"\n')
    assert "backbone toy has no option 'quantize'" in refused(file)
    assert plan(file, "--quantize", "none")["backbone_options"] == {}


# Paths


def test_paths_are_relative_to_the_file(plan: Any, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    texts = write(folder / "texts.txt", "a text\n")
    write(folder / "mine.toml", '[options]\ninstructions = "texts.txt"\n')
    head = 'strategy = "moincl"\ntasks = "own/img_cap"\nbackbone = "toy"\n'
    own = write(folder / "own.toml", f'{head}[options]\ninstructions = "texts.txt"\n')
    by_recipe = write(folder / "by-recipe.toml", f'recipe = "mine.toml"\n{head}')
    for words in ((own,), (by_recipe,), (by_recipe, "--recipe", "elsewhere/mine.toml")):
        found = plan(*words)
        assert found["strategy_options"]["instructions"] == str(texts)
        assert list(found["option_files"]) == [str(texts)]
    assert plan("elsewhere/own.toml")["run"] == plan(own)["run"]


def test_a_backbone_beside_the_file_is_found(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "mine.toml", "[language]\n")
    file = write(
        tmp_path / "elsewhere" / "run.toml",
        'strategy = "finetune"\ntasks = "own/img_cap"\nbackbone = "composed:mine.toml"\n',
    )
    from micl_cli.cli.run_file import read_run_file

    values = read_run_file(str(file), learn_command, click.Context(learn_command)).values
    assert values["backbone"] == f"composed:{tmp_path / 'elsewhere' / 'mine.toml'}"


# Recipes


def test_a_recipe_supplies_what_a_file_does_not_set(plan: Any, tmp_path: Path) -> None:
    recipe = write(
        tmp_path / "mine.toml", 'strategy = "moincl"\n[options]\nalpha = 0.9\ntemperature = 3\n[training]\nepochs = 7\n'
    )
    head, _, rest = RUN.partition("epochs = 2\n")
    file = write(tmp_path / "run.toml", f'recipe = "mine.toml"\n{head}{rest}')
    found = plan(file)
    assert (found["strategy_options"]["alpha"], found["strategy_options"]["temperature"]) == (0.3, 3.0)
    assert found["training"]["epochs"] == 7
    assert plan(file, "--recipe", recipe, "-o", "alpha", "0.3")["run"] == found["run"]


@pytest.mark.parametrize(
    ("recipe", "flags", "key"),
    [
        ('strategy = "ewc"\n', ("--strategy", "ewc"), "strategy is moincl in the file and ewc in the recipe"),
        (
            'tasks = ["own/img_cap"]\n',
            ("--tasks", "own/img_qa,own/aud_qa"),
            "tasks is own/img_cap,own/aud_qa in the file and own/img_cap in the recipe",
        ),
        ("[options]\nalpha = 0.4\n", ("-o", "alpha", "0.4"), "option alpha is 0.3 in the file and 0.4 in the recipe"),
        (
            "[options.2]\nalpha = 0.4\n",
            ("-o", "2:alpha", "0.4"),
            "option 2:alpha is 0.5 in the file and 0.4 in the recipe",
        ),
        ("[training]\nepochs = 3\n", ("--epochs", "3"), "epochs is 2 in the file and 3 in the recipe"),
        (
            "[evaluation]\nbatch_size = 3\n",
            ("--eval-batch-size", "3"),
            "eval_batch_size is 5 in the file and 3 in the recipe",
        ),
    ],
)
def test_a_file_and_a_recipe_that_contradict_each_other_are_refused(
    recipe: str, flags: tuple[str, ...], key: str, refused: Any, plan: Any, tmp_path: Path
) -> None:
    file, other = write(tmp_path / "run.toml", RUN), write(tmp_path / "other.toml", recipe)
    message = f"error: {file} and recipe {other} contradict each other: {key}\nhint: Leave out one of the two"
    assert message in refused(file, "--recipe", other)
    assert plan(file, "--recipe", other, *flags)["run"]


def test_a_recipe_is_a_run_file_and_a_run_file_no_recipe(plan: Any, refused: Any, tmp_path: Path) -> None:
    recipe = write(
        tmp_path / "mine.toml", 'strategy = "moincl"\ntasks = "own/img_cap"\nepochs = 3\n[options]\nalpha = 0.9\n'
    )
    assert plan(recipe, "--backbone", "toy") == plan("--recipe", recipe, "--backbone", "toy")
    file = write(tmp_path / "run.toml", RUN)
    assert f"{file}: backbone is a key of run files, not of recipes\nhint: As a run file: micl learn" in refused(
        "--recipe", file
    )


def test_a_run_of_a_file_that_cites_its_study_records_it(learn: Any, home: Path, tmp_path: Path) -> None:
    citation = (
        '[citation]\ntrials = 8\nseeds = [0, 1]\ntask_set = "mini-tuning"\nsplit = "val"\ntasks = ["own/img_cap"]\n'
    )
    file = write(tmp_path / "tuned-ewc.toml", f'strategy = "ewc"\n[options]\nlambda_ewc = 7.0\n{citation}')
    done = learn(file, "--strategy", "ewc", "--tasks", "own/img_cap")
    assert "note: recipe tuned-ewc was tuned on own/img_cap: scores on these tasks favour it" in done.err
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        run = store.run(done.out.strip())
    assert run and run.recipe
    assert (run.recipe["name"], run.recipe["citation"]) == ("tuned-ewc", "8 trials x 2 seeds on mini-tuning, val")


# Errors


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("epoch = 3", "unknown key 'epoch'", "Did you mean 'epochs'?"),
        ("[training]\nepoch = 3", "unknown key 'epoch' in [training]", "Did you mean 'epochs'?"),
        ("[evaluation]\nbeams = 3", "unknown key 'beams' in [evaluation]", "Did you mean 'num_beams'?"),
        ("[options]\nalfa = 3", "strategy moincl has no option 'alfa'", "Did you mean 'alpha'?"),
        ("[options.2]\nalfa = 3", "strategy moincl has no option 'alfa'", "Did you mean 'alpha'?"),
        ("[options]\nalpha = 'much'", "option 'alpha' of strategy moincl expects a number", "alpha:"),
        ("[options]\nalpha = [0.1, 0.2]", "option 'alpha' of strategy moincl expects a number", "alpha:"),
        (
            "[options]\ninstructions = 'no.txt'",
            "option 'instructions' of strategy moincl expects the path of a file",
            "",
        ),
        ("[options.2.3]\nalpha = 1", "option 2:3 is a table", "third task"),
        ("[options]\n'2:alpha' = 1\n[options.2]\nalpha = 1", "option 2:alpha is set twice", "Keep one"),
        ("[backbone_options]\nquant = 1", "backbone toy has no option 'quant'", ""),
        ("options = 3", "options is 3", "It must be a table: [options]."),
        ("training = 3", "training is 3", "It must be a table."),
        ("epochs = 3.7", "epochs cannot be 3.7: it must be a whole number", "It sets --epochs."),
        ("epochs = true", "epochs cannot be True: it must be a whole number", "It sets --epochs."),
        ("epochs = 0", "epochs cannot be 0: 0 is not in the range x>=1.", "It sets --epochs."),
        ("[training]\nwarmup = [1]", "warmup cannot be [1]: it must be a number", "It sets --warmup."),
        ("eval_unseen = 1", "eval_unseen cannot be 1: it must be true or false", "It sets --eval-unseen."),
        ("strategy = 0.5", "strategy cannot be 0.5: it must be text", "It sets --strategy."),
        ("epochs = 1\n[training]\nepochs = 2", "epochs is set twice", "Keep one"),
        ("lr = 1.0\nlearning_rate = 1.0", "learning_rate is set twice", "Keep one"),
        ("device = 'gpu'", "device cannot be 'gpu'", "It sets --device."),
        ("name = '@last'", "a run cannot have the name '@last'", "Choose another"),
        ("dry-run = true", "dry-run cannot be set by a run file", "Give --dry-run on the command line."),
        ("json = true", "json cannot be set by a run file", "Give --json on the command line."),
        ("after = '@last'", "after cannot be set by a run file", "Give --after on the command line."),
        ("save-seconds = 1\nsave_seconds = 2", "save_seconds is set twice", "Keep one"),
        ("order = 'order-1'", "order is a key of files for `micl sweep`", "micl sweep"),
        ("seed = [0, 1]", "seed is [0, 1], an axis of a sweep, and `micl learn` takes one value", "micl sweep"),
        ("seed = '0..2'", "seed is '0..2', an axis of a sweep", "micl sweep"),
        ("strategy = ['ewc', 'lwf']", "strategy is ['ewc', 'lwf'], an axis of a sweep", "micl sweep"),
        ("tasks = [['img_cap'], ['aud_qa']]", "tasks is [['img_cap'], ['aud_qa']], an axis", "micl sweep"),
        ("strategy =", "is not a run file: Invalid value", "A run file is a TOML file"),
        (
            "backbone_options.trust_remote_code = true",
            "trust_remote_code cannot be set by such a file",
            "--trust-remote-code",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_file_and_key(
    text: str, message: str, hint: str, refused: Any, tmp_path: Path
) -> None:
    head = "" if "strategy" in text else "strategy = 'moincl'\n"
    head += "" if "tasks" in text else "tasks = 'own/img_cap,own/aud_qa'\n"
    file = write(tmp_path / "run.toml", f"{head}backbone = 'toy'\n{text}\n")
    told = refused(file)
    assert told.startswith(f"error: {file}")
    assert message in told
    assert hint in told


def test_an_unknown_strategy_of_a_file_is_told_with_the_file(home: Path, micl: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", "strategy = 'moinc'\ntasks = 'own/img_cap'\n[options]\nalpha = 1\n")
    done = micl("learn", file, "--dry-run")
    assert (done.code, done.out) == (3, "")
    assert f"error: {file}: " in done.err
    assert "Did you mean 'moincl'?" in done.err


def test_a_task_in_the_place_of_a_file_is_told(refused: Any) -> None:
    assert "tasks are named by options\nhint: Write: --tasks img_cap\n" in refused("img_cap")
    assert "nowhere.toml is not a run file: No such file" in refused("nowhere.toml")


def test_a_run_is_resumed_without_a_file(finished: str, micl: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", RUN)
    done = micl("learn", file, "--resume", finished)
    assert (done.code, f"Leave out {file}." in done.err) == (2, True)


def test_wrong_types_in_configuration_files_are_refused_too(refused: Any, tmp_path: Path) -> None:
    write(tmp_path / "micl.toml", "[learn]\nseed = 1.5\n")
    assert "micl.toml: seed cannot be 1.5: it must be a whole number" in refused()
    write(tmp_path / "micl.toml", "[learn.training]\nepoch = 1\n")
    assert f"{tmp_path / 'micl.toml'}: unknown key 'epoch' in [training]\nhint: Did you mean 'epochs'?" in refused()


def test_options_of_configuration_files_are_told_with_the_file(
    plan: Any, refused: Any, isolated: Path, tmp_path: Path
) -> None:
    words = ("--strategy", "moincl", "--tasks", "own/img_cap", "--backbone", "toy")
    texts = write(isolated / "texts.txt", "a text\n")
    user = write(isolated / "config.toml", '[learn.options]\ninstructions = "texts.txt"\n')
    assert plan(*words)["strategy_options"]["instructions"] == str(texts)
    project = write(tmp_path / "micl.toml", "[learn.options]\nalfa = 0.3\n")
    assert f"error: {project}: strategy moincl has no option 'alfa'\nhint: Did you mean 'alpha'?" in refused(*words)
    write(user, '[learn.options]\ninstructions = "nowhere.txt"\n')
    assert f"error: {user}: option 'instructions' of strategy moincl expects the path" in refused(*words)


def test_tables_of_settings_are_shown_with_their_source(micl: Any, tmp_path: Path) -> None:
    project = write(tmp_path / "micl.toml", "[learn.training]\nlr = 0.1\n[sweep.evaluation]\nbatch_size = 3\n")
    shown = {each["name"]: (each["value"], each["source"]) for each in json.loads(micl("config", "--json").out)}
    assert shown["learn.learning_rate"] == (0.1, str(project))
    assert shown["sweep.eval_batch_size"] == (3, str(project))


def test_a_table_has_the_settings_of_its_command_alone(micl: Any, tmp_path: Path) -> None:
    project = write(tmp_path / "micl.toml", '[tune.run.evaluation]\nsplit = "test"\n')
    done = micl("tune", "--strategy", "ewc", "--tasks", "own/img_cap")
    assert done.code == 2
    assert f"{project}: eval_split cannot be set in [tune.run]\nhint: micl tune run has no such option." in done.err


# Sweeps

GRID = """
strategy = ["finetune", "moincl[alpha=0.3]"]
tasks = [["own/img_cap", "own/aud_qa"], ["own/aud_qa", "own/img_cap"]]
seed = [0, 1]
backbone = "toy"
[options]
temperature = 3
[training]
max_steps = 4
"""
GRID_FLAGS = (
    *("--strategy", "finetune,moincl[alpha=0.3]", "--tasks", "own/img_cap,own/aud_qa"),
    *("--tasks", "own/aud_qa,own/img_cap", "--seed", "0..1", "--backbone", "toy"),
    *("-o", "temperature", "3", "--max-steps", "4"),
)


@pytest.fixture
def cells(home: Path, micl: Any) -> Any:
    """Return the cells of ``micl sweep`` as (run, strategy, order, seed)."""

    def call(*words: object) -> list[tuple[str, str, str, int]]:
        done = micl("sweep", *words, "--dry-run", "--json")
        assert done.code == 0, done.err
        return [(c["run"], c["strategy"], c["order"], c["seed"]) for c in json.loads(done.out)["cells"]]

    return call


def test_a_grid_means_what_its_options_mean(cells: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "grid.toml", GRID)
    assert cells(file) == cells(*GRID_FLAGS)
    one = cells(file, "--seed", "1", "--strategy", "moincl", "--tasks", "own/img_qa", "-o", "temperature", "4")
    words = ("--strategy", "moincl", "--tasks", "own/img_qa", "--seed", "1", "--backbone", "toy", "--max-steps", "4")
    assert one == cells(*words, "-o", "temperature", "4")


def test_a_file_for_one_run_is_a_grid_of_one_cell(cells: Any, plan: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "run.toml", RUN)
    assert [cell[0] for cell in cells(file)] == [plan(file)["run"]]
    assert len(cells(file, "--seed", "0..2", "--strategy", "moincl,moincl[alpha=0.7]")) == 6


def test_a_grid_in_micl_toml_is_the_same(cells: Any, tmp_path: Path) -> None:
    expected = cells(*GRID_FLAGS)
    table = GRID.replace("[options]", "[sweep.options]").replace("[training]", "[sweep.training]")
    write(tmp_path / "micl.toml", f"[sweep]\n{table}")
    assert cells() == expected


def test_paths_in_a_grid_are_relative_to_it(cells: Any, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    texts = write(folder / "texts.txt", "a text\n")
    write(folder / "mine.toml", 'tasks = ["own/img_cap", "own/aud_qa"]\n')
    write(folder / "set-moincl.toml", 'strategy = "moincl"\n[options]\ninstructions = "texts.txt"\n')
    head = 'order = "mine.toml"\nbackbone = "toy"\n'
    bracket = write(folder / "bracket.toml", f'{head}strategy = ["moincl[instructions=texts.txt,alpha=0.3]"]\n')
    shared = write(
        folder / "shared.toml", f'{head}strategy = "moincl[alpha=0.3]"\n[options]\ninstructions = "texts.txt"\n'
    )
    of_set = write(folder / "of-set.toml", f'{head}strategy = "moincl[alpha=0.3]"\nrecipe_set = "./set"\n')
    expected = cells(
        "--strategy",
        f"moincl[alpha=0.3,instructions={texts}]",
        "--tasks",
        "own/img_cap,own/aud_qa",
        "--backbone",
        "toy",
    )
    assert [cells(file)[0][0] for file in (bracket, shared, of_set)] == [expected[0][0]] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[options]\nalfa = 1", "strategy finetune has no option 'alfa'"),
        ("[options]\nalpha = 'much'", "option 'alpha' of strategy moincl expects a number"),
        (
            "recipe = 'mini-order-1'",
            "recipe is a key of files for `micl learn`\nhint: Use the file with it: micl learn",
        ),
        ("strategy = ['moincl[alpha=1']", "a bracket is not closed"),
        ("jobs = 0", "jobs cannot be 0"),
        ("seed = [0.5]", "'0.5' is not a seed"),
        ("tasks = [['own/img_cap', 'own/img_cap']]", "is named twice"),
    ],
)
def test_what_is_wrong_in_a_grid_is_told(text: str, message: str, refused: Any, tmp_path: Path) -> None:
    head = "" if "strategy" in text else "strategy = ['finetune', 'moincl']\n"
    head += "" if "tasks" in text else "tasks = 'own/img_cap'\n"
    file = write(tmp_path / "grid.toml", f"{head}backbone = 'toy'\n{text}\n")
    assert message in refused(file, command="sweep")


def test_the_keys_of_one_command_alone_are_those_that_the_other_lacks() -> None:
    of_learn, of_sweep = option_keys(learn_command), option_keys(sweep_command)
    assert of_sweep - of_learn == {"order", "recipe_set_name", "allow_defaults", "jobs"}
    assert set(SWEEP_ONLY) == {"order", "recipe_set", "allow_defaults", "jobs"}
    assert of_learn - of_sweep == {*LEARN_ONLY, "resume", "after", "again"}
    assert of_learn | of_sweep >= NOT_IN_FILES
