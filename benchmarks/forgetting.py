"""Forgetting on mini: every strategy, both of MICL's orders, several seeds, scored on test data.

Usage: python benchmarks/forgetting.py [--strategies finetune,joint,moincl] [--seeds 3] [--jobs 2] [--home DIR]

The grid is one `micl sweep`, whose cells are ordinary runs, so that the same command resumes after an interruption.
Further options apply to every cell; options of a strategy are in brackets: router[router=ridge].
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import ORDERS, micl, record

from micl_cli.io.json_text import json_text

Cell = dict[str, Any]
EVERY = (
    "zeroshot,finetune,lwf,ewc,ewf,olora,moincl,replay,joint,"
    "router[router=oracle],router[router=mllm],router[router=prototype],router[router=ridge]"
)


def summary(cells: Sequence[Cell], home: Path, margin: float) -> tuple[list[str], dict[str, Any]]:
    """Return `micl report --summary` of all cells, as lines of Markdown and as a JSON document."""
    words = ["report", *(cell["id"] for cell in cells), "--summary", "--margin", f"{margin:g}"]
    shown, document = (micl([*words, "--format", style], home).stdout for style in ("md", "json"))
    return shown.splitlines(), json.loads(document)


def learn(strategies: str, orders: str, seeds: int, jobs: int, home: Path, extra: Sequence[str]) -> list[Cell]:
    """Learn the grid as far as it has not been learnt; return each cell's report."""
    grid = ["--strategy", strategies, "--order", orders, "--seed", f"0..{seeds - 1}", "--jobs", str(jobs)]
    lines = micl(["sweep", *grid, "--json", *extra], home).stdout.splitlines()
    cells = [cell for line in lines if (cell := json.loads(line))["event"] == "cell"]
    return [
        {**_report(cell["run"], home), **{key: cell[key] for key in ("strategy", "order", "seed")}} for cell in cells
    ]


def _report(run: str, home: Path) -> Cell:
    report = json.loads(micl(["report", run, "--json"], home).stdout)["runs"][0]
    return {key: report[key] for key in ("id", "tasks", "matrix", "metrics", "cost", "routing") if key in report}


def mean(cells: Sequence[Cell], figure: str) -> float | None:
    values = [cell["metrics"][figure] for cell in cells if cell["metrics"][figure] is not None]
    return statistics.mean(values) if values else None


def claims(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the measured figures for which mini has a target; the target is in the name."""

    def group(strategy: str, order: str) -> list[Cell]:
        return [c for c in cells if (c["strategy"], c["order"]) == (strategy, order)]

    results: dict[str, Any] = {}
    for order in dict.fromkeys(cell["order"] for cell in cells):
        plain, ours, joint = group("finetune", order), group("moincl", order), group("joint", order)
        if joint:
            results[f"{order}: joint, lowest QA accuracy (80)"] = min(
                statistics.mean(c["matrix"][-1][i] for c in joint)
                for i, task in enumerate(joint[0]["tasks"])
                if task.endswith("_qa")
            )
        if plain and ours:
            before, after = mean(plain, "bwt"), mean(ours, "bwt")
            assert before is not None and after is not None
            results[f"{order}: finetune BWT (-25 at most)"] = before
            results[f"{order}: share of that forgetting won back by moincl (0.67)"] = 1 - after / before
            results[f"{order}: new task, lowest moincl / finetune (0.80)"] = min(
                statistics.mean(c["matrix"][i][i] for c in ours) / statistics.mean(c["matrix"][i][i] for c in plain)
                for i in range(len(ours[0]["tasks"]))
            )
            results[f"{order}: MFN moincl - finetune (above 0)"] = (mean(ours, "mfn") or 0) - (mean(plain, "mfn") or 0)
    return results


def routed(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the figures of router isolation with targets: accuracy (98 %), BWT (-2), MFN gap to the oracle (3)."""
    results: dict[str, Any] = {}
    oracle = {
        (c["order"], c["seed"]): c["metrics"]["mfn"] for c in cells if c.get("routing", {}).get("router") == "oracle"
    }
    for name in dict.fromkeys(c["strategy"] for c in cells if "routing" in c):
        group = [c for c in cells if c["strategy"] == name]
        results[f"{name}: lowest routing accuracy (98)"] = min(c["routing"]["accuracy"] for c in group)
        results[f"{name}: lowest BWT (-2)"] = min(c["metrics"]["bwt"] for c in group)
        gaps = [oracle[c["order"], c["seed"]] - c["metrics"]["mfn"] for c in group if (c["order"], c["seed"]) in oracle]
        if gaps:
            results[f"{name}: largest MFN gap to oracle (3)"] = max(gaps)
    return results


def memory(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return each strategy's largest ratio of peak memory to fine-tuning's on the same order and seed (1.25)."""
    plain = {(c["order"], c["seed"]): c["cost"]["peak_bytes"] for c in cells if c["strategy"] == "finetune"}
    results: dict[str, float] = {}
    for cell in cells:
        if base := plain.get((cell["order"], cell["seed"])):
            key = f"{cell['strategy']}: peak memory over finetune's (1.25)"
            results[key] = max(results.get(key, 0.0), cell["cost"]["peak_bytes"] / base)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", default=EVERY)
    parser.add_argument("--orders", default=",".join(ORDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--margin", type=float, default=2.0, help="points within which methods are equivalent")
    parser.add_argument("--name", default="forgetting", help="name of the record")
    args, extra = parser.parse_known_args()
    cells = learn(args.strategies, args.orders, args.seeds, args.jobs, args.home, extra)
    table, document = summary(cells, args.home, args.margin)
    print("\n".join(table))
    results = {**claims(cells), **routed(cells), **memory(cells)}
    print("\n".join(f"{name}: {json_text(value)}" for name, value in results.items()))
    record(args.name, {"claims": results, "table": table, **document, "cells": cells})


if __name__ == "__main__":
    main()
