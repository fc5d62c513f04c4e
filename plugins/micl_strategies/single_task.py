"""Single-task learning: each task alone, in an adapter of its own, as a reference without a sequence.

The score of a task is the same after every later stage, R[t][i] = R[i][i] for t >= i, so a run looks like a sequence
without forgetting or transfer. Each example is answered by the adapter of its own task.

Deviations: two from the usual definition. The backbone calibrates each modality once, on the first task that has it,
and all later tasks of the run use that; and the order in which examples are drawn depends on the position of the task.
Examples of tasks that have not been learnt are answered by the base model.
"""

from __future__ import annotations

from collections.abc import Sequence

from micl_cli.api import BASE, Example, Route
from micl_strategies.task_adapters import TaskAdapters


class SingleTask(TaskAdapters):
    """Learn each task alone in its own adapter, and answer its examples with that adapter (the task is told)."""

    knows_task = True

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        if not self.experts:
            return None
        own = [(example.task, self.experts.get(example.task)) for example in examples]
        return [Route(task if adapter else BASE, 1.0, adapter) for task, adapter in own]
