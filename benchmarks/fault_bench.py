"""What every scenario of the fault benchmark starts from: a prepared home, undisturbed runs, and a list of faults."""

from __future__ import annotations

import random
from pathlib import Path

from fault_tools import (
    LEARN,
    Outcome,
    copied,
    differences,
    half_written,
    last_run,
    offer_toy,
    preload,
    prepared_home,
    rows_of,
    run,
    weights_of,
)

STRATEGIES = (
    ("--strategy", "moincl"),
    ("--strategy", "ewc"),
    ("--strategy", "router", "-o", "router", "ridge"),
    ("--strategy", "finetune", "-o", "replay", "4"),
)


class Bench:
    """A scratch folder with a prepared home, and the faults that were not handled."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.faults: list[str] = []
        offer_toy(folder / "site")
        preload()
        self.prepared = prepared_home(folder / "prepared" / "home", folder / "sources")
        self._references: dict[tuple[str, ...], tuple[Path, str, Outcome]] = {}

    def reference(self, strategy: tuple[str, ...]) -> tuple[Path, str, Outcome]:
        """Return home, run id and outcome of an undisturbed run."""
        if strategy not in self._references:
            home = copied(self.prepared, self.folder / f"reference-{len(self._references)}" / "home")
            outcome = run([*LEARN, *strategy], home)
            self._references[strategy] = home, last_run(outcome), outcome
        return self._references[strategy]

    def fault(self, text: str) -> None:
        """Report a fault that was not handled."""
        self.faults.append(text)
        print(text, flush=True)

    def check_equal(self, what: str, home: Path, strategy: tuple[str, ...]) -> None:
        """Report what differs between a run and the undisturbed one, and what is half written."""
        reference, run_id, _ = self.reference(strategy)
        if different := differences(rows_of(reference, run_id), rows_of(home, run_id)):
            self.fault(f"{what}: other rows in {', '.join(different)}")
        if different := differences(weights_of(reference, run_id), weights_of(home, run_id)):
            self.fault(f"{what}: other weights in {', '.join(different)}")
        if left := half_written(home):
            self.fault(f"{what}: half written: {', '.join(left)}")

    def check_foreseen(self, what: str, outcome: Outcome) -> None:
        """Report an error that was not foreseen."""
        if outcome.unforeseen or outcome.code not in {0, 1, 2, 3, 4}:
            self.fault(f"{what}: exit {outcome.code}: {outcome.err.strip()[-300:]}")
