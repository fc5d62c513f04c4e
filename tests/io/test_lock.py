from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from micl_cli.errors import BusyError, CheckpointError
from micl_cli.io.lock import is_held, locked_folder

HOLD = """
import sys
from pathlib import Path
from micl_cli.io.lock import locked_folder

with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "run"), pytest.raises(BusyError) as caught, locked_folder(tmp_path / "run"):
        pass
    assert caught.value.message == f"process {os.getpid()} works on run run"
    assert "--again" in caught.value.hint
    with locked_folder(tmp_path / "run"):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"process {other.pid} works on run run"), locked_folder(tmp_path / "run"):
            pass
        assert is_held(tmp_path / "run")
        other.kill()
    assert not is_held(tmp_path / "run")
    with locked_folder(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"), locked_folder(tmp_path / "file" / "run"):
        pass


def test_nobody_holds_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "run")


def test_a_named_pipe_is_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    assert is_held(tmp_path)
    with pytest.raises(CheckpointError, match="it is not a regular file"), locked_folder(tmp_path):
        pass
