"""Fine-tuning `smol` by micl and by a plain Trainer script: the same model, data, steps and batches.

Each takes its turn, several times, in a process of its own; ratios are taken within each pair. An epoch's
wall time is all that passes in it: reading media, encoding, steps, checkpoints (which the script has none of).
Both keep the language model's weights in the same precision: what micl chooses on this machine, or --dtype.

Usage: python benchmarks/trainer.py --home DIR [--pairs 3] [--dtype fp32]
       (DIR: where `micl backbones fetch smol` put the weights)
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from common import micl, record, smaller, watched

TASKS = ("img_cap", "aud_qa")
EXAMPLES, EPOCHS, BATCH = 160, 2, 8
SCRIPT = Path(__file__).parent / "plain_trainer.py"


def chosen() -> str:
    """The precision that micl chooses for smol's language model on this machine."""
    from micl_backbones.weights.quantize import storage

    return "bf16" if storage("none", "auto", stored=torch.bfloat16)["dtype"] == torch.bfloat16 else "fp32"


def plain(task: Path, home: Path, seed: int, dtype: str) -> dict[str, float]:
    words = [str(home / "weights" / "smol"), str(task), "--epochs", str(EPOCHS), "--batch-size", str(BATCH)]
    words += ["--dtype", dtype]
    told, peak = watched([sys.executable, str(SCRIPT), *words, "--seed", str(seed)], home)
    assert told[-1][1]["steps"] == EPOCHS * EXAMPLES // BATCH
    return {"first_s": told[0][1]["seconds"], "later_s": told[1][1]["seconds"], "peak_bytes": peak}


def ours(task: Path, home: Path, seed: int, dtype: str) -> dict[str, float]:
    """The same by micl, its features not yet known."""
    micl(["cache", "rm", "--all"], home)
    words = ["--backbone", "smol", "--strategy", "finetune", "--tasks", f"smaller/{task.name}", "--seed", str(seed)]
    words += ["--epochs", str(EPOCHS), "--batch-size", str(BATCH), "--validate-every", str(EPOCHS)]
    words += ["--max-steps", "999", "-b", "dtype", dtype]
    command = [sys.executable, "-m", "micl_cli", "learn", *words, "--again", "--eval-examples", "1", "--json"]
    told, peak = watched(command, home)
    began = next(at for at, event in told if event["event"] == "task_started")
    steps = [(at, event["epoch"]) for at, event in told if event["event"] == "step"]
    assert len(steps) == EPOCHS * EXAMPLES // BATCH
    first = max(at for at, epoch in steps if epoch == 1)
    return {"first_s": first - began, "later_s": steps[-1][0] - first, "peak_bytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--dtype", choices=["auto", "fp32", "bf16"], default="auto")
    given = parser.parse_args()
    dtype = chosen() if given.dtype == "auto" else given.dtype
    micl(["prepare", ",".join(TASKS)], given.home)
    pairs: dict[str, list[dict[str, Any]]] = {}
    for name in TASKS:
        task = smaller(name, given.home, given.home / "smaller", EXAMPLES)
        micl(["prepare", str(task)], given.home)
        for seed in range(given.pairs):
            pair = {"plain": plain(task, given.home, seed, dtype), "micl": ours(task, given.home, seed, dtype)}
            pairs.setdefault(name, []).append(pair)
            print(name, json.dumps(pair), flush=True)
    ratios = {
        name: {
            figure: round(statistics.median(pair["micl"][figure] / pair["plain"][figure] for pair in found), 3)
            for figure in ("first_s", "later_s", "peak_bytes")
        }
        for name, found in pairs.items()
    }
    for name, found in ratios.items():
        print(f"{name}, {dtype}: micl / plain script: first epoch {found['first_s']:.2f}, ", end="")
        print(f"later {found['later_s']:.2f}, peak memory {found['peak_bytes']:.2f}")
    settings = {"examples": EXAMPLES, "epochs": EPOCHS, "batch_size": BATCH, "dtype": dtype}
    record(f"trainer-{dtype}", {"settings": settings, "ratios": ratios, "pairs": pairs})


if __name__ == "__main__":
    main()
