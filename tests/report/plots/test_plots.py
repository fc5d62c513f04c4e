from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from micl_cli.errors import MiclError
from micl_cli.records import RoutingRecord, StepRecord, ValidationRecord
from micl_cli.report.data import RunData
from micl_cli.report.options import ReportOptions
from micl_cli.report.plots.catalogue import all_plots, run_plots, write_plots
from micl_cli.report.plots.limits import change_limits, common_scale, score_limits
from micl_cli.report.plots.style import PlotFormat, _stable_ids, label, series
from micl_cli.report.render import summaries_for

STEPS = [
    StepRecord(position=stage, step=step, epoch=1, loss=3.0 / step, lr=0.1, seconds=1.0)
    for stage in (1, 2)
    for step in range(1, 600)
]


@pytest.fixture
def routed(learnt: RunData) -> RunData:
    """A run with everything that plots show."""
    first, second = learnt.tasks
    chosen = [(first, {first: 3, second: 1}), (second, {second: 4})]
    return replace(
        learnt,
        routings=[
            RoutingRecord(after=2, task=task, router="ridge", n=4, chosen=counts, unsure=0, seconds=0.1)
            for task, counts in chosen
        ],
        validations=[
            ValidationRecord(position=1, step=3, epoch=1, value=50.0, best=True),
            ValidationRecord(position=2, step=3, epoch=1, value=2.0, best=True, criterion="loss"),
        ],
    )


def texts(svg: bytes) -> list[str]:
    return [
        "".join(each.itertext()).strip() for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("text")
    ]


def test_a_run_has_a_plot_of_each_kind(routed: RunData) -> None:
    assert list(run_plots(routed, STEPS)) == ["scores", "stages", "forgetting", "curves", "cost", "routing"]


def test_there_is_no_plot_without_data(plain: RunData) -> None:
    assert list(run_plots(plain)) == ["scores", "stages", "forgetting"]
    assert not run_plots(replace(plain, matrix=[[None, None], [None, None]]))
    one = replace(plain, tasks=plain.tasks[:1], matrix=[[50.0]])
    assert list(run_plots(one)) == ["scores", "forgetting"]


@pytest.mark.parametrize("format", ["svg", "pdf", "png"])
def test_the_same_plot_has_the_same_bytes(routed: RunData, format: PlotFormat) -> None:
    heads = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for name in ("scores", "curves"):
        plot = run_plots(routed, STEPS)[name]
        image = plot.image(format)
        assert image == plot.image(format)
        assert image.startswith(heads[format])


def test_the_heat_map_has_every_score_of_r(routed: RunData) -> None:
    shown = texts(run_plots(routed)["scores"].image("svg"))
    assert [text for text in shown if text.replace(".", "").isdigit()] == ["2.5", "512.5", "480.0", "88.2"]
    assert {"img_cap", "aud_qa", "before learning", "after 1 img_cap", "after 2 aud_qa"} <= set(shown)


def test_scores_by_different_metrics_have_axes_of_their_own(routed: RunData) -> None:
    for name in ("stages", "forgetting"):
        shown = texts(run_plots(routed)[name].image("svg"))
        assert "cider" in shown
        assert "accuracy" in shown


def ticks(svg: bytes, axis: str) -> list[float]:
    """The numbers at an axis of the first panel."""
    groups = [
        each for each in ElementTree.fromstring(svg).iter() if re.fullmatch(rf"{axis}tick_\d+", each.get("id", ""))
    ]
    found = ["".join(each.itertext()).strip().replace("\u2212", "-") for each in groups]
    return [float(text) for text in found if re.fullmatch(r"-?[\d.]+", text)]


def test_axes_show_the_whole_scale(plain: RunData) -> None:
    close = replace(plain, scales=dict.fromkeys(plain.tasks, (0.0, 1.0)), matrix=[[51.0, None], [51.1, 51.0]])
    for name, axis in (("stages", "y"), ("forgetting", "x")):
        found = ticks(run_plots(close)[name].image("svg"), axis)
        assert (min(found), max(found)) == (0.0, 100.0)
        of_unknown_scale = ticks(run_plots(replace(close, scales={}))[name].image("svg"), axis)
        assert min(of_unknown_scale) == 0.0
        assert max(of_unknown_scale) <= 60


def test_the_axis_of_a_change_has_zero_in_the_middle(plain: RunData) -> None:
    run = replace(plain, matrix=[[51.0, None], [51.1, 51.0]])
    other = replace(run, id="b" * 12, strategy="lwf")
    plot = all_plots([run, other], summaries_for([run, other], ReportOptions()), {})[0]
    shown = texts(plot.image("svg"))
    assert {"BWT", "\u221210", "0", "10"} <= set(shown)


def test_limits_are_those_of_the_scale_where_scores_reach_them() -> None:
    assert score_limits((0.0, 1.0), [51.0, 51.1, None]) == (0.0, 100.0)
    assert score_limits((-1.0, 1.0), [3.0]) == (-100.0, 100.0)
    assert score_limits((0.0, 10.0), [50.0]) == pytest.approx((0.0, 54.0))  # CIDEr
    assert score_limits(None, [50.0]) == pytest.approx((0.0, 54.0))
    assert score_limits((0.0, 1.0), [130.0, 20.0]) == pytest.approx((0.0, 140.4))
    assert score_limits((0.0, 1.0), [-20.0, 50.0]) == pytest.approx((-21.6, 100.0))
    assert score_limits(None, [0.0]) == score_limits(None, []) == (0.0, 10.0)
    assert change_limits([0.1, None]) == change_limits([]) == (-10.0, 10.0)
    assert change_limits([-50.0, 3.0]) == pytest.approx((-54.0, 54.0))
    assert common_scale([(0.0, 1.0)] * 2) == (0.0, 1.0)
    assert common_scale([(0.0, 1.0), None]) is None


def test_long_curves_are_thinned(routed: RunData) -> None:
    assert len(run_plots(routed, STEPS)["curves"].image("svg")) < 120_000


def test_names_are_neither_formulas_nor_markup(plain: RunData) -> None:
    hostile = "$\\frac{<script>&\"'\x1b\u202e日本"
    run = replace(plain, tasks=(f"own/{hostile}", "own/b"))
    for plot in run_plots(run).values():
        assert plot.image("pdf")
        svg = plot.image("svg")
        assert b"<script" not in svg
        assert any("$\\frac{<script>" in text for text in texts(svg))


def test_labels_are_truncated_in_the_middle() -> None:
    assert label("short") == "short"
    assert label("a" * 30 + "b" * 30) == "a" * 16 + "…" + "b" * 9
    assert label("a\nb\uffff") == "a\\nb\ufffd"


def test_the_first_series_differ() -> None:
    looks = [tuple(series(number).values()) for number in range(32)]
    assert len(set(looks)) == 32


def test_plots_of_several_runs_are_written_under_their_names(learnt: RunData, plain: RunData, tmp_path: Path) -> None:
    runs = [learnt, plain]
    plots = all_plots(runs, summaries_for(runs, ReportOptions()), {learnt.id: STEPS})
    files = write_plots(plots, tmp_path / "new" / "plots", "png")
    names = {file.name for file in files}
    assert {"methods.png", f"{learnt.id}-curves.png", f"{plain.id}-scores.png"} <= names
    assert {file.name for file in (tmp_path / "new" / "plots").iterdir()} == names


def test_a_folder_that_cannot_be_made_is_an_error(plain: RunData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MiclError, match="cannot write plots"):
        write_plots(list(run_plots(plain).values()), tmp_path / "file" / "plots", "svg")


def test_ids_do_not_depend_on_the_last_bits_of_coordinates() -> None:
    clip = b'<clipPath id="p0123456789"/><g clip-path="url(#p0123456789)"/>'
    image = b"<svg>" + clip + b'<use href="#mabcdef0123"/></svg>'
    other = image.replace(b"p0123456789", b"p9876543210")
    assert _stable_ids(image) == _stable_ids(other) != _stable_ids(other.replace(b"<g ", b'<g x="1" '))
    (name,) = re.findall(rb'id="(.*?)"', _stable_ids(image))
    assert b"url(#" + name + b")" in _stable_ids(image)
