"""Joint learning (multi-task learning), the reference for all continual methods.

Deviations: none from the usual definition. Examples of all tasks are shuffled together, so tasks count in proportion to
their size. ``--max-steps`` holds for each task, so the run has as many steps as one that learns the tasks in sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from micl_cli.api import PartLoader, Strategy, Task


class Joint(Strategy):
    """Learn all tasks at once from all of their data: the usual upper bound for continual learning."""

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        return [list(tasks)]
