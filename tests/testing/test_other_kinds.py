"""The contracts of metrics, modalities, task sources and routers: kept, and broken."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from micl_cli.api import (
    Example,
    Media,
    MediaError,
    Metric,
    Modality,
    Progress,
    Route,
    Router,
    RouterContext,
    Row,
    Score,
    State,
    Task,
    TaskSource,
    is_missing,
)
from micl_cli.testing import MetricContract, ModalityContract, RouterContract, TaskSourceContract

# Metrics


class Exact(Metric):
    name = "exact"
    task_types = frozenset({"qa"})

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        each = tuple(float(answer in known) for answer, known in zip(answers, references, strict=True))
        return Score(sum(each) / max(1, len(each)), each)


class TestExact(MetricContract):
    metric = Exact


class Constant(Exact):
    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        return Score(1.0, (1.0,) * len(answers))


class Modest(Exact):
    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        return False


class Unsure(Exact):
    def informative(self, references: Sequence[Sequence[str]]) -> bool:
        return len(references) > 1


class Undefined(Exact):
    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        right = super().score(answers, references)
        return right if any(right.each) else Score(float("nan"), right.each)


class Running(Exact):
    def __init__(self) -> None:
        self.past: list[float] = []

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        right = super().score(answers, references)
        self.past += right.each
        return Score(len(self.past), right.each)


class Unversioned(Exact):
    version = 0


class Lenient(Exact):
    """Leaves examples without an answer out."""

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        kept = [(a, e) for a, e in zip(answers, examples, strict=True) if not is_missing(a)]
        return super().score_examples([answer for answer, _ in kept], [example for _, example in kept])


class Undivided(Exact):
    """Has no score of each category."""

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        return self.score(answers, [example.references for example in examples])


class Infinite(Exact):
    """Has a figure that no table can show."""

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        score = super().score_examples(answers, examples)
        return score._replace(figures={**score.figures, "ratio": float("inf")})


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Unversioned, "test_has_a_name_a_version_and_task_types"),
        (Lenient, "test_a_missing_answer_is_wrong"),
        (Constant, "test_right_answers_to_examples_score_higher_than_wrong_ones"),
        (Undivided, "test_figures_are_finite_and_hold_the_mean_of_each_category"),
        (Infinite, "test_figures_are_finite_and_hold_the_mean_of_each_category"),
        (Constant, "test_correct_answers_score_higher_than_wrong_ones"),
        (Modest, "test_knows_whether_it_tells_right_from_wrong"),
        (Unsure, "test_knows_whether_it_tells_right_from_wrong"),
        (Undefined, "test_each_answer_has_a_finite_score"),
        (Running, "test_scores_do_not_depend_on_earlier_calls"),
    ],
)
def test_the_contract_finds_metrics(faulty: type[Metric], test: str) -> None:
    contract = type("Contract", (MetricContract,), {"metric": faulty})()
    with pytest.raises(AssertionError):
        getattr(contract, test)()


def test_the_contract_finds_a_metric_that_takes_unequal_lengths() -> None:
    contract = type("Contract", (MetricContract,), {"metric": Constant})()
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_unequal_lengths_are_refused()


# Modalities


class Points(Modality):
    """An image as text: P3, two numbers, and as many grey values."""

    name = "image"

    def read(self, path: Path) -> Any:
        try:
            magic, height, width, *grey = path.read_text().split()
            pixels = np.array([int(value) for value in grey], np.uint8).reshape(int(height), int(width), 1)
        except (OSError, ValueError) as error:
            raise MediaError(f"{path} is no picture of points: {error}") from error
        if magic != "P3" or not pixels.size:
            raise MediaError(f"{path} is no picture of points")
        return np.repeat(pixels, 3, axis=2)

    def inspect(self, path: Path) -> Mapping[str, Any]:
        height, width, _ = self.read(path).shape
        return {"height": height, "width": width}


class PointsContract(ModalityContract):
    modality = Points

    def write(self, folder: Path) -> Sequence[Path]:
        path = folder / "one.points"
        path.write_text("P3 4 5 " + " ".join(str(10 * i) for i in range(20)))
        return [path]


class TestPoints(PointsContract):
    pass


class Patient(Points):
    """Takes any file."""

    def read(self, path: Path) -> Any:
        try:
            return super().read(path)
        except MediaError:
            return np.zeros((1, 1, 3), np.uint8)


class Grey(Points):
    def read(self, path: Path) -> Any:
        return super().read(path)[:, :, 0]


def test_the_contract_finds_a_modality_that_takes_anything(tmp_path: Path) -> None:
    contract = type("Contract", (PointsContract,), {"modality": Patient})()
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_the_error_for_a_missing_file_names_it(tmp_path)


def test_the_contract_finds_a_modality_of_another_form(tmp_path: Path) -> None:
    contract = type("Contract", (PointsContract,), {"modality": Grey})()
    with pytest.raises(AssertionError):
        contract.test_reads_the_canonical_form(tmp_path)


# Task sources


class Numbers(TaskSource):
    benchmark, name, modalities, type, metric = "toys", "numbers", frozenset({"image"}), "qa", "accuracy"

    def rows(self, folder: Path) -> Iterable[Row]:
        for number, split in enumerate(["train", "train", "val", "test"]):
            (folder / f"{number}.txt").write_text(self.content(number))
            yield Row(str(number), split, (Media("image", Path(f"{number}.txt")), "which number?"), (str(number),))

    def content(self, number: int) -> str:
        return f"number {number}"


class TestNumbers(TaskSourceContract):
    source = Numbers


class Leaking(Numbers):
    def content(self, number: int) -> str:
        return "always the same"


class Unsteady(Numbers):
    def content(self, number: int) -> str:
        return f"{number} {random.random()}"


class Escaping(Numbers):
    def rows(self, folder: Path) -> Iterable[Row]:
        (folder.parent / "outside.txt").write_text("outside")
        yield Row("1", "train", (Media("image", Path("../outside.txt")), "which?"), ("1",))


class Undeclared(Numbers):
    modalities = frozenset({"image", "audio"})


class Undecided(Numbers):
    type = "choice"


class Twice(Numbers):
    def rows(self, folder: Path) -> Iterable[Row]:
        return [*super().rows(folder), *super().rows(folder)]


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Leaking, "test_train_and_test_share_no_media"),
        (Unsteady, "test_rows_and_files_are_reproducible"),
        (Escaping, "test_media_are_files_below_the_folder"),
        (Twice, "test_rows_are_complete"),
        (Undeclared, "test_media_are_of_the_declared_modalities"),
        (Undecided, "test_choices_contain_the_answer"),
    ],
)
def test_the_contract_finds_sources(faulty: type[TaskSource], test: str, tmp_path: Path) -> None:
    contract = type("Contract", (TaskSourceContract,), {"source": faulty})()
    with pytest.raises(AssertionError):
        getattr(contract, test)(tmp_path / "task")


# Routers


class Nearest(Router):
    """The task whose mean feature vector is nearest."""

    def __init__(self, backbone: Any) -> None:
        super().__init__(backbone)
        self.means: dict[str, torch.Tensor] = {}

    def learn(self, task: Task, examples: Sequence[Example], context: RouterContext) -> Iterator[Progress]:
        yield Progress(len(examples), len(examples))
        self.means[task.name] = self.backbone.features(examples).mean(0)

    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        names, means = list(self.means), torch.stack(list(self.means.values()))
        near = -torch.cdist(self.backbone.features(examples), means)
        best = near.topk(min(2, len(names)), dim=1)
        margins = best.values[:, 0] - best.values[:, -1]
        return [Route(names[i], m) for i, m in zip(best.indices[:, 0].tolist(), margins.tolist(), strict=True)]

    def state(self) -> State:
        return State(tensors=dict(self.means))

    def restore(self, state: State) -> None:
        self.means = dict(state.tensors)


class TestNearest(RouterContract):
    router = Nearest


class Amnesiac(Nearest):
    def restore(self, state: State) -> None:
        self.means = {name: torch.zeros_like(mean) for name, mean in state.tensors.items()}


class Sleepy(Nearest):
    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        return [Route("toy/img_cap", 0.0) for _ in examples]


class Sociable(Nearest):
    def route(self, examples: Sequence[Example]) -> Sequence[Route]:
        names = list(self.means)
        return [Route(names[i % len(names)], 0.0) for i, _ in enumerate(examples)]


class Stubborn(Nearest):
    def route_among(self, examples: Sequence[Example], tasks: Sequence[Sequence[str]]) -> Sequence[Route]:
        return self.route(examples)


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Stubborn, "test_chooses_among_the_tasks_that_have_an_example_s_modalities"),
        (Amnesiac, "test_a_restored_router_behaves_identically"),
        (Sleepy, "test_routes_most_examples_to_their_task"),
        (Sociable, "test_routes_do_not_depend_on_the_batch"),
    ],
)
def test_the_contract_finds_routers(faulty: type[Router], test: str) -> None:
    contract = type("Contract", (RouterContract,), {"router": faulty})()
    with pytest.raises(AssertionError):
        getattr(contract, test)()
