"""A run from the command line, interrupted and resumed, in TensorBoard's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorboard")

STOP = """
@hookimpl
def micl_event(event):
    if event.name == "step" and event.position == 2 and event.step == 2 and not os.path.exists("stopped"):
        open("stopped", "w").close()
        os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.slow
def test_a_run_that_is_interrupted_and_resumed_is_one_run(
    learn: Any, micl: Any, listener: Any, isolated: Path, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    listener(STOP)
    words = ("--strategy", "moincl", "--listen", "tensorboard")
    assert learn(*words).code == 130
    done = learn(*words)
    assert done.code == 0, done.err
    assert "note: TensorBoard shows this run: tensorboard --logdir" in done.err
    (folder,) = (isolated / "listeners" / "tensorboard" / "logs").iterdir()
    assert folder.name == f"moincl-{done.out.strip()}"
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    assert [each.step for each in found.Scalars("train/loss")] == list(range(1, 9))
    reported = json.loads(micl("report", "@last", "--json").out)["runs"][0]
    assert found.Scalars("figure/mfn")[0].value == pytest.approx(reported["metrics"]["mfn"], rel=1e-5)
    assert [each.step for each in found.Scalars("R/own/img_cap")] == [1, 2]
    assert "</html>" in (folder / "report.html").read_text()
