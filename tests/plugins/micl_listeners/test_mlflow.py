from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.errors import MiclError

pytest.importorskip("mlflow")

from micl_listeners.mlflow import MLflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database is made once, which takes seconds."""
    return tmp_path_factory.mktemp("mlflow") / "listener"


@pytest.fixture(autouse=True)
def without_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach no server that the user has set."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def runs(folder: Path, run: str) -> tuple[Any, list[Any]]:
    """Return a client of the database in a folder, and MLflow's runs of a run."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("micl")
    return client, client.search_runs([experiment.experiment_id], f"tags.`micl.run` = '{run}'")


def history(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return sorted((each.step, each.value) for each in client.get_metric_history(run.info.run_id, name))


@pytest.mark.slow
def test_a_run_and_its_continuations_are_one_run_of_mlflow(script: Any, info: Any, deliver: Any, folder: Path) -> None:
    run = info(folder=folder, group="grid")
    assert f"mlflow ui --backend-store-uri sqlite:///{folder}" in deliver(MLflow(), script.until(2, 1), run)
    deliver(MLflow(), script.resumed(2, 1)[:-6], run)
    deliver(MLflow(), script.resumed(2, 1), run)
    client, (made,) = runs(folder, "r1")
    assert history(client, made, "train/loss") == [(1, 9.0), (2, 8.0), (3, 7.0), (4, 19.0), (5, 18.0), (6, 17.0)]
    assert history(client, made, "R/own/img_cap") == [(1, 11.0), (2, 21.0)]
    assert history(client, made, "figure/mfn") == [(2, 3.0)]
    assert made.info.status == "FINISHED"
    assert made.info.run_name == "first"
    assert made.data.params["training.epochs"] == "1"
    assert made.data.params["environment.micl"] == "1.0"
    assert made.data.tags["micl.group"] == "grid"
    assert made.data.tags["micl.task"] == "own/aud_qa"
    files = {file.path for file in client.list_artifacts(made.info.run_id)}
    assert files == {"configuration.json", "matrix.csv", "report.html"}
    (artifacts,) = folder.glob("artifacts/*/artifacts")
    assert json.loads((artifacts / "configuration.json").read_text())["plan"]["seed"] == 0
    rows = (artifacts / "matrix.csv").read_text().splitlines()
    assert rows == ["after stage,own/img_cap,own/aud_qa", "1,11.0,", "2,21.0,22.0"]


@pytest.mark.slow
def test_a_server_that_is_gone_is_an_error_at_once(info: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception, match="retries"):
        MLflow(tracking_uri="http://127.0.0.1:9").start(info())


def test_a_folder_that_is_no_uri_is_refused_with_the_way_out(info: Any, tmp_path: Path) -> None:
    with pytest.raises(MiclError) as caught:
        MLflow().start(info(folder=tmp_path / "what?"))
    assert "tracking_uri" in caught.value.hint
