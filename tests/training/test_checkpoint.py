from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from micl_cli.api.events import Scored, TaskLearned
from micl_cli.api.strategy import State
from micl_cli.errors import CheckpointError, MiclError, PlanError
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


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(content)


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


def test_a_finished_stage_removes_its_steps_and_a_step_all_but_the_one_before(folder: RunFolder) -> None:
    assert folder.latest_step() is None
    for step in (9, 10, 101):
        folder.write_step(1, step, snapshot("a"))
        assert folder.latest_step() == (1, step)
    assert sorted(path.name for path in folder.path.iterdir()) == ["step-1-10", "step-1-101"]
    assert float(folder.load_step(1, 101).optimizer["0/step"]) == 3
    folder.finish_stage(1, snapshot("a"))
    assert folder.latest_step() is None


def test_what_is_written_after_learning_is_preferred_to_the_last_step(folder: RunFolder) -> None:
    folder.write_step(1, 9, snapshot("a"))
    after = snapshot("a")
    after.data["phase"] = "after"
    folder.write_step(1, 9, after)
    assert sorted(path.name for path in folder.path.iterdir()) == ["step-1-9", "step-1-9-after"]
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
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        folder.load_stage(1)
    assert str(folder.stage(1) / file) in str(caught.value)
    assert f"micl learn --resume {folder.path.name}" in caught.value.hint


@pytest.mark.parametrize("file", ["adapters.safetensors", "modules.safetensors", "strategy.safetensors"])
def test_one_flipped_bit_is_noticed(folder: RunFolder, file: str) -> None:
    folder.finish_stage(1, snapshot("a"))
    flip(folder.stage(1) / file)
    with pytest.raises(CheckpointError, match="does not match its digest"):
        folder.load_stage(1)


@pytest.mark.parametrize("file", ["optimizer.safetensors", "best.safetensors", "strategy.safetensors"])
def test_a_missing_part_is_an_error(folder: RunFolder, file: str) -> None:
    state = snapshot("a")
    state.best = {"main/a": torch.ones(2)}
    folder.write_step(1, 3, state)
    (folder.path / "step-1-3" / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        folder.load_step(1, 3)


def test_weights_that_are_not_finite_are_neither_written_nor_read(folder: RunFolder) -> None:
    broken = snapshot("a")
    broken.adapters["main/a"][0, 0] = float("nan")
    with pytest.raises(MiclError, match="main/a are not finite"):
        folder.finish_stage(1, broken)
    assert not folder.has_stage(1)
    folder.finish_stage(1, snapshot("a"))
    save_file({"main/a": torch.full((2,), torch.nan)}, folder.stage(1) / "adapters.safetensors")
    document = json.loads((folder.stage(1) / "stage.json").read_text())
    del document["files"], document["format"], document["sha256"]  # as earlier versions wrote it
    (folder.stage(1) / "stage.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="main/a are not finite"):
        folder.load_stage(1)


# Repair


def test_nothing_is_repaired_where_nothing_is_damaged(folder: RunFolder) -> None:
    folder.finish_stage(1, snapshot("a"))
    folder.add_scores(1, [scored("a")])
    folder.write_step(2, 1, snapshot("b"))
    assert folder.repair() == []
    assert folder.has_stage(1)
    assert folder.latest_step() == (2, 1)


def test_a_damaged_step_falls_back_to_the_one_before(folder: RunFolder) -> None:
    for step in (3, 6):
        folder.write_step(1, step, snapshot("a"))
    flip(folder.path / "step-1-6" / "optimizer.safetensors")
    (notice,) = folder.repair()
    assert "step-1-6/optimizer.safetensors is damaged" in notice
    assert "from the one before it" in notice
    assert folder.latest_step() == (1, 3)
    folder.load_step(1, 3)


def test_a_damaged_stage_and_damaged_scores_are_removed_alone(folder: RunFolder) -> None:
    for position, name in enumerate("abc", 1):
        folder.finish_stage(position, snapshot(name, position=position))
        folder.add_scores(position, [scored(name)])
    flip(folder.stage(2) / "adapters.safetensors")
    (folder.path / "scores" / "03.json").write_text("[1]")
    notices = folder.repair()
    assert [notice.split("; ")[1] for notice in notices] == [
        "the stage is learnt again",
        "the scores are computed again",
    ]
    assert [folder.has_stage(n) for n in (1, 2, 3)] == [True, False, True]
    assert [bool(folder.scores(n)) for n in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("same", [True, False])
def test_later_stages_stay_only_if_a_stage_is_learnt_to_the_same_weights(folder: RunFolder, same: bool) -> None:
    first = snapshot("a")
    folder.finish_stage(1, first)
    folder.add_scores(1, [scored("a")])
    for position in (2, 3):
        folder.finish_stage(position, snapshot("b", position=position))
    shutil.rmtree(folder.stage(1))
    folder.finish_stage(1, first if same else snapshot("a"))
    assert [folder.has_stage(n) for n in (1, 2, 3)] == [True, same, same]
    assert bool(folder.scores(1)) is same


def test_checkpoints_of_earlier_versions_are_read(folder: RunFolder) -> None:
    folder.finish_stage(1, snapshot("a"))
    document = json.loads((folder.stage(1) / "stage.json").read_text())
    for key in ("files", "follows", "format", "sha256"):
        del document[key]
    (folder.stage(1) / "stage.json").write_text(json.dumps(document))
    (folder.path / "scores").mkdir()
    (folder.path / "scores" / "01.json").write_text(json.dumps([scored("a").as_json()]))
    assert folder.repair() == []
    assert torch.equal(folder.load_stage(1).modules["gate.weight"], torch.eye(2))
    assert [event.task for event in folder.scores(1)] == ["a"]
    folder.add_scores(1, [scored("b")])
    assert [event.task for event in folder.scores(1)] == ["a", "b"]


def test_leftovers_of_a_killed_process_are_removed(folder: RunFolder) -> None:
    folder.finish_stage(1, snapshot("a"))
    for left in (folder.path / ".step-2-3.77.new", folder.path / "stages" / ".02.77.new"):
        left.mkdir()
        (left / "adapters.safetensors").write_bytes(b"half")
    (folder.path / ".x.json.77.new").write_text("half")
    folder.tidy()
    assert {path.name for path in folder.path.rglob("*") if path.name.endswith(".new")} == set()
    assert folder.has_stage(1)


@pytest.mark.parametrize("copied", ["01", "02"])
def test_a_stage_in_the_place_of_another_is_damaged(folder: RunFolder, copied: str) -> None:
    folder.finish_stage(1, snapshot("a"))
    folder.finish_stage(2, snapshot("b", position=2))
    other = {"01": 2, "02": 1}[copied]
    shutil.rmtree(folder.stage(other))
    shutil.copytree(folder.path / "stages" / copied, folder.stage(other))
    with pytest.raises(CheckpointError, match=f"it is that of stage {int(copied)}"):
        folder.load_stage(other)
    (notice,) = folder.repair()
    assert notice.endswith("the stage is learnt again")
    assert "\n" not in notice
    assert not folder.has_stage(other)


def test_a_step_in_the_place_of_another_is_damaged(folder: RunFolder) -> None:
    folder.write_step(2, 1, snapshot("a"))
    (folder.path / "step-2-1").rename(folder.path / "step-2-3")
    (notice,) = folder.repair()
    assert "it is that of another step" in notice
    assert folder.latest_step() is None


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


def test_an_heir_takes_scores_over_before_their_stage(folder: RunFolder, tmp_path: Path) -> None:
    folder.finish_stage(1, snapshot(CAPTIONS.name))
    folder.add_scores(1, [scored(CAPTIONS.name)])
    flip(folder.path / "scores" / "01.json")
    heir = RunFolder(tmp_path / "heir")
    with pytest.raises(CheckpointError, match=r"01\.json is damaged"):
        heir.inherit(folder, [[CAPTIONS]])
    assert not heir.has_stage(1)  # or its scores would be computed instead of taken over


@pytest.mark.parametrize("part", ["stages/01/adapters.safetensors", "stages/01/stage.json", "scores/01.json"])
def test_an_heir_is_told_to_repair_the_run_that_it_continues(folder: RunFolder, tmp_path: Path, part: str) -> None:
    folder.finish_stage(1, snapshot(CAPTIONS.name))
    folder.add_scores(1, [scored(CAPTIONS.name)])
    flip(folder.path / part)
    with pytest.raises(CheckpointError) as raised:
        RunFolder(tmp_path / "heir").inherit(folder, [[CAPTIONS]])
    assert "micl learn --resume run" in raised.value.hint


def test_an_heir_of_nothing_or_of_another_order_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    heir = RunFolder(tmp_path / "heir")
    with pytest.raises(CheckpointError, match="run run has no checkpoints"):
        heir.inherit(folder, [[CAPTIONS]])
    folder.finish_stage(1, snapshot(CAPTIONS.name, QUESTIONS.name))
    with pytest.raises(PlanError, match="run run learnt other tasks"):
        heir.inherit(folder, [[CAPTIONS, QUESTIONS, SOUNDS]])
    assert not heir.has_stage(1)
