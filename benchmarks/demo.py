"""Wall time of the first commands in a fresh home folder: the demo, and all six tasks of mini.

Usage: python benchmarks/demo.py
"""

from __future__ import annotations

from common import ORDERS, fresh_home, record, timed


def main() -> None:
    with fresh_home() as home:
        learn = timed(["learn", "--strategy", "moincl", "--tasks", "img_cap,aud_qa"], home)
        report = timed(["report", "@last"], home)
    with fresh_home() as home:
        six = timed(["learn", "--strategy", "finetune", "--tasks", ORDERS["order-1"]], home)
    figures = {"demo_learn_s": learn, "demo_report_s": report, "demo_s": learn + report, "six_tasks_finetune_s": six}
    print("\n".join(f"{name} {value:.1f}" for name, value in figures.items()))
    record("demo", figures)


if __name__ == "__main__":
    main()
