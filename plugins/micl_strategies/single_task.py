"""Single-task learning: each task alone, in an adapter of its own, the reference that no sequence disturbs.

The score of a task is the same after every later stage, R[t][i] = R[i][i] for t >= i, so that a run has the form of a
sequence without forgetting or transfer. Each example is answered by the adapter of its own task.

Deviations: none from the usual definition but that the tasks of a run share what the backbone calibrates once per
modality, on the first task that has it, and that the order in which examples are drawn depends on the position of the
task. Tasks that have not been learnt are answered by the base model.
"""

from __future__ import annotations

from collections.abc import Sequence

from micl_cli.api import BASE, Example, Route
from micl_strategies.task_adapters import TaskAdapters


class SingleTask(TaskAdapters):
    """Learn each task alone in its own adapter, and answer it with that: single-task learning, told the task."""

    knows_task = True

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        if not self.experts:
            return None
        own = [(example.task, self.experts.get(example.task)) for example in examples]
        return [Route(task if adapter else BASE, 1.0, adapter) for task, adapter in own]
