from __future__ import annotations

import base64
import hashlib
import re
import time
from dataclasses import replace
from typing import Any

import pytest

from micl_cli.report.blocks import Table
from micl_cli.report.data import RunData
from micl_cli.report.document import document
from micl_cli.report.html.answers import ReportDetails
from micl_cli.report.html.page import Item, Section, side_by_side
from micl_cli.report.html.previews import Preview
from micl_cli.report.html.render import html_report
from micl_cli.report.options import ReportOptions
from micl_cli.report.render import summaries_for


@pytest.fixture(scope="session")
def page(routed: RunData, details: ReportDetails, parsed: Any) -> Any:
    """The parsed report of one run with everything."""
    return parsed(html_report([routed], [], details))


def test_the_page_is_one_document(page: Any) -> None:
    assert page.text.startswith("<!DOCTYPE html>")
    assert page.text.endswith("</html>")


def test_the_same_run_gives_the_same_bytes(page: Any, routed: RunData, details: ReportDetails) -> None:
    assert html_report([routed], [], details) == page.text


def test_all_tables_of_the_text_report_are_there(page: Any, routed: RunData) -> None:
    captions = [text.strip() for text in page.texts["caption"]]
    tables = [block for block in document([routed]) if isinstance(block, Table)]
    assert {table.title for table in tables} <= set(captions)
    cells = set(map(str.strip, page.texts["td"]))
    assert {cell for table in tables for row in table.rows for cell in row[1:] if cell} <= cells


def test_every_kind_of_plot_is_there_with_a_name(page: Any) -> None:
    plots = [each for each in page.all("svg") if "max-width" in (each.get("style") or "")]
    assert len(plots) == 6
    assert all(each["role"] == "img" and each["aria-label"] for each in plots)
    assert len(page.all("figcaption")) == 6


def test_ids_are_unique_and_links_lead_to_them(page: Any) -> None:
    ids = page.attributes("id")
    assert len(set(ids)) == len(ids)
    targets = {value[1:] for value in page.attributes("href") if value.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]*)\)", " ".join(page.attributes("clip-path"))))
    targets |= {name for value in page.attributes("aria-labelledby") for name in value.split()}
    assert targets <= set(ids)
    assert len(targets) > 10


def test_nothing_is_loaded_from_elsewhere(page: Any) -> None:
    for name in ("src", "href", "action", "srcset", "poster"):
        assert all(value.startswith(("#", "data:")) for value in page.attributes(name))
    styles = "".join(page.texts["style"])
    assert "url(" not in styles
    assert "@import" not in styles
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_only_the_page_s_own_script_may_run(page: Any) -> None:
    (script,) = page.texts["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [each["content"] for each in page.all("meta") if "Content-Security-Policy" in each.values()]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_answers_have_pictures_texts_and_states(page: Any) -> None:
    assert len([each for each in page.all("img") if each["src"].startswith("data:image/jpeg")]) == 5
    assert "waveform of audio, 2.0 s, example 10" in page.attributes("aria-label")
    rows = [each for each in page.all("tr") if "data-wrong" in each]
    assert [(row["data-wrong"], row["data-forgotten"]) for row in rows[:5]] == [
        ("2", "2"), ("1", ""), ("", ""), ("", ""), ("", ""),
    ]  # fmt: skip
    assert "answer 1 of 2" in " ".join(page.texts["td"])
    assert any("The first 5 of 64 examples with stored answers." in text for text in page.texts["p"])


def test_hostile_text_is_inert(page: Any, routed: RunData, details: ReportDetails, hostile: str, parsed: Any) -> None:
    task = f"own/{hostile}"
    replaced = {
        "name": hostile, "strategy": hostile, "backbone": hostile, "tasks": (task, routed.tasks[1]),
        "extra": {hostile: 1.0}, "environment": {"device": hostile}, "data": {task: "1"},
        "scores": [replace(score, metric=hostile) for score in routed.scores],
    }  # fmt: skip
    run = replace(routed, **replaced)
    text = html_report([run], [], details)
    found = parsed(text)
    for tag in ("script", "style", "iframe", "object"):
        assert len(found.all(tag)) == len(page.all(tag))
    assert len(found.all("img")) == len(page.all("img"))
    assert all(control not in text for control in ("\x1b", "\u202e"))
    assert "\\x1b[31m\\u202e{{ 7*7 }}" in " ".join(found.texts["td"])
    assert any(hostile[:20] in title for title in found.texts["title"])


def test_six_tasks_with_a_hundred_answers_each_stay_below_five_megabytes(
    routed: RunData, details: ReportDetails
) -> None:
    (examples, *_), stages = details.answers[routed.id], range(7)
    record = (
        examples.examples[0].answers[1]._replace(answer="a longer answer " * 8, references=("a reference " * 5,) * 2)
    )
    one = replace(examples.examples[0], answers=dict.fromkeys(stages, record), prompt="a prompt " * 12)
    sets = [
        replace(examples, task=f"own/{n}", stages=stages, examples=[replace(one, id=f"{n}-{i}") for i in range(100)])
        for n in range(6)
    ]
    previews = {"image": Preview("image", uri=f"data:image/jpeg;base64,{'A' * 5000}", width=96, height=96)}
    page = html_report([routed], [], replace(details, answers={routed.id: sets}, previews=previews))
    assert page.count("<img") == 600
    assert len(page.encode()) < 5_000_000


def test_several_runs_have_a_summary_sections_and_a_comparison(learnt: RunData, plain: RunData, parsed: Any) -> None:
    runs = [learnt, plain]
    page = parsed(html_report(runs, summaries_for(runs, ReportOptions())))
    titles = [text.strip() for text in page.texts["h2"]]
    assert titles[0] == "Summary of 2 runs"
    assert titles[1] == f"Run {learnt.id}: demo (moincl, seed 0)"
    assert titles[-1] == "Comparison of 2 runs"
    captions = {text.strip() for text in page.texts["caption"]}
    blocks = document(runs, summaries_for(runs, ReportOptions()))
    assert {block.title for block in blocks if isinstance(block, Table)} <= captions
    assert "details" not in page.texts


def test_the_tables_of_many_runs_are_folded_beside_a_heat_map_of_each(plain: RunData, parsed: Any) -> None:
    runs = [replace(plain, id=f"{number:012x}", seed=number) for number in range(6)]
    page = parsed(html_report(runs, summaries_for(runs, ReportOptions())))
    assert len(page.texts["details"]) == 6
    assert len(page.all("figure")) == 7
    assert len(page.all("svg")) == 7


@pytest.mark.slow
def test_the_report_of_24_runs_of_six_tasks_takes_less_than_ten_seconds(plain: RunData) -> None:
    tasks = [f"mini/task_{number}" for number in range(6)]
    matrix = [[50.0 + t - i if i <= t else None for i in range(6)] for t in range(6)]
    runs = [
        replace(plain, id=f"{n:012x}", strategy=f"s{n % 6}", seed=n // 6, tasks=tasks, matrix=matrix) for n in range(24)
    ]
    start = time.process_time()
    page = html_report(runs, summaries_for(runs, ReportOptions()))
    assert time.process_time() - start < 10
    assert page.count("<svg") == 25


def test_the_summary_alone_has_no_sections_of_runs(learnt: RunData, plain: RunData, parsed: Any) -> None:
    options = ReportOptions(summary_only=True)
    page = parsed(html_report([learnt, plain], summaries_for([learnt, plain], options), summary_only=True))
    assert [text.strip() for text in page.texts["h2"]] == ["Summary of 2 runs"]


def test_a_run_without_scores_is_reported(plain: RunData, parsed: Any) -> None:
    run = replace(plain, matrix=[[None, None], [None, None]], status="failed")
    page = parsed(html_report([run]))
    assert "No task has been scored yet." in " ".join(page.texts["p"])
    assert not page.all("figure")


def test_a_report_of_no_runs_says_so(parsed: Any) -> None:
    assert "No runs to report." in " ".join(parsed(html_report([])).texts["p"])


def test_two_sections_that_need_no_width_stand_side_by_side() -> None:
    def section(name: str, columns: int, **options: Any) -> Section:
        table = Table("", ["a column"] * columns, [["1234567890"] * columns])
        return Section(id=name, title=name, items=[Item("table", table)], **options)

    sections = [section("a", 2), section("b", 12), section("c", 3), section("d", 2), section("e", 2)]
    assert [each.id for each in side_by_side(sections) if each.wide] == ["a", "b", "e"]
    assert all(each.wide for each in side_by_side([section("a", 2, alone=True), section("b", 2)]))


def test_shown_answers_are_counted_of_the_stored_ones(page: Any) -> None:
    assert page.texts["output"] == ["6 of 65 examples shown"]
