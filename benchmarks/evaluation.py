"""Speed-up of answering in batches of prompts of similar length over answering one by one, on `smol`.

Usage: python benchmarks/evaluation.py --home DIR [--run RUN] [--examples 48] [--repeats 3] [--backbone smol]

Answers are those of a finished RUN, or of a run of 60 steps per task that is learnt first: a model that has not learnt
to stop fills some rows of each batch to the limit. Features are cached before timing. Every repeat times both in turn,
and ratios are taken within it. The QA task has one question per sound; real datasets have about five per medium (VQAv2
5.4, Clotho-AQA 6). This case is timed as well, by asking the questions of five sounds about one of them.
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


def learn_short_run(backbone: str, home: Path) -> str:
    """Learn two tasks for a few steps; return the run id."""
    words = ["--backbone", backbone, "--strategy", "finetune", "--tasks", TASKS, "--max-steps", "60"]
    return micl(["learn", *words, "--eval-examples", "2", "--validation-examples", "2", "--quiet"], home).stdout.strip()


def shared_media_examples(components: RunComponents, name: str, count: int) -> list[Example]:
    """Return ``count`` examples of a task; for "NAME, K on a medium", each K of them share the first one's medium."""
    name, _, several = name.partition(", ")
    examples = next(task for task in components.tasks if task.name.endswith(name)).examples("test")[:count]
    each = int(several.partition(" ")[0] or 1)
    leaders = [examples[index // each * each] for index in range(len(examples))]
    return [first.with_prompt(e.prompt) for e, first in zip(examples, leaders, strict=True)]


def examples_per_second(components: RunComponents, examples: Sequence[Example], batch: int) -> float:
    """Return the examples per second of ``answer`` in batches of ``batch``."""
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
    args = parser.parse_args()
    components = load_run(args.run or learn_short_run(args.backbone, args.home), args.home)
    batch_size = components.plan.evaluation.batch_size
    results: dict[str, list[dict[str, Any]]] = {}
    for name in (*TASKS.split(","), "aud_qa, 5 on a medium"):
        examples = shared_media_examples(components, name, args.examples)
        examples_per_second(components, examples, batch_size)
        for _ in range(args.repeats):
            each = {f"batch_{size}": examples_per_second(components, examples, size) for size in (batch_size, 1)}
            results.setdefault(name, []).append(each)
    ratios = {
        name: round(statistics.median(each[f"batch_{batch_size}"] / each["batch_1"] for each in rates), 2)
        for name, rates in results.items()
    }
    for name, ratio in ratios.items():
        print(f"{name}: {batch_size} at a time answer {ratio:.1f} times as many examples a second as one by one")
    settings = {"backbone": args.backbone, "examples": args.examples, "batch_size": batch_size}
    record("evaluation", {"settings": settings, "ratios": ratios, "examples_per_second": results})


if __name__ == "__main__":
    main()
