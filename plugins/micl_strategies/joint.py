"""Joint learning (multi-task learning), the reference for all continual methods."""

from __future__ import annotations

from collections.abc import Sequence

from micl_cli.api import PartLoader, Strategy, Task


class Joint(Strategy):
    """Learn all tasks at once from all of their data: the usual upper bound for continual learning."""

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        return [list(tasks)]
