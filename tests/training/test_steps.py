from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from micl_cli.plan import Training
from micl_cli.training.steps import planned_steps, steps_in_epoch


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.none() | st.integers(1, 30))
def test_every_example_is_seen_once_an_epoch(
    examples: int, batch: int, more: int, epochs: int, most: int | None
) -> None:
    training = Training(epochs=epochs, batch_size=batch, accumulation=more, max_steps=most)
    steps = steps_in_epoch(training, examples)
    assert (steps - 1) * batch * more < examples <= steps * batch * more
    assert planned_steps(training, examples, 1) == min(epochs * steps, most or epochs * steps)
