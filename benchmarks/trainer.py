"""Fine-tuning of `smol` with micl and with a plain Trainer script: the same model, data, steps and batches.

The two run alternately in separate processes, and ratios are taken within each pair. An epoch's wall time includes
reading of media, encoding, steps, and checkpoints (the script writes none). Both store the language model's weights in
the same precision: micl's choice on this machine, or --dtype.

Usage: python benchmarks/trainer.py --home DIR [--pairs 3] [--dtype fp32]
       (DIR: the home folder for which `micl backbones fetch smol` has been run)
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from common import micl, record, smaller, watched

from micl_cli.io.json_text import json_text

TASKS = ("img_cap", "aud_qa")
EXAMPLES, EPOCHS, BATCH = 160, 2, 8
SCRIPT = Path(__file__).parent / "plain_trainer.py"


def default_dtype() -> str:
    """Return the precision that micl chooses for smol's language model on this machine."""
    from micl_backbones.weights.quantize import storage

    return "bf16" if storage("none", "auto", stored=torch.bfloat16)["dtype"] == torch.bfloat16 else "fp32"


def plain(task: Path, home: Path, seed: int, dtype: str) -> dict[str, float]:
    """Return the seconds of the first and of the later epoch, and the peak memory, of the plain script."""
    words = [str(home / "weights" / "smol"), str(task), "--epochs", str(EPOCHS), "--batch-size", str(BATCH)]
    words += ["--dtype", dtype]
    lines, peak = watched([sys.executable, str(SCRIPT), *words, "--seed", str(seed)], home)
    assert lines[-1][1]["steps"] == EPOCHS * EXAMPLES // BATCH
    return {"first_s": lines[0][1]["seconds"], "later_s": lines[1][1]["seconds"], "peak_bytes": peak}


def ours(task: Path, home: Path, seed: int, dtype: str) -> dict[str, float]:
    """Return the same figures of micl, starting with an empty feature cache."""
    micl(["cache", "rm", "--all"], home)
    words = ["--backbone", "smol", "--strategy", "finetune", "--tasks", f"smaller/{task.name}", "--seed", str(seed)]
    words += ["--epochs", str(EPOCHS), "--batch-size", str(BATCH), "--validate-every", str(EPOCHS)]
    words += ["--max-steps", "999", "-b", "dtype", dtype]
    command = [sys.executable, "-m", "micl_cli", "learn", *words, "--again", "--eval-examples", "1", "--json"]
    lines, peak = watched(command, home)
    began = next(at for at, event in lines if event["event"] == "task_started")
    steps = [(at, event["epoch"]) for at, event in lines if event["event"] == "step"]
    assert len(steps) == EPOCHS * EXAMPLES // BATCH
    first = max(at for at, epoch in steps if epoch == 1)
    return {"first_s": first - began, "later_s": steps[-1][0] - first, "peak_bytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--dtype", choices=["auto", "fp32", "bf16"], default="auto")
    args = parser.parse_args()
    dtype = default_dtype() if args.dtype == "auto" else args.dtype
    micl(["prepare", ",".join(TASKS)], args.home)
    pairs: dict[str, list[dict[str, Any]]] = {}
    for name in TASKS:
        task = smaller(name, args.home, args.home / "smaller", EXAMPLES)
        micl(["prepare", str(task)], args.home)
        for seed in range(args.pairs):
            pair = {"plain": plain(task, args.home, seed, dtype), "micl": ours(task, args.home, seed, dtype)}
            pairs.setdefault(name, []).append(pair)
            print(name, json_text(pair), flush=True)
    ratios = {
        name: {
            figure: round(statistics.median(pair["micl"][figure] / pair["plain"][figure] for pair in measured), 3)
            for figure in ("first_s", "later_s", "peak_bytes")
        }
        for name, measured in pairs.items()
    }
    for name, measured in ratios.items():
        print(f"{name}, {dtype}: micl / plain script: first epoch {measured['first_s']:.2f}, ", end="")
        print(f"later {measured['later_s']:.2f}, peak memory {measured['peak_bytes']:.2f}")
    settings = {"examples": EXAMPLES, "epochs": EPOCHS, "batch_size": BATCH, "dtype": dtype}
    record(f"trainer-{dtype}", {"settings": settings, "ratios": ratios, "pairs": pairs})


if __name__ == "__main__":
    main()
