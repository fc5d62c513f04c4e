"""When the frames of a clip are shown, and which of them is shown at a time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_modalities.timeline import Stamp, Timeline

TICK, INTERVAL = Fraction(1, 1000), Fraction(1, 25)


def timeline(*starts: int | None, lasts: int = 40) -> Timeline:
    """Frames at milliseconds, each of which says that it lasts ``lasts`` of them."""
    stamps = [Stamp(None if start is None else Fraction(start, 1000), Fraction(lasts, 1000)) for start in starts]
    return Timeline.of(stamps, TICK, INTERVAL)


def milliseconds(made: Timeline) -> list[int]:
    return [round(start * 1000) for start in made.starts]


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ((0, 40, 80), [0, 40, 80]),
        ((500, 540, 580), [0, 40, 80]),
        ((-80, -40, 0), [0, 40, 80]),
        ((None, None, None), [0, 40, 80]),
        ((0, None, 80), [0, 40, 80]),
        ((0, 0, 0), [0, 40, 80]),
        ((0, 40, 10, 120), [0, 40, 80, 120]),
    ],
)
def test_times_begin_with_the_first_frame_and_ascend(starts: tuple[int | None, ...], expected: list[int]) -> None:
    assert milliseconds(timeline(*starts)) == expected


def test_the_last_frame_lasts_as_long_as_it_says_or_as_the_one_before() -> None:
    assert timeline(0, 100, lasts=40).duration == Fraction(140, 1000)
    assert timeline(0, 100, lasts=0).duration == Fraction(200, 1000)
    assert timeline(0, lasts=0).duration == INTERVAL


def test_a_frame_counts_by_how_long_it_is_shown() -> None:
    assert timeline(0, 10, 20, 30, 1030, lasts=1000).indices(4) == [3, 3, 4, 4]


@given(total=st.integers(1, 500), segments=st.integers(1, 64))
def test_at_a_constant_rate_frames_are_the_middle_ones(total: int, segments: int) -> None:
    exact = Timeline.of((Stamp(i * INTERVAL, INTERVAL) for i in range(total)), INTERVAL, INTERVAL)
    assert exact.duration == total * INTERVAL
    middles = [(2 * segment + 1) * total // (2 * segments) for segment in range(segments)]
    assert exact.indices(segments) == middles


@given(rate=st.sampled_from([24, 25, 30]), total=st.integers(1, 300), segments=st.sampled_from([1, 2, 4]))
def test_timestamps_rounded_to_milliseconds_give_the_same_frames(rate: int, total: int, segments: int) -> None:
    stamps = [
        Stamp(Fraction(round(Fraction(1000 * i, rate)), 1000), Fraction(1000 // rate, 1000)) for i in range(total)
    ]
    rounded = Timeline.of(stamps, TICK, Fraction(1, rate)).indices(segments)
    exact = [(2 * segment + 1) * total // (2 * segments) for segment in range(segments)]
    assert rounded == exact


@given(gaps=st.lists(st.integers(1, 5000), min_size=1, max_size=50), segments=st.integers(1, 16))
def test_a_sampled_frame_is_the_one_that_is_shown(gaps: list[int], segments: int) -> None:
    starts = [sum(gaps[:i]) for i in range(len(gaps))]
    made = Timeline.of(
        (Stamp(Fraction(start), Fraction(gap)) for start, gap in zip(starts, gaps, strict=True)), TICK, TICK
    )
    indices = made.indices(segments)
    assert indices == sorted(indices)
    for index, middle in zip(indices, made.middles(segments), strict=True):
        assert starts[index] <= middle < starts[index] + gaps[index]
