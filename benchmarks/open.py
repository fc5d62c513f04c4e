"""Results on ``open``: every task alone, all tasks in sequence, and baselines that see no medium.

Usage: python benchmarks/open.py [--backbone composed:smol] [--max-steps 150] [--seed 0] [--home DIR]

All figures are test scores. Every row is an ordinary run of `micl learn`, so that the same command resumes after an
interruption. Question-only answers each question with its most frequent answer in training; constant-caption gives
every medium the training caption that scores best on validation data.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from common import micl, record

from micl_cli.api import Example, Metric, Task
from micl_cli.data.preparation import is_prepared, open_task
from micl_cli.registry import Registry

COLUMNS = ("without the medium", "alone", "in sequence, when learnt", "in sequence, at the end")
CANDIDATES = 200
"""The number of training captions tried as the constant caption."""


def learn(tasks: str, backbone: str, steps: int, seed: int, home: Path) -> dict[str, Any]:
    """Learn ``tasks`` in sequence by fine-tuning; return the run's report."""
    words = ["--strategy", "finetune", "--tasks", tasks, "--backbone", backbone, "--max-steps", str(steps)]
    lines = micl(["learn", *words, "--seed", str(seed), "--json"], home).stdout.splitlines()
    run = json.loads(lines[0])["run"]
    report: dict[str, Any] = json.loads(micl(["report", run, "--json"], home).stdout)["runs"][0]
    return {key: report[key] for key in ("id", "tasks", "matrix", "metrics", "cost")}


def score(metric: Metric, answers: list[str], examples: list[Example]) -> float:
    """Return the score in the units of reports, 0 to 100 (CIDEr: 0 to 1000)."""
    return 100 * metric.score(answers, [example.references for example in examples]).value


def question_only(task: Task, metric: Metric) -> float:
    """Return the test score of each question's most frequent answer in training."""
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for example in task.examples("train"):
        by_question[example.prompt][example.target] += 1
    test = list(task.examples("test"))
    return score(metric, [by_question[example.prompt].most_common(1)[0][0] for example in test], test)


def constant_caption(task: Task, metric: Metric) -> float:
    """Return the test score of the training caption that scores best on validation data."""
    captions = [example.target for example in list(task.examples("train"))[:CANDIDATES]]
    val, test = list(task.examples("val")), list(task.examples("test"))
    best = max(dict.fromkeys(captions), key=lambda caption: score(metric, [caption] * len(val), val))
    return score(metric, [best] * len(test), test)


def baseline(name: str, home: Path, registry: Registry) -> float:
    """Return the test score of a prepared task's baseline."""
    task = open_task(name, home)
    metric = registry.load("metrics", task.metric)()
    return (question_only if task.type == "qa" else constant_caption)(task, metric)


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
    results = {name: {COLUMNS[0]: baseline(name, args.home, registry)} for name in names}
    runs: dict[str, Any] = {}
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
