"""Zero-shot evaluation: no training at all.

Deviations: none, the method has no paper. Connectors keep their random initial weights, so a composed backbone
answers from the prompt only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from micl_cli.api import Example, Stage, Strategy


class ZeroShot(Strategy):
    """Learn nothing: the lower bound. New connectors keep their random initial weights."""

    def examples(self, stage: Stage) -> Sequence[Example]:
        return ()

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from ()
