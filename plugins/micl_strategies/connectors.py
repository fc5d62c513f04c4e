"""Connectors only: sequential fine-tuning of the connectors of media, with every other weight frozen at its start.

A row that tells how much of a result is learnt in the language model: where it comes near to joint learning, the tasks
do not test what a method does against forgetting in the language model's adapters.

Deviations: none, the method has no paper. New low-rank matrices and experts add nothing at their start, so that the
language model is the base model; soft prompts keep their random initial values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from micl_cli.api import PartLoader, PlanError, Task
from micl_strategies.single_adapter import SingleAdapter

CONNECTOR = "connector/"
"""The prefix of the parameter groups of connectors."""


class Connectors(SingleAdapter):
    """Learn the connectors of media only: the language model's adapters stay as they were initialised."""

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        connected = self.backbone.new_connectors().keys()
        for task in tasks:
            if not task.modalities & connected:
                raise PlanError(
                    f"strategy 'connectors' has nothing to learn from {task.name}: the backbone has no connector "
                    f"for {' or '.join(sorted(task.modalities)) or 'text'}",
                    f"It has connectors for {', '.join(sorted(connected)) or 'no modality'}: choose other --tasks, "
                    "--backbone or --strategy.",
                )
        return super().stages(tasks, load_part)

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        group = self.backbone.adapters.group
        yield from ((name, weight) for name, weight in super().trainable() if group(name).startswith(CONNECTOR))
