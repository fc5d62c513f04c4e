from __future__ import annotations

from pathlib import Path

import pytest
import torch

from micl_cli.api.events import Scored, TaskLearned
from micl_cli.api.strategy import State
from micl_cli.errors import CheckpointError, PlanError
from micl_cli.testing import toy_tasks
from micl_cli.training.checkpoint import RunFolder
from micl_cli.training.snapshot import Snapshot

CAPTIONS, QUESTIONS, SOUNDS = toy_tasks()


def learned(*names: str, position: int = 1) -> TaskLearned:
    return TaskLearned(
        position=position,
        tasks=list(names),
        data_sha256=["0" * 64],
        steps=3,
        examples=12,
        seconds=0.5,
        peak_bytes=1,
        trainable_parameters=2,
        stored_bytes=3,
        checkpoint=f"stages/{position:02d}",
    )


def snapshot(*names: str, position: int = 1) -> Snapshot:
    fields = {key: value for key, value in learned(*names, position=position).as_json().items() if key != "event"}
    del fields["restored"]
    state = State({"fisher": torch.arange(3.0)}, {"kept": [1, "two"]})
    weights = {"main/a": torch.randn(2, 3).T, "main/b": torch.ones(1, dtype=torch.bfloat16)}
    data = {"learned": fields, "active": "main"}
    return Snapshot(weights, state, data, {"gate.weight": torch.eye(2)}, {"0/step": torch.tensor(3.0)})


def scored(task: str, value: float = 1 / 3) -> Scored:
    return Scored(after=1, task=task, metric="accuracy", value=value, n=3)


def test_a_stage_comes_back_as_it_was(folder: RunFolder) -> None:
    kept = snapshot("a")
    assert not folder.has_stage(1)
    folder.finish_stage(1, kept)
    assert folder.has_stages(1)
    assert not folder.has_stages(2)
    found = folder.load_stage(1)
    assert {name: tensor.dtype for name, tensor in found.adapters.items()} == {
        "main/a": torch.float32,
        "main/b": torch.bfloat16,
    }
    assert all(torch.equal(found.adapters[name], tensor) for name, tensor in kept.adapters.items())
    assert torch.equal(found.strategy.tensors["fisher"], torch.arange(3.0))
    assert found.strategy.data == {"kept": [1, "two"]}
    assert found.data["active"] == "main"
    assert torch.equal(found.modules["gate.weight"], torch.eye(2))
    assert folder.learned(1) == TaskLearned(**{**vars(learned("a")), "restored": True})


def test_only_safetensors_and_json_are_written(folder: RunFolder) -> None:
    folder.finish_stage(1, snapshot("a"))
    folder.add_scores(1, [scored("a")])
    folder.write_step(2, 1, snapshot("b"))
    assert {path.suffix for path in folder.path.rglob("*") if path.is_file()} == {".safetensors", ".json"}


def test_a_finished_stage_removes_its_steps_and_a_step_the_one_before(folder: RunFolder) -> None:
    assert folder.latest_step() is None
    for step in (9, 10, 101):
        folder.write_step(1, step, snapshot("a"))
        assert folder.latest_step() == (1, step)
    assert [path.name for path in folder.path.iterdir()] == ["step-1-101"]
    assert float(folder.load_step(1, 101).optimizer["0/step"]) == 3
    folder.finish_stage(1, snapshot("a"))
    assert folder.latest_step() is None


def test_what_is_written_after_learning_replaces_the_last_step(folder: RunFolder) -> None:
    folder.write_step(1, 9, snapshot("a"))
    after = snapshot("a")
    after.data["phase"] = "after"
    folder.write_step(1, 9, after)
    assert [path.name for path in folder.path.iterdir()] == ["step-1-9-after"]
    assert folder.latest_step() == (1, 9)
    assert folder.load_step(1, 9).data["phase"] == "after"
    folder.finish_stage(1, snapshot("a"))
    assert folder.latest_step() is None


def test_scores_are_added_and_come_back_as_restored(folder: RunFolder) -> None:
    folder.add_scores(1, [scored("a")])
    folder.add_scores(1, [scored("b", 2.0)])
    assert folder.scores(1) == [
        Scored(**{**vars(scored("a")), "restored": True}),
        Scored(**{**vars(scored("b", 2.0)), "restored": True}),
    ]
    assert folder.scores(2) == []


@pytest.mark.parametrize("file", ["adapters.safetensors", "modules.safetensors", "strategy.safetensors", "stage.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_a_damaged_stage_is_named_with_the_way_out(folder: RunFolder, file: str, content: bytes) -> None:
    folder.finish_stage(1, snapshot("a"))
    (folder.stage(1) / file).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        folder.load_stage(1)
    assert str(folder.stage(1)) in caught.value.hint


def test_leftovers_of_a_killed_process_are_removed(folder: RunFolder) -> None:
    folder.finish_stage(1, snapshot("a"))
    for left in (folder.path / ".step-2-3.77.new", folder.path / "stages" / ".02.77.new"):
        left.mkdir()
        (left / "adapters.safetensors").write_bytes(b"half")
    (folder.path / ".x.json.77.new").write_text("half")
    folder.tidy()
    assert {path.name for path in folder.path.rglob("*") if path.name.endswith(".new")} == set()
    assert folder.has_stage(1)


# Going on from another run


def test_an_heir_takes_stages_and_scores_over(folder: RunFolder, tmp_path: Path) -> None:
    folder.finish_stage(1, snapshot(CAPTIONS.name))
    folder.add_scores(1, [scored(CAPTIONS.name)])
    heir = RunFolder(tmp_path / "heir")
    heir.inherit(folder, [[CAPTIONS], [QUESTIONS]])
    assert heir.learned(1) == folder.learned(1)
    assert heir.scores(1) == folder.scores(1)
    heir.add_scores(1, [scored(QUESTIONS.name)])
    heir.inherit(folder, [[CAPTIONS], [QUESTIONS]])  # what it has, it keeps
    assert len(heir.scores(1)) == 2
    assert len(folder.scores(1)) == 1


def test_an_heir_of_nothing_or_of_another_order_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    heir = RunFolder(tmp_path / "heir")
    with pytest.raises(CheckpointError, match="run run has no checkpoints"):
        heir.inherit(folder, [[CAPTIONS]])
    folder.finish_stage(1, snapshot(CAPTIONS.name, QUESTIONS.name))
    with pytest.raises(PlanError, match="run run learnt other tasks"):
        heir.inherit(folder, [[CAPTIONS, QUESTIONS, SOUNDS]])
    assert not heir.has_stage(1)
