"""Experience replay (Robins 1995; Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", arXiv
1902.10486).

The loss is the mean cross entropy over the answer tokens of a batch of the new task joined with one drawn from memory.

Deviations: memory is filled when a task ends, not at every step, so that a task never rehearses its own examples. The
default policy stores the same number of examples of each task; ``-o replay_policy reservoir`` is the paper's reservoir.
"""

from __future__ import annotations

from typing import Annotated, Any

from micl_cli.api import Backbone, Range
from micl_strategies.single_adapter import SingleAdapter


class Replay(SingleAdapter):
    """Fine-tune while rehearsing examples of earlier tasks: it uses old data, which most methods do without."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        replay: Annotated[int, "number of stored examples of earlier tasks", Range(0)] = 120,
        **options: Any,
    ) -> None:
        super().__init__(backbone, replay=replay, **options)
