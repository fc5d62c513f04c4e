"""Step time relative to another version of micl: the cost of a change.

Usage: python benchmarks/former.py --former DIR [--backbone tiny] [--pairs 3] [--steps 40] [--record NAME]

DIR is a checkout of the other version. Both run with the same interpreter and libraries, alternately and in changing
order. The median step times are compared, without the first steps of each task.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from common import fresh_home, record

from micl_cli.io.json_text import json_text

HERE = Path(__file__).parents[1]
WARM = 3
"""Number of steps at the beginning of each task that are not counted."""


def steps(checkout: Path, words: Sequence[str], home: Path) -> list[float]:
    """Learn with the code of a checkout; return the seconds of each step after the first ones of each task."""
    path = os.pathsep.join([str(checkout), str(checkout / "plugins")])
    command = [sys.executable, "-P", "-m", "micl_cli", "learn", *words, "--json", "--again"]
    environment = {**os.environ, "PYTHONPATH": path, "MICL_HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home)
    if done.returncode:
        raise SystemExit(done.stderr)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [event["seconds"] for event in events if event["event"] == "step" and event["step"] > WARM]


def main() -> None:
    """Compare the two versions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--former", type=Path, required=True, help="a checkout of the other version")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--strategies", default="finetune,moincl")
    parser.add_argument("--tasks", default="img_cap,img_qa")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="steps per task")
    parser.add_argument("--homes", type=Path, help="folder for the two home folders, with fetched weights")
    parser.add_argument("--record", default="", help="write results/NAME.json")
    args = parser.parse_args()
    with fresh_home() as folder:
        root = args.homes or folder
        results = {}
        for strategy in args.strategies.split(","):
            words = ["--strategy", strategy, "--backbone", args.backbone, "--tasks", args.tasks]
            words += ["--max-steps", str(args.steps), "--threads", "1", "--eval-examples", "4"]
            words += ["--validation-examples", "4", "--save-seconds", "1000"]
            results[strategy] = compare(args.former.absolute(), words, root.absolute(), args.pairs)
            print(strategy, json_text(results[strategy]))
    if args.record:
        record(args.record, {"backbone": args.backbone, "strategies": results})


def compare(former: Path, words: Sequence[str], root: Path, pairs: int) -> dict[str, float]:
    """Return the median step time of both versions in ms, and the median ratio over pairs."""
    times: dict[Path, list[float]] = {former: [], HERE: []}
    for pair in range(pairs):
        for checkout in (former, HERE) if pair % 2 else (HERE, former):
            home = root / ("former" if checkout == former else "now")
            home.mkdir(parents=True, exist_ok=True)
            times[checkout].append(statistics.median(steps(checkout, words, home)))
    ratios = [now / before for now, before in zip(times[HERE], times[former], strict=True)]
    return {
        "former_ms": round(1000 * statistics.median(times[former]), 2),
        "now_ms": round(1000 * statistics.median(times[HERE]), 2),
        "ratio": round(statistics.median(ratios), 3),
    }


if __name__ == "__main__":
    main()
