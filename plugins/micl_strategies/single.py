"""What the methods with one adapter share: rehearsal of kept examples, and a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from torch import nn

from micl_cli.api import ADAPTER, Backbone, Batch, Example, State, Strategy, Task
from micl_strategies.buffer import Buffer

TEACHER = "teacher"
"""The model as it stood before the task: an adapter on the same base."""


class SingleAdapter(Strategy):
    """One adapter learns every task. ``-o replay N`` adds rehearsal of old examples to any such method."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        replay: Annotated[int, "examples of earlier tasks that are kept and rehearsed (0: none)"] = 0,
        replay_policy: Annotated[
            Literal["task", "reservoir"],
            "keep the same number of each task, or a uniform sample of all that was seen",
        ] = "task",
        replay_batch: Annotated[int, "kept examples that join each batch"] = 8,
        replay_bytes: Annotated[int, "bytes that the kept examples may take, media included (0: any)"] = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.replay, self.replay_policy = replay, replay_policy
        self.replay_batch, self.replay_bytes = replay_batch, replay_bytes
        self.buffer = Buffer()

    # Rehearsal

    def batch(self, examples: Sequence[Example]) -> Batch:
        return self.backbone.batch([*examples, *self.recalled()])

    def recalled(self) -> list[Example]:
        """Kept examples for one step, each with one of its references."""
        return self.buffer.draw(self.replay_batch, self.rng) if self.replay else []

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The active adapter's LoRA, this task's connector, and those of what is rehearsed."""
        rehearsed = self.buffer.modalities if self.replay else set()
        yield from self.backbone.trainable({task.modality for task in self.stage} | rehearsed).items()

    # The teacher

    def keep_teacher(self) -> bool:
        """Keep the adapter as it stands as the teacher; False before anything was learnt."""
        if self.seen:
            self.backbone.copy_adapter(ADAPTER, TEACHER)
        return bool(self.seen)

    @property
    def taught(self) -> bool:
        """Whether there is a teacher."""
        return TEACHER in self.backbone.adapters

    def drop_teacher(self) -> None:
        """Let go of the teacher, where there is one."""
        if self.taught:
            self.backbone.drop_adapter(TEACHER)

    # After a task, and for going on

    def end(self, task: Task) -> None:
        if self.replay:
            self.buffer.take(task, self.replay, self.replay_policy, self.replay_bytes, self.rng)

    def state(self) -> State:
        return State(data={"buffer": self.buffer.as_json()} if self.replay else {})

    def restore(self, state: State) -> None:
        if "buffer" in state.data:
            self.buffer.restore(state.data["buffer"], [*self.seen, *self.stage])
