"""Results on ``open``: every task alone, all tasks in sequence, and baselines that see no medium.

Usage: python benchmarks/open.py [--backbone composed:smol] [--max-steps 150] [--seed 0] [--home DIR]

All figures are test scores. Every row is an ordinary run of `micl learn`, so that the same command resumes after an
interruption. The row without media is a run of the strategy `baseline`: each question gets its most frequent answer
in training, every medium the training caption that scores best on validation data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from common import micl, record

from micl_cli.data.preparation import is_prepared, open_task
from micl_cli.registry import Registry

COLUMNS = ("without the medium", "alone", "in sequence, when learnt", "in sequence, at the end")
BASELINE = "baseline"


def learn(tasks: str, backbone: str, steps: int, seed: int, home: Path, strategy: str = "finetune") -> dict[str, Any]:
    """Learn ``tasks`` in sequence with ``strategy``; return the run's report."""
    words = ["--strategy", strategy, "--tasks", tasks, "--backbone", backbone, "--max-steps", str(steps)]
    lines = micl(["learn", *words, "--seed", str(seed), "--json"], home).stdout.splitlines()
    run = json.loads(lines[0])["run"]
    report: dict[str, Any] = json.loads(micl(["report", run, "--json"], home).stdout)["runs"][0]
    return {key: report[key] for key in ("id", "tasks", "matrix", "metrics", "cost")}


def table(results: dict[str, dict[str, float]]) -> list[str]:
    """Return the Markdown table with one row per task; "-" for scores that do not exist yet."""
    lines = [f"| task | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    shown = {name: [f"{row[c]:.1f}" if c in row else "-" for c in COLUMNS] for name, row in results.items()}
    return [*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in shown.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="composed:smol")
    parser.add_argument("--max-steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--name", default="open", help="name of the record")
    args = parser.parse_args()
    registry = Registry.discover()
    names = registry.benchmark_tasks("open")
    if missing := [name for name in names if not is_prepared(name, args.home)]:
        micl(["prepare", *missing], args.home)
    tasks = [open_task(name, args.home) for name in names]
    data = {task.name: {"sha256": task.sha256, "counts": dict(task.counts)} for task in tasks}
    runs = {BASELINE: learn("open", args.backbone, args.max_steps, args.seed, args.home, strategy=BASELINE)}
    results = {name: {COLUMNS[0]: score} for name, score in zip(names, runs[BASELINE]["matrix"][-1], strict=True)}
    for words in (*names, "open"):  # recorded after each, since all of them take long
        runs[words] = learn(words, args.backbone, args.max_steps, args.seed, args.home)
        add_scores(results, words, runs[words]["matrix"])
        record(args.name, {"tasks": data, "table": table(results), "results": results, "runs": runs})
    print("\n".join(table(results)))


def add_scores(results: dict[str, dict[str, float]], learnt: str, matrix: list[list[float]]) -> None:
    """Add the scores of a run on one task, or on all of them in sequence."""
    if learnt in results:
        results[learnt][COLUMNS[1]] = matrix[-1][0]
        return
    for position, row in enumerate(results.values()):
        row |= {COLUMNS[2]: matrix[position][position], COLUMNS[3]: matrix[-1][position]}


if __name__ == "__main__":
    main()
