"""Numerical noise: attempts at one plan with other thread counts."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest

from micl_cli.report.data import RunData
from micl_cli.report.noise import Noise, noise_of


def run(plain: RunData, seed: int, threads: str, final: float, **environment: str) -> RunData:
    facts = {"threads": threads, "device": "cpu", **environment}
    return replace(
        plain, id=f"{seed}-{threads}-{final:g}", seed=seed, environment=facts, matrix=[[100.0, None], [final, 90.0]]
    )


def noise(*runs: RunData) -> Noise | None:
    return noise_of("finetune", runs, {"mfn": lambda each: each.metrics["mfn"]})


def test_the_spread_over_thread_counts_stands_beside_that_over_seeds(plain: RunData) -> None:
    found = noise(run(plain, 0, "1", 80.0), run(plain, 0, "2", 84.0), run(plain, 1, "1", 60.0))
    assert found is not None
    assert (found.threads, found.cells) == ((1, 2), 1)
    # MFN 85 and 87 with seed 0 (86 on average), 75 with seed 1.
    assert found.over_threads == pytest.approx({"mfn": 2 / sqrt(2)})
    assert found.over_seeds == pytest.approx({"mfn": 11 / sqrt(2)})


def test_attempts_with_equal_threads_are_no_noise(plain: RunData) -> None:
    assert noise(run(plain, 0, "1", 80.0), run(plain, 0, "1", 84.0)) is None
    assert noise(run(plain, 0, "1", 80.0), run(plain, 1, "2", 84.0)) is None


def test_another_device_or_unknown_threads_are_no_noise(plain: RunData) -> None:
    assert noise(run(plain, 0, "1", 80.0), run(plain, 0, "2", 84.0, device="cuda")) is None
    assert noise(run(plain, 0, "1", 80.0), replace(run(plain, 0, "2", 84.0), environment={})) is None


def test_other_cores_change_nothing(plain: RunData) -> None:
    assert noise(run(plain, 0, "1", 80.0, cores="1"), run(plain, 0, "2", 84.0, cores="2")) is not None


def test_a_run_whose_threads_changed_is_no_noise(plain: RunData) -> None:
    assert noise(run(plain, 0, "1", 80.0), run(plain, 0, "1, then 2", 84.0)) is None


def test_another_commit_of_the_same_code_changes_nothing(plain: RunData) -> None:
    assert noise(run(plain, 0, "1", 80.0, commit="a"), run(plain, 0, "2", 84.0, commit="b")) is not None


def test_attempts_with_one_thread_count_are_averaged(plain: RunData) -> None:
    found = noise(run(plain, 0, "1", 78.0), run(plain, 0, "1", 82.0), run(plain, 0, "2", 84.0))
    assert found is not None
    assert found.over_threads == pytest.approx({"mfn": 2 / sqrt(2)})
    assert found.over_seeds == {"mfn": None}
