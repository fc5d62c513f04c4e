"""The strategies' contract holds for what is right, and finds what is wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor, nn

from micl_cli.api import (
    Backbone,
    Batch,
    Example,
    Loss,
    PartLoader,
    Progress,
    Route,
    Stage,
    State,
    Strategy,
    Task,
    answer_loss,
)
from micl_cli.errors import MiclError
from micl_cli.testing import Course, StrategyContract, ToyBackbone, toy_tasks


class Replay(Strategy):
    """Stores some examples of each task and mixes them in."""

    def __init__(self, backbone: Backbone, *, kept: Annotated[int, "examples a task"] = 4, **options: Any) -> None:
        super().__init__(backbone, **options)
        self.kept = kept
        self.memory: list[Example] = []

    def batch(self, examples: Sequence[Example]) -> Batch:
        return super().batch([*examples, *self.stage.rng.sample(self.memory, min(2, len(self.memory)))])

    def end(self, stage: Stage) -> None:
        for task in stage.tasks:
            self.memory += stage.rng.sample(list(task.examples("train")), self.kept)

    def state(self) -> State:
        return State(data={"memory": [example.as_json() for example in self.memory]})

    def restore(self, state: State) -> None:
        self.memory = [Example.from_json(data) for data in state.data["memory"]]


class TestReplay(StrategyContract):
    strategy = Replay


class NamedLikeAMethod(Strategy):
    """Has an option with the name of a method, which stays callable."""

    def __init__(
        self, backbone: Backbone, *, loss: Annotated[str, "form of the loss"] = "mean", **options: Any
    ) -> None:
        super().__init__(backbone, **options)
        self.loss_ = loss


def test_an_option_with_the_name_of_a_method_does_not_replace_it() -> None:
    strategy = NamedLikeAMethod(ToyBackbone())
    strategy.enter(Stage(position=1, tasks=()), {"loss": "sum"})
    assert strategy.loss_ == "sum"
    assert callable(strategy.loss)


class Gated(Strategy):
    """Scales each term of its loss by a gate of its own, and anchors the gate in a pass after each task."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.anchor = torch.zeros(())

    def begin(self, stage: Stage) -> None:
        super().begin(stage)
        self._add_gate()

    def _add_gate(self) -> None:
        if "gate" not in self.modules:
            self.modules["gate"] = nn.ParameterList([torch.ones(())])

    @property
    def gate(self) -> Tensor:
        return next(self.modules.parameters())

    def loss(self, batch: Batch) -> Loss:
        return {"answers": self.backbone.loss(batch) * self.gate, "anchor": (self.gate - 1 - self.anchor) ** 2}

    def before(self, stage: Stage) -> Iterator[Progress]:
        yield Progress(1, 2)
        self.anchor = self.anchor + stage.rng.random()
        yield Progress(2, 2)

    def after(self, stage: Stage) -> Iterator[Progress]:
        yield Progress(1, label="anchor")
        self.anchor = self.gate.detach() + stage.rng.random()

    def state(self) -> State:
        return State(tensors={"anchor": self.anchor})

    def restore(self, state: State) -> None:
        self._add_gate()
        self.anchor = state.tensors["anchor"]


class TestGated(StrategyContract):
    strategy = Gated


class TestReplayOfMore(StrategyContract):
    strategy = Replay
    options = {"kept": 6}


# Strategies with one fault each


class Undocumented(Strategy):
    def __init__(self, backbone: Backbone, *, strength: float = 1.0, **options: Any) -> None:
        super().__init__(backbone, **options)


class NotKept(Strategy):
    def __init__(self, backbone: Backbone, *, strength: Annotated[float, "how much"] = 1.0, **options: Any) -> None:
        super().__init__(backbone, **options)
        self.strength_of_all = strength


class Noisy(Strategy):
    def loss(self, batch: Batch) -> Loss:
        return self.backbone.loss(batch) * (1 + torch.rand(()))


class Gambler(Strategy):
    def examples(self, stage: Stage) -> Sequence[Example]:
        return random.sample(list(super().examples(stage)), 8)


class Forgetful(Replay):
    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None:
        self.memory = []


class Counting(Strategy):
    steps = 0

    def loss(self, batch: Batch) -> Loss:
        self.steps += 1
        return self.backbone.loss(batch) * self.steps


class NotJson(Strategy):
    def state(self) -> State:
        return State(data={"previous": {task.name for task in self.stage.previous_tasks}})


class MovesTheBase(Strategy):
    def end(self, stage: Stage) -> None:
        next(iter(self.backbone.module.parameters())).data.add_(0.1)


class MovesAConnector(Strategy):
    def step_end(self, step: int) -> None:
        self.backbone.adapters.parameters("main")["connector.video.bias"].data.add_(0.1)


class LearnsNothing(Strategy):
    def loss(self, batch: Batch) -> Loss:
        return -self.backbone.loss(batch)


class Detached(Strategy):
    def loss(self, batch: Batch) -> Loss:
        return self.backbone.loss(batch).detach()


class LeavesNothingActive(Strategy):
    def end(self, stage: Stage) -> None:
        self.backbone.adapters.activate(None)


class RoutesAstray(Strategy):
    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return [Route("toy/img_cap", selection="expert")] * len(examples)


class ForgetsItsGate(Gated):
    def restore(self, state: State) -> None:
        self.anchor = state.tensors["anchor"]


class LosesItsAnchor(Gated):
    def state(self) -> State:
        return State(tensors={"anchor": torch.zeros(())})


class LosesItsCount(Strategy):
    """Counts steps for the pass after learning, and forgets them where that is resumed."""

    steps, total = 0, 0

    def step_end(self, step: int) -> None:
        self.steps += 1

    def after(self, stage: Stage) -> Iterator[Progress]:
        yield Progress(1, 1)
        self.total += self.steps

    def state(self) -> State:
        return State(data={"total": self.total})

    def restore(self, state: State) -> None:
        self.total = state.data["total"]


class HidesAWeight(Strategy):
    """Learns a weight that is part of no adapter and of no module."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.scale = nn.Parameter(torch.ones(()))

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from super().trainable()
        yield "scale", self.scale


class WrongTerms(Strategy):
    """Reports terms that are not those of its loss."""

    def loss(self, batch: Batch) -> Loss:
        loss = self.backbone.loss(batch)
        return {"answers": loss, "doubtful": loss * float("nan")}


class BeyondItsTotal(Strategy):
    def after(self, stage: Stage) -> Iterator[Progress]:
        yield Progress(3, 2)


class DropsTasks(Strategy):
    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        return [[task] for task in tasks[1:]]


class AddsToEachBatch(Replay):
    """Adds a random number of examples to each batch."""

    def loss(self, batch: Batch) -> Loss:
        drawn = self.stage.rng.sample(list(self.examples(self.stage)), 2)
        return {"answers": self.backbone.loss(batch), "more": self.backbone.loss(self.backbone.batch(drawn))}


class WeighsItsGroupsWrongly(Strategy):
    """Has a mean over a group whose population it does not give."""

    def step_examples(self, examples: Sequence[Example]) -> Mapping[str, Sequence[Example]]:
        long = [example.with_answer("a very long answer") for example in examples[:1]]
        return {"new": examples, "long": long}

    def loss(self, batch: Batch) -> Loss:
        logits, labels = self.backbone.answer_logits(batch)
        terms = {name: batch.positions(name) for name in batch.groups}
        return {name: answer_loss(logits[own], labels[own]) for name, own in terms.items()}


class WeighsItsGroups(WeighsItsGroupsWrongly):
    """Gives the population of its groups."""

    def population(self, term: str, batch: Batch) -> int:
        return int(batch.positions(term).sum())


class TestWeighsItsGroups(StrategyContract):
    strategy = WeighsItsGroups


CALLS = {"enter", "begin", "before", "examples", "batch", "loss", "constrain", "step_end", "epoch_end", "end", "after"}
FAULTS: list[tuple[type[Strategy], str, type[BaseException]]] = [
    (Undocumented, "test_every_keyword_is_an_option", AssertionError),
    (NotKept, "test_options_are_attributes_of_the_same_name", AssertionError),
    (Noisy, "test_does_not_use_global_randomness", AssertionError),
    (Noisy, "test_same_seed_same_result", AssertionError),
    (Gambler, "test_does_not_use_global_randomness", AssertionError),
    (Forgetful, "test_resumes_after_a_finished_stage", AssertionError),
    (Counting, "test_resumes_within_a_task", AssertionError),
    (NotJson, "test_resumes_after_a_finished_stage", TypeError),
    (MovesTheBase, "test_the_base_never_changes", AssertionError),
    (MovesAConnector, "test_only_trainable_weights_change", AssertionError),
    (LearnsNothing, "test_learns", AssertionError),
    (Detached, "test_learns", MiclError),
    (LeavesNothingActive, "test_learns_every_stage_and_answers", AssertionError),
    (RoutesAstray, "test_learns_every_stage_and_answers", AssertionError),
    (ForgetsItsGate, "test_resumes_after_a_finished_stage", MiclError),
    (LosesItsAnchor, "test_resumes_within_a_task", AssertionError),
    (LosesItsCount, "test_resumes_at_the_pass_after_learning", AssertionError),
    (HidesAWeight, "test_trainable_weights_are_part_of_the_best_weights", AssertionError),
    (WrongTerms, "test_learns_every_stage_and_answers", MiclError),
    (BeyondItsTotal, "test_progress_does_not_exceed_its_total", AssertionError),
    (AddsToEachBatch, "test_loss_and_gradient_are_the_same_for_all_splits", AssertionError),
    (WeighsItsGroupsWrongly, "test_loss_and_gradient_are_the_same_for_all_splits", AssertionError),
    (DropsTasks, "test_stages_contain_each_task_once", AssertionError),
]


@pytest.mark.parametrize(("faulty", "test", "error"), FAULTS, ids=[f"{f.__name__}-{t}" for f, t, _ in FAULTS])
def test_the_contract_finds(faulty: type[Strategy], test: str, error: type[BaseException]) -> None:
    contract = type("Contract", (StrategyContract,), {"strategy": faulty})()
    arguments = {"steps": 1} if test.endswith("within_a_task") else {}
    with pytest.raises(error):
        getattr(contract, test)(**arguments)


def test_a_course_sets_options_for_one_stage() -> None:
    strategy = Replay(ToyBackbone(), kept=4)
    course = Course(strategy, toy_tasks(), options={"kept": 4}, stage_options={2: {"kept": 1}})
    for position in (1, 2, 3):
        course.learn(position)
    assert len(strategy.memory) == 4 + 1 + 4


def test_a_course_calls_in_the_order_of_the_loop() -> None:
    called: list[str] = []

    class Recorded(Strategy):
        def __getattribute__(self, name: str) -> Any:
            if name in CALLS:
                called.append(name)
            return super().__getattribute__(name)

    Course(Recorded(ToyBackbone()), toy_tasks()).learn(1)
    step = ["batch", "loss", "constrain", "step_end"]
    assert called == ["enter", "begin", "before", "examples", *2 * (3 * step + ["epoch_end"]), "end", "after"]


def test_a_course_learns_as_a_run_does() -> None:
    """By the loop's own step: accumulated batches, a falling rate, and the best weights at the end."""
    course = Course(Strategy(ToyBackbone()), toy_tasks(), accumulation=2)
    course.begin(1)
    assert course.state.steps_planned == 4  # 12 examples in steps of 8, twice
    rates = []
    while not course.state.finished:
        course.step()
        rates.append(course.last.lr)
    assert rates == sorted(rates, reverse=True)
    assert course.state.best is not None
    assert course.state.best_weights
