from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from micl_cli.errors import MiclError

pytest.importorskip("wandb")

from micl_listeners.wandb import WeightsAndBiases

BLOCK, HEADER = 32768, 7
"""The size of a block of wandb's files, and of the header of the file and of each chunk in a block, in bytes."""


def contents(data: bytes) -> Iterator[bytes]:
    """Yield the records of a file in the format of LevelDB's log, of which wandb's package has no reader in Python."""
    at, parts = HEADER, b""
    while at < len(data):
        if (left := BLOCK - at % BLOCK) < HEADER:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def records(folder: Path) -> Iterator[Any]:
    """Yield the records of all files of a run that was logged offline, in the order of its processes."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime):
        for data in contents(path.read_bytes()):
            (record := wandb_internal_pb2.Record()).ParseFromString(data)
            yield record


def logged(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Return the values of each series with their steps or stages."""
    series = defaultdict(list)
    for record in records(folder):
        if record.WhichOneof("record_type") == "history":
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            at = row.pop("step", row.pop("stage", None))
            for name, value in row.items():
                series[name].append((at, value))
    return series


def begun(folder: Path) -> list[Any]:
    """Return the description of the run by each process."""
    return [record.run for record in records(folder) if record.WhichOneof("record_type") == "run"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reach no server, and end wandb's own process after the test."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    yield
    import wandb

    wandb.teardown()


@pytest.mark.slow
def test_a_run_and_its_continuation_are_logged_offline(script: Any, info: Any, deliver: Any) -> None:
    run = info(group="grid")
    notice = deliver(WeightsAndBiases(mode="offline"), script.until(2, 2), run)
    assert "wandb sync --append" in notice
    deliver(WeightsAndBiases(mode="offline"), script.resumed(2, 1), run)
    series = logged(run.folder)
    assert series["train/loss"] == [(1, 9.0), (2, 8.0), (3, 7.0), (4, 19.0), (5, 18.0), (6, 17.0)]
    assert series["validation/score"] == [(3, 41.0), (6, 42.0)]
    assert series["R/own/img_cap"] == [(1, 11.0), (2, 21.0)]
    assert series["score/own/aud_qa/cider/blue"] == [(2, 22.0)]
    assert series["figure/bwt"] == [(2, -1.5)]
    assert series["cost/peak_bytes"] == [(1, 1000), (2, 1000)]
    assert [value for _, value in series["train/task"]][-1] == "own/aud_qa"
    assert {(each.run_id, each.project, each.run_group) for each in begun(run.folder)} == {("r1", "micl", "grid")}
    assert set(begun(run.folder)[0].tags) == {"paper", "gpu"}
    config = {item.key: json.loads(item.value_json) for item in begun(run.folder)[0].config.update}
    assert config["plan"]["training"]["epochs"] == 1
    kinds = [record.WhichOneof("record_type") for record in records(run.folder)]
    assert "artifact" in kinds or "request" in kinds
    exits = [record.exit.exit_code for record in records(run.folder) if record.WhichOneof("record_type") == "exit"]
    assert exits == [1, 0]


def test_without_a_key_the_way_out_is_named(info: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(MiclError) as caught:
        WeightsAndBiases(mode="online").start(info())
    assert "WANDB_API_KEY" in caught.value.hint
