"""MoInCL without each of its parts, and with its fusion at the end of epochs as in the paper.

Usage: python benchmarks/ablation.py [--tasks mini-tuning] [--backbone tiny-plain] [--seeds 1] [--jobs 1] [--home DIR]

The tasks are those for choosing settings, not those on which methods are compared. Each row is a cell of one
`micl sweep`, so that the same command resumes after an interruption. Further options apply to all (--max-steps N).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean
from typing import Any

from common import record
from forgetting import learn, scores

VARIANTS = {
    "all parts": "alpha=0.8",
    "no weight fusion": "alpha=1",
    "no distillation on texts (IKD)": "alpha=0.8,text_instruct_num=0",
    "no pseudo targets (PTGM)": "alpha=0.8,pseudo_num=0",
    "pseudo targets without distillation": "alpha=0.8,lambda_kl=0",
    "gradual fusion, alpha 0.5": "alpha=0.5",
    "fusion after epochs, alpha 0.5": "alpha=0.5,fusion=epoch",
    "fusion after epochs, ending at half of the steps": "alpha=0.5,fusion=epoch,fuse_until=0.5",
    "gradual fusion, alpha 1/t": "alpha_rule=tasks",
}
FIGURES = {"mft": "learnt (MFT)", "mfn": "final (MFN)", "bwt": "BWT"}


def table(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return a Markdown table with the mean figures of each variant over its seeds."""
    lines = [f"| MoInCL | {' | '.join(FIGURES.values())} |", "|---" * (len(FIGURES) + 1) + "|"]
    for name, runs in found.items():
        cells = [f"{mean(run['metrics'][figure] for run in runs):.1f}" for figure in FIGURES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="mini-tuning")
    parser.add_argument("--backbone", default="tiny-plain")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--name", default="ablation", help="name of the record")
    args, extra = parser.parse_known_args()
    names = {f"moincl[{options}]": name for name, options in VARIANTS.items()}
    shared = ["--tasks", args.tasks, "--backbone", args.backbone, *extra]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for cell in learn(",".join(names), args.seeds, args.jobs, args.home, shared):
        found[names[cell["strategy"]]].append({**cell, **scores(cell["run"], args.home)})
    print("\n".join(table(found)))
    record(args.name, {"table": table(found), "cells": found})


if __name__ == "__main__":
    main()
