from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from micl_cli.api import Metric


@pytest.mark.parametrize(
    "scale", [1.0, (1.0,), (0.0, "1"), (0.0, inf), (nan, 1.0), (1.0, 1.0), (2.0, 1.0), (-1.0, 0.0)]
)
def test_a_metric_without_a_scale_that_scores_can_be_compared_on_is_refused(scale: Any) -> None:
    with pytest.raises(ValueError, match="the scale of metric Odd is"):
        type("Odd", (Metric,), {"scale": scale})


def test_the_scale_is_that_of_a_share_unless_it_is_declared() -> None:
    assert type("Plain", (Metric,), {}).scale == (0.0, 1.0)
    assert type("Signed", (Metric,), {"scale": (-1, 1)}).scale == (-1, 1)
