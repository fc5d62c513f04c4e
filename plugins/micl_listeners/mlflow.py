"""MLflow: a run of an experiment, in a database of the home folder or on a server."""

from __future__ import annotations

import csv
import io
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock

from micl_cli.api import MiclError, RunInfo
from micl_listeners.series import Axis
from micl_listeners.tracker import Tracker

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""MLflow's settings, unless the user has set them: a server that is gone must not hold up a run for minutes."""
_SEND_SECONDS = 5.0
_MOST_METRICS, _MOST_PARAMETERS, _LONGEST_PARAMETER = 1000, 100, 500
"""What a server accepts at once."""
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]", re.ASCII)
_RUN, _GROUP, _TASK, _TAGS = "micl.run", "micl.group", "micl.task", "micl.tags"
"""The tags of MLflow's runs."""
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


class MLflow(Tracker):
    """Logs to MLflow: losses over the steps of the whole sequence, scores, figures and cost over the stages.

    Runs are in a SQLite database in the home folder, unless ``tracking_uri`` or ``MLFLOW_TRACKING_URI`` names a server.
    Credentials are those of MLflow's own environment variables. The cells of a sweep share the tag ``micl.group``.
    """

    requires = {"mlflow": "pip install 'micl-cli[mlflow]'"}

    def __init__(
        self,
        *,
        tracking_uri: Annotated[str, "the server or database; by default a database in the home folder"] = "",
        experiment: Annotated[str, "the experiment"] = "micl",
        report: Annotated[bool, "add the HTML report as an artifact when the run is finished"] = True,
    ) -> None:
        super().__init__(report=report)
        self.tracking_uri, self.experiment = tracking_uri, experiment
        self._client: Any = None
        self._unsent: list[Any] = []
        self._sent = 0.0

    def open(self, run: RunInfo) -> str:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        given = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        self._uri = given or _database(run.folder)
        self._client = MlflowClient(tracking_uri=self._uri)
        # The cells of a sweep must not make the tables of a new database at the same time.
        lock: AbstractContextManager[Any] = nullcontext() if given else FileLock(run.folder / "mlflow.lock")
        with lock:
            artifacts = None if given else (run.folder / "artifacts").absolute().as_uri()
            self._id = self._existing(run) or self._create(run, artifacts)
            self._client.update_run(self._id, status="RUNNING")
        return "" if given else f"MLflow shows this run: mlflow ui --backend-store-uri {self._uri}"

    def _existing(self, run: RunInfo) -> str:
        """Return MLflow's id of a run that was begun before, or an empty text."""
        experiment = self._client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return ""
        found = self._client.search_runs([experiment.experiment_id], f"tags.`{_RUN}` = '{run.id}'", max_results=1)
        return str(found[0].info.run_id) if found else ""

    def _create(self, run: RunInfo, artifacts: str | None) -> str:
        experiment = self._experiment(artifacts)
        tags = {_RUN: run.id, _GROUP: run.group, _TAGS: ", ".join(run.tags)}
        name = run.name or f"{run.strategy}-{run.id}"
        tags = {tag: value for tag, value in tags.items() if value}
        created = self._client.create_run(experiment, run_name=name, tags=tags).info.run_id
        self._log_configuration(created, run.configuration)
        return str(created)

    def _experiment(self, artifacts: str | None) -> str:
        """Return the id of the experiment, which another cell of a sweep may create at the same time."""
        from mlflow.exceptions import MlflowException

        if found := self._client.get_experiment_by_name(self.experiment):
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(self.experiment, artifact_location=artifacts))
        except MlflowException:
            if found := self._client.get_experiment_by_name(self.experiment):
                return str(found.experiment_id)
            raise

    def _log_configuration(self, run: str, configuration: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        values = ((_name(key), f"{value}"[:_LONGEST_PARAMETER]) for key, value in _flat(configuration))
        parameters = (Param(key, value) for key, value in values)
        while batch := list(islice(parameters, _MOST_PARAMETERS)):
            self._client.log_batch(run, params=batch)
        self._client.log_dict(run, dict(configuration), "configuration.json")

    @property
    def destination(self) -> str:
        return f"{self._uri} {self._id}"

    @property
    def written(self) -> bool:
        return not self._unsent

    def log(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._unsent += [Metric(_name(name), float(value), now, at) for name, value in values.items()]
        if axis == "stage" or time.monotonic() - self._sent >= _SEND_SECONDS:
            self._send_metrics()

    def _send_metrics(self) -> None:
        for start in range(0, len(self._unsent), _MOST_METRICS):
            self._client.log_batch(self._id, metrics=self._unsent[start : start + _MOST_METRICS])
        self._unsent, self._sent = [], time.monotonic()

    def describe_task(self, task: str, step: int) -> None:
        self._client.set_tag(self._id, _TASK, task)

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[float | None]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([columns, *rows])
        self._client.log_text(self._id, text.getvalue(), f"{name}.csv")

    def log_file(self, name: str, text: str) -> None:
        self._client.log_text(self._id, text, name)

    def finish(self, status: str) -> None:
        self._send_metrics()
        self._client.set_terminated(self._id, _STATUS.get(status, "FAILED"))


def _database(folder: Path) -> str:
    """Return the URI of a database in a folder, which is created."""
    if "?" in str(folder):  # begins the query of a URI
        raise MiclError(
            f"MLflow cannot use a database in {folder}", "Set tracking_uri in [listen.mlflow] of micl.toml."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(folder / 'mlflow.db').absolute().as_posix()}"


def _name(text: str) -> str:
    """Return a name that MLflow accepts."""
    return _NOT_IN_NAMES.sub("_", text)


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested data with dotted names, those of the plan without its prefix."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, "" if not prefix and name == "plan" else f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
