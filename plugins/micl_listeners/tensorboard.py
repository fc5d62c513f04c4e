"""TensorBoard: event files in a folder for each run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from micl_cli.api import RunInfo
from micl_listeners.series import Axis
from micl_listeners.tracker import Tracker


class TensorBoard(Tracker):
    """Writes event files, and the HTML report beside them.

    The cells of a sweep are in a folder of its name. Losses and validations have the step of the whole sequence,
    scores, figures and cost the stage. Nothing is buffered.
    """

    requires = {"tensorboard": "pip install 'micl-cli[tensorboard]'"}

    def __init__(
        self,
        *,
        folder: Annotated[Path | None, "the folder for all runs; by default one in the home folder"] = None,
        report: Annotated[bool, "write the HTML report beside the event files when the run is finished"] = True,
    ) -> None:
        super().__init__(report=report)
        self.folder = folder
        self._writer: Any = None

    def open(self, run: RunInfo) -> str:
        from torch.utils.tensorboard import SummaryWriter

        root = (self.folder or run.folder / "logs").absolute()
        self._path = root / run.group / f"{run.strategy}-{run.id}"
        known = self._path.exists()
        self._writer = SummaryWriter(str(self._path))
        if not known:
            about = {"run": run.id, "name": run.name, "group": run.group, "tags": list(run.tags), **run.configuration}
            self._text("configuration", f"```json\n{json.dumps(about, indent=1)}\n```", 0)
        return f"TensorBoard shows this run: tensorboard --logdir {root}"

    @property
    def destination(self) -> str:
        return str(self._path)

    def log(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, at)
        self._writer.flush()

    def describe_task(self, task: str, step: int) -> None:
        self._text("task", task, step)

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[float | None]]) -> None:
        cells = [["" if value is None else f"{value:.4g}" for value in row] for row in rows]
        lines = [columns, ["---"] * len(columns), *cells]
        self._text(name, "\n".join(f"| {' | '.join(line)} |" for line in lines), 0)

    def log_file(self, name: str, text: str) -> None:
        (self._path / name).write_text(text, encoding="utf-8")

    def finish(self, status: str) -> None:
        self._text("status", status, 0)

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()

    def _text(self, name: str, text: str, step: int) -> None:
        self._writer.add_text(name, text, step)
        self._writer.flush()
