"""From the published files to a report: prepare, learn two tasks, evaluate, report."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.mark.slow
def test_a_benchmark_is_prepared_learnt_evaluated_and_reported(write: Any, micl: Any, learn: Any) -> None:
    root = write()
    done = micl("prepare", "mllm-cl-domain", "--root", root)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == [
        f"mllm-cl-domain/{task}" for task in ("rs", "med", "ad", "sci", "fin")
    ]
    assert "mllm-cl-domain/fin: the end of the published prompts depends on the right answer" in done.err
    assert "mllm-cl-domain/rs: test: 2 examples; published: 10,000 (unverified)" in done.err
    assert "mllm-cl-domain/rs: published answers have at most 128 tokens" in done.err
    learnt = learn("--tasks", "mllm-cl-domain/sci,mllm-cl-domain/fin", "--max-steps", "2", "--json")
    assert learnt.code == 0, learnt.err
    run = json.loads(learnt.out.splitlines()[0])["run"]
    assert micl("eval", run).code == 0
    report = micl("report", run)
    assert report.code == 0
    assert "mllm_sci_release" in report.out
    assert "sci" in report.out


def test_abilities_are_prepared_under_either_scorer(write: Any, micl: Any) -> None:
    root = write()
    done = micl("prepare", "mllm-cl-ability", "--root", root, "--scorer", "strict", "--prompts", "file", "--json")
    assert done.code == 0, done.err
    tasks = {task["name"]: task for task in json.loads(done.out)["tasks"]}
    assert {name: (task["metric"], task["scorer"], task["prompts"]) for name, task in tasks.items()} == {
        "mllm-cl-ability/ocr": ("mllm_ocr_strict", "strict", "file"),
        "mllm-cl-ability/math": ("mllm_math_rules", "rules", "file"),
        "mllm-cl-ability/vp": ("mllm_vp_strict", "strict", "file"),
        "mllm-cl-ability/app": ("mllm_app_rules", "rules", "file"),
    }
    assert "mllm-cl-ability/math: scorer is rules, the only variant of this task" in done.err


@pytest.mark.slow
def test_predictions_are_written_in_the_form_that_judges_take(write: Any, micl: Any, learn: Any) -> None:
    assert micl("prepare", "mllm-cl-ability/math,mllm-cl-ability/app", "--root", write()).code == 0
    assert learn("--tasks", "mllm-cl-ability/math,mllm-cl-ability/app", "--max-steps", "1", "--quiet").code == 0
    done = micl("predictions", "@last", "--task", "math", "--format", "mathvista")
    assert (done.code, list(json.loads(done.out))) == (0, ["17", "2"])
    done = micl("predictions", "@last", "--task", "app", "--format", "mmt-bench")
    assert done.code == 0
    assert done.out.startswith("index\tquestion\tcategory\tA\tB\tprediction\topt\n11\t")
    wrong = micl("predictions", "@last", "--task", "app", "--format", "mathvista")
    assert wrong.code == 2
    assert "have no format 'mathvista'" in wrong.err
    assert "It has: text, csv, jsonl, release, mmt-bench." in wrong.err
    release = micl("predictions", "@last", "--task", "app", "--format", "release")
    assert [json.loads(line)["question_id"] for line in release.out.splitlines()] == [11, 12]


def test_predictions_of_the_release_are_scored_as_published(write: Any, micl: Any, tmp_path: Any) -> None:
    root = write()
    assert micl("prepare", "mllm-cl-domain/sci", "--root", root).code == 0
    file = tmp_path / "merge.jsonl"
    answers = {0: "a", 1: "Ohio, Utah"}
    rest = {"prompt": "?", "answer_id": "x", "model_id": "llava", "metadata": {}}
    lines = [json.dumps({"question_id": number, "text": text, **rest}) for number, text in answers.items()]
    file.write_text("\n".join(lines))
    scored = {}
    for scorer in ("release", "strict"):
        done = micl("score", file, "--task", "mllm-cl-domain/sci", "--scorer", scorer, "--json")
        assert done.code == 0, done.err
        (scored[scorer],) = json.loads(done.out)["scores"]
    assert scored["release"]["missing"] == 1
    assert scored["release"]["score"] == pytest.approx(100 * (1 + 1 / 2 + 0) / 3)
    assert scored["strict"]["score"] == pytest.approx(100 * (1 + 1 / 3 + 0) / 3)
    assert scored["release"]["figures"] == {"AI2D": 100.0, "MapQA": 25.0}


def test_another_data_set_is_recognised(write: Any, micl: Any) -> None:
    root = write()
    for folder in ("RS", "Med", "AD", "Sci", "Fin"):
        (root / folder).rename(root / f"old-{folder}")
    done = micl("prepare", "mllm-cl-domain/rs", "--root", root)
    assert done.code == 4
    assert "has no RS/train.json" in done.err
    assert "It looks like MLLM-CL (abilities) (mllm-cl-ability)." in done.err


@pytest.mark.parametrize(
    ("items", "where", "reason"),
    [
        ("[{}", "RS/test.json:1", "a comma is missing"),
        ([{"question_id": 1, "image": "9.png", "text": "?", "answer": "a"}], "RS/test.json:1", "RS/9.png"),
        ([{"question_id": 1, "image": "../../x.png", "text": "?", "answer": "a"}], "RS/test.json:1", "'..'"),
        ([{"question_id": 1, "image": "/0.png", "text": "?", "answer": "a"}], "RS/test.json:1", "absolute"),
        ([{"question_id": 1, "image": "0.png", "text": "?", "answer": ""}], "RS/test.json:1", "references are missing"),
        ([{"question_id": 1, "text": "?", "answer": "a"}] * 2, "RS/test.json:1", "id '1' is also that of"),
        ([{"id": 1, "image": "0.png"}], "RS/test.json:1", "the key 'question_id' is missing"),
    ],
)
def test_bad_input_is_named_by_file_and_line(
    write: Any, micl: Any, isolated: Any, items: Any, where: str, reason: str
) -> None:
    root = write()
    (root / "RS" / "test.json").write_text(items if isinstance(items, str) else json.dumps(items))
    done = micl("prepare", "mllm-cl-domain/rs", "--root", root)
    assert done.code == 4
    assert where in done.err
    assert reason in done.err
    assert not (isolated / "tasks" / "mllm-cl-domain" / "rs").exists()
