"""The strategies' contract holds for what is right, and finds what is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

from micl_cli.api import Backbone, Batch, Example, State, Strategy, Task
from micl_cli.testing import Course, StrategyContract, ToyBackbone, toy_tasks


class Replay(Strategy):
    """Keeps some examples of each task and mixes them in."""

    def __init__(self, backbone: Backbone, *, kept: Annotated[int, "examples a task"] = 4, **options: Any) -> None:
        super().__init__(backbone, **options)
        self.kept = kept
        self.memory: list[Example] = []

    def batch(self, examples: Sequence[Example]) -> Batch:
        return super().batch([*examples, *self.rng.sample(self.memory, min(2, len(self.memory)))])

    def end(self, task: Task) -> None:
        self.memory += self.rng.sample(list(task.examples("train")), self.kept)

    def state(self) -> State:
        return State(data={"memory": [example.as_json() for example in self.memory]})

    def restore(self, state: State) -> None:
        self.memory = [Example.from_json(data) for data in state.data["memory"]]


class TestReplay(StrategyContract):
    strategy = Replay


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
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (1 + torch.rand(()))


class Gambler(Strategy):
    def examples(self, task: Task) -> Sequence[Example]:
        return random.sample(list(task.examples("train")), 8)


class Forgetful(Replay):
    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None:
        self.memory = []


class Counting(Strategy):
    steps = 0

    def loss(self, batch: Batch) -> Tensor:
        self.steps += 1
        return super().loss(batch) * self.steps


class NotJson(Strategy):
    def state(self) -> State:
        return State(data={"seen": {task.name for task in self.seen}})


class MovesTheBase(Strategy):
    def end(self, task: Task) -> None:
        next(iter(self.backbone.module.parameters())).data.add_(0.1)


class MovesAConnector(Strategy):
    def step_end(self, step: int) -> None:
        self.backbone.adapter_weights("main")["video-bias"].data.add_(0.1)


class LearnsNothing(Strategy):
    def loss(self, batch: Batch) -> Tensor:
        return -super().loss(batch)


class Detached(Strategy):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch).detach()


class LeavesNothingActive(Strategy):
    def end(self, task: Task) -> None:
        self.backbone.activate(None)


class RoutesAstray(Strategy):
    def route(self, examples: Sequence[Example]) -> Sequence[str]:
        return ["expert"] * len(examples)


class DropsTasks(Strategy):
    def stages(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        return [[task] for task in tasks[1:]]


FAULTS: list[tuple[type[Strategy], str, type[BaseException]]] = [
    (Undocumented, "test_every_keyword_is_an_option", AssertionError),
    (NotKept, "test_options_are_attributes_of_the_same_name", AssertionError),
    (Noisy, "test_leaves_global_randomness_alone", AssertionError),
    (Noisy, "test_same_numbers_same_result", AssertionError),
    (Gambler, "test_leaves_global_randomness_alone", AssertionError),
    (Forgetful, "test_goes_on_from_a_finished_stage", AssertionError),
    (Counting, "test_goes_on_from_the_middle_of_a_task", AssertionError),
    (NotJson, "test_goes_on_from_a_finished_stage", TypeError),
    (MovesTheBase, "test_the_base_never_changes", AssertionError),
    (MovesAConnector, "test_only_what_is_trainable_moves", AssertionError),
    (LearnsNothing, "test_learns", AssertionError),
    (Detached, "test_learns", AssertionError),
    (LeavesNothingActive, "test_learns_every_stage_and_answers", AssertionError),
    (RoutesAstray, "test_learns_every_stage_and_answers", AssertionError),
    (DropsTasks, "test_stages_hold_each_task_once", AssertionError),
]


@pytest.mark.parametrize(("faulty", "test", "error"), FAULTS, ids=[f"{f.__name__}-{t}" for f, t, _ in FAULTS])
def test_the_contract_finds(faulty: type[Strategy], test: str, error: type[BaseException]) -> None:
    contract = type("Contract", (StrategyContract,), {"strategy": faulty})()
    arguments = {"steps": 1} if test.endswith("middle_of_a_task") else {}
    with pytest.raises(error):
        getattr(contract, test)(**arguments)


def test_a_course_sets_options_for_one_stage() -> None:
    strategy = Replay(ToyBackbone(), kept=4)
    course = Course(strategy, toy_tasks(), options={"kept": 4}, stage_options={2: {"kept": 1}})
    for position in (1, 2, 3):
        course.learn(position)
    assert len(strategy.memory) == 4 + 1 + 4


def test_a_course_calls_in_the_order_of_the_flow() -> None:
    called: list[str] = []

    class Told(Strategy):
        def __getattribute__(self, name: str) -> Any:
            if name in {"begin", "examples", "batch", "loss", "constrain", "step_end", "epoch_end", "end"}:
                called.append(name)
            return super().__getattribute__(name)

    Course(Told(ToyBackbone()), toy_tasks()).learn(1)
    # "loss" is looked up before the batch that is its argument.
    step = ["loss", "batch", "constrain", "step_end"]
    assert called == ["begin", "examples", *2 * (3 * step + ["epoch_end"]), "end"]
