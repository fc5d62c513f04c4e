"""Rehearsal of stored examples (Robins 1995; Chaudhry et al., "On Tiny Episodic Memories in Continual
Learning", 2019)."""

from __future__ import annotations

from typing import Annotated, Any

from micl_cli.api import Backbone, Range
from micl_strategies.single import SingleAdapter


class Replay(SingleAdapter):
    """Fine-tune, and rehearse examples of earlier tasks: it uses old data, which most methods do without."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        replay: Annotated[int, "examples of earlier tasks that are stored and rehearsed", Range(0)] = 120,
        **options: Any,
    ) -> None:
        super().__init__(backbone, replay=replay, **options)
