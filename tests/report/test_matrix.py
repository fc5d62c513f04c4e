"""Continual-learning figures: by hand, as properties, and against a published table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.report.matrix import FIGURES, Rows, ScoreMatrix, figures, forgetting

# Three tasks, measured as far as they were learnt, and the first two before that.
ROWS: Rows = [[80.0, 10.0, None], [60.0, 90.0, 30.0], [70.0, 50.0, 40.0]]
ZERO_SHOT = [5.0, 4.0, 6.0]


def of(rows: Rows, zero_shot: list[float] | None = None, tasks: int | None = None) -> dict[str, float | None]:
    return figures(ScoreMatrix(rows, zero_shot, tasks))


class TestByHand:
    def test_three_tasks(self) -> None:
        assert of(ROWS, ZERO_SHOT) == {
            "mft": (80 + 90 + 40) / 3,
            "mfn": (70 + 50 + 40) / 3,
            "maa": (80 + (60 + 90) / 2 + (70 + 50 + 40) / 3) / 3,
            "bwt": ((70 - 80) + (50 - 90)) / 2,
            "forgetting": ((80 - 70) + (90 - 50)) / 2,
            "peak_forgetting": ((80 - 70) + (90 - 50)) / 2,
            "fwt": ((10 - 4) + (30 - 6)) / 2,
        }

    def test_the_peak_may_come_after_a_task_was_learnt(self) -> None:
        rows: Rows = [[50.0], [70.0, 90.0], [40.0, 80.0, 60.0]]
        assert of(rows)["forgetting"] == (10 + 10) / 2
        assert of(rows)["peak_forgetting"] == (30 + 10) / 2

    def test_the_peak_may_come_before_a_task_was_learnt(self) -> None:
        assert of([[50.0, 95.0, None], [50.0, 90.0, None], [50.0, 80.0, 60.0]])["peak_forgetting"] == (0 + 15) / 2

    def test_one_task_has_no_transfer(self) -> None:
        only = of([[42.0]], [1.0])
        assert (only["mft"], only["mfn"], only["maa"]) == (42.0, 42.0, 42.0)
        assert [only[name] for name in ("bwt", "forgetting", "peak_forgetting", "fwt")] == [None] * 4

    def test_no_task_has_no_figure(self) -> None:
        assert set(of([]).values()) == {None}


class TestNotMeasured:
    def test_joint_learning_has_the_final_mean_alone(self) -> None:
        rows: Rows = [[], [], [80.0, 70.0, 60.0]]
        joint = of(rows)
        assert joint.pop("mfn") == 70.0
        assert set(joint.values()) == {None}

    def test_an_unfinished_run_has_no_final_mean(self) -> None:
        assert set(of([[80.0]], tasks=3).values()) == {None}
        assert set(of([[80.0], []], tasks=2).values()) == {None}

    def test_a_missing_final_score_leaves_what_does_not_need_it(self) -> None:
        found = of([[80.0, None], [None, 90.0]])
        assert found["mft"] == 85.0
        assert [found[name] for name in ("mfn", "maa", "bwt", "forgetting", "peak_forgetting")] == [None] * 5

    def test_a_gap_between_hides_the_peak_only(self) -> None:
        found = of([[80.0], [None, 90.0], [70.0, 50.0, 40.0]])
        assert found["forgetting"] == 25.0
        assert found["peak_forgetting"] is None
        assert found["maa"] is None

    def test_forward_transfer_needs_zero_shot_scores(self) -> None:
        assert of(ROWS)["fwt"] is None
        assert of([[80.0], [60.0, 90.0]], ZERO_SHOT)["fwt"] is None

    def test_numbers_that_are_not_finite_are_not_measured(self) -> None:
        assert of([[float("nan")]])["mfn"] is None


def test_rows_are_filled_up_to_a_square() -> None:
    assert ScoreMatrix([[1.0], [2.0, 3.0]], tasks=3).rows() == [[1.0, None, None], [2.0, 3.0, None], [None] * 3]
    assert ScoreMatrix([[1.0], [2.0, 3.0]]).size == 2


def test_every_figure_has_a_formula_over_r() -> None:
    assert list(FIGURES) == ["mft", "mfn", "maa", "bwt", "forgetting", "peak_forgetting", "fwt"]
    for name, figure in FIGURES.items():
        assert figure.name == name
        assert "R[" in figure.formula
    assert FIGURES["forgetting"].function is forgetting


@st.composite
def matrices(draw: st.DrawFn) -> list[list[float]]:
    size = draw(st.integers(2, 6))
    score = st.floats(0, 1000, allow_nan=False)
    return draw(st.lists(st.lists(score, min_size=size, max_size=size), min_size=size, max_size=size))


def numbers(rows: Rows) -> dict[str, float]:
    return {name: value for name, value in of(rows).items() if value is not None}


@given(matrices())
def test_backward_transfer_follows_from_the_means(rows: list[list[float]]) -> None:
    found, size = numbers(rows), len(rows)
    assert found["bwt"] == pytest.approx(size / (size - 1) * (found["mfn"] - found["mft"]), abs=1e-9)


@given(matrices())
def test_forgetting_is_lost_backward_transfer(rows: list[list[float]]) -> None:
    found = numbers(rows)
    assert found["forgetting"] == -found["bwt"]
    assert found["peak_forgetting"] >= found["forgetting"]


@given(matrices(), st.floats(-100, 100))
def test_means_move_with_the_scores_and_transfers_do_not(rows: list[list[float]], shift: float) -> None:
    before, after = numbers(rows), numbers([[score + shift for score in row] for row in rows])
    for name in ("mft", "mfn", "maa"):
        assert after[name] == pytest.approx(before[name] + shift, abs=1e-9)
    for name in ("bwt", "forgetting", "peak_forgetting"):
        assert after[name] == pytest.approx(before[name], abs=1e-9)


# MLLM-CL (Zhao et al., arXiv 2506.05453), domain sequence RS, Med, AD, Sci, Fin on LLaVA-1.5-7B: the final score of
# each task, then MFT, MFN, MAA and BWT, as printed in a later paper on the same benchmark.
PUBLISHED = {
    "LoRA-FT": ([69.65, 41.59, 25.43, 40.88, 87.45], 64.98, 53.00, 61.13, -14.97),
    "O-LoRA": ([74.64, 44.42, 30.02, 41.47, 87.15], 65.16, 55.54, 62.12, -12.03),
    "MoELoRA": ([77.54, 41.85, 27.62, 40.13, 86.75], 64.94, 54.78, 61.76, -12.70),
    "CL-MoE": ([71.34, 46.84, 26.33, 41.17, 88.74], 66.06, 54.88, 61.79, -13.96),
    "HiDe": ([74.31, 48.95, 33.21, 38.54, 81.55], 60.77, 55.31, 60.68, -6.82),
    "SEFE": ([77.26, 50.37, 37.21, 40.87, 86.82], 65.01, 58.51, 63.63, -8.13),
    "DISCO": ([77.78, 46.25, 50.45, 49.51, 89.71], 65.27, 62.74, 64.92, -3.17),
    "closed-form router": ([81.28, 65.61, 54.68, 56.89, 91.14], 69.92, 69.92, 71.29, 0.00),
}
# Rows of which one mean alone is printed: that of the scores.
MEANS = {
    "zero-shot": ([32.29, 28.28, 15.59, 35.55, 62.56], 34.85),
    "oracle router": ([81.06, 65.83, 54.17, 56.86, 91.14], 69.81),
}
ROUNDED = 0.005


@pytest.mark.parametrize("method", PUBLISHED)
def test_published_rows(method: str) -> None:
    """What was right after learning is not printed for each task: spread what MFT says was lost evenly."""
    final, mft, mfn, _, bwt = PUBLISHED[method]
    size = len(final)
    lost = (size * mft - sum(final)) / (size - 1)
    diagonal = [*(score + lost for score in final[:-1]), final[-1]]
    rows = [[diagonal[i] if t == i else final[i] for i in range(t + 1)] for t in range(size)]
    found = numbers(rows)
    assert found["mft"] == pytest.approx(mft)
    assert found["mfn"] == pytest.approx(mfn, abs=ROUNDED + 1e-9)
    # MFT and MFN are rounded before they are subtracted here, BWT after.
    assert found["bwt"] == pytest.approx(bwt, abs=size / (size - 1) * 2 * ROUNDED + ROUNDED)
    assert size / (size - 1) * (mfn - mft) == pytest.approx(bwt, abs=size / (size - 1) * 2 * ROUNDED + ROUNDED)


@pytest.mark.parametrize("method", PUBLISHED)
def test_published_mean_averages(method: str) -> None:
    """MAA averages the stages' means; the last of them is MFN, so MAA fixes the mean of the others."""
    final, _, mfn, maa, _ = PUBLISHED[method]
    others = (len(final) * maa - mfn) / (len(final) - 1)
    rows = [[others] * (t + 1) for t in range(len(final) - 1)] + [final]
    assert numbers(rows)["maa"] == pytest.approx(maa, abs=ROUNDED)


@pytest.mark.parametrize("method", MEANS)
def test_published_means(method: str) -> None:
    scores, mean = MEANS[method]
    assert of([[], [], [], [], scores])["mfn"] == pytest.approx(mean, abs=ROUNDED)
