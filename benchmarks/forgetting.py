"""Forgetting on mini: methods, orders and seeds, scored on test data, with numerical noise.

Usage: python benchmarks/forgetting.py [--strategies finetune,joint,moincl] [--seeds 3] [--jobs 2] [--home DIR]

The grid is one `micl sweep`, whose cells are ordinary runs, so that the same command resumes after an interruption.
Further options apply to every cell (--recipe-set NAME); options of a strategy are in brackets: router[router=ridge].
For the methods in --noise, each order is also learnt with another number of threads. The table is that of
`micl report RUN... --summary --format md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import micl, record

Cell = dict[str, Any]
METHODS = "joint,connectors,finetune,ewc,ewf,olora,moincl,router[router=ridge]"
REASONS = (
    "single,baseline,lwf,replay,router[router=rule],moincl[pseudo_num=0],moincl[text_instruct_num=0],moincl[alpha=1]"
)
"""Rows that explain results: references without a model or a sequence, and MoInCL without each of its components."""


def learn(strategies: str, seeds: int, jobs: int, home: Path, extra: Sequence[str]) -> list[Cell]:
    """Learn the grid as far as it has not been learnt; return strategy, order, seed and run of each cell.

    ``extra`` holds further options of the sweep, with the tasks or orders among them.
    """
    grid = ["--strategy", strategies, "--seed", f"0..{seeds - 1}", "--jobs", str(jobs)]
    lines = micl(["sweep", *grid, "--json", *extra], home).stdout.splitlines()
    cells = [cell for line in lines if (cell := json.loads(line))["event"] == "cell"]
    return [{key: cell[key] for key in ("strategy", "order", "seed", "run")} for cell in cells]


def noise(cells: Sequence[Cell], strategies: Sequence[str], threads: int, home: Path) -> list[Cell]:
    """Learn the cells of ``strategies`` with seed 0 again with another number of threads; return those cells."""
    repeated = [cell for cell in cells if cell["strategy"] in strategies and cell["seed"] == 0]
    return [{**cell, "threads": threads, "run": _again(cell["run"], threads, home)} for cell in repeated]


def _again(run: str, threads: int, home: Path) -> str:
    """Return the finished attempt at the plan of ``run`` with ``threads``, which is learnt or resumed if needed."""
    name = f"{run}-threads-{threads}"
    known = json.loads(micl(["runs", "--json"], home).stdout)["runs"]
    if any(each["name"] == name for each in known):
        words = ["--resume", name]
    else:
        words = [*_words(run, home), "--again", "--name", name]
    again = micl(["learn", *words, "--threads", str(threads), "--quiet"], home).stdout.strip()
    if _plan(again, home) != _plan(run, home):
        raise SystemExit(f"{again} does not have the plan of {run}: give options by --strategies only, or --noise ''")
    return again


def _plan(run: str, home: Path) -> dict[str, Any]:
    """Return the plan of a run without its name and number of attempts."""
    plan = json.loads(micl(["runs", "show", run, "--json"], home).stdout)["plan"]
    return {key: value for key, value in plan.items() if key not in ("name", "attempt")}


def _words(run: str, home: Path) -> list[str]:
    """Return the options of `micl learn` that give the plan of ``run``."""
    plan = _plan(run, home)
    options = [word for name, value in plan["strategy_options"].items() for word in ("-o", name, f"{value}")]
    words = ["--strategy", plan["strategy"], "--tasks", ",".join(plan["tasks"]), "--backbone", plan["backbone"]]
    rate = ["--learning-rate", str(plan["training"]["learning_rate"])]
    return [*words, "--seed", str(plan["seed"]), *rate, "--max-steps", str(plan["training"]["max_steps"]), *options]


def summary(cells: Sequence[Cell], home: Path, margin: float) -> tuple[list[str], dict[str, Any]]:
    """Return `micl report --summary` of all cells, as lines of Markdown and as a JSON document."""
    words = ["report", *(cell["run"] for cell in cells), "--summary", "--margin", f"{margin:g}"]
    shown, document = (micl([*words, "--format", style], home).stdout for style in ("md", "json"))
    return shown.splitlines(), json.loads(document)


def scores(run: str, home: Path) -> Cell:
    """Return the tasks, scores, figures, cost and code of a run."""
    report = json.loads(micl(["report", run, "--json"], home).stdout)["runs"][0]
    kept = ("id", "tasks", "matrix", "metrics", "cost", "routing", "environment")
    return {key: report[key] for key in kept if key in report}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", default=METHODS)
    parser.add_argument("--reasons", action="store_true", help=f"also {REASONS}")
    parser.add_argument("--orders", default="mini-order-1,mini-order-2")
    parser.add_argument("--backbone", default="tiny-plain")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--noise", default="finetune,ewc", help="methods to learn again with --noise-threads")
    parser.add_argument("--noise-threads", type=int, default=2)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--margin", type=float, default=2.0, help="points within which methods are equivalent")
    parser.add_argument("--name", default="forgetting", help="name of the record")
    args, extra = parser.parse_known_args()
    strategies = f"{args.strategies},{REASONS}" if args.reasons else args.strategies
    shared = ["--order", args.orders, "--backbone", args.backbone, *extra]
    cells = learn(strategies, args.seeds, args.jobs, args.home, shared)
    try:
        cells += noise(cells, args.noise.split(",") if args.noise else [], args.noise_threads, args.home)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"the runs with other threads failed: {error}") from error
    table, document = summary(cells, args.home, args.margin)
    print("\n".join(table))
    record(args.name, {"table": table, **document, "cells": [{**c, **scores(c["run"], args.home)} for c in cells]})


if __name__ == "__main__":
    main()
