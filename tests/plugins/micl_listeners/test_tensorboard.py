from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorboard")

from micl_cli.registry import Registry
from micl_cli.session.listeners import EventDelivery
from micl_listeners.tensorboard import TensorBoard


def read(folder: Path) -> Any:
    """Return everything in a folder as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def scalars(accumulator: Any, tag: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in accumulator.Scalars(tag)]


def texts(accumulator: Any, tag: str) -> list[str]:
    return [each.tensor_proto.string_val[0].decode() for each in accumulator.Tensors(f"{tag}/text_summary")]


def test_a_run_and_its_continuations_are_one_run(script: Any, info: Any, deliver: Any) -> None:
    run = info(group="grid")
    notice = deliver(TensorBoard(), script.until(2, 2), run)
    assert notice == f"TensorBoard shows this run: tensorboard --logdir {run.folder / 'logs'}"
    deliver(TensorBoard(), script.resumed(2, 1)[:-6], run)
    deliver(TensorBoard(), script.resumed(2, 2), run)
    folder = run.folder / "logs" / "grid" / "moincl-r1"
    found = read(folder)
    assert scalars(found, "train/loss") == [(1, 9.0), (2, 8.0), (3, 7.0), (4, 19.0), (5, 18.0), (6, 17.0)]
    assert scalars(found, "train/loss/answer") == scalars(found, "train/loss")
    assert scalars(found, "validation/score") == [(3, 41.0), (6, 42.0)]
    assert scalars(found, "score/own/img_cap/cider") == [(1, 11.0), (2, 21.0)]
    assert scalars(found, "R/own/aud_qa") == [(2, 22.0)]
    assert scalars(found, "figure/mfn") == [(2, 3.0)]
    assert scalars(found, "cost/seconds") == [(1, 1.5), (2, 1.5)]
    (configuration,) = texts(found, "configuration")
    assert '"epochs": 1' in configuration
    assert texts(found, "task")[0] == "own/img_cap"
    assert "| 2 | 21 | 22 |" in texts(found, "matrix")[0]
    assert texts(found, "status")[-1] == "finished"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_everything_is_in_the_file_when_the_process_is_killed(script: Any, info: Any) -> None:
    run, listener = info(), TensorBoard()
    listener.start(run)
    for event in script.until(1, 2):
        listener.consume("r1", event)
    assert scalars(read(run.folder / "logs" / "moincl-r1"), "train/loss") == [(1, 9.0), (2, 8.0)]
    listener.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_is_noticed_once_and_hinders_nothing(
    script: Any, info: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    def write(self: Any, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    delivery = EventDelivery("r1", Registry(), {"tensorboard": TensorBoard}, info)
    notices = list(delivery.deliver(script.whole[0]))
    monkeypatch.setattr(RecordWriter, "write", write)
    notices += [notice for event in script.whole[1:] for notice in delivery.deliver(event)]
    notices += delivery.close()
    assert len(notices) == 2
    assert "No space left on device" in notices[1].text


def test_another_folder_has_a_run_of_its_own(script: Any, deliver: Any, tmp_path: Path) -> None:
    deliver(TensorBoard(), script.until(2, 2))
    deliver(TensorBoard(folder=tmp_path / "elsewhere"), script.resumed(2, 2))
    found = read(tmp_path / "elsewhere" / "moincl-r1")
    assert [step for step, _ in scalars(found, "train/loss")] == [1, 2, 3, 4, 5, 6]
