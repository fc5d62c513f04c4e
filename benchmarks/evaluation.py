"""How much faster answers come in batches of prompts of like length than one by one, on `smol`.

Usage: python benchmarks/evaluation.py --home DIR [--run RUN] [--examples 48] [--repeats 3] [--backbone smol]

Answers are those of a finished RUN, or of a run of 60 steps a task that is learnt first: a model that has not learnt
when to stop fills some rows of each batch to the limit. Features are kept before the clock starts. Every repeat times
both in turn, and ratios are taken within it. Each clip of the questions' task has one question; real sets ask about
five on each medium (VQAv2 5.4, Clotho-AQA 6), which is timed too, with the questions of five clips put to one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import micl, record
from runs import load_run

from micl_cli.api import Example
from micl_cli.training.components import RunComponents
from micl_cli.training.evaluation import answer

TASKS = "img_cap,aud_qa"


def learnt(backbone: str, home: Path) -> str:
    """Learn two tasks for a few steps, and return the run."""
    words = ["--backbone", backbone, "--strategy", "finetune", "--tasks", TASKS, "--max-steps", "60"]
    return micl(["learn", *words, "--eval-examples", "2", "--validation-examples", "2", "--quiet"], home).stdout.strip()


def asked(components: RunComponents, name: str, count: int) -> list[Example]:
    """``count`` examples of a task; of "NAME, K on a medium" each K have the first one's."""
    name, _, several = name.partition(", ")
    examples = next(task for task in components.tasks if task.name.endswith(name)).examples("test")[:count]
    each = int(several.partition(" ")[0] or 1)
    leaders = [examples[place // each * each] for place in range(len(examples))]
    return [first.with_prompt(e.prompt) for e, first in zip(examples, leaders, strict=True)]


def rate(components: RunComponents, examples: Sequence[Example], batch: int) -> float:
    """Examples a second that ``answer`` gets through, in batches of ``batch``."""
    plan = components.plan
    components.plan = replace(plan, evaluation=replace(plan.evaluation, batch_size=batch))
    started = time.perf_counter()
    answer(components, examples)
    return len(examples) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--run", default="")
    parser.add_argument("--backbone", default="smol")
    parser.add_argument("--examples", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    components = load_run(given.run or learnt(given.backbone, given.home), given.home)
    together = components.plan.evaluation.batch_size
    found: dict[str, list[dict[str, Any]]] = {}
    for name in (*TASKS.split(","), "aud_qa, 5 on a medium"):
        examples = asked(components, name, given.examples)
        rate(components, examples, together)
        for _ in range(given.repeats):
            each = {f"batch_{size}": rate(components, examples, size) for size in (together, 1)}
            found.setdefault(name, []).append(each)
    ratios = {
        name: round(statistics.median(each[f"batch_{together}"] / each["batch_1"] for each in rates), 2)
        for name, rates in found.items()
    }
    for name, ratio in ratios.items():
        print(f"{name}: {together} at a time answer {ratio:.1f} times as many examples a second as one by one")
    settings = {"backbone": given.backbone, "examples": given.examples, "batch_size": together}
    record("evaluation", {"settings": settings, "ratios": ratios, "examples_per_second": found})


if __name__ == "__main__":
    main()
