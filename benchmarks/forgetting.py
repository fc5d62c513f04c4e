"""Forgetting on mini: every strategy, both of MICL's orders, several seeds, scored on test data.

Usage: python benchmarks/forgetting.py [--strategies finetune,joint,moincl] [--seeds 3] [--jobs 2] [--home DIR]

Each cell is an ordinary run, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import ORDERS, micl, record

Cell = dict[str, Any]


def run(strategy: str, order: str, seed: int, home: Path, extra: Sequence[str]) -> Cell:
    """Learn one cell of the grid, or find it learnt; return its report."""
    words = ["learn", "--strategy", strategy, "--tasks", ORDERS[order], "--seed", str(seed), "--quiet", *extra]
    run_id = micl(words, home).stdout.strip()
    report = json.loads(micl(["report", run_id, "--json"], home).stdout)["runs"][0]
    figures = {key: report[key] for key in ("id", "tasks", "matrix", "metrics", "cost")}
    print(
        f"{strategy} {order} seed {seed}: mfn {figures['metrics']['mfn']:.1f} bwt {figures['metrics']['bwt']}",
        flush=True,
    )
    return {"strategy": strategy, "order": order, "seed": seed, **figures}


def mean(cells: Sequence[Cell], figure: str) -> float | None:
    values = [cell["metrics"][figure] for cell in cells if cell["metrics"][figure] is not None]
    return statistics.mean(values) if values else None


def table(cells: Sequence[Cell]) -> list[str]:
    """The Markdown table: mean over seeds, an order a row."""
    lines = ["| strategy | order | n | MFT | MFN | MAA | BWT |", "|---|---|---|---|---|---|---|"]
    keys = dict.fromkeys((cell["strategy"], cell["order"]) for cell in cells)
    for strategy, order in keys:
        group = [c for c in cells if (c["strategy"], c["order"]) == (strategy, order)]
        values = [mean(group, figure) for figure in ("mft", "mfn", "maa", "bwt")]
        shown = " | ".join("-" if value is None else f"{value:.1f}" for value in values)
        lines.append(f"| {strategy} | {order} | {len(group)} | {shown} |")
    return lines


def claims(cells: Sequence[Cell]) -> dict[str, Any]:
    """The figures that mini is held to, each beside what was found."""

    def group(strategy: str, order: str) -> list[Cell]:
        return [c for c in cells if (c["strategy"], c["order"]) == (strategy, order)]

    found: dict[str, Any] = {}
    for order in dict.fromkeys(cell["order"] for cell in cells):
        plain, ours, joint = group("finetune", order), group("moincl", order), group("joint", order)
        if joint:
            found[f"{order}: joint, lowest QA accuracy (80)"] = min(
                statistics.mean(c["matrix"][-1][i] for c in joint)
                for i, task in enumerate(joint[0]["tasks"])
                if task.endswith("_qa")
            )
        if plain and ours:
            before, after = mean(plain, "bwt"), mean(ours, "bwt")
            assert before is not None and after is not None
            found[f"{order}: finetune BWT (-25 at most)"] = before
            found[f"{order}: share of that forgetting won back by moincl (0.67)"] = 1 - after / before
            found[f"{order}: new task, lowest moincl / finetune (0.80)"] = min(
                statistics.mean(c["matrix"][i][i] for c in ours) / statistics.mean(c["matrix"][i][i] for c in plain)
                for i in range(len(ours[0]["tasks"]))
            )
            found[f"{order}: MFN moincl - finetune (above 0)"] = (mean(ours, "mfn") or 0) - (mean(plain, "mfn") or 0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", default="finetune,joint,moincl")
    parser.add_argument("--orders", default=",".join(ORDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--name", default="forgetting", help="of the recorded file")
    arguments, extra = parser.parse_known_args()
    micl(["prepare", ORDERS["order-1"]], arguments.home)
    grid = [
        (strategy, order, seed)
        for seed in range(arguments.seeds)
        for order in arguments.orders.split(",")
        for strategy in arguments.strategies.split(",")
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        cells = list(pool.map(lambda cell: run(*cell, arguments.home, extra), grid))
    print("\n".join(table(cells)))
    found = claims(cells)
    print("\n".join(f"{name}: {value:.2f}" for name, value in found.items()))
    record(arguments.name, {"claims": found, "table": table(cells), "cells": cells})


if __name__ == "__main__":
    main()
