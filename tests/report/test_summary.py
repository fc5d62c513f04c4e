"""The summary of several runs: which runs are averaged, relative scores, ranks, comparisons, and what is said of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_cli.records import ScoreRecord
from micl_cli.report.data import RunData
from micl_cli.report.options import ReportOptions
from micl_cli.report.render import render
from micl_cli.report.statistics import Mean
from micl_cli.report.summary import Method, Summary, summaries_of

CAPTIONS, QUESTIONS = TASKS = ("mini/img_cap", "mini/aud_qa")
METRICS = dict(zip(TASKS, ("cider", "accuracy"), strict=True))
BACK = TASKS[::-1]

Make = Callable[..., RunData]


def make(
    strategy: str, seed: int, final: tuple[float, float], tasks: tuple[str, ...] = TASKS, **changed: Any
) -> RunData:
    """A run with the final scores of captions and questions; each task was learnt to 10 more than its final score."""
    by_task = dict(zip(TASKS, final, strict=True))
    first, last = (by_task[task] for task in tasks)
    names = f"{strategy}-{seed}-{tasks[0]}-{first:g}-{last:g}-{len(changed)}"
    scores = [ScoreRecord(after=2, task=task, metric=METRICS[task], value=by_task[task], n=50) for task in tasks]
    return RunData(
        **{
            "id": names,
            "name": "",
            "strategy": strategy,
            "backbone": "composed:tiny",
            "seed": seed,
            "status": "finished",
            "tasks": tasks,
            "matrix": [[first + 10, None], [first, last]],
            "scores": scores,
            "types": {CAPTIONS: "captioning", QUESTIONS: "qa"},
            "scales": {CAPTIONS: (0.0, 10.0), QUESTIONS: (0.0, 1.0)},
            "environment": {"code": "c0de" * 3},
            **changed,
        }
    )


def joint(seed: int, final: tuple[float, float], **changed: Any) -> RunData:
    run = make("joint", seed, final, **changed)
    return replace(run, matrix=[[None, None], run.matrix[1]])


def summary_of(*runs: RunData, **options: Any) -> Summary:
    (summary,) = summaries_of(runs, ReportOptions(**options))
    return summary


def row(summary: Summary, label: str) -> Method:
    return next(method for method in summary.methods if method.label == label)


def means(summary: Summary, label: str) -> dict[str, float]:
    return {name: mean.mean for name, mean in row(summary, label).means.items()}


@pytest.fixture
def seeds() -> list[RunData]:
    """Two methods and joint learning, with three seeds each."""
    return [
        *(make("ewc", seed, (450.0 + 10 * seed, 90.0)) for seed in range(3)),
        *(make("finetune", seed, (200.0 + 20 * seed, 70.0 + seed)) for seed in range(3)),
        *(joint(seed, (500.0, 100.0)) for seed in range(3)),
    ]


class TestRelativeScores:
    def test_by_hand(self, seeds: list[RunData]) -> None:
        ewc = means(summary_of(*seeds), "ewc")
        # Captions 450, 460, 470 of 500 and questions 90 of 100.
        assert ewc["relative:mini/img_cap"] == pytest.approx(92.0)
        assert ewc["relative:mini/aud_qa"] == pytest.approx(90.0)
        assert ewc["relative_final"] == pytest.approx(91.0)
        # Only captions can be forgotten: 10 of 500. Learning: captions 94 %, questions 90 %.
        assert ewc["relative_bwt"] == pytest.approx(-2.0)
        assert ewc["relative_learning"] == pytest.approx((94.0 + 90.0) / 2)

    def test_captions_and_questions_stand_apart(self, seeds: list[RunData]) -> None:
        summary = summary_of(*seeds)
        assert [figure.title for figure in summary.headline] == ["final", "BWT", "learning", "captions", "questions"]
        assert means(summary, "ewc")["mean_captioning"] == pytest.approx(460.0)
        assert means(summary, "ewc")["mean_qa"] == pytest.approx(90.0)
        assert summary.mixture == "mixes scales (cider 0..1000, accuracy 0..100)"

    def test_joint_is_its_own_reference_and_has_only_a_last_row(self, seeds: list[RunData]) -> None:
        found = means(summary_of(*seeds), "joint")
        assert found["relative_final"] == pytest.approx(100.0)
        assert "relative_bwt" not in found

    def test_the_reference_is_of_the_same_seed(self) -> None:
        runs = [
            make("ewc", 0, (90.0, 40.0)),
            make("ewc", 1, (90.0, 40.0)),
            joint(0, (90.0, 80.0)),
            joint(1, (180.0, 40.0)),
        ]
        samples = row(summary_of(*runs), "ewc").samples["relative_final"]
        assert samples.values == pytest.approx([75.0, 75.0])

    def test_the_reference_is_averaged_over_its_orders_and_attempts(self) -> None:
        runs = [make("ewc", 0, (90.0, 50.0)), joint(0, (100.0, 100.0)), joint(0, (300.0, 100.0), id="again")]
        runs.append(joint(0, (160.0, 100.0), tasks=BACK))
        # Captions: (100 + 300) / 2 in one order, 160 in the other.
        assert means(summary_of(*runs), "ewc")["relative:mini/img_cap"] == pytest.approx(50.0)

    @pytest.mark.parametrize("zero", [0.0, -5.0])
    def test_a_reference_of_zero_gives_no_relative_score(self, zero: float) -> None:
        summary = summary_of(make("ewc", 0, (90.0, 50.0)), joint(0, (zero, 100.0)))
        found = means(summary, "ewc")
        assert found["relative:mini/aud_qa"] == pytest.approx(50.0)
        assert not {"relative:mini/img_cap", "relative_final", "relative_bwt"} & set(found)
        assert "No relative scores of mini/img_cap for seed 0: the reference scored 0." in summary.notes
        assert " -" in render([make("ewc", 0, (90.0, 50.0)), joint(0, (zero, 100.0))], "text", width=200)

    def test_a_seed_without_reference_is_named(self, seeds: list[RunData]) -> None:
        summary = summary_of(*seeds[:-1])
        ewc = row(summary, "ewc")
        assert (ewc.samples["relative_final"].n, ewc.samples["mean_qa"].n) == (2, 3)
        assert "ewc: no relative scores for seed 2, without a comparable run of joint." in summary.notes

    def test_a_reference_under_other_conditions_is_none(self) -> None:
        longer = joint(0, (90.0, 90.0), settings={"training.epochs": "20"})
        summary = summary_of(make("ewc", 0, (90.0, 50.0), settings={"training.epochs": "10"}), longer)
        assert "relative_final" not in means(summary, "ewc")
        assert "ewc: no relative scores for seed 0, without a comparable run of joint." in summary.notes

    def test_another_reference_that_could_be_used_is_named(self, seeds: list[RunData]) -> None:
        slow, fast = ({"training.learning_rate": rate} for rate in ("0.001", "0.01"))
        runs = [
            *(replace(run, settings=slow) for run in seeds),
            *(joint(s, (250.0, 100.0), settings=fast) for s in (0,)),
        ]
        summary = summary_of(*runs)
        assert means(summary, "ewc")["relative_final"] == pytest.approx(91.0)
        (note,) = [note for note in summary.notes if note.startswith("There are several references")]
        assert "used are joint (training.learning_rate=0.001), not joint (training.learning_rate=0.01)" in note

    def test_single_is_the_reference_without_joint_or_when_asked_for(self, seeds: list[RunData]) -> None:
        single = [make("single", seed, (1000.0, 100.0)) for seed in range(3)]
        assert summary_of(*seeds, *single).reference == "joint"
        asked = summary_of(*seeds, *single, relative_to="single")
        assert (asked.reference, means(asked, "ewc")["relative:mini/img_cap"]) == ("single", pytest.approx(46.0))
        assert summary_of(*seeds[:6], *single).reference == "single"

    def test_without_reference_the_way_out_is_given(self, seeds: list[RunData]) -> None:
        summary = summary_of(*seeds[:6])
        assert summary.reference is None
        assert [figure.name for figure in summary.headline] == ["mean_captioning", "mean_qa"]
        (note,) = summary.notes
        assert note.endswith(
            "micl sweep --strategy joint --tasks mini/img_cap,mini/aud_qa --seed 0,1,2 --backbone composed:tiny"
        )
        (missing,) = summary_of(*seeds, relative_to="single").notes
        assert "no run of the strategy single has final scores" in missing

    def test_a_command_that_is_shown_holds_no_other(self) -> None:
        hostile = ("own/a; touch x", "own/b")
        (note,) = summary_of(replace(make("ewc", 0, (90.0, 50.0)), tasks=hostile, scores=(), types={})).notes
        assert "--tasks 'own/a; touch x,own/b' --seed" in note

    def test_the_way_out_has_the_settings_without_which_the_reference_is_not_comparable(self) -> None:
        common = {
            "training.max_steps": "20",
            "training.gradient_checkpointing": "true",
            "evaluation.examples": "8",
            "training.epochs": "10",
        }
        runs = [
            make(
                "ewc",
                seed,
                (90.0, 50.0),
                settings={**common, "evaluation.split": "val", "training.warmup": f"0.{seed}"},
            )
            for seed in (1, 2)
        ]
        (note,) = summary_of(*runs).notes
        assert (
            note.partition("--backbone ")[2]
            == "composed:tiny --max-steps 20 --gradient-checkpointing --eval-split val --eval-examples 8"
        )

    @given(st.lists(st.tuples(st.floats(0.1, 900), st.floats(0.1, 100)), min_size=1, max_size=5), st.floats(0.1, 10))
    @settings(max_examples=20)
    def test_do_not_depend_on_the_scale_of_a_metric(self, finals: list[tuple[float, float]], factor: float) -> None:
        runs = [
            run
            for seed, (a, b) in enumerate(finals)
            for run in (make("ewc", seed, (a, b)), joint(seed, (b + 1, a + 1)))
        ]
        scaled = [
            replace(run, matrix=[[v if v is None else factor * v for v in line] for line in run.matrix]) for run in runs
        ]
        ours, theirs = (means(summary_of(*each), "ewc") for each in (runs, scaled))
        for name in ("relative_final", "relative_bwt", "relative_learning"):
            assert ours[name] == pytest.approx(theirs[name])


class TestSeeds:
    def test_orders_that_duplicate_samples_do_not_narrow_the_interval(self, seeds: list[RunData]) -> None:
        again = [
            replace(run, id=f"{run.id}-back", tasks=BACK, matrix=[run.matrix[0], run.matrix[1][::-1]]) for run in seeds
        ]
        one, two = row(summary_of(*seeds), "ewc"), row(summary_of(*seeds, *again), "ewc")
        assert two.means["relative_final"] == one.means["relative_final"]
        expected = scipy.stats.t.interval(0.95, 2, 91.0, scipy.stats.sem([90.0, 91.0, 92.0]))
        assert (one.means["relative_final"].low, one.means["relative_final"].high) == pytest.approx(expected)

    def test_only_orders_that_all_methods_have_count(self, seeds: list[RunData]) -> None:
        more = [make("ewc", seed, (10.0, 10.0), tasks=BACK) for seed in range(3)]
        summary = summary_of(*seeds, *more)
        assert [order.tasks for order in summary.orders] == [TASKS]
        assert row(summary, "ewc").means == row(summary_of(*seeds), "ewc").means
        assert "Left out, because not all methods have learnt it: the order mini/aud_qa, mini/img_cap." in summary.notes

    def test_joint_needs_no_order_in_common(self, seeds: list[RunData]) -> None:
        back = [joint(seed, (500.0, 100.0), tasks=BACK) for seed in range(3)]
        summary = summary_of(*seeds[:6], *back)
        assert means(summary, "ewc")["relative_final"] == pytest.approx(91.0)

    def test_a_seed_that_lacks_an_order_is_left_out(self, seeds: list[RunData]) -> None:
        back = [
            replace(run, id=f"{run.id}-b", tasks=BACK, matrix=[run.matrix[0], run.matrix[1][::-1]]) for run in seeds
        ]
        summary = summary_of(*seeds, *(run for run in back if (run.strategy, run.seed) != ("ewc", 1)))
        assert row(summary, "ewc").seeds == [0, 2]
        assert "ewc: seed 1 left out, because not all orders are learnt." in summary.notes

    def test_methods_without_a_common_order_are_not_compared(self) -> None:
        runs = [make("ewc", seed, (90.0 + seed, 50.0)) for seed in range(3)]
        runs += [make("lwf", seed, (80.0 + seed, 50.0), tasks=BACK) for seed in range(3)]
        summary = summary_of(*runs)
        assert (summary.comparisons, row(summary, "ewc").rank) == ([], None)
        assert any(note.startswith("The methods have no task order in common") for note in summary.notes)

    def test_attempts_count_once(self, seeds: list[RunData]) -> None:
        again = make("ewc", 0, (470.0, 90.0), id="again")
        assert row(summary_of(*seeds, again), "ewc").samples["mean_captioning"].values == [460.0, 460.0, 470.0]

    def test_unfinished_runs_are_left_out_and_named(self, seeds: list[RunData]) -> None:
        begun = make("ewc", 3, (1.0, 1.0), id="begun", matrix=[[1.0, None]], status="interrupted")
        summary = summary_of(*seeds, begun)
        assert row(summary, "ewc").seeds == [0, 1, 2]
        assert "Left out, because final scores are missing or were made by different rules: run begun." in summary.notes

    def test_other_tasks_have_a_summary_of_their_own(self, seeds: list[RunData]) -> None:
        others = [replace(run, id=f"{run.id}-o", data={CAPTIONS: "1"}) for run in seeds]
        assert [len(summary.methods) for summary in summaries_of([*seeds, *others])] == [3, 3]
        assert render([*seeds, *others], "text").count("Tasks: mini/img_cap, mini/aud_qa.") == 2

    def test_nothing_but_unfinished_runs(self) -> None:
        runs = [make("ewc", seed, (1.0, 1.0), matrix=[], id=f"{seed}") for seed in range(2)]
        assert summary_of(*runs).methods == []
        assert "runs 0, 1" in render(runs, "text", width=120, options=ReportOptions(summary_only=True))


class TestRanks:
    def test_are_means_over_tasks_and_seeds(self) -> None:
        runs = [make("a", 0, (3.0, 1.0)), make("b", 0, (2.0, 2.0)), make("c", 0, (1.0, 2.0))]
        runs += [make("a", 1, (3.0, 3.0)), make("b", 1, (2.0, 2.0)), make("c", 1, (1.0, 1.0))]
        ranked = {method.label: method.rank for method in summary_of(*runs).methods}
        assert ranked == {"a": (1 + 3 + 1 + 1) / 4, "b": (2 + 1.5 + 2 + 2) / 4, "c": (3 + 1.5 + 3 + 3) / 4}

    def test_methods_that_are_not_comparable_have_none(self) -> None:
        runs = [make("a", 0, (3.0, 1.0)), make("b", 0, (2.0, 2.0), backbone="composed:smol")]
        assert [method.rank for method in summary_of(*runs).methods] == [None, None]


class TestComparisons:
    def test_the_relative_final_score_is_compared_in_pairs_over_seeds(self, seeds: list[RunData]) -> None:
        first = summary_of(*seeds).comparisons[0]
        ours, theirs = ([run.r[2, 1] for run in seeds[at : at + 3]] for at in (0, 3))
        one = [(a / 5 + 90) / 2 for a in ours if a is not None]
        other = [(b / 5 + 70 + seed) / 2 for seed, b in enumerate(theirs) if b is not None]
        assert (first.first, first.second, first.figure, first.n) == ("ewc", "finetune", "relative_final", 3)
        assert first.p == pytest.approx(scipy.stats.ttest_rel(one, other).pvalue)
        assert first.difference.mean == pytest.approx(np.mean(one) - np.mean(other))
        assert first.verdict == "ewc higher"

    def test_p_values_are_adjusted_for_all_that_are_shown(self, seeds: list[RunData]) -> None:
        found = summary_of(*seeds).comparisons
        assert len(found) == 3
        largest = 0.0
        for passed, each in enumerate(sorted(found, key=lambda each: each.p or 0)):
            assert each.p is not None
            largest = max(largest, min(1.0, (3 - passed) * each.p))
            assert each.p_adjusted == pytest.approx(largest)

    def test_no_difference_is_said_only_within_a_margin(self) -> None:
        finals = {"a": (100.0, 101.0, 103.0), "b": (101.0, 100.5, 102.5), "joint": (100.0, 100.0, 100.0)}
        runs = [make(name, seed, (value, 50.0)) for name, values in finals.items() for seed, value in enumerate(values)]
        # Differences of the mean over both tasks: -0.5, 0.25, 0.25; 90 % interval 0 -+ 2.92 x 0.25.
        verdicts = [summary_of(*runs, margin=margin).comparisons[0].verdict for margin in (None, 0.72, 0.74)]
        assert verdicts == ["undecided", "undecided", "equivalent within 0.74"]

    @pytest.mark.parametrize("gap", [0.0, 5.0])
    def test_a_difference_that_is_equal_for_all_seeds_by_chance_shows_nothing(self, gap: float) -> None:
        finals = {"a": 90.0, "b": 90.0 + gap, "joint": 100.0}
        runs = [make(name, seed, (value, 50.0 + seed)) for name, value in finals.items() for seed in range(2)]
        first = summary_of(*runs, margin=50.0).comparisons[0]
        assert (first.n, first.p, first.p_adjusted, first.verdict) == (2, None, None, "undecided")

    def test_without_reference_types_are_compared_apart(self, seeds: list[RunData]) -> None:
        found = [each.figure for each in summary_of(*seeds[:6]).comparisons]
        assert found == ["mean_captioning", "mean_qa"]

    def test_without_reference_and_on_one_scale_the_mean_is_compared(self, seeds: list[RunData]) -> None:
        same = [replace(run, scales=dict.fromkeys(TASKS, (0.0, 1.0))) for run in seeds[:6]]
        assert [each.figure for each in summary_of(*same).comparisons] == ["mfn"]

    def test_a_single_seed_is_not_compared(self, seeds: list[RunData]) -> None:
        assert summary_of(seeds[0], seeds[3], seeds[6]).comparisons == []

    def test_methods_under_other_conditions_are_not_compared(self, seeds: list[RunData]) -> None:
        other = [replace(run, backbone="composed:smol") for run in seeds[3:6]]
        assert all("finetune" not in (each.first, each.second) for each in summary_of(*seeds[:3], *other).comparisons)

    def test_a_bootstrap_of_few_seeds_does_not_make_methods_equivalent(self) -> None:
        finals = {"a": (100.0, 100.4, 99.2), "b": (100.0, 99.0, 100.8), "joint": (100.0, 100.0, 100.0)}
        runs = [make(name, seed, (value, 50.0)) for name, values in finals.items() for seed, value in enumerate(values)]
        by_t, by_bca = (summary_of(*runs, margin=1.2, interval=name).comparisons[0] for name in ("t", "bca"))
        assert by_bca.difference.low is not None and by_t.difference.low is not None
        assert by_bca.difference.low > by_t.difference.low
        assert by_bca.verdict == by_t.verdict == "undecided"


class TestHierarchical:
    @pytest.fixture
    def kept(self) -> list[RunData]:
        """Two methods and joint learning, with three seeds, and the scores of 40 examples of each score."""
        generator, runs = np.random.default_rng(3), []
        for strategy, level in (("ewc", 0.6), ("lwf", 0.4), ("joint", 0.9)):
            for seed in range(3):
                each = {
                    (t, task): {f"{n}": 100.0 * (value < level) for n, value in enumerate(generator.random(40))}
                    for t in (1, 2)
                    for task in TASKS
                }
                matrix = [[float(np.mean(list(each[t, task].values()))) for task in TASKS] for t in (1, 2)]
                runs.append(make(strategy, seed, (1.0, 1.0), matrix=matrix, examples=each))
        return runs

    def test_intervals_hold_the_error_of_seeds_and_of_the_test_set(self, kept: list[RunData]) -> None:
        summary = summary_of(*kept, interval="hierarchical")
        plain = summary_of(*kept)
        ours, theirs = (row(each, "ewc").means["mean_qa"] for each in (summary, plain))
        assert ours.mean == theirs.mean
        assert ours.low is not None and ours.high is not None
        assert ours.low < ours.mean < ours.high
        # 40 examples at 60 %: a standard error of some 7.7 / sqrt(3) points, since seeds err independently here.
        assert 8 < ours.high - ours.low < 40
        assert not any("No interval" in note for note in summary.notes)
        assert summary.comparisons[0].difference.low is not None

    def test_the_score_of_joint_relative_to_itself_does_not_vary(self, kept: list[RunData]) -> None:
        found = row(summary_of(*kept, interval="hierarchical"), "joint").means["relative_final"]
        assert (found.mean, found.low, found.high) == pytest.approx((100.0, 100.0, 100.0))

    def test_a_reference_that_is_zero_on_some_resamples_leaves_no_interval_and_is_named(
        self, kept: list[RunData]
    ) -> None:
        rare = {(2, task): {f"{n}": 100.0 * (n == 0) for n in range(40)} for task in TASKS}
        runs = [*kept[:1], replace(kept[6], examples=rare, matrix=[[None, None], [2.5, 2.5]])]
        summary = summary_of(*runs, interval="hierarchical")
        assert row(summary, "ewc").means["relative_final"].low is None
        assert row(summary, "ewc").means["mean_qa"].low is not None
        (note,) = [note for note in summary.notes if note.startswith("No interval")]
        assert "the score of the reference is 0 on some resamples of the examples. Use --interval t or bca." in note

    def test_what_is_not_kept_has_no_interval_and_is_named(self, kept: list[RunData]) -> None:
        runs = [replace(kept[0], examples={}), *kept[1:]]
        summary = summary_of(*runs, interval="hierarchical")
        found = row(summary, "ewc").means["mean_qa"]
        assert found == Mean(found.mean, None, None)
        assert row(summary, "lwf").means["mean_qa"].low is not None
        (note,) = [note for note in summary.notes if note.startswith("No interval")]
        assert f"micl eval {kept[0].id} --stage 1..last --predictions all" in note


def test_noise_and_the_spread_over_seeds_are_rows(seeds: list[RunData]) -> None:
    runs = [replace(run, environment={"threads": "1"}) for run in seeds]
    again = make("ewc", 0, (460.0, 90.0), id="two", environment={"threads": "2"})
    (noise,) = summary_of(*runs, again).noise
    # Captions 450 and 460 of 500: 1 point of the mean over both tasks.
    assert noise.over_threads["relative_final"] == pytest.approx(1.0 / np.sqrt(2))
    text = render([*runs, again], "text", width=150)
    assert "ewc, 1 and 2 threads     ±0.71" in text
    assert "\newc, seeds " in text


def test_other_code_and_recipes_are_named(seeds: list[RunData]) -> None:
    recipe = {"name": "tuned-ewc", "sha256": "0123456789abcdef", "citation": "Ada 2026"}
    runs = [replace(run, environment={"code": f"{run.strategy:x<16}"}) for run in seeds]
    runs = [replace(run, recipe=recipe) if run.strategy == "ewc" else run for run in runs]
    notes = summary_of(*runs).notes
    assert "Settings of ewc: recipe tuned-ewc (sha256 0123456789ab; Ada 2026)." in notes
    assert any(note.startswith("Rows come from different code") and "ewcxxxxxxxxx: ewc" in note for note in notes)


@pytest.mark.parametrize(
    ("of_joint", "said"),
    [
        (
            {},
            "Rows come from different code: compare them with care (c0dec0dec0de: ewc, finetune; unknown: joint).",
        ),
        (
            {"code": f"{'c0de' * 3}, then {'beef' * 3}"},
            "Rows come from different code: compare them with care "
            "(c0dec0dec0de: ewc, finetune; c0dec0dec0de, then beefbeefbeef: joint).",
        ),
    ],
)
def test_code_that_is_unknown_or_changed_is_other_code(
    seeds: list[RunData], of_joint: dict[str, str], said: str
) -> None:
    runs = [replace(run, environment=of_joint) if run.strategy == "joint" else run for run in seeds]
    assert said in summary_of(*runs).notes


def test_code_that_is_unknown_of_all_runs_is_said(seeds: list[RunData]) -> None:
    (note,) = summary_of(*(replace(run, environment={}) for run in seeds)).notes
    assert note == "The code of these runs is unknown: it was not recorded when they started."


TEXT = """
Summary of 9 runs
=================

mini/ tasks are micl's own small tasks, generated from a seed. They are not the published datasets: compare their scores only with each other.

Summary: final, BWT and learning in per cent of the final scores of joint; mean final scores of captions and questions, x100; means over seeds [95 %
interval by Student's t]
          seeds                 final, %                BWT, %           learning, %                 captions                questions  mean rank
--------  -----  -----------------------  --------------------  --------------------  -----------------------  -----------------------  ---------
ewc           3     91.00 [88.52, 93.48]  -2.00 [-2.00, -2.00]  92.00 [89.52, 94.48]  460.00 [435.16, 484.84]     90.00 [90.00, 90.00]       2.00
finetune      3     57.50 [51.29, 63.71]  -2.00 [-2.00, -2.00]  58.50 [52.29, 64.71]  220.00 [170.32, 269.68]     71.00 [68.52, 73.48]       3.00
joint         3  100.00 [100.00, 100.00]                     -                     -  500.00 [500.00, 500.00]  100.00 [100.00, 100.00]       1.00

          seconds  peak memory
--------  -------  -----------
ewc             -            -
finetune        -            -
joint           -            -
"""  # noqa: E501


class TestFormats:
    def test_the_report_of_several_runs_begins_with_the_summary(self, seeds: list[RunData]) -> None:
        text = render(seeds, "text", width=150)
        assert text.startswith(TEXT.strip("\n"))
        assert f"\nRun {seeds[0].id}\n" in text
        assert "ewc minus finetune        3     33.50 [29.77, 37.23]  <0.001       0.002  ewc higher" in text

    @pytest.mark.parametrize("format", ["text", "md", "latex"])
    def test_the_summary_alone_has_no_run(self, seeds: list[RunData], format: str) -> None:
        text = render(seeds, format, options=ReportOptions(summary_only=True))
        assert "Summary of 9 runs" in text
        assert seeds[0].id not in text

    def test_a_single_run_can_be_summarised(self, seeds: list[RunData]) -> None:
        assert "Summary of 1 run\n" in render(seeds[:1], "text", options=ReportOptions(summary_only=True))

    def test_json(self, seeds: list[RunData]) -> None:
        options = ReportOptions(margin=2.0)
        document = json.loads(render(seeds, "json", options=options), parse_constant=lambda name: 1 / 0)
        (summary,) = document["summaries"]
        assert {"runs", "differences", "groups", "quantized", "paired"} <= set(document)
        assert (summary["relative_to"], summary["interval"], summary["margin"]) == ("joint", "t", 2.0)
        assert summary["mixed_scales"] == "mixes scales (cider 0..1000, accuracy 0..100)"
        ewc = summary["methods"][0]
        assert (ewc["label"], ewc["seeds"], ewc["rank"]) == ("ewc", [0, 1, 2], 2.0)
        assert ewc["figures"]["relative_final"]["mean"] == pytest.approx(91.0)
        assert ewc["figures"]["final:mini/aud_qa"] == {"mean": 90.0, "low": 90.0, "high": 90.0, "n": 3}
        assert {
            "first",
            "second",
            "figure",
            "n",
            "mean",
            "low",
            "high",
            "p",
            "p_adjusted",
            "equivalent",
            "verdict",
        } == set(summary["comparisons"][0])
        only = json.loads(render(seeds, "json", options=ReportOptions(margin=2.0, summary_only=True)))
        assert only == {"summaries": document["summaries"]}

    def test_csv(self, seeds: list[RunData]) -> None:
        rows = list(csv.DictReader(render(seeds, "csv", options=ReportOptions(summary_only=True)).splitlines()))
        assert {row["group"] for row in rows} == {"summary", "comparison"}
        values = {(row["run"], row["quantity"]): row["value"] for row in rows}
        assert float(values["ewc", "relative_final_mean"]) == pytest.approx(91.0)
        assert values["ewc minus finetune", "relative_final_verdict"] == "ewc higher"
        assert (
            render(seeds, "csv").splitlines()[1]
            == render(seeds, "csv", options=ReportOptions(summary_only=True)).splitlines()[1]
        )
