"""Connectors only: sequential fine-tuning of the connectors, with all other weights frozen at their initial values.

A reference row that shows how much of a result is learnt in the language model. Where it comes close to joint learning,
the tasks do not test what a method does against forgetting in the adapters of the language model.

Deviations: none, the method has no paper. Low-rank matrices and experts add nothing at their initial values, so the
language model acts like the base model; soft prompts keep their random initial values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from micl_cli.api import PartLoader, PlanError, Task
from micl_strategies.single_adapter import SingleAdapter

CONNECTOR = "connector/"
"""The prefix of the parameter groups of connectors."""


class Connectors(SingleAdapter):
    """Learn the connectors only: the language model's adapters keep their initial values."""

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
