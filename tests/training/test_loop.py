from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from micl_cli.api.events import (
    Event,
    Notice,
    PassProgress,
    RunStarted,
    Scored,
    Step,
    TaskLearned,
    TaskStarted,
    Validated,
)
from micl_cli.api.strategy import Progress, Stage, State, Strategy
from micl_cli.api.task import Task
from micl_cli.errors import Interrupted, MiclError
from micl_cli.plan import Evaluation
from micl_cli.testing import toy_task, toy_tasks
from micl_cli.training.checkpoint import RunFolder
from micl_cli.training.evaluation import validation_loss
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


def run(components: Any, folder: RunFolder, control: Control | None = None) -> list[Event]:
    return list(learn(components, folder, control or Control()))


@pytest.mark.parametrize("strategy", ["finetune", "moincl"])
def test_a_run_learns_the_same_for_all_splits_of_a_step(make_components: Any, tmp_path: Any, strategy: str) -> None:
    """Also where the answers differ in length, and with pseudo samples, texts and rehearsed examples."""
    tasks, ends = [toy_task("image", "captioning"), toy_task("image", "qa")], []
    for batch, more in ((8, 1), (1, 8)):
        options = {"replay": 6, "replay_batch": 3}
        components = make_components(
            strategy, tasks, options=options, batch_size=batch, accumulation=more, max_steps=2, max_grad_norm=0.0
        )
        found = run(components, RunFolder(tmp_path / f"{batch}"))
        ends.append([event.loss for event in found if isinstance(event, Step) and event.step == 1])
    assert ends[1] == pytest.approx(ends[0], rel=1e-3)


def test_two_half_batches_make_the_step_of_a_whole_one(make_components: Any, tmp_path: Any) -> None:
    task = of_length(toy_task("image", "qa"), 4)
    folders = []
    for batch, more in ((8, 1), (4, 2), (2, 4)):
        folders.append(RunFolder(tmp_path / f"{batch}"))
        components = make_components(tasks=[task], batch_size=batch, accumulation=more, max_steps=3)
        found = run(components, folders[-1])
        assert sum(isinstance(event, Step) for event in found) == 3
    one, *others = (weights(folder) for folder in folders)
    assert all(close(one, other) for other in others)


def test_the_backbone_is_calibrated_on_a_task_s_examples_before_it_is_learnt(
    make_components: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [toy_task("image", "qa"), toy_task("audio", "qa")]
    components, done = make_components(tasks=tasks), []
    begin = components.strategy.begin
    monkeypatch.setattr(components.backbone, "calibrate", lambda examples: done.append([e.id for e in examples]))
    monkeypatch.setattr(components.strategy, "begin", lambda stage: (done.append(stage.tasks[0].name), begin(stage)))
    run(components, folder)
    first, second = ([e.id for e in task.examples("train")] for task in tasks)
    assert done == [first, tasks[0].name, second, tasks[1].name]


def test_the_terms_of_a_loss_are_those_of_the_whole_step(make_components: Any, tmp_path: Any) -> None:
    tasks = [of_length(toy_task("image", type), 4) for type in ("captioning", "qa")]
    components = make_components("moincl", tasks, batch_size=2, accumulation=2, max_steps=2)
    found = run(components, RunFolder(tmp_path / "run"))
    taught = [e for e in found if isinstance(e, Step) and e.terms]
    assert taught
    assert all(sum(step.terms.values()) == pytest.approx(step.loss, rel=1e-4) for step in taught)


def test_learning_lowers_the_loss_and_moves_only_what_may_move(make_components: Any, folder: RunFolder) -> None:
    task = toy_task("image", "qa")
    components = make_components(tasks=[task], max_steps=40, learning_rate=0.02, patience=0)
    base = {name: weight.clone() for name, weight in components.backbone.module.state_dict().items()}
    losses = [event.loss for event in run(components, folder) if isinstance(event, Step)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    now = components.backbone.module.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in base.items())
    fresh = make_components(tasks=[task])
    fresh.backbone.adapters.add("main", seed=0)
    start = fresh.backbone.adapters.state("main")
    moved = {n.removeprefix("main/") for n, w in weights(folder).items() if not torch.equal(w, start[n[5:]])}
    assert {fresh.backbone.adapters.group(name) for name in moved} == {"lora", "connector/image"}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let validations give the scores of a list; what the weights were is kept at each."""
    seen: list[dict[str, torch.Tensor]] = []

    def give(*values: float) -> list[dict[str, torch.Tensor]]:
        left = iter(values)

        def validate(components: Any, tasks: Any, pause: Any) -> float:
            seen.append(components.backbone.adapters.state("main"))
            return next(left)

        monkeypatch.setattr("micl_cli.training.loop.validate", validate)
        return seen

    return give


def test_patience_ends_a_task_early_with_its_best_weights(make_components: Any, folder: RunFolder, judged: Any) -> None:
    seen = judged(10, 50, 20, 30)
    components = make_components(tasks=[toy_task("image", "qa")], epochs=9, max_steps=None, patience=2)
    found = run(components, folder)
    validated = [(event.value, event.best) for event in found if isinstance(event, Validated)]
    assert validated == [(10, True), (50, True), (20, False), (30, False)]
    (learned,) = [event for event in found if isinstance(event, TaskLearned)]
    assert (learned.steps, learned.examples) == (12, 48)  # 4 epochs of 12 examples in batches of 4
    kept = {name.removeprefix("main/"): weight for name, weight in weights(folder).items()}
    assert all(torch.equal(kept[name], weight) for name, weight in seen[1].items())


def test_without_patience_all_epochs_are_learnt_and_the_best_is_kept(
    make_components: Any, folder: RunFolder, judged: Any
) -> None:
    judged(50, 40, 30, 20)
    components = make_components(
        tasks=[toy_task("image", "qa")], epochs=4, max_steps=None, patience=0, validate_every=1
    )
    assert [e.steps for e in run(components, folder) if isinstance(e, TaskLearned)] == [12]


def test_validation_every_other_epoch_and_at_the_end(make_components: Any, folder: RunFolder, judged: Any) -> None:
    judged(*range(9))
    components = make_components(tasks=[toy_task("image", "qa")], epochs=5, max_steps=None, validate_every=2)
    assert [e.epoch for e in run(components, folder) if isinstance(e, Validated)] == [2, 4, 5]


def told(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def with_equal_captions(split: str = "val") -> Task:
    """A captioning task in which all examples of a split have the same references, so that CIDEr is always 0."""
    task = replace(toy_task("image", "captioning"), metric="cider")

    def load(asked: str) -> Any:
        examples = task.examples(asked)
        return [replace(e, references=("a red circle",)) for e in examples] if asked == split else examples

    return replace(task, load=load)


def test_where_the_metric_cannot_tell_the_loss_chooses(make_components: Any, folder: RunFolder) -> None:
    task = with_equal_captions()
    components = make_components(tasks=[task], epochs=3, max_steps=None, patience=0, validate_every=1)
    found = run(components, folder)
    assert any("every answer" in text and task.name in text and "cider" in text for text in told(found))
    validated = [event for event in found if isinstance(event, Validated)]
    losses = [event.value for event in validated]
    assert len(losses) == 3
    assert {event.criterion for event in validated} == {"loss"}
    assert [event.best for event in validated] == [value == min(losses[: at + 1]) for at, value in enumerate(losses)]
    backbone, examples = components.backbone, task.examples("val")
    restore_stage(components, folder, 1)
    with torch.no_grad():
        assert float(backbone.loss(backbone.batch(examples))) == pytest.approx(min(losses), rel=1e-4)


def test_the_validation_loss_is_a_mean_over_tokens(make_components: Any) -> None:
    task = with_equal_captions()
    components = make_components(tasks=[task], evaluation=Evaluation(batch_size=1))
    components.strategy.begin(components.enter(1))
    examples = [e.with_answer("ab" * 9 ** (i % 2)) for i, e in enumerate(task.examples("val"))]
    task = replace(task, load=lambda split: examples)
    backbone = components.backbone
    with torch.no_grad():
        whole = float(backbone.loss(backbone.batch(examples)))
    assert validation_loss(components, [task]) == pytest.approx(whole, rel=1e-4)


def test_a_validation_that_is_no_number_is_told_and_not_counted(
    make_components: Any, folder: RunFolder, judged: Any
) -> None:
    judged(10, float("nan"), 5)
    components = make_components(tasks=[toy_task("image", "qa")], epochs=3, max_steps=None, patience=0)
    components.plan.training.__dict__["validate_every"] = 1
    found = run(components, folder)
    assert [(e.epoch, e.best) for e in found if isinstance(e, Validated)] == [(1, True), (3, False)]
    assert any("nan" in text for text in told(found))


class Shrinking(Strategy):
    """Halves its weights when an epoch ends and, if asked, when learning ends or in the pass after it."""

    last: str = ""

    def __init__(self, backbone: Any) -> None:
        super().__init__(backbone)
        self.calls: list[str] = []

    @torch.no_grad()
    def halve(self, when: str) -> None:
        self.calls.append(when)
        for _, weight in self.trainable():
            weight.mul_(0.5)

    def epoch_end(self) -> None:
        self.halve("epoch")

    def end(self, stage: Stage) -> None:
        if self.last == "end":
            self.halve("end")

    def after(self, stage: Stage) -> Iterator[Progress]:
        yield Progress(1, 1)
        if self.last == "after":
            self.halve("after")


def shrinking(components: Any, last: str = "") -> Any:
    components.strategy = Shrinking(components.backbone)
    components.strategy.last = last
    return components


@pytest.mark.parametrize(("steps", "ends"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2)])
def test_only_whole_epochs_end_and_a_change_of_weights_is_validated(
    make_components: Any, folder: RunFolder, judged: Any, steps: int, ends: int
) -> None:
    """The toy task has three steps an epoch."""
    judged(*range(9))
    found = run(shrinking(make_components(tasks=[toy_task("image", "qa")], max_steps=steps, validate_every=9)), folder)
    validated = [event.step for event in found if isinstance(event, Validated)]
    assert validated == sorted({*range(3, 3 * ends + 1, 3), steps})
    assert any("whole epochs only" in text for text in told(found)) == bool(steps % 3)


@pytest.mark.parametrize("last", ["end", "after"])
def test_a_change_of_weights_at_the_end_is_validated_but_does_not_compete(
    make_components: Any, folder: RunFolder, judged: Any, last: str
) -> None:
    seen = judged(10, 20, 99)
    components = shrinking(make_components(tasks=[toy_task("image", "qa")], max_steps=6, validate_every=1), last)
    validated = [event for event in run(components, folder) if isinstance(event, Validated)]
    assert [(e.step, e.epoch, e.value, e.best) for e in validated][-1] == (6, 2, 99, False)
    assert len(validated) == 3
    kept = {name.removeprefix("main/"): weight for name, weight in weights(folder).items()}
    assert all(torch.equal(kept[name], weight) for name, weight in seen[2].items())


def test_gradient_checkpointing_learns_the_same(make_components: Any, prepared_home: Any, tmp_path: Any) -> None:
    from micl_cli.data.preparation import open_task

    task = open_task("own/img_qa", prepared_home)
    found = []
    for asked in (False, True):
        folder = RunFolder(tmp_path / str(asked))
        options = {"max_steps": 2, "precision": "fp32", "gradient_checkpointing": asked}
        run(make_components(tasks=[task], backbone="tiny", **options), folder)
        found.append(weights(folder))
    assert close(*found)


@pytest.mark.parametrize("strategy", ["finetune", "moincl", "joint"])
def test_a_run_that_is_stopped_at_every_step_ends_the_same(make_components: Any, tmp_path: Any, strategy: str) -> None:
    options = {"backbone_options": {"dropout": 0.3}, "evaluation": Evaluation(max_new_tokens=5, unseen=True)}
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    tasks = toy_tasks()[:2]
    expected = run(make_components(strategy, tasks, **options), whole)
    found, stops = until_finished(lambda: make_components(strategy, tasks, **options), broken)
    assert stops >= sum(isinstance(event, Step) for event in expected)
    for position in range(1, len([e for e in expected if isinstance(e, TaskLearned)]) + 1):
        first, second = ((f.stage(position) / "adapters.safetensors").read_bytes() for f in (whole, broken))
        assert first == second
        assert values(whole.scores(position)) == values(broken.scores(position))
    assert values(found) == values(expected)


def until_finished(make: Any, folder: RunFolder, questions: int = 1) -> tuple[list[Event], int]:
    """Run again and again, stopped after so many questions whether to stop; the last events, and the stops."""
    stops = 0
    while True:
        try:
            return run(make(), folder, Control(stop=stop_after(questions))), stops
        except Interrupted:
            stops += 1
            assert stops < 60


def stop_after(count: int) -> Any:
    """A stop that is asked for from the ``count``-th question on."""
    asked = iter(range(count))
    return lambda: next(asked, None) is None


def values(events: Any) -> list[tuple[int, str, str, float]]:
    return [(e.after, e.task, e.metric, e.value) for e in events if isinstance(e, Scored)]


def test_options_of_a_stage_hold_in_that_stage_also_when_it_is_restored(
    make_components: Any, folder: RunFolder
) -> None:
    def with_stages() -> Any:
        components = make_components("moincl", options={"alpha": 0.5})
        components.plan = replace(components.plan, stage_options={"2": {"alpha": 0.9}})
        return components

    components, alphas = with_stages(), []
    for event in learn(components, folder, Control()):
        if isinstance(event, TaskLearned):
            alphas.append(components.strategy.alpha)
    assert alphas == [0.5, 0.9]
    for position, alpha in ((2, 0.9), (1, 0.5)):
        components = with_stages()
        restore_stage(components, folder, position)
        assert (components.strategy.alpha, components.strategy.stage.position) == (alpha, position)


def test_a_finished_run_is_replayed_from_its_files(make_components: Any, folder: RunFolder) -> None:
    first = run(make_components(), folder)
    told = list(replay(folder, 2))
    assert values(told) == values(first)
    assert all(event.restored for event in told if isinstance(event, (Scored, TaskLearned)))
    again = run(make_components(), folder)
    assert not [event for event in again if isinstance(event, Step)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(
    make_components: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    components = make_components()
    loss = components.strategy.loss

    def exploding(batch: Any) -> Any:
        return {"answers": loss(batch) * (value if components.strategy.stage.position == 2 else 1)}

    monkeypatch.setattr(components.strategy, "loss", exploding)
    with pytest.raises(MiclError, match="at step 1 of task 2"):
        run(components, folder)
    assert folder.has_stage(1)
    assert not folder.has_stage(2)


def test_steps_are_saved_as_often_as_asked_for(
    make_components: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[int, int]] = []
    write = folder.write_step

    def writing(position: int, step: int, snapshot: Any) -> None:
        saved.append((position, step))
        write(position, step, snapshot)

    monkeypatch.setattr(folder, "write_step", writing)
    run(make_components(), folder, Control(save_seconds=3600))
    assert saved == []
    again = RunFolder(folder.path.with_name("again"))
    monkeypatch.setattr(again, "write_step", lambda *args: saved.append(args[:2]))
    run(make_components(), again, Control(save_seconds=0))
    assert saved == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


def test_what_was_yielded_is_stored_before_a_file_says_so(
    make_components: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    yielded: list[Event] = []
    stored: list[int] = []
    for name in ("write_step", "finish_stage", "add_scores"):
        write = getattr(folder, name)
        monkeypatch.setattr(folder, name, lambda *words, write=write: (files.append(len(yielded)), write(*words)))
    files: list[int] = []
    control = Control(commit=lambda: stored.append(len(yielded)), save_seconds=0, max_answers=None)
    for event in learn(make_components(), folder, control):
        yielded.append(event)
    assert files == stored
    assert len(files) > 6


def test_events_come_one_by_one(make_components: Any, folder: RunFolder) -> None:
    events: Iterator[Event] = learn(make_components(), folder, Control())
    assert next(events).name == "run_started"
    assert not folder.path.exists()


# Passes over data before and after learning


class Passing(Strategy):
    """Sums up random numbers in three steps before and three after learning, and scales its loss by them."""

    interrupt: tuple[str, int] | None = None
    """The pass and its step in which the process is killed."""

    def __init__(self, backbone: Any) -> None:
        super().__init__(backbone)
        self.numbers: list[float] = []
        self.calls: list[str] = []

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self.calls.append("begin")
        self.numbers.append(stage.rng.random())

    def before(self, stage: Stage) -> Iterator[Progress]:
        yield from self._sum("before", stage)

    def end(self, stage: Stage) -> None:
        self.calls.append("end")
        self.numbers.append(stage.rng.random())

    def after(self, stage: Stage) -> Iterator[Progress]:
        yield from self._sum("after", stage)

    def _sum(self, when: str, stage: Stage) -> Iterator[Progress]:
        self.calls.append(when)
        found = []
        for done in range(1, 4):
            if self.interrupt == (f"{when}{stage.position}", done):
                raise KeyboardInterrupt
            found.append(stage.rng.random() + float(torch.rand(())))
            yield Progress(done, 3, "numbers")
        self.numbers += found

    def loss(self, batch: Any) -> Any:
        return self.backbone.loss(batch) * (1 + sum(self.numbers))

    def state(self) -> State:
        return State(data={"numbers": self.numbers})

    def restore(self, state: State) -> None:
        self.numbers = list(state.data["numbers"])


@pytest.fixture
def passing(make_components: Any) -> Any:
    """Components with the strategy above on the toy backbone, which may be killed in a pass."""

    def make(interrupt: tuple[str, int] | None = None) -> Any:
        components = make_components(backbone_options={"dropout": 0.3})
        components.strategy = Passing(components.backbone)
        components.strategy.interrupt = interrupt
        return components

    return make


def ending(folder: RunFolder) -> list[Any]:
    """The adapters and the strategy's state of each stage, and the scores after it."""
    found = []
    for position in (1, 2):
        snapshot = folder.load_stage(position)
        weights = {name: weight.tolist() for name, weight in snapshot.adapters.items()}
        found.append((weights, snapshot.strategy.data, values(folder.scores(position))))
    return found


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("when", ["before1", "after1", "before2", "after2"])
def test_a_kill_in_a_pass_changes_nothing_in_the_end(passing: Any, tmp_path: Any, when: str, step: int) -> None:
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    expected = run(passing(), whole)
    with pytest.raises(KeyboardInterrupt):
        run(passing((when, step)), broken)
    resumed = passing()
    found = run(resumed, broken)
    assert ending(broken) == ending(whole)
    steps = [(e.position, e.step, e.loss) for e in expected if isinstance(e, Step)]
    again = [(e.position, e.step, e.loss) for e in found if isinstance(e, Step)]
    assert again == [step for step in steps if step[0] > int(when[-1]) - when.startswith("before")]
    stage = {"before": ["begin", "before", "end", "after"], "after": ["after"]}[when[:-1]]
    assert resumed.strategy.calls[: len(stage)] == stage


def test_what_a_pass_found_before_learning_is_written_at_once(passing: Any, folder: RunFolder) -> None:
    """So that a kill in the first step does not cost the pass."""
    components = passing()
    for event in learn(components, folder, Control(save_seconds=3600)):
        if isinstance(event, TaskStarted):
            break
    assert folder.latest_step() == (1, 0)
    resumed = passing()
    found = run(resumed, folder)
    assert resumed.strategy.calls[:2] == ["end", "after"]
    assert next(event for event in found if isinstance(event, RunStarted)).resumed_from == (1, 0)


def test_without_a_pass_nothing_more_is_written(make_components: Any, folder: RunFolder) -> None:
    for event in learn(make_components(), folder, Control(save_seconds=3600)):
        assert isinstance(event, TaskLearned) or folder.latest_step() is None


def test_passes_are_timed_apart_from_learning(
    make_components: Any, passing: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    components, seconds = passing(), {"now": 0.0}
    monkeypatch.setattr("micl_cli.training.loop.time.perf_counter", lambda: seconds["now"])

    def slow(cost: float) -> Any:
        def iterate(stage: Stage) -> Iterator[Progress]:
            seconds["now"] += cost
            yield Progress(1, 1)

        return iterate

    monkeypatch.setattr(components.strategy, "before", slow(10.0))
    monkeypatch.setattr(components.strategy, "after", slow(5.0))
    step_end = components.strategy.step_end
    monkeypatch.setattr(
        components.strategy, "step_end", lambda n: (step_end(n), seconds.update(now=seconds["now"] + 1.0))
    )
    learned = [event for event in run(components, folder) if isinstance(event, TaskLearned)]
    assert [(e.before_seconds, e.seconds, e.after_seconds) for e in learned] == [(10.0, 3.0, 5.0)] * 2
    plain = RunFolder(folder.path.with_name("plain"))
    monkeypatch.undo()
    none = [event for event in run(make_components(), plain) if isinstance(event, TaskLearned)]
    assert [(e.before_seconds, e.after_seconds) for e in none] == [(0.0, 0.0)] * 2


def test_progress_of_a_pass_is_throttled_but_its_first_and_last_are_told(
    passing: Any, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = passing()
    many = [Progress(done, 1000, "examples") for done in range(1, 1001)]
    monkeypatch.setattr(components.strategy, "before", lambda stage: iter(many))
    found = [e for e in run(components, folder) if isinstance(e, PassProgress)]
    before = [e.done for e in found if (e.position, e.when) == (1, "before")]
    assert (before[0], before[-1]) == (1, 1000)
    assert len(before) < 100
    assert [(e.done, e.total, e.label) for e in found if e.when == "after" and e.position == 2][-1] == (3, 3, "numbers")


def test_a_pass_can_be_stopped(passing: Any, folder: RunFolder) -> None:
    with pytest.raises(Interrupted):
        run(passing(), folder, Control(stop=lambda: True))
    assert folder.latest_step() is None


def test_the_base_strategy_s_modules_come_back_with_a_stage(make_components: Any, folder: RunFolder) -> None:
    def gated() -> Any:
        torch.manual_seed(0)
        components = make_components()
        components.strategy.modules["gate"] = torch.nn.Linear(1, 1)
        loss = components.strategy.backbone.loss
        components.strategy.loss = lambda batch: {
            "answers": loss(batch),
            "gate": components.strategy.modules["gate"].weight.square().sum(),
        }
        return components

    first = gated()
    learned = [event for event in run(first, folder) if isinstance(event, TaskLearned)]
    plain = RunFolder(folder.path.with_name("plain"))
    other = [event for event in run(make_components(), plain) if isinstance(event, TaskLearned)]
    assert [e.trainable_parameters for e in learned] == [e.trainable_parameters + 2 for e in other]
    assert [e.stored_bytes for e in learned] == [e.stored_bytes + 8 for e in other]
    second = gated()
    restore_stage(second, folder, 2)
    assert torch.equal(second.strategy.modules["gate"].weight, first.strategy.modules["gate"].weight)
    assert not torch.equal(gated().strategy.modules["gate"].weight, first.strategy.modules["gate"].weight)
