"""What the methods with one adapter share: rehearsal of stored examples, and a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from torch import nn

from micl_cli.api import ADAPTER, Backbone, Batch, Example, Range, Stage, State, Strategy
from micl_strategies.buffer import Buffer

TEACHER = "teacher"
"""The adapter that holds the model as it stood before the task."""


class SingleAdapter(Strategy):
    """Learn every task in one adapter. ``-o replay N`` adds rehearsal of old examples to any such method."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        replay: Annotated[int, "examples of earlier tasks that are stored and rehearsed (0: none)", Range(0)] = 0,
        replay_policy: Annotated[
            Literal["task", "reservoir"],
            "store the same number of each task, or a uniform sample of all examples so far",
        ] = "task",
        replay_batch: Annotated[int, "stored examples that join each batch", Range(0)] = 8,
        replay_bytes: Annotated[int, "bytes that stored examples may take, media included (0: no limit)", Range(0)] = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.replay, self.replay_policy = replay, replay_policy
        self.replay_batch, self.replay_bytes = replay_batch, replay_bytes
        self.buffer = Buffer()

    # Rehearsal

    def batch(self, examples: Sequence[Example]) -> Batch:
        return self.backbone.batch([*examples, *self.rehearsed()])

    def rehearsed(self) -> list[Example]:
        """Return stored examples for one step, each with one of its references."""
        return self.buffer.draw(self.replay_batch, self.stage.rng) if self.replay else []

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the learning adapter, with the connectors of this stage and of what is rehearsed."""
        rehearsed = self.buffer.modalities if self.replay else set()
        yield from self.backbone.adapters.trainable(self.stage.modalities | rehearsed).items()
        yield from ((f"modules/{name}", weight) for name, weight in self.modules.named_parameters())

    def remember(self, stage: Stage) -> None:
        """Store examples of the tasks that were learnt."""
        if self.replay:
            for task in stage.tasks:
                self.buffer.add(task, self.replay, self.replay_policy, self.replay_bytes, stage.rng)

    # The teacher

    def keep_teacher(self) -> bool:
        """Copy the adapter as it stands to the teacher; return False before anything was learnt."""
        if self.stage.previous_tasks:
            self.backbone.adapters.copy(ADAPTER, TEACHER)
        return bool(self.stage.previous_tasks)

    @property
    def has_teacher(self) -> bool:
        """Whether there is a teacher."""
        return TEACHER in self.backbone.adapters.names

    def drop_teacher(self) -> None:
        """Remove the teacher, where there is one."""
        if self.has_teacher:
            self.backbone.adapters.remove(TEACHER)

    # After a stage, and to resume

    def end(self, stage: Stage) -> None:
        self.remember(stage)

    def state(self) -> State:
        return State(data={"buffer": self.buffer.as_json()} if self.replay else {})

    def restore(self, state: State) -> None:
        if "buffer" in state.data:
            self.buffer.restore(state.data["buffer"], [*self.stage.previous_tasks, *self.stage.tasks])
