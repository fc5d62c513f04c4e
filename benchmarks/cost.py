"""What MoInCL's step costs beside fine-tuning's: time and peak memory on the same second task.

Runs the two in turn, several times, and takes ratios within each pair.
Usage: python benchmarks/cost.py [--pairs 3]
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from common import events, fresh_home, record

TASKS = "img_cap,img_qa"


def measure(strategy: str, seed: int, home: Path) -> dict[str, float]:
    """Median step time (s) and peak memory (bytes) while the second task is learnt."""
    told = events(["--strategy", strategy, "--tasks", TASKS, "--seed", str(seed), "--eval-examples", "8"], home)
    steps = [e["seconds"] for e in told if e["event"] == "step" and e["position"] == 2]
    learned = next(e for e in told if e["event"] == "task_learned" and e["position"] == 2)
    return {"step_s": statistics.median(steps), "peak_bytes": learned["peak_bytes"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    pairs: list[dict[str, Any]] = []
    with fresh_home() as home:
        for seed in range(parser.parse_args().pairs):
            pairs.append({name: measure(name, seed, home) for name in ("finetune", "moincl")})
    ratios = {
        figure: statistics.median(pair["moincl"][figure] / pair["finetune"][figure] for pair in pairs)
        for figure in ("step_s", "peak_bytes")
    }
    print(f"moincl / finetune: step {ratios['step_s']:.2f}, peak memory {ratios['peak_bytes']:.2f}")
    record("cost", {"ratios": ratios, "pairs": pairs})


if __name__ == "__main__":
    main()
