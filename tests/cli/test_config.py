from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def values(micl: Any, *words: str) -> dict[str, tuple[Any, str]]:
    code, out, err = micl(*words, "config", "--json")
    assert (code, err) == (0, "")
    return {entry["name"]: (entry["value"], entry["source"]) for entry in json.loads(out)}


def test_each_value_has_its_source(micl: Any, isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolated.mkdir()
    user, project = isolated / "config.toml", tmp_path / "micl.toml"
    user.write_text("[learn]\nseed = 7\nepochs = 2\n")
    project.write_text('[learn]\nepochs = 3\ntasks = ["img_cap", "aud_qa"]\n[learn.options]\nalpha = 0.3\n')
    monkeypatch.setenv("MICL_LEARN_STRATEGY", "joint")
    found = values(micl)
    assert found["home"] == (str(isolated), "MICL_HOME")
    assert found["store"] == (f"sqlite:///{isolated / 'micl.db'}", "default")
    assert found["learn.strategy"] == ("joint", "MICL_LEARN_STRATEGY")
    assert found["learn.seed"] == (7, str(user))
    assert found["learn.epochs"] == (3, str(project))
    assert found["learn.tasks"] == ("img_cap,aud_qa", str(project))
    assert found["learn.options"] == ([["alpha", "0.3"]], str(project))
    assert found["learn.benchmark"] == ("mini", "default")


def test_a_flag_is_a_source_too(micl: Any, tmp_path: Path) -> None:
    assert values(micl, "--home", str(tmp_path / "x"))["home"] == (str(tmp_path / "x"), "flag --home")


def test_options_of_listeners_are_shown(micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text('[listen.my-log]\npath = "log.txt"\n')
    assert values(micl)["listen.my-log.path"] == ("log.txt", str(tmp_path / "micl.toml"))


def test_passwords_are_not_shown(micl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICL_STORE", "postgresql://me:secret@host/runs")
    assert values(micl)["store"] == ("postgresql://me:***@host/runs", "MICL_STORE")


def test_one_commands_values_as_a_table(micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text("[learn.options]\nalpha = 0.3\n'2:alpha' = 0.5\n")
    code, out, _ = micl("config", "list", "learn")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[0] == ["name", "value", "source"]
    assert ["learn.options", "alpha", "0.3,", "2:alpha", "0.5", str(tmp_path / "micl.toml")] in lines
    assert ["learn.strategy", "-", "default"] in lines
    assert all(line[0].startswith("learn.") for line in lines[1:])


def test_only_what_is_set_is_listed_on_request(micl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "micl.toml").write_text("[learn]\nepochs = 3\n")
    monkeypatch.setenv("MICL_REPORT_FORMAT", "md")
    lines = [line.split() for line in micl("config", "--set").out.splitlines()]
    assert {line[0]: line[1] for line in lines[1:]} == {
        "home": str(tmp_path / "home"),
        "file": str(tmp_path / "micl.toml"),
        "learn.epochs": "3",
        "report.format": "md",
    }
    assert [value["name"] for value in json.loads(micl("config", "ls", "--set", "--json", "learn").out)] == [
        "learn.epochs"
    ]
    assert micl("config", "ls", "--set", "ask").err == "nothing is set: all settings have their defaults\n"


def test_an_unknown_command_names_the_nearest(micl: Any) -> None:
    assert micl("config", "list", "lern").err == "error: no command 'lern'\nhint: Did you mean 'learn'?\n"


def test_path_names_the_files_the_strongest_first(micl: Any, isolated: Path, tmp_path: Path) -> None:
    assert micl("config", "path").out.splitlines() == [str(tmp_path / "micl.toml"), str(isolated / "config.toml")]


def test_a_mistake_in_a_file_is_told(micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text("[learn]\nepoch = 1\n")
    code, _, err = micl("config")
    assert code == 2
    assert err == f"error: {tmp_path / 'micl.toml'}: unknown key 'epoch' in [learn]\nhint: Did you mean 'epochs'?\n"


SHAPES = [
    "postgresql://ada:{}@host/db",
    "postgresql://host/db?user=ada&password={}",
    "postgresql:/ada:{}@host/db",
    "postgresql://ada:{}",
    "nosuch://ada:{}@host/db",
    "mssql+pyodbc:///?odbc_connect=PWD%3D{}",
    "sqlite:////nowhere/x.db?key={}",
]


@pytest.mark.parametrize("password", ["s3cr3t", "s3cr3t#x/y?z", "s3cr3t@x"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("words", [("config",), ("--debug", "runs"), ("store", "path"), ("store", "check")])
def test_the_password_of_a_store_is_shown_by_no_command(
    micl: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], shape: str, password: str
) -> None:
    monkeypatch.setenv("MICL_STORE", shape.format(password))
    done = micl(*words)
    assert "s3cr3t" not in done.out + done.err
    assert "This is a bug" not in done.err


def test_secrets_of_listeners_are_not_shown(micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text(
        '[listen.board]\napi_key = "abc123"\nurl = "https://ada:s3cr3t@host/x"\npath = "log.txt"\n'
    )
    shown = {name: value for name, (value, _) in values(micl).items()}
    assert (shown["listen.board.api_key"], shown["listen.board.path"]) == ("***", "log.txt")
    assert shown["listen.board.url"] == "https://ada:***@host/x"
