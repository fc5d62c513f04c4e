"""Many processes with one store, and the cost of digests."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from common import record
from fault_bench import STRATEGIES, Bench
from fault_tools import LEARN, copied, last_run, rows_of, run

PROCESSES = 8


def processes(bench: Bench, seconds: float) -> None:
    """Let eight processes learn, list and report in one store, and count the runs and rows afterwards."""
    home, end = copied(bench.prepared, bench.folder / "shared" / "home"), time.monotonic() + seconds
    children = []
    for worker in range(PROCESSES):
        process = os.fork()
        if not process:
            os._exit(_work(worker, home, end, bench.folder / f"worker-{worker}.json"))
        children.append(process)
    failed = [worker for worker, process in enumerate(children) if os.waitpid(process, 0)[1]]
    learnt: list[str] = []
    for worker in range(PROCESSES):
        report = json.loads((bench.folder / f"worker-{worker}.json").read_text())
        learnt += report["runs"]
        for fault in report["faults"]:
            bench.fault(f"process {worker}: {fault}")
    for worker in failed:
        bench.fault(f"process {worker} failed")
    reference_rows = {name: len(rows) for name, rows in rows_of(*bench.reference(STRATEGIES[0])[:2]).items()}
    for run_id in learnt:
        counts = {name: len(rows) for name, rows in rows_of(home, run_id).items()}
        if counts != reference_rows:
            bench.fault(f"run {run_id}: {counts} rows instead of {reference_rows}")
    with closing(sqlite3.connect(home / "micl.db")) as store:
        (stored,) = store.execute("select count(*) from runs where status = 'finished'").fetchone()
    if stored != len(learnt):
        bench.fault(f"{len(learnt)} runs were learnt, {stored} are in the store")
    print(f"{len(learnt)} runs by {PROCESSES} processes", flush=True)


def _work(worker: int, home: Path, end: float, result: Path) -> int:
    runs: list[str] = []
    faults: list[str] = []
    while time.monotonic() < end:
        seed = worker + PROCESSES * len(runs)
        learnt = run([*LEARN, *STRATEGIES[0], "--seed", seed], home)
        if learnt.code:
            faults.append(learnt.err[-300:])
            break
        runs.append(last_run(learnt))
        others = (["runs", "--json"], ["report", runs[-1]], ["eval", runs[-1]], ["store", "check"])
        faults += [outcome.err[-300:] for words in others if (outcome := run(words, home)).code]
    result.write_text(json.dumps({"runs": runs, "faults": faults}))
    return 0


# The cost of digests


def digests(bench: Bench, words: Sequence[str]) -> None:
    """Learn with the backbone ``tiny`` in this process, and measure the time in functions that compute digests."""
    from micl_cli.cli.main import run as run_command
    from micl_cli.io import documents
    from micl_cli.training import feature_cache, snapshot_files

    spent = [0.0]
    for module, name in (
        (documents, "json_sha256"),
        (snapshot_files, "file_sha256"),
        (snapshot_files, "json_sha256"),
        (feature_cache, "tensor_sha256"),
    ):
        setattr(module, name, _timed(getattr(module, name), spent))
    os.environ["MICL_HOME"] = str(bench.folder / "tiny")
    started = time.perf_counter()
    code = run_command(words or ["learn", "--strategy", "moincl", "--tasks", "img_cap,aud_qa", "--quiet"])
    wall = time.perf_counter() - started
    share = spent[0] / wall
    record("digests", {"seconds": round(wall, 1), "digests": round(spent[0], 3), "share": round(share, 5)})
    if code or share > 0.02:
        bench.fault(f"digests take {share:.1%} of a run (exit {code})")


def _timed(call: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def timed(*words: Any) -> Any:
        started = time.perf_counter()
        result = call(*words)
        spent[0] += time.perf_counter() - started
        return result

    return timed
