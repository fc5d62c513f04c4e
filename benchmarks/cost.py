"""What MoInCL's step costs beside fine-tuning's: time and peak memory on the same second task.

Runs the two in turn and takes ratios within each pair. Which samples MoInCL adds depends on the tasks: none but
texts where the second one's modality is new, questions beside captions, captions beside questions (each is several
times as long as the question's own answer). All three are told.

Usage: python benchmarks/cost.py [--pairs 3]
       python benchmarks/cost.py --backbone smol --home DIR [--pairs 1]
       (DIR: where `micl backbones fetch smol` put the weights)
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from common import events, fresh_home, micl, record, smaller

TASKS = ("img_cap,aud_qa", "img_qa,img_cap", "img_cap,img_qa")
MOINCL = ["-o", "pseudo_num", "4", "-o", "text_instruct_num", "4"]
SHORT = ["--batch-size", "8", "--epochs", "2", "--max-steps", "30", "--validate-every", "2"]
"""What smol learns of each task: enough steps that its captions end where they should."""
EXAMPLES = 120


def measure(strategy: str, words: Sequence[str], home: Path) -> dict[str, float]:
    """Median step time (s) and peak memory (bytes) while the second task is learnt."""
    options = MOINCL if strategy == "moincl" else []
    told = events(["--strategy", strategy, *options, *words, "--eval-examples", "8", "--again"], home)
    steps = [e["seconds"] for e in told if e["event"] == "step" and e["position"] == 2]
    learned = next(e for e in told if e["event"] == "task_learned" and e["position"] == 2)
    return {"step_s": statistics.median(steps), "peak_bytes": learned["peak_bytes"]}


def prepared(home: Path) -> None:
    """The first examples of each task, as ``smaller/NAME``."""
    names = sorted({name for tasks in TASKS for name in tasks.split(",")})
    micl(["prepare", ",".join(names)], home)
    for name in names:
        micl(["prepare", str(smaller(name, home, home / "smaller", EXAMPLES))], home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--backbone", choices=["tiny", "smol"], default="tiny")
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    words = ["--backbone", given.backbone]
    if given.backbone == "smol":
        words += ["--benchmark", "smaller", *SHORT]
    pairs: dict[str, list[dict[str, Any]]] = {tasks: [] for tasks in TASKS}
    with nullcontext(given.home) if given.home else fresh_home() as home:
        if given.backbone == "smol":
            prepared(home)
        for seed in range(given.pairs):
            for tasks, found in pairs.items():
                each = [*words, "--tasks", tasks, "--seed", str(seed)]
                found.append({name: measure(name, each, home) for name in ("finetune", "moincl")})
                print(tasks, json.dumps(found[-1]), flush=True)
    ratios = {
        tasks: {
            figure: round(statistics.median(pair["moincl"][figure] / pair["finetune"][figure] for pair in found), 3)
            for figure in ("step_s", "peak_bytes")
        }
        for tasks, found in pairs.items()
    }
    for tasks, found in ratios.items():
        print(f"{tasks}: moincl / finetune: step {found['step_s']:.2f}, peak memory {found['peak_bytes']:.2f}")
    record("cost" if given.backbone == "tiny" else f"cost-{given.backbone}", {"ratios": ratios, "pairs": pairs})


if __name__ == "__main__":
    main()
