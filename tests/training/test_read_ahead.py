"""Reading ahead in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from micl_cli.api import Media
from micl_cli.training.feature_cache import Features
from micl_cli.training.read_ahead import STEPS, ReadAhead

MEDIA = [Media("image", Path(f"{n}.png"), f"{n:064x}") for n in range(4)]


class Encode:
    """Encodes a medium as its number, and remembers the threads."""

    concurrent = True

    def __init__(self) -> None:
        self.threads: dict[str, str] = {}

    def __call__(self, media: Sequence[Media]) -> Tensor:
        (medium,) = media
        assert medium.digest not in self.threads, "encoded twice"
        self.threads[medium.digest] = threading.current_thread().name
        if medium is MEDIA[3]:
            raise ValueError("it is damaged")
        return torch.full((1, 2), float(int(medium.digest, 16)))


@pytest.fixture
def ahead() -> Any:
    made = ReadAhead()
    made.open(2)
    yield made
    made.close()


def test_features_of_the_next_steps_are_computed_in_threads(tmp_path: Path) -> None:
    features, encode = Features(tmp_path), Encode()
    features.ahead.open(2)
    first = features("k", MEDIA[:1], encode)
    assert all(features.read_ahead(medium) for medium in MEDIA[:3])
    while len(encode.threads) < 3:  # one that no thread has begun is computed when it is asked for
        time.sleep(0.01)
    rest = features("k", MEDIA[1:3], encode)
    features.ahead.close()
    assert torch.equal(torch.cat([first, rest]), torch.tensor([[0.0, 0], [1, 1], [2, 2]]))
    own = threading.current_thread().name
    assert [encode.threads[medium.digest] == own for medium in MEDIA[:3]] == [True, False, False]


def test_an_error_is_raised_where_the_value_is_used(tmp_path: Path) -> None:
    features, encode = Features(tmp_path), Encode()
    features.ahead.open(1)
    features("k", MEDIA[:1], encode)
    assert features.read_ahead(MEDIA[3])
    with pytest.raises(ValueError, match="damaged"):
        features("k", MEDIA[3:], encode)
    features.ahead.close()


def test_functions_that_are_not_safe_in_threads_are_left_alone(tmp_path: Path) -> None:
    features = Features(tmp_path)
    features.ahead.open(1)
    features("k", MEDIA[:1], lambda media: torch.zeros(1, 2))
    assert not features.read_ahead(MEDIA[1])
    features.ahead.close()


def test_results_that_nobody_asks_for_end_the_reading(ahead: ReadAhead) -> None:
    started = []
    for number in range(200):
        ahead.next_step()
        ahead.start(number, lambda n=number: started.append(n))  # type: ignore[misc]
    ahead.close()
    assert len(started) < 50 + STEPS


def test_without_threads_values_are_computed_when_they_are_asked_for() -> None:
    made = ReadAhead()
    made.start("a", lambda: pytest.fail("not asked for"))
    assert made.result("a", lambda: 5) == 5
