"""Base class of the methods that learn a single adapter: rehearsal of stored examples, and a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from torch import Tensor, nn

from micl_cli.api import ADAPTER, NEW, Backbone, Batch, Example, Range, Stage, State, Strategy
from micl_strategies.buffer import Buffer

TEACHER = "teacher"
"""The name of the adapter that holds the weights from before the task."""


class SingleAdapter(Strategy):
    """Learn all tasks in one adapter. ``-o replay N`` adds rehearsal of old examples to any such method."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        replay: Annotated[int, "number of stored examples of earlier tasks (0: no rehearsal)", Range(0)] = 0,
        replay_policy: Annotated[
            Literal["task", "reservoir"],
            "store equally many examples of each task, or a uniform sample of all examples so far",
        ] = "task",
        replay_batch: Annotated[int, "stored examples added to each optimiser step", Range(0)] = 8,
        replay_bytes: Annotated[int, "limit in bytes for stored examples, media included (0: no limit)", Range(0)] = 0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.replay, self.replay_policy = replay, replay_policy
        self.replay_batch, self.replay_bytes = replay_batch, replay_bytes
        self.buffer = Buffer()

    # Rehearsal

    def step_examples(self, examples: Sequence[Example]) -> Mapping[str, Sequence[Example]]:
        return {NEW: [*examples, *self.rehearsed()]}

    def rehearsed(self) -> list[Example]:
        """Return the stored examples of one step, each with one of its references as the answer."""
        return self.buffer.draw(self.replay_batch, self.stage.rng) if self.replay else []

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the trainable weights, with the connectors of this stage's and of the rehearsed modalities."""
        rehearsed = self.buffer.modalities if self.replay else set()
        yield from self.backbone.adapters.trainable(self.stage.modalities | rehearsed).items()
        yield from ((f"modules/{name}", weight) for name, weight in self.modules.named_parameters())

    def remember(self, stage: Stage) -> None:
        """Store examples of the stage's tasks."""
        if self.replay:
            for task in stage.tasks:
                self.buffer.add(task, self.replay, self.replay_policy, self.replay_bytes, stage.rng)

    # The teacher

    def copy_teacher(self) -> bool:
        """Copy the adapter to the teacher if a task has been learnt before, and return whether one has."""
        if self.stage.previous_tasks:
            self.backbone.adapters.copy(ADAPTER, TEACHER)
        return bool(self.stage.previous_tasks)

    @property
    def has_teacher(self) -> bool:
        """Whether the teacher exists."""
        return TEACHER in self.backbone.adapters.names

    def teacher_logits(self, batch: Batch) -> Tensor:
        """Return [N, V]: the teacher's logits at the answer positions of ``batch``."""
        with self.backbone.adapters.using(TEACHER):
            return self.backbone.answer_logits(self.backbone.batch(batch.examples))[0]

    def drop_teacher(self) -> None:
        """Remove the teacher, if it exists."""
        if self.has_teacher:
            self.backbone.adapters.remove(TEACHER)

    # End of a stage, and resuming

    def end(self, stage: Stage) -> None:
        self.remember(stage)

    def state(self) -> State:
        return State(data={"buffer": self.buffer.as_json()} if self.replay else {})

    def restore(self, state: State) -> None:
        if "buffer" in state.data:
            self.buffer.restore(state.data["buffer"], [*self.stage.previous_tasks, *self.stage.tasks])
