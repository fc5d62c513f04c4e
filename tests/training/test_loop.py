from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from micl_cli.api.events import Event, Scored, Step, TaskLearned, Validated
from micl_cli.api.task import Task
from micl_cli.errors import Interrupted, MiclError
from micl_cli.plan import Evaluation
from micl_cli.testing import toy_task, toy_tasks
from micl_cli.training.checkpoint import RunFolder
from micl_cli.training.loop import Control, learn, replay, restore_stage


def of_length(task: Task, length: int) -> Task:
    """The task with answers of one length."""

    def load(split: str) -> Any:
        return [e.with_answer(e.references[0].ljust(length, ".")[:length]) for e in task.examples(split)]

    return replace(task, load=load)


def weights(folder: RunFolder, position: int = 1) -> dict[str, torch.Tensor]:
    return folder.load_stage(position).adapters


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], within: float = 1e-4) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[k], other[k], atol=within, rtol=1e-3) for k in one)


def run(parts: Any, folder: RunFolder, control: Control | None = None) -> list[Event]:
    return list(learn(parts, folder, control or Control()))


def test_two_half_batches_make_the_step_of_a_whole_one(make_parts: Any, tmp_path: Any) -> None:
    task = of_length(toy_task("image", "qa"), 4)
    folders = []
    for batch, more in ((8, 1), (4, 2), (2, 4)):
        folders.append(RunFolder(tmp_path / f"{batch}"))
        parts = make_parts(tasks=[task], batch_size=batch, accumulation=more, max_steps=3)
        found = run(parts, folders[-1])
        assert sum(isinstance(event, Step) for event in found) == 3
    one, *others = (weights(folder) for folder in folders)
    assert all(close(one, other) for other in others)


def test_the_backbone_meets_a_task_s_examples_before_it_is_learnt(
    make_parts: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [toy_task("image", "qa"), toy_task("audio", "qa")]
    parts, done = make_parts(tasks=tasks), []
    begin = parts.strategy.begin
    monkeypatch.setattr(parts.backbone, "meet", lambda examples: done.append([e.id for e in examples]))
    monkeypatch.setattr(parts.strategy, "begin", lambda task: (done.append(task.name), begin(task)))
    run(parts, folder)
    first, second = ([e.id for e in task.examples("train")] for task in tasks)
    assert done == [first, tasks[0].name, second, tasks[1].name]


def test_the_parts_of_a_loss_are_those_of_the_whole_step(make_parts: Any, tmp_path: Any) -> None:
    tasks = [of_length(toy_task("image", kind), 4) for kind in ("captioning", "qa")]
    parts = make_parts("moincl", tasks, batch_size=2, accumulation=2, max_steps=2)
    found = run(parts, RunFolder(tmp_path / "run"))
    taught = [e for e in found if isinstance(e, Step) and e.parts]
    assert taught
    assert all(sum(step.parts.values()) == pytest.approx(step.loss, rel=1e-4) for step in taught)


def test_learning_lowers_the_loss_and_moves_only_what_may_move(make_parts: Any, folder: RunFolder) -> None:
    task = toy_task("image", "qa")
    parts = make_parts(tasks=[task], max_steps=40, learning_rate=0.02, patience=0)
    base = {name: weight.clone() for name, weight in parts.backbone.module.state_dict().items()}
    losses = [event.loss for event in run(parts, folder) if isinstance(event, Step)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    now = parts.backbone.module.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in base.items())
    fresh = make_parts(tasks=[task])
    fresh.backbone.add_adapter("main", seed=0)
    start = fresh.backbone.adapter_state("main")
    moved = {n.removeprefix("main/") for n, w in weights(folder).items() if not torch.equal(w, start[n[5:]])}
    assert {name.partition("-")[0] for name in moved} == {"lora", "image"}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let validations give the scores of a list; what the weights were is kept at each."""
    seen: list[dict[str, torch.Tensor]] = []

    def give(*values: float) -> list[dict[str, torch.Tensor]]:
        left = iter(values)

        def validate(parts: Any, stage: Any, pause: Any) -> float:
            seen.append(parts.backbone.adapter_state("main"))
            return next(left)

        monkeypatch.setattr("micl_cli.training.loop.validate", validate)
        return seen

    return give


def test_patience_ends_a_task_early_with_its_best_weights(make_parts: Any, folder: RunFolder, judged: Any) -> None:
    seen = judged(10, 50, 20, 30)
    parts = make_parts(tasks=[toy_task("image", "qa")], epochs=9, max_steps=None, patience=2)
    found = run(parts, folder)
    validated = [(event.value, event.best) for event in found if isinstance(event, Validated)]
    assert validated == [(10, True), (50, True), (20, False), (30, False)]
    (learned,) = [event for event in found if isinstance(event, TaskLearned)]
    assert (learned.steps, learned.examples) == (12, 48)  # 4 epochs of 12 examples in batches of 4
    kept = {name.removeprefix("main/"): weight for name, weight in weights(folder).items()}
    assert all(torch.equal(kept[name], weight) for name, weight in seen[1].items())


def test_without_patience_all_epochs_are_learnt_and_the_best_is_kept(
    make_parts: Any, folder: RunFolder, judged: Any
) -> None:
    judged(50, 40, 30, 20)
    parts = make_parts(tasks=[toy_task("image", "qa")], epochs=4, max_steps=None, patience=0, validate_every=1)
    assert [e.steps for e in run(parts, folder) if isinstance(e, TaskLearned)] == [12]


def test_validation_every_other_epoch_and_at_the_end(make_parts: Any, folder: RunFolder, judged: Any) -> None:
    judged(*range(9))
    parts = make_parts(tasks=[toy_task("image", "qa")], epochs=5, max_steps=None, validate_every=2)
    assert [e.epoch for e in run(parts, folder) if isinstance(e, Validated)] == [2, 4, 5]


def test_gradient_checkpointing_learns_the_same(make_parts: Any, prepared_home: Any, tmp_path: Any) -> None:
    from micl_cli.data.preparation import open_task

    task = open_task("own/img_qa", prepared_home)
    found = []
    for asked in (False, True):
        folder = RunFolder(tmp_path / str(asked))
        options = {"max_steps": 2, "precision": "fp32", "gradient_checkpointing": asked}
        run(make_parts(tasks=[task], backbone="tiny", **options), folder)
        found.append(weights(folder))
    assert close(*found)


@pytest.mark.parametrize("strategy", ["finetune", "moincl", "joint"])
def test_a_run_that_is_stopped_at_every_step_ends_the_same(make_parts: Any, tmp_path: Any, strategy: str) -> None:
    options = {"backbone_options": {"dropout": 0.3}, "evaluation": Evaluation(max_new_tokens=5, unseen=True)}
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    tasks = toy_tasks()[:2]
    expected = run(make_parts(strategy, tasks, **options), whole)
    stops, wanted = 0, sum(isinstance(event, Step) for event in expected)
    while True:
        try:
            found = run(make_parts(strategy, tasks, **options), broken, Control(stop=stop_after(1)))
            break
        except Interrupted:
            stops += 1
            assert stops < 60
    assert stops >= wanted
    for position in range(1, len([e for e in expected if isinstance(e, TaskLearned)]) + 1):
        first, second = ((f.stage(position) / "adapters.safetensors").read_bytes() for f in (whole, broken))
        assert first == second
        assert values(whole.scores(position)) == values(broken.scores(position))
    assert values(found) == values(expected)


def stop_after(count: int) -> Any:
    """A stop that is asked for from the ``count``-th question on."""
    asked = iter(range(count))
    return lambda: next(asked, None) is None


def values(events: Any) -> list[tuple[int, str, str, float]]:
    return [(e.after, e.task, e.metric, e.value) for e in events if isinstance(e, Scored)]


def test_options_of_a_stage_hold_in_that_stage_also_when_it_is_restored(make_parts: Any, folder: RunFolder) -> None:
    def with_stages() -> Any:
        parts = make_parts("moincl", options={"alpha": 0.5})
        parts.plan = replace(parts.plan, stage_options={"2": {"alpha": 0.9}})
        return parts

    parts, alphas = with_stages(), []
    for event in learn(parts, folder, Control()):
        if isinstance(event, TaskLearned):
            alphas.append(parts.strategy.alpha)
    assert alphas == [0.5, 0.9]
    for position, alpha in ((2, 0.9), (1, 0.5)):
        parts = with_stages()
        restore_stage(parts, folder, position)
        assert (parts.strategy.alpha, parts.strategy.position) == (alpha, position)


def test_a_finished_run_is_told_from_its_files(make_parts: Any, folder: RunFolder) -> None:
    first = run(make_parts(), folder)
    told = list(replay(folder, 2))
    assert values(told) == values(first)
    assert all(event.restored for event in told if isinstance(event, (Scored, TaskLearned)))
    again = run(make_parts(), folder)
    assert not [event for event in again if isinstance(event, Step)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(
    make_parts: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    parts = make_parts()
    loss = parts.strategy.loss

    def exploding(batch: Any) -> Any:
        return loss(batch) * (value if parts.strategy.position == 2 else 1)

    monkeypatch.setattr(parts.strategy, "loss", exploding)
    with pytest.raises(MiclError, match="at step 1 of task 2"):
        run(parts, folder)
    assert folder.has_stage(1)
    assert not folder.has_stage(2)


def test_steps_are_saved_as_often_as_asked_for(
    make_parts: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[int, int]] = []
    write = folder.write_step

    def writing(position: int, step: int, snapshot: Any) -> None:
        saved.append((position, step))
        write(position, step, snapshot)

    monkeypatch.setattr(folder, "write_step", writing)
    run(make_parts(), folder, Control(save_seconds=3600))
    assert saved == []
    again = RunFolder(folder.path.with_name("again"))
    monkeypatch.setattr(again, "write_step", lambda *args: saved.append(args[:2]))
    run(make_parts(), again, Control(save_seconds=0))
    assert saved == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


def test_events_come_one_by_one(make_parts: Any, folder: RunFolder) -> None:
    events: Iterator[Event] = learn(make_parts(), folder, Control())
    assert next(events).name == "run_started"
    assert not folder.path.exists()
