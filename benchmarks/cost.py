"""Cost of a MoInCL step relative to fine-tuning: time and peak memory on the same second task.

The two run alternately, and ratios are taken within each pair. The samples that MoInCL adds depend on the tasks: only
texts if the second task's modality is new, questions if it is captioning, captions if it is QA (each several times
as long as the question's own answer). All three cases are measured.

Usage: python benchmarks/cost.py [--pairs 3]
       python benchmarks/cost.py --backbone smol --home DIR [--pairs 1]
       (DIR: the home folder for which `micl backbones fetch smol` has been run)
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from common import events, fresh_home, micl, record, smaller

from micl_cli.io.json_text import json_text

TASKS = ("img_cap,aud_qa", "img_qa,img_cap", "img_cap,img_qa")
MOINCL = ["-o", "pseudo_num", "4", "-o", "text_instruct_num", "4"]
SHORT = ["--batch-size", "8", "--epochs", "2", "--max-steps", "30", "--validate-every", "2"]
"""Training of smol: enough steps for it to end its captions."""
EXAMPLES = 120


def measure(strategy: str, words: Sequence[str], home: Path) -> dict[str, float]:
    """Return median step time (s) and peak memory (bytes) of learning the second task."""
    options = MOINCL if strategy == "moincl" else []
    learned_events = events(["--strategy", strategy, *options, *words, "--eval-examples", "8", "--again"], home)
    steps = [e["seconds"] for e in learned_events if e["event"] == "step" and e["position"] == 2]
    learned = next(e for e in learned_events if e["event"] == "task_learned" and e["position"] == 2)
    return {"step_s": statistics.median(steps), "peak_bytes": learned["peak_bytes"]}


def prepare_smaller_tasks(home: Path) -> None:
    """Prepare the first examples of each task as ``smaller/NAME``."""
    names = sorted({name for tasks in TASKS for name in tasks.split(",")})
    micl(["prepare", ",".join(names)], home)
    for name in names:
        micl(["prepare", str(smaller(name, home, home / "smaller", EXAMPLES))], home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--backbone", choices=["tiny", "smol"], default="tiny")
    parser.add_argument("--home", type=Path)
    args = parser.parse_args()
    words = ["--backbone", args.backbone]
    if args.backbone == "smol":
        words += ["--benchmark", "smaller", *SHORT]
    pairs: dict[str, list[dict[str, Any]]] = {tasks: [] for tasks in TASKS}
    with nullcontext(args.home) if args.home else fresh_home() as home:
        if args.backbone == "smol":
            prepare_smaller_tasks(home)
        for seed in range(args.pairs):
            for tasks, measured in pairs.items():
                each = [*words, "--tasks", tasks, "--seed", str(seed)]
                measured.append({name: measure(name, each, home) for name in ("finetune", "moincl")})
                print(tasks, json_text(measured[-1]), flush=True)
    ratios = {
        tasks: {
            figure: round(statistics.median(pair["moincl"][figure] / pair["finetune"][figure] for pair in measured), 3)
            for figure in ("step_s", "peak_bytes")
        }
        for tasks, measured in pairs.items()
    }
    for tasks, measured in ratios.items():
        print(f"{tasks}: moincl / finetune: step {measured['step_s']:.2f}, peak memory {measured['peak_bytes']:.2f}")
    record("cost" if args.backbone == "tiny" else f"cost-{args.backbone}", {"ratios": ratios, "pairs": pairs})


if __name__ == "__main__":
    main()
