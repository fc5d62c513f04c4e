"""What routed inference costs beside a single adapter, on the same mixed batch of all six tasks.

Usage: python benchmarks/routing.py [--home DIR] [--repeats 9]

The single adapter is that of joint learning, so that it answers every task about as well and as
long. Every repeat times all of them in turn, and ratios are taken within it.
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
EACH = 16  # test examples a task


def learnt(words: list[str], home: Path) -> RunComponents:
    """Return the components of a run as they were at its end; it is learnt first where it is not."""
    run = micl(["learn", "--tasks", ORDERS["order-1"], "--quiet", *words], home).stdout.strip()
    return load_run(run, home, "cpu")


def seconds(components: RunComponents) -> float:
    """Return the wall seconds to route and answer the batch, features being cached."""
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
    arguments, extra = parser.parse_known_args()
    torch.set_num_threads(1)
    single = learnt(["--strategy", "joint", *extra], arguments.home)
    routed = {name: learnt(["--strategy", "router", "-o", "router", name, *extra], arguments.home) for name in ROUTERS}
    found: dict[str, list[float]] = {name: [] for name in ROUTERS}
    for components in (single, *routed.values()):
        seconds(components)  # fills the feature cache
    for _ in range(arguments.repeats):
        alone = seconds(single)
        for name, components in routed.items():
            found[name].append(seconds(components) / alone)
    ratios: dict[str, Any] = {name: statistics.median(values) for name, values in found.items()}
    print("\n".join(f"{name}: {ratio:.2f} times a single adapter" for name, ratio in ratios.items()))
    record("routing", {"examples": EACH * 6, "ratios": ratios, "repeats": found})


if __name__ == "__main__":
    main()
