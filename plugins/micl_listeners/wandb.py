"""Weights & Biases: a run with the id of micl's run, online or in a local folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from micl_cli.api import MiclError, RunInfo
from micl_listeners.series import Axis
from micl_listeners.tracker import Tracker

AXES: dict[Axis, tuple[str, ...]] = {
    "step": ("train", "validation"),
    "stage": ("score", "R", "figure", "cost", "routing"),
}
"""The groups of series that are drawn over an axis, which is logged as a series of its own."""
_START_SECONDS, _END_SECONDS = 30, 120
"""How long to wait for the server when a run starts, and for what is not sent yet when it ends."""
_LONGEST_TAG = 64
_EXIT_CODES = {"finished": 0, "interrupted": 130}


class WeightsAndBiases(Tracker):
    """Logs to Weights & Biases, with losses over the steps of the whole sequence, and scores and cost over the stages.

    The key is that of ``WANDB_API_KEY`` or of ``wandb login``. The cells of a sweep are a group. Offline, each
    process that resumes a run writes a folder of its own; ``wandb sync --append`` joins them.
    """

    requires = {"wandb": "pip install 'micl-cli[wandb]'"}

    def __init__(
        self,
        *,
        project: Annotated[str, "the project"] = "micl",
        entity: Annotated[str, "the team or user; by default that of the key"] = "",
        mode: Annotated[
            Literal["auto", "online", "offline"], "offline: write to a folder only; auto: as WANDB_MODE says"
        ] = "auto",
        report: Annotated[bool, "add the HTML report as an artifact when the run is finished"] = True,
    ) -> None:
        super().__init__(report=report)
        self.project, self.entity, self.mode = project, entity, mode
        self._run: Any = None

    def open(self, run: RunInfo) -> str:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        mode = wandb.setup().settings.mode if self.mode == "auto" else self.mode
        online = mode in ("online", "shared")
        if online and not wandb.login(prompt=False, verify=False):
            hint = 'Set WANDB_API_KEY, or run `wandb login`, or set mode = "offline" in [listen.wandb] of micl.toml.'
            raise MiclError("Weights & Biases needs a key", hint)
        run.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=self.project,
            entity=self.entity or None,
            id=run.id,
            name=run.name or f"{run.strategy}-{run.id}",
            group=run.group or None,
            tags=[tag[:_LONGEST_TAG] for tag in run.tags],
            config=dict(run.configuration),
            dir=str(run.folder),
            mode=mode,
            resume="allow" if online else None,
            settings=wandb.Settings(
                console="off", silent=True, init_timeout=_START_SECONDS, finish_timeout=_END_SECONDS
            ),
        )
        for axis, groups in AXES.items():
            self._run.define_metric(axis, hidden=True)
            for group in groups:
                self._run.define_metric(f"{group}/*", step_metric=axis)
        if online:
            return f"Weights & Biases shows this run: {self._run.url}"
        return f"Weights & Biases has this run offline: wandb sync --append {self._run.settings.sync_dir}"

    @property
    def destination(self) -> str:
        return f"{self.entity}/{self.project}"

    def log(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        self._run.log({axis: at, **values})

    def describe_task(self, task: str, step: int) -> None:
        self._run.log({"step": step, "train/task": task})

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[float | None]]) -> None:
        import wandb

        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def log_file(self, name: str, text: str) -> None:
        import wandb

        artifact = wandb.Artifact(f"report-{self.run.id}", type="report")
        with artifact.new_file(name, encoding="utf-8") as file:
            file.write(text)
        self._run.log_artifact(artifact)

    def finish(self, status: str) -> None:
        run, self._run = self._run, None
        run.finish(exit_code=_EXIT_CODES.get(status, 1))

    def close(self) -> None:
        """End the tracker's run, if an error has left it open."""
        if self._run is not None:
            self.finish("failed")
