from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.events import Event, RunFinished, Scored, TaskLearned
from micl_cli.plan import Plan
from micl_cli.records import NewRun, TaskRecord
from micl_cli.session.recorder import Recorder
from micl_cli.store import Store
from micl_metrics.accuracy import Accuracy


def test_json_is_as_documented(finished: str, micl: Any) -> None:
    code, out, err = micl("report", "@last", "--json")
    assert (code, err) == (0, "")
    (run,) = json.loads(out)["runs"]
    documented = ["id", "name", "strategy", "backbone", "seed", "tasks", "matrix", "metrics", "cost"]
    assert set(documented) <= set(run)
    assert (run["id"], run["strategy"], run["backbone"], run["seed"]) == (finished, "moincl", "toy", 0)
    assert run["tasks"] == ["own/img_cap", "own/aud_qa"]
    (first, nothing), (last, second) = run["matrix"]
    assert nothing is None
    metrics = run["metrics"]
    assert set(metrics) >= {"mft", "mfn", "maa", "bwt", "forgetting", "peak_forgetting", "fwt"}
    assert metrics["mft"] == pytest.approx((first + second) / 2)
    assert metrics["mfn"] == pytest.approx((last + second) / 2)
    assert metrics["maa"] == pytest.approx((first + (last + second) / 2) / 2)
    assert metrics["bwt"] == pytest.approx(last - first)
    assert metrics["forgetting"] == metrics["peak_forgetting"] == pytest.approx(first - last)
    assert metrics["fwt"] is None
    cost = run["cost"]
    assert all(cost.pop(name) >= 0 for name in ("before_seconds", "after_seconds"))
    assert set(cost) == {"seconds", "peak_bytes", "trainable_parameters", "stored_bytes"}
    assert all(value > 0 for value in cost.values())
    assert micl("report", finished, "--format", "json").out == out


@pytest.mark.parametrize(
    ("style", "sign"), [("text", "backward transfer (BWT)"), ("md", "| "), ("csv", ","), ("latex", "\\begin{tabular}")]
)
def test_every_format_shows_the_matrix(finished: str, micl: Any, style: str, sign: str) -> None:
    code, out, err = micl("report", finished, "--format", style)
    assert (code, err) == (0, "")
    assert sign in out
    assert out.endswith("\n")
    assert not out.endswith("\n\n")
    if style == "csv":
        assert any(finished in row for row in csv.reader(io.StringIO(out)))


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("x.html", "<!doctype html>"),
        ("x.htm", "<!doctype html>"),
        ("x.MD", "#"),
        ("x.csv", "run,"),
        ("x.json", "{"),
        ("x.tex", "\\subsection"),
        ("x.txt", "Run "),
        ("x", "Run "),
    ],
)
def test_the_suffix_of_a_file_chooses_the_format(
    finished: str, micl: Any, tmp_path: Path, name: str, start: str
) -> None:
    (tmp_path / "micl.toml").write_text('[report]\nformat = "md"\n' if name == "x.html" else "")
    assert micl("report", finished, "-o", name).code == 0
    assert (tmp_path / name).read_text().lower().startswith(start.lower())


def test_a_format_that_is_given_goes_before_the_suffix(finished: str, micl: Any, tmp_path: Path) -> None:
    assert micl("report", finished, "-o", "x.html", "--format", "md").code == 0
    assert micl("report", finished, "-o", "y.html", "--json").code == 0
    assert (tmp_path / "x.html").read_text().startswith("#")
    assert json.loads((tmp_path / "y.html").read_text())["runs"]
    refused = micl("report", finished, "-o", "x.pdf")
    assert (refused.code, "the suffix .pdf of x.pdf stands for no format" in refused.err) == (2, True)
    assert not (tmp_path / "x.pdf").exists()


def test_several_runs_stand_side_by_side_each_once(finished: str, micl: Any, toy_site: Path) -> None:
    other = micl("learn", "--after", finished, "--tasks", "own/img_qa", "--name", "longer").out.strip()
    runs = json.loads(micl("report", finished, other[:6], "longer", "--json").out)["runs"]
    assert [run["id"] for run in runs] == [finished, other]
    assert "longer" in micl("report", finished, other).out


def test_a_run_that_is_not_finished_has_a_partial_matrix(learn: Any, micl: Any, listener: Any) -> None:
    listener(
        "@hookimpl\ndef micl_event(run, event):\n"
        "    if event.name == 'step' and event.position == 2:\n        os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert learn().code == 130
    (run,) = json.loads(micl("report", "@last", "--json").out)["runs"]
    assert run["status"] == "interrupted"
    (first, nothing), row = run["matrix"]
    assert first is not None
    assert [nothing, *row] == [None] * 3
    assert run["metrics"]["bwt"] is None
    for style in ("text", "md", "csv", "latex"):
        assert micl("report", "@last", "--format", style).code == 0
    assert "interrupted" in micl("report", "@last").out


def test_validation_scores_are_another_report(finished: str, micl: Any) -> None:
    assert micl("eval", finished, "--split", "val").code == 0
    (run,) = json.loads(micl("report", finished, "--json", "--split", "val").out)["runs"]
    assert run["matrix"][0] == [None, None]
    assert None not in run["matrix"][1]


@pytest.fixture
def swept(learn: Any) -> list[str]:
    """The ids of finished runs: finetune and joint, with two seeds each."""
    words = [("--strategy", strategy, "--seed", seed) for strategy in ("finetune", "joint") for seed in (0, 1)]
    return [learn(*each, "--tasks", "own/img_cap,own/aud_qa").out.strip() for each in words]


def test_several_runs_are_summarised_relative_to_joint_learning(swept: list[str], micl: Any, tmp_path: Path) -> None:
    code, out, err = micl("report", *swept, "--summary", "--format", "md", "--margin", 2)
    assert (code, err) == (0, "")
    assert out.startswith("## Summary of 4 runs\n")
    assert "in per cent of the final scores of joint" in out
    assert "\n| finetune | 2 |" in out
    assert "R: score" not in out
    file = tmp_path / "table.md"
    written = micl("report", *swept, "--summary", "--format", "md", "--margin", 2, "-o", file)
    assert (written.code, written.out) == (0, "")
    assert written.err.strip() == f"wrote a report of 4 runs to {file}"
    assert file.read_text() == out
    assert micl("report", *swept).out.startswith("Summary of 4 runs\n")


def test_the_summary_in_json_has_the_figures_of_each_method(swept: list[str], micl: Any) -> None:
    (summary,) = json.loads(micl("report", *swept, "--summary", "--json").out)["summaries"]
    finetune, joint = summary["methods"]
    runs = json.loads(micl("report", *swept, "--json").out)["runs"]
    final = [run["matrix"][-1] for run in runs]
    for at, task in enumerate(("own/img_cap", "own/aud_qa")):
        expected = (final[0][at] + final[1][at]) / 2
        assert finetune["figures"][f"final:{task}"]["mean"] == pytest.approx(expected)
    assert (finetune["label"], finetune["seeds"], joint["label"]) == ("finetune", [0, 1], "joint")
    assert summary["mixed_scales"] == "mixes scales (cider 0..1000, accuracy 0..100)"
    assert {run["types"]["own/aud_qa"] for run in runs} == {"qa"}


def test_hierarchical_intervals_use_the_stored_answers(finished: str, micl: Any) -> None:
    shown = micl("report", finished, "--summary", "--json", "--interval", "hierarchical")
    (summary,) = json.loads(shown.out)["summaries"]
    assert not any("not stored" in note for note in summary["notes"])
    found = summary["methods"][0]["figures"]["final:own/aud_qa"]
    assert found["low"] <= found["mean"] <= found["high"]


def test_wrong_options_of_a_summary_are_usage_errors(finished: str, micl: Any) -> None:
    assert micl("report", finished, "--margin", 0).code == 2
    assert micl("report", finished, "--interval", "z").code == 2
    assert micl("report", finished, "--relative-to", "finetune").code == 2


def test_a_report_that_cannot_be_written_is_an_error(finished: str, micl: Any, tmp_path: Path) -> None:
    code, out, err = micl("report", finished, "-o", tmp_path / "missing" / "report.md")
    assert (code, out) == (1, "")
    assert "cannot write" in err


def test_an_html_report_is_one_file_with_answers_and_pictures(finished: str, micl: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    code, out, err = micl("report", finished, "--format", "html", "-o", file)
    assert (code, out, err) == (0, "", f"wrote a report of 1 run to {file}\n")
    page = file.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert "Answers to own/aud_qa" in page
    assert "data:image/jpeg;base64," in page
    assert micl("report", finished, "--format", "html").out == page
    without = micl("report", finished, "--format", "html", "--predictions", 0).out
    assert "Answers to" not in without
    assert "data:image/jpeg" not in without


def test_an_html_report_does_not_fill_a_terminal(
    finished: str, micl: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, out, err = micl("report", finished, "--format", "html")
    assert (code, out) == (2, "")
    assert "-o report.html" in err


def test_the_summary_alone_is_reported_as_html(swept: list[str], micl: Any) -> None:
    page = micl("report", *swept, "--summary", "--format", "html").out
    assert "Summary of 4 runs" in page
    assert "Comparison of" not in page
    assert "Answers to" not in page


def test_plots_are_written_beside_the_report(finished: str, micl: Any, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    code, out, err = micl("report", finished, "--plots", folder, "--plot-format", "pdf")
    assert code == 0
    assert out == micl("report", finished).out
    names = sorted(file.name for file in folder.iterdir())
    assert names == [f"{finished}-{plot}.pdf" for plot in ("cost", "curves", "forgetting", "scores", "stages")]
    assert err == f"wrote 5 plots to {folder}\n"


@pytest.fixture
def stored(isolated: Path) -> str:
    """A finished run on text alone, then on images with sound, with a pass over data before each."""
    modalities: dict[str, tuple[str, ...]] = {"own/news": (), "own/talks": ("audio", "image")}
    plan = Plan(strategy="ewc", backbone="toy", tasks=tuple(modalities), data=dict.fromkeys(modalities, "1"))
    events: list[Event] = []
    for position, name in enumerate(modalities, 1):
        learned = TaskLearned(
            position=position, tasks=[name], data_sha256=["1"], steps=4, examples=16, before_seconds=2.5, seconds=1.0,
            peak_bytes=1000, trainable_parameters=3, stored_bytes=700, checkpoint=f"stages/0{position}",
        )  # fmt: skip
        scores = [Scored(after=position, task=task, metric="accuracy", value=50.0, n=3) for task in plan.tasks]
        events += [learned, *scores[:position]]
    with Store.open(f"sqlite:///{isolated}/micl.db") as store:
        for name, own in modalities.items():
            store.record_task(
                TaskRecord(name=name, modalities=own, type="qa", metric="accuracy", sha256="1", counts={}, path="")
            )
        store.start_run(NewRun(id=plan.id, plan=plan.as_json()))
        recorder = Recorder(store, plan.id)
        for event in (*events, RunFinished(run=plan.id, status="finished", seconds=7.0)):
            recorder.take(event)
    return plan.id


@pytest.mark.parametrize("style", ["text", "md", "csv", "json", "latex", "html"])
def test_tasks_of_text_alone_and_of_several_modalities_are_reported(stored: str, micl: Any, style: str) -> None:
    code, out, err = micl("report", stored, "--format", style)
    assert (code, err) == (0, "")
    assert "own/news" in out.replace("\\", "") and "own/talks" in out.replace("\\", "")


def test_passes_stand_beside_the_seconds_of_learning(stored: str, micl: Any) -> None:
    (run,) = json.loads(micl("report", stored, "--json").out)["runs"]
    assert [(stage["before_seconds"], stage["seconds"], stage["after_seconds"]) for stage in run["stages"]] == [
        (2.5, 1.0, 0.0)
    ] * 2
    assert (run["cost"]["before_seconds"], run["cost"]["seconds"], run["cost"]["after_seconds"]) == (5.0, 2.0, 0.0)
    shown = micl("runs", "show", stored)
    assert shown.code == 0
    assert ["stage", "status", "tasks", "steps", "before", "seconds", "checkpoint"] in map(
        str.split, shown.out.splitlines()
    )


def test_variants_and_categories_of_a_published_task_are_shown(suite: Path, learn: Any, micl: Any) -> None:
    assert micl("prepare", "suite/one", "--root", suite, "--prompts", "file").code == 0
    run = learn("--tasks", "suite/one,own/aud_qa", "--eval-examples", "4").out.strip()
    out = micl("report", run).out
    (line,) = [line for line in out.splitlines() if line.split()[-2:] == ["release", "0"]]
    assert line.split() == ["one", "accuracy", f"{Accuracy.version}", "file", "release", "0"]
    figures = out[out.index("Further figures of the latest scores") :].splitlines()[3:5]
    assert [line.split()[:2] for line in figures] == [["one", "colour"], ["one", "count"]]
