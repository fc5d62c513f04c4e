"""Means over seeds, and strategies compared pair by pair."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import Any

import pytest

from micl_cli.report.data import RunData
from micl_cli.report.groups import groups_of, paired_of
from micl_cli.report.render import render
from micl_cli.report.statistics import Mean
from micl_cli.report.summary import summaries_of

# The t of two values, at one degree of freedom: tan(0.475 pi).
T1 = 12.7062047


MEANS = """
Raw figures, x100: mean over seeds [95 % interval by Student's t]
          seeds                   MFT                   MFN
--------  -----  --------------------  --------------------
lwf           2  95.00 [95.00, 95.00]  86.00 [73.29, 98.71]
finetune      2  95.00 [95.00, 95.00]  75.50 [69.15, 81.85]

                           MAA                      BWT            forgetting
--------  --------------------  -----------------------  --------------------
lwf       93.00 [86.65, 99.35]    -18.00 [-43.41, 7.41]  18.00 [-7.41, 43.41]
finetune  87.75 [84.57, 90.93]  -39.00 [-51.71, -26.29]  39.00 [26.29, 51.71]

               peak forgetting
--------  --------------------
lwf       18.00 [-7.41, 43.41]
finetune  39.00 [26.29, 51.71]
""".strip("\n")


def run(strategy: str, seed: int, final: float, plain: RunData, **changed: Any) -> RunData:
    """A run whose MFT is 95, MFN (``final`` + 90) / 2 and BWT ``final`` - 100."""
    name = f"{strategy[0]}{seed}{final:g}".ljust(12, "0")
    return replace(plain, id=name, strategy=strategy, seed=seed, matrix=[[100.0, None], [final, 90.0]], **changed)


@pytest.fixture
def four(plain: RunData) -> list[RunData]:
    """Two strategies by two seeds."""
    return [
        run("lwf", 0, 80.0, plain),
        run("lwf", 1, 84.0, plain),
        run("finetune", 0, 60.0, plain),
        run("finetune", 1, 62.0, plain),
    ]


def shown(runs: list[RunData]) -> str:
    return render(runs, "text", width=120).partition("Figures over all tasks, and cost")[2]


class TestGroups:
    def test_seeds_of_one_plan_stand_together(self, four: list[RunData]) -> None:
        lwf, finetune = groups_of(four)
        assert (lwf.strategy, lwf.label, lwf.n, lwf.seeds) == ("lwf", "lwf", 2, [0, 1])
        # Means 85 and 87: the error of their mean is 1.
        assert vars(lwf.means["mfn"]) == pytest.approx({"mean": 86.0, "low": 86 - T1, "high": 86 + T1})
        assert finetune.means["bwt"].mean == -39.0
        assert "fwt" not in lwf.means

    def test_a_figure_that_one_run_lacks_is_left_out(self, four: list[RunData], plain: RunData) -> None:
        begun = replace(run("lwf", 2, 0.0, plain), matrix=[[100.0, None]], status="interrupted")
        lwf = groups_of([*four, begun])[0]
        assert lwf.n == 3
        assert not lwf.means

    def test_attempts_at_one_seed_count_once(self, plain: RunData) -> None:
        again = replace(run("lwf", 0, 90.0, plain), id="again")
        (group,) = groups_of([run("lwf", 0, 80.0, plain), again, run("lwf", 1, 85.0, plain)])
        assert (group.n, group.seeds, len(group.runs)) == (2, [0, 1], 3)
        # Both seeds have -15.
        assert group.means["bwt"] == Mean(-15.0, -15.0, -15.0)

    def test_orders_apart_and_together(self, four: list[RunData], plain: RunData) -> None:
        back = tuple(reversed(plain.tasks))
        found = groups_of([*four, run("lwf", 0, 70.0, plain, tasks=back)])
        orders = [(group.label, group.order and group.order.tasks, group.n) for group in found]
        assert orders == [
            ("lwf", plain.tasks, 2),
            ("lwf", back, 1),
            ("lwf", None, 1),
            ("finetune", plain.tasks, 2),
        ]
        # Seed 0 alone has both orders.
        assert found[2].means["bwt"] == Mean((-20 - 30) / 2, None, None)

    def test_orders_of_a_seed_are_no_further_samples(self, plain: RunData) -> None:
        back = tuple(reversed(plain.tasks))
        runs = [run("lwf", seed, final, plain) for seed, final in ((0, 80.0), (1, 84.0), (2, 91.0))]
        alone = groups_of(runs)[0].means["mfn"]
        _, _, together = groups_of([*runs, *(replace(each, id=f"b{each.id}", tasks=back) for each in runs)])
        assert (together.n, together.means["mfn"]) == (3, alone)

    def test_other_tasks_are_no_other_order(self, plain: RunData) -> None:
        other = run("lwf", 0, 70.0, plain, tasks=("mini/img_cap", "mini/vid_qa"))
        assert all(group.order for group in groups_of([run("lwf", 0, 70.0, plain), other]))

    def test_other_data_is_another_group(self, plain: RunData) -> None:
        first, second = (run("lwf", seed, 70.0, plain, data={plain.tasks[0]: f"{seed}"}) for seed in (0, 1))
        assert [group.n for group in groups_of([first, second])] == [1, 1]


class TestLabels:
    def labels(self, plain: RunData, *settings: dict[str, str]) -> list[str]:
        runs = [run("router", at, 70.0, plain, settings=each) for at, each in enumerate(settings)]
        return [group.label for group in groups_of(runs)]

    def test_the_settings_that_differ_are_named(self, plain: RunData) -> None:
        ridge = {"router": "ridge", "training.epochs": "10"}
        found = self.labels(plain, ridge, {**ridge, "router": "mllm"})
        assert found == ["router (router=ridge)", "router (router=mllm)"]

    def test_digests_are_cut(self, plain: RunData) -> None:
        found = self.labels(plain, {"backbone.digest": "189bddd79d8c" * 4}, {"backbone.digest": "cf938a886549" * 4})
        assert found == ["router (backbone.digest=189bddd7)", "router (backbone.digest=cf938a88)"]

    def test_many_differences_are_numbered(self, plain: RunData) -> None:
        first, second = ({f"{'setting' * 9}_{at}": value for at in range(9)} for value in "ab")
        assert self.labels(plain, first, second) == ["router (1)", "router (2)"]

    def test_a_label_that_would_be_too_long_has_what_distinguishes(self, plain: RunData) -> None:
        rest = {"training.validation_examples": "100", "evaluation.examples": "null", "training.epochs": "6"}
        short = dict.fromkeys(rest, "4")
        settings = [{"alpha": "0.5", **rest}, {"alpha": "0.3", **short}]
        assert self.labels(plain, *settings) == ["router (alpha=0.5)", "router (alpha=0.3)"]
        settings = [{"alpha": "0.5", "beta": "1", **rest}, {"alpha": "0.3", "beta": "1", **short}]
        settings.append({"alpha": "0.5", "beta": "2", **short})
        assert self.labels(plain, *settings)[2] == "router (alpha=0.5, beta=2)"

    def test_an_option_that_one_lacks(self, plain: RunData) -> None:
        assert self.labels(plain, {}, {"replay": "32"}) == ["router (replay=none)", "router (replay=32)"]

    def test_another_backbone(self, plain: RunData) -> None:
        runs = [run("lwf", 0, 1.0, plain), run("lwf", 1, 1.0, plain, backbone="hf:x")]
        assert [group.label for group in groups_of(runs)] == ["lwf (backbone=composed:tiny)", "lwf (backbone=hf:x)"]


class TestPaired:
    def test_first_minus_second(self, four: list[RunData]) -> None:
        (pair,) = paired_of(four)
        assert (pair.first, pair.second, pair.n) == ("lwf", "finetune", 2)
        # BWT: -20 + 40 and -16 + 38; MFN: half of it.
        assert vars(pair.means["bwt"]) == pytest.approx({"mean": 21.0, "low": 21 - T1, "high": 21 + T1})
        assert vars(pair.means["mfn"]) == pytest.approx({"mean": 10.5, "low": 10.5 - T1 / 2, "high": 10.5 + T1 / 2})

    def test_only_common_seeds_count(self, four: list[RunData], plain: RunData) -> None:
        back = tuple(reversed(plain.tasks))
        lonely = [run("lwf", 7, 1.0, plain), run("finetune", 0, 1.0, plain, tasks=back)]
        begun = [replace(each, seed=9, matrix=[[100.0, None]]) for each in (four[0], four[2])]
        assert paired_of([*four, *lonely, *begun]) == paired_of(four)

    def test_one_seed_is_not_enough(self, four: list[RunData]) -> None:
        assert paired_of(four[:3]) == []

    def test_orders_of_a_seed_are_no_further_samples(self, four: list[RunData], plain: RunData) -> None:
        back = [replace(each, tasks=tuple(reversed(plain.tasks))) for each in four]
        assert paired_of([*four, *back]) == paired_of(four)

    def test_joint_learning_has_no_bwt(self, four: list[RunData], plain: RunData) -> None:
        joint = [replace(run("joint", seed, 99.0, plain), matrix=[[None, None], [99.0, 99.0]]) for seed in (0, 1)]
        (pair,) = paired_of([*four[:2], *joint])
        assert set(pair.means) == {"mfn"}


class TestText:
    def test_means_and_differences(self, four: list[RunData]) -> None:
        assert render(four, "text").endswith("\n\n" + MEANS)

    def test_orders_are_numbered_and_told(self, four: list[RunData], plain: RunData) -> None:
        back = run("lwf", 0, 70.0, plain, tasks=tuple(reversed(plain.tasks)))
        text = shown([*four, back])
        assert "Order 1: mini/img_cap, mini/aud_qa.\n\nOrder 2: mini/aud_qa, mini/img_cap.\n" in text
        for label in ("lwf, order 1", "lwf, order 2", "lwf, all orders", "finetune, order 1"):
            assert f"\n{label} " in text

    def test_the_same_tasks_on_other_data(self, four: list[RunData]) -> None:
        other = [replace(each, data={"mini/img_cap": "1"}) for each in four]
        assert "Order 2: mini/img_cap, mini/aud_qa (on other data)." in shown([*four, *other])

    def test_labels_are_explained_by_runs(self, plain: RunData) -> None:
        settings = [{"router": name} for name in ("ridge", "ridge", "mllm")]
        runs = [run("router", at, 70.0, plain, settings=each) for at, each in enumerate(settings)]
        text = shown(runs)
        assert f"router (router=ridge): runs {runs[0].id}, {runs[1].id}." in text
        assert f"router (router=mllm): run {runs[2].id}." in text

    @pytest.mark.parametrize("length", [20, 60])
    def test_abridged_labels_have_a_legend_in_the_summary(self, length: int, plain: RunData) -> None:
        names = [f"{'s' * length}{at}" for at in range(3)]
        runs = [run("router", 0, 70.0, plain, settings=dict.fromkeys(names, value)) for value in ("null", "a" * 30)]
        runs = [replace(each, id=f"{at}" * 12) for at, each in enumerate(runs)]
        (summary,) = summaries_of(runs)
        labels = [method.label for method in summary.methods]
        assert len(set(labels)) == 2
        assert [method.settings for method in summary.methods] == [
            dict.fromkeys(names, "none"),
            dict.fromkeys(names, "a" * 30),
        ]
        for method, value, line in zip(summary.methods, ("none", "a" * 30), summary.legend, strict=True):
            shown = ", ".join(f"{name} {value}" for name in names)
            assert line == f"{method.label}: run {method.runs[0].id}; {shown}."
            assert line in " ".join(render(runs, "text").split())

    def test_complete_labels_need_no_legend(self, plain: RunData) -> None:
        runs = [run("router", 0, 70.0, plain, settings={"alpha": value}) for value in "12"]
        assert summaries_of(runs)[0].legend == []

    def test_runs_of_one_seed_have_no_means(self, four: list[RunData]) -> None:
        assert "mean over seeds [95" not in render([four[0], four[2]], "text").partition("Figures over all tasks")[2]

    @pytest.mark.parametrize("format", ["md", "latex"])
    def test_other_formats_show_them_too(self, format: str, four: list[RunData]) -> None:
        text = render(four, format)
        assert "Raw figures, x100: mean over seeds" in text
        assert "lwf minus finetune" in text


class TestJson:
    def read(self, runs: list[RunData]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(render(runs, "json"), parse_constant=lambda name: 1 / 0)
        return found

    def test_groups(self, four: list[RunData]) -> None:
        lwf, finetune = self.read(four)["groups"]
        assert set(lwf) == {
            *("strategy", "label", "order", "n", "seeds", "runs"),
            *("mft", "mfn", "maa", "bwt", "forgetting", "peak_forgetting"),
        }
        assert lwf["strategy"] == "lwf"
        assert lwf["order"] == ["mini/img_cap", "mini/aud_qa"]
        assert (lwf["n"], lwf["seeds"], lwf["runs"]) == (2, [0, 1], [four[0].id, four[1].id])
        assert lwf["mfn"] == pytest.approx({"mean": 86.0, "low": 86 - T1, "high": 86 + T1})
        assert finetune["bwt"]["mean"] == -39.0

    def test_a_single_run_of_a_plan_has_null_bounds(self, four: list[RunData]) -> None:
        lwf, _ = self.read([four[0], four[2]])["groups"]
        assert lwf["mfn"] == {"mean": 85.0, "low": None, "high": None}

    def test_all_orders_are_null(self, four: list[RunData]) -> None:
        back = [replace(each, tasks=tuple(reversed(each.tasks))) for each in four]
        groups = self.read([*four, *back])["groups"]
        assert [(group["strategy"], group["n"]) for group in groups if group["order"] is None] == [
            ("lwf", 2),
            ("finetune", 2),
        ]

    def test_paired(self, four: list[RunData]) -> None:
        (pair,) = self.read(four)["paired"]
        assert (pair["first"], pair["second"], pair["n"]) == ("lwf", "finetune", 2)
        assert pair["mfn"]["mean"] == 10.5
        assert set(pair["bwt"]) == {"mean", "low", "high"}

    def test_one_run_has_neither(self, learnt: RunData) -> None:
        assert set(self.read([learnt])) == {"runs"}


def test_csv(four: list[RunData]) -> None:
    rows = list(csv.DictReader(render(four, "csv").splitlines()))
    mean = next(row for row in rows if row["group"] == "mean")
    assert mean == {
        "run": "lwf",
        "name": "",
        "strategy": "lwf",
        "backbone": "composed:tiny",
        "seed": "",
        "status": "",
        "group": "mean",
        "stage": "",
        "task": "mini/img_cap+mini/aud_qa",
        "quantity": "mft_mean",
        "value": "95.0",
        "n": "2",
        "split": "test",
    }
    values = {(row["run"], row["quantity"]): float(row["value"]) for row in rows if row["group"] in ("mean", "paired")}
    assert values["lwf", "mfn_low"] == pytest.approx(86 - T1)
    assert values["lwf minus finetune", "bwt_mean"] == 21.0


def test_csv_leaves_out_intervals_of_single_runs(four: list[RunData]) -> None:
    rows = csv.DictReader(render([four[0], four[2]], "csv").splitlines())
    found = [row["quantity"] for row in rows if row["group"] == "mean" and row["run"] == "lwf"]
    assert found == ["mft_mean", "mfn_mean", "maa_mean", "bwt_mean", "forgetting_mean", "peak_forgetting_mean"]
