"""Speed and memory of preparing and learning large tasks, and the gains from resuming and from reading ahead.

Usage: python benchmarks/scale.py [--examples 100000] [--images 600]

Data is generated: a data set in the layout of MLLM-CL's domain RS with one small image per example, and a task of
640x480 JPEGs. Memory is the peak of the resident set of a `micl` process, without its workers.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
from common import fresh_home, micl, record, timed

TASK = "mllm-cl-domain/rs"


def images(folder: Path, count: int, size: tuple[int, int], suffix: str) -> None:
    """Write ``count`` different images."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 255, size[0] * size[1], dtype=np.float32).reshape(size[1], size[0], 1)
    for number in range(count):
        noise = rng.normal(0, 8, (size[1], size[0], 3))
        pixels = np.clip(grid * rng.random(3) + noise + number % 64, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, "JPEG" if suffix == ".jpg" else "PNG", quality=90)
        (folder / f"{number:06d}{suffix}").write_bytes(buffer.getvalue())


def data_set(root: Path, examples: int, size: tuple[int, int], suffix: str) -> None:
    """Write a data set with ``examples`` training examples, one image each, and up to 100 questions."""
    tests = min(100, examples // 10)
    images(root / "RS/images", examples + tests, size, suffix)
    names = [f"images/{number:06d}{suffix}" for number in range(examples + tests)]
    train = [
        {
            "id": str(number),
            "image": name,
            "conversations": [
                {"from": "human", "value": f"<image>\nIs there a road near building {number} of this town?"},
                {"from": "gpt", "value": ("no", "yes")[number % 2]},
            ],
        }
        for number, name in enumerate(names[:examples])
    ]
    test = [
        {"question_id": number, "image": name, "text": "Is there a road?", "answer": "yes"}
        for number, name in enumerate(names[examples:])
    ]
    (root / "RS/train.json").write_text(json.dumps(train))
    (root / "RS/test.json").write_text(json.dumps(test))


def peak_megabytes(words: list[str], home: Path) -> tuple[float, float]:
    """Return the peak resident megabytes and the wall seconds of a ``micl`` process."""
    program = (
        "import resource; from micl_cli.cli.main import main\n"
        "try:\n main()\nfinally:\n"
        " peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        " open(__import__('os').environ['PEAK'], 'w').write(str(peak))"
    )
    peak, started = home / "peak", time.perf_counter()
    environment = {**os.environ, "MICL_HOME": str(home), "PEAK": str(peak)}
    subprocess.run([sys.executable, "-c", program, *words], env=environment, check=True, capture_output=True)
    return float(peak.read_text()), time.perf_counter() - started


def preparing(home: Path, images: int) -> dict[str, float]:
    """Measure images per minute and core, and the time that resuming after a kill saves."""
    root = home / "jpeg"
    data_set(root, images, (640, 480), ".jpg")
    command = ["prepare", TASK, "--root", str(root), "--jobs"]
    empty = timed(["--version"], home)
    one = timed([*command, "1"], home) - empty
    micl(["tasks", "rm", TASK, "--yes"], home)
    several = timed([*command, str(os.cpu_count())], home) - empty
    return {
        "images": images,
        "images_per_minute_one_process": 60 * images / one,
        "images_per_minute_and_core": 60 * images / several / (os.cpu_count() or 1),
    }


def memory(home: Path, examples: int) -> dict[str, float]:
    """Measure the peak memory of preparing many examples, resumed after a kill, and of learning from them."""
    root = home / "many"
    data_set(root, examples, (16, 16), ".png")
    command = ["prepare", TASK, "--root", str(root)]
    killed_after = _killed(command, home)
    resumed, seconds = peak_megabytes(command, home)
    learn = ["learn", "--strategy", "finetune", "--tasks", TASK, "--eval-examples", "10", "--max-steps"]
    short, _ = peak_megabytes([*learn, "20"], home)
    long, _ = peak_megabytes([*learn, "400"], home)
    return {
        "examples": examples,
        "seconds_until_kill": killed_after,
        "prepare_mb": resumed,
        "prepare_seconds_after_kill": seconds,
        "learn_20_steps_mb": short,
        "learn_400_steps_mb": long,
    }


def _killed(command: list[str], home: Path) -> float:
    """Kill a preparation once its journal has grown, and return the seconds until then."""
    environment, started = {**os.environ, "MICL_HOME": str(home)}, time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "micl_cli", *command], env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        journals = list((home / "tasks").glob("*/.*.inspected"))
        if journals and journals[0].stat().st_size > 1_000_000:
            process.send_signal(signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.1)
    return time.perf_counter() - started


def reading_ahead(home: Path) -> dict[str, float]:
    """Measure the first epoch with no threads that read ahead, and with two."""
    seconds = {}
    for workers in (0, 2):
        words = ["learn", "--strategy", "finetune", "--tasks", TASK, "--epochs", "1", "--eval-examples", "1"]
        words += ["--loader-workers", str(workers), "--again", "--threads", "1", "--json"]
        with fresh_home() as own:
            micl(["prepare", TASK, "--root", str(home / "jpeg")], own)
            lines = micl(words, own).stdout.splitlines()
        steps = [event for line in lines if (event := json.loads(line))["event"] == "step"]
        seconds[workers] = sum(step["seconds"] for step in steps)
    return {"epoch_seconds": seconds[0], "epoch_seconds_two_workers": seconds[2], "ratio": seconds[2] / seconds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=600)
    given = parser.parse_args()
    with fresh_home() as home:
        figures = {**preparing(home, given.images), **reading_ahead(home), **memory(home, given.examples)}
    for name, value in figures.items():
        print(f"{name:32} {value:12,.2f}")
    record("scale", figures)


if __name__ == "__main__":
    main()
