"""Wall time of `micl --help` as a process. Usage: python benchmarks/startup.py"""

from __future__ import annotations

import statistics

from common import fresh_home, record, timed

RUNS = 15


def main() -> None:
    with fresh_home() as home:
        timed(["--help"], home)
        seconds = [timed(["--help"], home) for _ in range(RUNS)]
    figures = {
        "median_ms": 1000 * statistics.median(seconds),
        "min_ms": 1000 * min(seconds),
        "max_ms": 1000 * max(seconds),
    }
    print(" ".join(f"{name} {value:.0f}" for name, value in figures.items()))
    record("startup", figures)


if __name__ == "__main__":
    main()
