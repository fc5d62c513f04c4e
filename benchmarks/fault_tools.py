"""Tools of the fault benchmark: micl in forked processes, faults at chosen moments, and the rows of a store.

A fault happens at the n-th *moment* of a process: a flush to disk, a renaming, a removal, a commit of the store, or an
optimiser step. The first run counts them, so that any of them can be chosen.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

VARYING = {"seconds", "before_seconds", "after_seconds", "peak_bytes", "started", "finished", "turn", "environment"}
"""Columns that differ between two undisturbed runs of one plan."""
UNFORESEEN = "This was not foreseen"
BUG = "This is a bug"


class Outcome(NamedTuple):
    """The exit code (negative: the signal), the output, and the number of moments of a process."""

    code: int
    out: str
    err: str
    moments: int = 0

    @property
    def unforeseen(self) -> bool:
        """Whether micl reports an error that nobody thought of."""
        return BUG in self.err or UNFORESEEN in self.err or "Traceback" in self.err


Fault = Callable[[int], None]
"""Called at every moment with its number, from 1."""


def preload() -> None:
    """Import what every command needs, so that forked processes start at once."""
    import transformers

    import micl_cli.cli.main
    import micl_cli.session.evaluation
    import micl_cli.session.learning
    import micl_cli.training.loop

    assert micl_cli and transformers


def run(words: Sequence[object], home: Path, fault: Fault | None = None, folder: Path | None = None) -> Outcome:
    """Run ``micl`` in a forked process, with ``fault`` called at its moments."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err, count = (Path(scratch) / name for name in ("out", "err", "count"))
        process = os.fork()
        if not process:
            _child([str(word) for word in words], home, fault, folder, out, err, count)
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        moments = int(count.read_text() or 0) if count.exists() else 0
        return Outcome(code, out.read_text(errors="replace"), err.read_text(errors="replace"), moments)


def _child(
    words: list[str], home: Path, fault: Fault | None, folder: Path | None, out: Path, err: Path, count: Path
) -> None:
    code = 70
    try:
        os.environ |= {"MICL_HOME": str(home), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        os.chdir(folder or home.parent)
        for path, stream in ((out, sys.stdout), (err, sys.stderr)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
        counter = _Moments(fault)
        counter.watch()
        from micl_cli.cli.main import run as run_command

        code = run_command(words)
        sys.stdout.flush()
        sys.stderr.flush()
        count.write_text(str(counter.number))
    finally:
        os._exit(code)


class _Moments:
    """Counts the moments of this process and calls the fault at each."""

    def __init__(self, fault: Fault | None) -> None:
        self.number = 0
        self.fault = fault

    def passed(self, *_: Any) -> None:
        self.number += 1
        if self.fault:
            self.fault(self.number)

    def watch(self) -> None:
        from sqlalchemy import Engine, event

        from micl_cli.training import loop

        for name in ("fsync", "rename", "replace", "rmdir"):
            setattr(os, name, self._around(getattr(os, name)))
        loop.train_step = self._around(loop.train_step)
        event.listen(Engine, "commit", self.passed)

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Make a moment before and after a call."""

        def watched(*words: Any, **named: Any) -> Any:
            self.passed()
            result = call(*words, **named)
            self.passed()
            return result

        return watched


def kill_at(moment: int) -> Fault:
    """Return a fault that kills the process at a moment, as a crash of the machine would."""

    def fault(number: int) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault


# What is compared


def rows_of(home: Path, run_id: str) -> dict[str, list[str]]:
    """Return the rows of a run by table, as text, without columns that differ between equal runs."""
    with closing(sqlite3.connect(home / "micl.db")) as store:
        store.row_factory = sqlite3.Row
        names = [row[0] for row in store.execute("select name from sqlite_master where type = 'table'")]
        found = {}
        for name in names:
            columns = [row[1] for row in store.execute(f"pragma table_info({name})")]
            key = "run" if "run" in columns else "id" if name == "runs" else ""
            if key and name != "leases":
                rows = store.execute(f"select * from {name} where {key} = ?", (run_id,)).fetchall()
                found[name] = sorted(repr({k: row[k] for k in columns if k not in VARYING}) for row in rows)
        return found


def weights_of(home: Path, run_id: str) -> dict[str, str]:
    """Return the sha256 of each tensor file of a run's finished stages."""
    stages = home / "runs" / run_id / "stages"
    return {str(p.relative_to(stages)): sha256(p.read_bytes()).hexdigest() for p in stages.rglob("*.safetensors")}


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the names of the entries that differ."""
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def half_written(home: Path) -> list[str]:
    """Return what a process left under a temporary name."""
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.name.endswith((".new", ".part"))]


# Homes


LEARN = (
    *("learn", "--backbone", "toy", "--tasks", "faults/img_cap,faults/aud_qa", "--batch-size", "4", "--epochs", "2"),
    *("--lr", "0.01", "--max-new-tokens", "6", "--save-predictions", "--save-seconds", "0"),
)
"""A run of two stages with two epochs each, which checkpoints every step."""
TOY = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_backbones(register):
    register("toy", "micl_cli.testing:ToyBackbone", "learns in milliseconds")
"""


def offer_toy(site: Path) -> None:
    """Install the backbone ``toy`` for this process and those forked from it."""
    info = site / "micl_toy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: micl-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[micl]\ntoy = micl_toy_plugin\n")
    (site / "micl_toy_plugin.py").write_text(TOY)
    sys.path.insert(0, str(site))


def prepared_home(home: Path, sources: Path) -> Path:
    """Prepare two small tasks, written to ``sources``, in a home folder."""
    home.mkdir(parents=True)
    for name, modality in (("img_cap", "image"), ("aud_qa", "audio")):
        done = run(["prepare", make_task(sources / name, name, modality)], home)
        assert done.code == 0, done.err
    return home


def make_task(folder: Path, name: str, modality: str) -> Path:
    """Write a task folder with 22 pictures or sounds of three colours or pitches."""
    words = ("red", "green", "blue") if modality == "image" else ("low", "middle", "high")
    (folder / "media").mkdir(parents=True)
    kind, metric = ("captioning", "cider") if name.endswith("cap") else ("qa", "accuracy")
    described = {"name": name, "benchmark": "faults", "modality": modality, "type": kind, "metric": metric}
    (folder / "task.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in described.items()))
    lines = []
    for number, split in enumerate(12 * ["train"] + 4 * ["val"] + 6 * ["test"]):
        medium, word = _medium(folder / "media", number, modality), words[number % 3]
        texts = [f"a {word} thing", f"it is {word}"] if kind == "captioning" else [word]
        row = {"id": str(number), "split": split, modality: f"media/{medium}", "prompt": "What is it?"}
        lines.append(json.dumps({**row, "references": texts}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _medium(folder: Path, number: int, modality: str) -> str:
    import numpy as np
    import PIL.Image
    import soundfile

    noise = np.random.default_rng(number)
    if modality == "image":
        pixels = noise.integers(0, 60, (24, 24, 3), np.uint8)
        pixels[:, :, number % 3] += 180
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
        return f"{number}.png"
    wave = np.sin(np.arange(2000) * (0.1 + 0.2 * (number % 3))) * 0.5 + noise.normal(0, 0.01, 2000)
    soundfile.write(folder / f"{number}.wav", wave.astype(np.float32), 8000)
    return f"{number}.wav"


def copied(home: Path, target: Path) -> Path:
    """Copy a home folder in place of ``target``."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(home, target, symlinks=True)
    return target


def last_run(outcome: Outcome) -> str:
    """Return the run id that ``micl learn`` printed."""
    assert outcome.code == 0, outcome.err
    return outcome.out.strip().splitlines()[-1]


def scores_of(outcome: Outcome) -> list[tuple[str, Any]]:
    """Return the scores in the JSON lines of ``micl eval``."""
    events = [json.loads(line) for line in outcome.out.splitlines() if line.startswith("{")]
    return [(event["task"], event["value"]) for event in events if event["event"] == "scored"]
