"""Cost of routed inference relative to a single adapter, on the same mixed batch of all six tasks.

Usage: python benchmarks/routing.py [--home DIR] [--repeats 9]

The single adapter is that of joint learning, whose answers are about as good and as long. Every repeat times all of
them in turn, and ratios are taken within it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from common import ORDERS, micl, record
from runs import load_run

from micl_cli.api import combine
from micl_cli.training.components import RunComponents

ROUTERS = ("oracle", "prototype", "ridge", "mllm")
EACH = 16  # test examples per task


def learn(words: list[str], home: Path) -> RunComponents:
    """Learn a run unless it is finished; return its components with the final weights."""
    run = micl(["learn", "--tasks", ORDERS["order-1"], "--quiet", *words], home).stdout.strip()
    return load_run(run, home, "cpu")


def seconds(components: RunComponents) -> float:
    """Return the wall seconds for routing and answering the batch, with cached features."""
    backbone, settings = components.backbone, components.plan.evaluation
    examples = [example for task in components.tasks for example in task.examples("test")[:EACH]]
    started = time.perf_counter()
    routes = components.strategy.route(examples)
    selection = combine([route.selection for route in routes]) if routes else backbone.adapters.active
    with backbone.adapters.using(selection):
        backbone.generate(examples, max_new_tokens=settings.max_new_tokens)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".micl-benchmark"))
    parser.add_argument("--repeats", type=int, default=9)
    args, extra = parser.parse_known_args()
    torch.set_num_threads(1)
    single = learn(["--strategy", "joint", *extra], args.home)
    routed = {name: learn(["--strategy", "router", "-o", "router", name, *extra], args.home) for name in ROUTERS}
    results: dict[str, list[float]] = {name: [] for name in ROUTERS}
    for components in (single, *routed.values()):
        seconds(components)  # fills the feature cache
    for _ in range(args.repeats):
        alone = seconds(single)
        for name, components in routed.items():
            results[name].append(seconds(components) / alone)
    ratios: dict[str, Any] = {name: statistics.median(values) for name, values in results.items()}
    print("\n".join(f"{name}: {ratio:.2f} times a single adapter" for name, ratio in ratios.items()))
    record("routing", {"examples": EACH * 6, "ratios": ratios, "repeats": results})


if __name__ == "__main__":
    main()
