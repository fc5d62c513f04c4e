"""Forgetting on mini: every strategy, both of MICL's orders, several seeds, scored on test data.

Usage: python benchmarks/forgetting.py [--strategies finetune,joint,moincl] [--seeds 3] [--jobs 2] [--home DIR]

The grid is one `micl sweep`, whose cells are ordinary runs, so the same command goes on where it was
stopped. Further options are given to every cell; a strategy's own stand in brackets: router[router=ridge].
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import ORDERS, micl, record

from micl_cli.report.groups import mean_of

Cell = dict[str, Any]
EVERY = (
    "zeroshot,finetune,lwf,ewc,ewf,olora,moincl,replay,joint,"
    "router[router=oracle],router[router=mllm],router[router=prototype],router[router=ridge]"
)


def learn(strategies: str, orders: str, seeds: int, jobs: int, home: Path, extra: Sequence[str]) -> list[Cell]:
    """Learn the grid, or find it learnt; return each cell's report."""
    grid = ["--strategy", strategies, "--order", orders, "--seed", f"0..{seeds - 1}", "--jobs", str(jobs)]
    lines = micl(["sweep", *grid, "--json", *extra], home).stdout.splitlines()
    told = [cell for line in lines if (cell := json.loads(line))["event"] == "cell"]
    return [
        {**_report(cell["run"], home), **{key: cell[key] for key in ("strategy", "order", "seed")}} for cell in told
    ]


def _report(run: str, home: Path) -> Cell:
    report = json.loads(micl(["report", run, "--json"], home).stdout)["runs"][0]
    return {key: report[key] for key in ("id", "tasks", "matrix", "metrics", "cost", "routing") if key in report}


def mean(cells: Sequence[Cell], figure: str) -> float | None:
    values = [cell["metrics"][figure] for cell in cells if cell["metrics"][figure] is not None]
    return statistics.mean(values) if values else None


OLD_DATA = {"joint": "all", "replay": "120 kept", "router[router=mllm": "20 a task, to route"}
"""What sees examples of earlier tasks, and how many of them."""


def table(cells: Sequence[Cell]) -> list[str]:
    """The Markdown table, a strategy a row: means over seeds, of both orders with their 95 % interval."""
    orders = list(dict.fromkeys(cell["order"] for cell in cells))
    each = [f"{figure} {order}" for figure in ("MFN", "BWT") for order in orders]
    columns = ["strategy", "old data", "n", "MFT", *each, "MFN, all", "BWT, all", "seconds", "peak MB", "stored MB"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for strategy in dict.fromkeys(cell["strategy"] for cell in cells):
        own = [cell for cell in cells if cell["strategy"] == strategy]
        single = [mean([c for c in own if c["order"] == o], f) for f in ("mfn", "bwt") for o in orders]
        cost = [statistics.mean(c["cost"][name] for c in own) for name in ("seconds", "peak_bytes", "stored_bytes")]
        shown = [mean(own, "mft"), *single]
        seen = next((data for name, data in OLD_DATA.items() if strategy.startswith(name)), "no")
        row = [strategy, seen, str(len(own)), *map(_number, shown)]
        row += [_interval(own, "mfn"), _interval(own, "bwt")]
        row += [f"{cost[0]:.0f}", f"{cost[1] / 1e6:.0f}", f"{cost[2] / 1e6:.1f}"]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 1) + 0.0:.1f}"  # never "-0.0"


def _interval(cells: Sequence[Cell], figure: str) -> str:
    values = [cell["metrics"][figure] for cell in cells if cell["metrics"][figure] is not None]
    if not values:
        return "-"
    found = mean_of(values)
    if found.low is None or found.high is None:
        return _number(found.mean)
    return f"{_number(found.mean)} [{_number(found.low)}, {_number(found.high)}]"


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


SINGLE = ("finetune", "lwf", "ewc", "ewf", "olora")
"""The methods with one adapter, without old data, that moincl is held against."""


def best(cells: Sequence[Cell]) -> dict[str, Any]:
    """MoInCL's MFN minus each other single adapter's, over common orders and seeds, with the 95 % interval."""
    ours = {(c["order"], c["seed"]): c["metrics"]["mfn"] for c in cells if c["strategy"] == "moincl"}
    found: dict[str, Any] = {}
    for name in SINGLE:
        theirs = {(c["order"], c["seed"]): c["metrics"]["mfn"] for c in cells if c["strategy"] == name}
        values = [ours[cell] - theirs[cell] for cell in ours if cell in theirs]
        if values:
            difference = mean_of(values)
            found[f"MFN moincl - {name} (above 0)"] = difference.mean
            found[f"MFN moincl - {name}, interval"] = [difference.low, difference.high]
    return found


def routed(cells: Sequence[Cell]) -> dict[str, Any]:
    """What router isolation is held to: accuracy (98 %), BWT (-2), MFN within 3 points of the oracle's."""
    found: dict[str, Any] = {}
    oracle = {
        (c["order"], c["seed"]): c["metrics"]["mfn"] for c in cells if c.get("routing", {}).get("router") == "oracle"
    }
    for name in dict.fromkeys(c["strategy"] for c in cells if "routing" in c):
        group = [c for c in cells if c["strategy"] == name]
        found[f"{name}: lowest routing accuracy (98)"] = min(c["routing"]["accuracy"] for c in group)
        found[f"{name}: lowest BWT (-2)"] = min(c["metrics"]["bwt"] for c in group)
        gaps = [oracle[c["order"], c["seed"]] - c["metrics"]["mfn"] for c in group if (c["order"], c["seed"]) in oracle]
        if gaps:
            found[f"{name}: largest MFN gap to oracle (3)"] = max(gaps)
    return found


def memory(cells: Sequence[Cell]) -> dict[str, Any]:
    """Each strategy's peak memory over fine-tuning's on the same order and seed, at most (1.25)."""
    plain = {(c["order"], c["seed"]): c["cost"]["peak_bytes"] for c in cells if c["strategy"] == "finetune"}
    found: dict[str, float] = {}
    for cell in cells:
        if base := plain.get((cell["order"], cell["seed"])):
            key = f"{cell['strategy']}: peak memory over finetune's (1.25)"
            found[key] = max(found.get(key, 0.0), cell["cost"]["peak_bytes"] / base)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", default=EVERY)
    parser.add_argument("--orders", default=",".join(ORDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--name", default="forgetting", help="of the recorded file")
    a, extra = parser.parse_known_args()
    cells = learn(a.strategies, a.orders, a.seeds, a.jobs, a.home, extra)
    print("\n".join(table(cells)))
    found = {**claims(cells), **best(cells), **routed(cells), **memory(cells)}
    print("\n".join(f"{name}: {json.dumps(value)}" for name, value in found.items()))
    record(a.name, {"claims": found, "table": table(cells), "cells": cells})


if __name__ == "__main__":
    main()
