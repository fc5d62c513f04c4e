"""Shared code of the benchmark scripts: running micl as a user does, and recording figures with the machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from micl_cli.io.json_text import json_text

RESULTS = Path(__file__).parent / "results"
ORDERS = {
    "order-1": "aud_cap,img_cap,vid_qa,aud_qa,img_qa,vid_cap",
    "order-2": "img_cap,vid_cap,vid_qa,img_qa,aud_cap,aud_qa",
}


def micl(words: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run ``micl`` with its own home folder. Prints stderr and raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "micl_cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MICL_HOME": str(home)})
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        done.check_returncode()
    return done


def events(words: Sequence[str], home: Path) -> list[dict[str, Any]]:
    """Return the events of ``micl learn … --json``."""
    return [json.loads(line) for line in micl(["learn", *words, "--json"], home).stdout.splitlines()]


def timed(words: Sequence[str], home: Path) -> float:
    """Return the wall seconds of a ``micl`` process."""
    started = time.perf_counter()
    micl(words, home)
    return time.perf_counter() - started


def smaller(name: str, home: Path, folder: Path, examples: int) -> Path:
    """Copy the first ``examples`` training examples and ten of each other split of a prepared task to ``folder``."""
    source = home / "tasks" / "mini" / name
    rows = [json.loads(line) for line in (source / "manifest.jsonl").read_text().splitlines()]
    remaining = {"train": examples, "val": 10, "test": 10}
    selected = []
    for row in rows:
        if remaining[row["split"]]:
            remaining[row["split"]] -= 1
            selected.append({**row, "references": row["references"][:1]})
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "manifest.jsonl").write_text("".join(f"{json_text(row)}\n" for row in selected))
    (target / "task.toml").write_text((source / "task.toml").read_text().replace('"mini"', '"smaller"'))
    shutil.copytree(source / "media", target / "media")
    return target


def watched(command: Sequence[str], home: Path) -> tuple[list[tuple[float, dict[str, Any]]], int]:
    """Run a process; return its lines of JSON with their arrival times (s), and its peak resident memory (bytes)."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "MICL_HOME": str(home)})
    assert process.stdout
    lines = [(time.perf_counter(), json.loads(line)) for line in process.stdout if line.startswith('{"')]
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return lines, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def fresh_home() -> Iterator[Path]:
    """Create an empty, temporary home folder."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def machine() -> dict[str, Any]:
    """Describe the machine and the libraries for a record."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    libraries = {name: version(name) for name in ("micl-cli", "torch", "transformers", "peft")}
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "gpu": gpu,
        "python": platform.python_version(),
        **libraries,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def record(name: str, data: dict[str, Any]) -> None:
    """Write figures, machine and command to results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    words = [f"benchmarks/{Path(sys.argv[0]).name}", *("DIR" if "/" in word else word for word in sys.argv[1:])]
    path.write_text(json_text({"machine": machine(), "command": " ".join(words), **data}, indent=1) + "\n")
    print(f"recorded in {path}")
