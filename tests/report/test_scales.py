"""Means over tasks whose metrics have different scales are marked."""

from __future__ import annotations

from dataclasses import replace

from micl_cli.report.data import RunData
from micl_cli.report.render import render
from micl_cli.report.scales import mixed_scales, scale_text, scales_by_metric

CIDER, UNIT = (0.0, 10.0), (0.0, 1.0)


def test_scales_are_shown_as_reports_show_scores() -> None:
    assert (scale_text(CIDER), scale_text((-1.0, 1.0)), scale_text(None)) == ("0..1000", "-100..100", "unknown")


def test_only_different_scales_mix() -> None:
    assert mixed_scales({"cider": CIDER, "accuracy": UNIT}) == "mixes scales (cider 0..1000, accuracy 0..100)"
    assert mixed_scales({"rouge_l": UNIT, "accuracy": UNIT}) == ""
    assert mixed_scales({"cider": CIDER}) == mixed_scales({"own": None}) == mixed_scales({}) == ""


def test_unknown_scales_may_mix() -> None:
    assert mixed_scales({"own": None, "accuracy": UNIT}) == "may mix scales (own unknown, accuracy 0..100)"
    assert mixed_scales({"own": None, "cider": CIDER, "accuracy": UNIT}).startswith("mixes scales (own unknown")


def test_the_scales_of_a_run_are_those_of_its_main_metrics(learnt: RunData) -> None:
    assert scales_by_metric([learnt]) == {"cider": CIDER, "accuracy": UNIT}
    assert scales_by_metric([learnt], learnt.tasks[1:]) == {"accuracy": UNIT}


def test_reports_mark_figures_over_different_scales_only(learnt: RunData) -> None:
    same = replace(learnt, scales=dict.fromkeys(learnt.tasks, UNIT))
    assert "measured): mixes scales (cider 0..1000, accuracy 0..100)" in render([learnt], "md")
    assert "mixes scales" not in render([same], "md")
    compared = render([learnt, replace(learnt, id="b" * 12, seed=1)], "md")
    titles = [line for line in compared.splitlines() if (line.startswith("**") and "MFN" in line) or "Raw fig" in line]
    assert titles
    assert all("mixes scales" in title for title in titles)
