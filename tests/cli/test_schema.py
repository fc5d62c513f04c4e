"""JSON schemas of files: what they accept is what micl reads."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from micl_cli.cli.recipe import FOLDER
from micl_cli.cli.schema import FILES
from micl_cli.io.text import parse_toml, read_toml

EXAMPLES = Path(__file__).parents[2] / "examples"


def shipped(file: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files("micl_cli") / "schemas" / f"{file}.schema.json").read_text())
    return schema


def faults(schema: dict[str, Any], table: dict[str, Any]) -> list[str]:
    return [error.json_path for error in jsonschema.Draft7Validator(schema).iter_errors(table)]


@pytest.mark.parametrize("file", FILES)
def test_the_shipped_schemas_are_schemas(file: str) -> None:
    jsonschema.Draft7Validator.check_schema(shipped(file))


@pytest.mark.parametrize("file", ["run", "grid"])
def test_a_sample_satisfies_the_schema_that_it_names(file: str) -> None:
    path = EXAMPLES / f"{file}.toml"
    named = path.read_text().partition("\n")[0].removeprefix("#:schema ")
    assert json.loads((path.parent / named).read_text()) == shipped(file)
    assert faults(shipped(file), read_toml(path)) == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_satisfy_the_schema_of_run_files(path: Path) -> None:
    assert faults(shipped("run"), read_toml(path)) == []


def test_saved_files_satisfy_the_schema(learn: Any, micl: Any, tmp_path: Path) -> None:
    given = ("--dry-run", "--save-config")
    assert learn("--strategy", "moincl", "-o", "2:alpha", "0.3", *given, "run.toml").code == 0
    words = (
        "sweep",
        "--strategy",
        "ewc[lambda_ewc=3],lwf",
        "--tasks",
        "own/img_cap",
        "--backbone",
        "toy",
        "--seed",
        "0..2",
    )
    assert micl(*words, *given, "grid.toml").code == 0
    assert faults(shipped("run"), read_toml(tmp_path / "run.toml")) == []
    assert faults(shipped("grid"), read_toml(tmp_path / "grid.toml")) == []


@pytest.mark.parametrize(
    ("file", "text", "path"),
    [
        ("run", "epoch = 3", "$"),
        ("run", "epochs = 0", "$.epochs"),
        ("run", "seed = [0, 1]", "$.seed"),
        ("run", "quantize = 'nf5'", "$.quantize"),
        ("run", "dry_run = true", "$"),
        ("run", "order = 'order-1'", "$"),
        ("run", "strategy = 'moincl'\n[options]\nalfa = 1", "$.options"),
        ("run", "strategy = 'moincl'\n[options.2]\nalpha = 'much'", "$.options['2'].alpha"),
        ("run", "backbone = 'composed:x.toml'\n[backbone_options]\nnothing = 1", "$.backbone_options"),
        ("run", "[training]\nlearning_rate = 0", "$.training.learning_rate"),
        ("run", "[evaluation]\nexamples = 'all'", "$.evaluation.examples"),
        ("grid", "name = 'x'", "$"),
        ("grid", "jobs = 0", "$.jobs"),
        ("micl", "[learn]\nepoch = 3", "$.learn"),
        ("micl", "[learn.training]\nepoch = 3", "$.learn.training"),
        ("micl", "[plugins.list]\nkinds = 3", "$.plugins.list"),
        ("micl", "home = 3", "$.home"),
    ],
)
def test_a_schema_shows_where_a_file_is_wrong(file: str, text: str, path: str) -> None:
    assert path in faults(shipped(file), parse_toml(text))


def test_a_schema_accepts_what_micl_reads(tmp_path: Path) -> None:
    run = "strategy = 'theirs'\nlr = 0.1\nmax_steps = 'none'\npredictions = 'all'\n[options]\na = 1\n[options.3]\n"
    grid = "strategy = 'ewc,lwf[temperature=3]'\nseed = '0..2'\ntasks = 'a,b'\n[options]\n'2:alpha' = 0.5\n"
    project = "store = 'sqlite:///x.db'\n[learn]\nseed = 1\n[sweep]\nseed = [0, 1]\n[listen.mine]\nurl = 'x'\n"
    tables = "[store.check]\n[learn.options]\nalpha = 0.3\n[tune.run]\ntrials = 3\n[tune.run.training]\nepochs = 2\n"
    for file, text in (("run", run), ("grid", grid), ("micl", project), ("micl", tables)):
        assert faults(shipped(file), parse_toml(text)) == []


def test_the_schema_of_what_is_installed_has_its_plugins(micl: Any, install: Any) -> None:
    plugin = (
        "from typing import Annotated\nfrom micl_cli.api import Strategy, hookimpl\n"
        "class Mine(Strategy):\n    def __init__(self, *, share: Annotated[float, 'a share'] = 0.5, **options):\n"
        "        super().__init__(**options)\n"
        "@hookimpl\ndef micl_register_strategies(register):\n    register('mine', 'mine_plugin:Mine', 'mine')\n"
    )
    install("micl-mine", entry_points="[micl]\nmine = mine_plugin\n", files={"mine_plugin.py": plugin})
    schema = json.loads(micl("config", "schema", "run").out)
    assert faults(schema, parse_toml("strategy = 'mine'\n[options]\nshare = 0.3")) == []
    assert faults(schema, parse_toml("strategy = 'mine'\n[options]\nshares = 0.3")) == ["$.options"]
    assert schema["definitions"]["strategy mine"]["properties"]["share"]["description"] == "a share"
