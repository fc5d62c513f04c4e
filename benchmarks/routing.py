"""What routed inference costs beside a single adapter, on the same mixed batch of all six tasks.

Usage: python benchmarks/routing.py [--home DIR] [--repeats 9]

The single adapter is that of joint learning, so that it answers every task about as well and as
long. Every repeat times all of them in turn, and ratios are taken within it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from common import ORDERS, micl, record

from micl_cli.data.preparation import open_task
from micl_cli.plan import Plan
from micl_cli.registry import Registry
from micl_cli.training.checkpoint import RunFolder
from micl_cli.training.components import Parts, assemble
from micl_cli.training.feature_cache import Features
from micl_cli.training.loop import restore_stage

ROUTERS = ("oracle", "prototype", "ridge", "mllm")
EACH = 16  # test examples a task


def learnt(words: list[str], home: Path) -> Parts:
    """The parts of a run as they stand at its end; it is learnt first where it is not."""
    run = micl(["learn", "--tasks", ORDERS["order-1"], "--quiet", *words], home).stdout.strip()
    shown = json.loads(micl(["runs", "show", run, "--json"], home).stdout)
    plan = Plan.from_json(shown["plan"])
    tasks = [open_task(name, home) for name in plan.tasks]
    parts = assemble(plan, tasks, Registry.discover(), Features(home / "features"), "cpu")
    restore_stage(parts, RunFolder(Path(shown["folder"])), len(parts.stages))
    return parts


def seconds(parts: Parts) -> float:
    """Wall seconds to route and answer the batch, features being cached."""
    examples = [example for task in parts.tasks for example in task.examples("test")[:EACH]]
    started = time.perf_counter()
    adapters = parts.strategy.route(examples)
    settings = parts.plan.evaluation
    parts.backbone.generate(examples, adapters=adapters, max_new_tokens=settings.max_new_tokens)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--repeats", type=int, default=9)
    arguments, extra = parser.parse_known_args()
    torch.set_num_threads(1)
    single = learnt(["--strategy", "joint", *extra], arguments.home)
    routed = {name: learnt(["--strategy", "router", "-o", "router", name, *extra], arguments.home) for name in ROUTERS}
    found: dict[str, list[float]] = {name: [] for name in ROUTERS}
    for parts in (single, *routed.values()):
        seconds(parts)  # fills the feature cache
    for _ in range(arguments.repeats):
        alone = seconds(single)
        for name, parts in routed.items():
            found[name].append(seconds(parts) / alone)
    ratios: dict[str, Any] = {name: statistics.median(values) for name, values in found.items()}
    print("\n".join(f"{name}: {ratio:.2f} times a single adapter" for name, ratio in ratios.items()))
    record("routing", {"examples": EACH * 6, "ratios": ratios, "repeats": found})


if __name__ == "__main__":
    main()
