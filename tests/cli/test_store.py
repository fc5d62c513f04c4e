from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from micl_cli.cli.store import store
from micl_cli.errors import StoreError

ASSET = Path(__file__).parent.parent / "store" / "assets" / "schema-0008.sqlite"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("MICL_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MICL_STORE", f"sqlite:///{tmp_path}/micl.db")
    return tmp_path / "micl.db"


@pytest.fixture
def full(file):
    return Path(shutil.copy(ASSET, file))


def call(*words):
    return CliRunner().invoke(store, words)


def test_path_prints_the_file_alone(file):
    assert call("path").stdout == f"{file}\n"
    assert not file.exists()


def test_upgrade_says_what_it_did(file):
    assert call("upgrade").stdout == "applied 0001, 0002, 0003, 0004, 0005, 0006, 0007, 0008\n"
    assert call("upgrade").stdout == "nothing to do\n"


def test_check_prints_text(full):
    result = call("check")
    assert result.exit_code == 0
    assert result.stdout == f"store   {full}\nstate   ok\nschema  0008\nruns    4\ntasks   4\n"


def test_check_prints_json(full):
    assert json.loads(call("check", "--json").stdout) == {
        "location": str(full),
        "state": "ok",
        "revision": "0008",
        "expected": "0008",
        "runs": 4,
        "tasks": 4,
        "problems": [],
    }


def test_a_store_that_is_not_there_yet_is_no_error(file):
    result = call("check")
    assert result.exit_code == 0
    assert "state   missing\nschema  none (this version of micl: 0008)\n" in result.stdout


def test_check_fails_on_a_newer_store_after_printing_what_it_found(full):
    connection = sqlite3.connect(full)
    connection.execute("UPDATE alembic_version SET version_num = '0999'")
    connection.commit()
    connection.close()
    result = call("check", "--json")
    assert json.loads(result.stdout)["state"] == "newer"
    assert isinstance(result.exception, StoreError)
    assert "pgrade micl" in result.exception.hint


@pytest.mark.parametrize("command", ["path", "upgrade", "check"])
def test_every_help_has_an_example(command):
    assert "Example: " in call(command, "--help").stdout


def test_the_command_is_light():
    code = "import micl_cli.cli.store, sys; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
