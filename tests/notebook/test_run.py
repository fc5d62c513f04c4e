"""What a run tells in Python is what the commands tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micl_cli
from micl_cli.errors import MiclError, PlanError, PluginError, UsageError
from micl_cli.testing import ToyBackbone

Run = micl_cli.Run
Quick = dict[str, Any]


@pytest.fixture
def picture(own_folders: Path) -> Path:
    return min((own_folders / "img_cap" / "media").iterdir())


def test_scores_and_figures_are_those_of_the_report(run: Run, micl: Any) -> None:
    report = json.loads(micl("report", run.id, "--json").out)["runs"][0]
    rows = [[None if np.isnan(value) else value for value in row] for row in run.matrix]
    assert rows == report["matrix"] and run.matrix.shape == (2, 2) and np.isnan(run.matrix[0, 1])
    assert run.metrics.items() >= report["metrics"].items()
    assert json.loads(json.dumps(run.scores())) == report["scores"]
    assert json.loads(json.dumps(run.validations())) == report["validations"]
    assert (run.status, run.strategy, run.tasks) == ("finished", "moincl", ("own/img_cap", "own/aud_qa"))
    assert run.scores("val") == []


def test_reports_are_those_of_the_command(run: Run, micl: Any, tmp_path: Path) -> None:
    for format in ("json", "md", "csv", "latex"):
        assert run.report(format) == micl("report", run.id, "--format", format).out.rstrip("\n")
    assert run.report("html", tmp_path / "report.html") == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(UsageError, match="Did you mean 'html'"):
        run.report("htm")


def test_r_is_a_data_frame_where_pandas_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = run.to_frame()
    assert list(frame.columns) == list(frame.index) == list(run.tasks)
    assert frame.loc["own/aud_qa", "own/img_cap"] == run.matrix[1, 0]
    assert len(pandas.DataFrame(run.losses())) == 8
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PluginError, match="pip install pandas"):
        run.to_frame()


def test_stored_answers(run: Run, micl: Any) -> None:
    answers = run.predictions("img_cap", stage=1)
    lines = micl("predictions", run.id, "--task", "img_cap", "--stage", 1, "--format", "jsonl").out.splitlines()
    assert [each["answer"] for each in answers] == [json.loads(line)["text"] for line in lines]
    assert answers[0]["prompt"] == "describe the image." and answers[0]["task"] == "own/img_cap"
    assert {each["task"] for each in run.predictions()} == set(run.tasks)


def test_names_are_escaped_in_a_notebook(run: Run, micl: Any) -> None:
    assert micl("runs", "rename", run.id, "<script>x</script>").code == 0
    shown = run._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;x" in shown
    assert f"{run.matrix[0, 0]:.1f}" in shown and run.id in repr(run)


def test_answers_are_those_of_the_command(run: Run, micl: Any, picture: Path) -> None:
    answers = []
    for stage in (0, 1, 2):
        words = ("ask", run.id, "--image", picture, "--stage", stage, "describe the image.")
        answer = run.answer("describe the image.", image=picture, stage=stage)
        assert micl(*words).out == f"{answer}\n"
        assert "".join(run.stream("describe the image.", image=picture, stage=stage)) == answer
        parts = [("image", picture), "describe the image."]
        assert run.answer(parts, stage=stage) == answer  # type: ignore[arg-type]
        answers.append(answer)
    assert any(answers)
    reply = run.ask("<image> describe it.", image=[str(picture)], adapter="base", max_new_tokens=2)
    assert (reply.stage, reply.adapters) == (2, ())


def test_leaving_a_stream_ends_the_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(self: ToyBackbone, example: Any, receive: Any, **decoding: Any) -> str:
        while True:
            receive("again ")

    stream_of_toy = ToyBackbone.stream
    monkeypatch.setattr(ToyBackbone, "stream", endless)
    stream = run.stream("what is it?")
    assert next(stream) == "again "
    stream.close()  # type: ignore[attr-defined]
    monkeypatch.setattr(ToyBackbone, "stream", stream_of_toy)
    assert run.answer("what is it?") == "".join(run.stream("what is it?"))


def test_errors_of_questions_reach_the_reader(run: Run) -> None:
    with pytest.raises(MiclError, match="no such file"):
        list(run.stream("what is it?", image="absent.png"))
    with pytest.raises(UsageError, match="is no part of a prompt"):
        run.answer([("image",), "what?"])
    with pytest.raises(UsageError, match="image must be a path or a list of paths, not ndarray") as caught:
        run.answer("what?", image=np.zeros((4, 4, 3)))  # type: ignore[arg-type]
    assert "Save it to a file" in caught.value.hint
    with pytest.raises(UsageError, match="a question has no argument 'images'") as caught:
        run.answer("what?", images=["a.png"])  # type: ignore[call-arg]
    assert caught.value.hint == "Did you mean 'image'?"
    with pytest.raises(UsageError, match="stage 7 of run"):
        run.answer("what?", stage=7)


def test_the_model_is_loaded_once_and_released(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from micl_cli.notebook import asking

    loaded = []
    load = asking.load_model
    monkeypatch.setattr(asking, "load_model", lambda *given: loaded.append(given) or load(*given))
    first = run.answer("what is it?")
    assert run.answer("what is it?") == first and len(loaded) == 1
    run.release()
    run.release()
    assert run.answer("what is it?") == first and len(loaded) == 2


def test_evaluation_is_that_of_the_command(run: Run, micl: Any) -> None:
    scored = run.evaluate("own/img_qa", stage=[0, 2], examples=3, progress=False)
    done = micl("eval", run.id, "--tasks", "own/img_qa", "--stage", "0,2", "--examples", 3, "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    expected = [(each["after"], each["value"]) for each in lines if each["event"] == "scored"]
    assert [(each["after"], each["value"]) for each in scored] == expected
    with pytest.raises(UsageError, match="stage 7 is not learnt"):
        run.evaluate(stage=7)


def test_an_export_answers_as_the_run_does(quick: Quick, picture: Path, tmp_path: Path) -> None:
    run = micl_cli.learn(**{**quick, "backbone": "tiny", "tasks": ["own/img_cap"]})
    folder = run.export(tmp_path / "out", stage=1)
    exported = micl_cli.load_export(folder)
    question = "describe the image."
    assert exported.answer(question, image=picture) == run.answer(question, image=picture) != ""
    with pytest.raises(UsageError, match=rf"holds the export of run {run.id} after stage 1 \(format peft\) already"):
        run.export(folder)
    assert run.export(folder, format="merged", force=True) == folder


def test_a_model_that_cannot_be_exported_says_so(run: Run, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be exported"):
        run.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_are_found_by_name_and_compared(run: Run, micl: Any) -> None:
    assert micl("runs", "rename", run.id, "good").code == 0
    assert micl_cli.load_run("good").id == micl_cli.load_run().id == run.id
    assert [each.id for each in micl_cli.list_runs()] == [run.id]
    assert micl_cli.list_runs(strategy="ewc") == []
    (method,) = micl_cli.compare([run])
    assert method["settings"] == {}
    assert method["strategy"] == "moincl" and method["mfn"] == pytest.approx(run.metrics["mfn"])
    with pytest.raises(UsageError):
        micl_cli.load_run("absent")


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, micl_cli; dir(micl_cli); "
        "print([name for name in ('torch', 'numpy', 'click', 'pandas', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_names_of_the_package_exist() -> None:
    for name in micl_cli.__all__:
        assert getattr(micl_cli, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'lern'"):
        _ = micl_cli.lern  # type: ignore[attr-defined]
