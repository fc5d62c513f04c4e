"""Prediction files, scored by ``micl score``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_metrics.accuracy import Accuracy

VERSION = f"{Accuracy.version}"
TASK = ("--task", "own/aud_qa")
RIGHT = {"16": "middle", "17": "high", "18": "low", "19": "middle", "20": "high", "21": "low"}


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def make(content: Any, name: str = "p.jsonl") -> Path:
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return make


def rows(**more: Any) -> list[dict[str, Any]]:
    return [{"question_id": id, "text": text, **more} for id, text in RIGHT.items()]


def score(micl: Any, *words: Any) -> dict[str, Any]:
    done = micl("score", *words, *TASK, "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["scores"]
    return dict(found)


def test_a_table_with_the_score_and_what_is_missing(home: Path, micl: Any, file: Any) -> None:
    path = file(rows()[:4])
    done = micl("score", path, *TASK)
    head, row = done.out.splitlines()
    assert head.split() == ["task", "split", "metric", "version", "score", "examples", "missing"]
    assert row.split() == ["own/aud_qa", "test", "accuracy", VERSION, "66.67", "6", "2"]
    assert done.err == f"{path}: 2 of 6 examples have no prediction and count as wrong\n"


def test_ids_may_be_numbers_and_lines_end_in_crlf_after_a_byte_order_mark(home: Path, micl: Any, file: Any) -> None:
    lines = [json.dumps({**row, "question_id": int(row["question_id"])}) for row in rows()]
    assert score(micl, file(b"\xef\xbb\xbf" + "\r\n".join(lines).encode()))["score"] == 100.0
    assert score(micl, file(b"\xef\xbb\xbf" + json.dumps(rows()).encode()))["score"] == 100.0


def test_a_list_of_captions_in_file_order(home: Path, micl: Any, file: Any) -> None:
    numbered = [{"image_id": n, "caption": text} for n, text in enumerate(RIGHT.values(), 1)]
    path = file(json.dumps(numbered))
    assert score(micl, path, "--by", "order")["score"] == 100.0
    by_id = micl("score", path, *TASK)
    assert (by_id.code, "--by order" in by_id.err) == (4, True)
    short = micl("score", file(json.dumps(numbered[1:])), *TASK, "--by", "order")
    assert (short.code, "5 predictions, and own/aud_qa has 6 examples" in short.err) == (4, True)
    mixed = micl("score", file(rows()[::-1]), *TASK, "--by", "order")
    assert (mixed.code, "in another order" in mixed.err) == (4, True)


def test_unknown_and_repeated_ids_are_an_error_unless_they_are_skipped(home: Path, micl: Any, file: Any) -> None:
    bad = [*rows(), {"question_id": "99", "text": "x"}, {"question_id": "16", "text": "wrong"}]
    path = file(bad)
    done = micl("score", path, *TASK)
    assert (done.code, done.out) == (4, "")
    assert f"{path}:7: '99' is not the id of an example" in done.err
    assert f"{path}:8: id '16' is also that of line 1" in done.err
    found = score(micl, path, "--on-error", "skip")
    assert (found["unknown"], found["repeated"], found["missing"]) == (1, 1, 0)
    assert found["score"] == pytest.approx(500 / 6)  # of repeated ids the last counts


def test_another_metric_gives_another_score(home: Path, micl: Any, file: Any) -> None:
    found = score(micl, file(rows()), "--metric", "vqa_accuracy")
    assert (found["metric"], found["score"]) == ("vqa_accuracy", 100.0)
    assert micl("score", file(rows()), *TASK, "--metric", "nothing").code == 3
    assert micl("score", file(rows()), *TASK, "--metric", "accuracy", "--scorer", "release").code == 2
    assert micl("score", file(rows()), *TASK, "--scorer", "release").code == 2


def test_answers_to_other_tasks_and_splits_are_left_out(home: Path, micl: Any, file: Any) -> None:
    others = [*rows(task="own/img_qa"), *rows(task="own/aud_qa", split="val"), *rows(task="own/aud_qa", split="test")]
    assert score(micl, file(others))["score"] == 100.0
    done = micl("score", file(others[:6]), *TASK)
    assert (done.code, "no prediction for the test examples of own/aud_qa" in done.err) == (4, True)


def test_a_missing_answer_is_wrong_and_an_empty_one_is_not_missing(home: Path, micl: Any, file: Any) -> None:
    given = [{"question_id": "16", "missing": True}, {"question_id": "17", "text": ""}, *rows()[2:]]
    found = score(micl, file(given))
    assert (found["missing"], found["score"]) == (1, pytest.approx(400 / 6))


def test_a_published_task_is_scored_by_its_variants(suite: Path, micl: Any, file: Any) -> None:
    assert micl("prepare", "suite/one", "--root", suite, "--prompts", "file").code == 0
    path = file([{"question_id": n, "text": text} for n, text in ((1, "two"), (2, "red"), (3, "four"))])
    done = micl("score", path, "--task", "suite/one", "--json")
    (found,) = json.loads(done.out)["scores"]
    assert (found["prompts"], found["scorer"], found["metric"], found["score"]) == ("file", "release", "accuracy", 50.0)
    assert (found["figures"], found["missing"]) == ({"colour": 50.0, "count": 50.0}, 1)
    (strict,) = json.loads(micl("score", path, "--task", "suite/one", "--scorer", "strict", "--json").out)["scores"]
    assert (strict["scorer"], strict["metric"]) == ("strict", "vqa_accuracy")
    assert 25.0 < strict["score"] < 50.0  # two of ten annotators said red
    table = micl("score", path, "--task", "suite/one")
    assert table.out.splitlines()[1].split() == [
        "suite/one",
        "test",
        "accuracy",
        VERSION,
        "file",
        "release",
        "50.00",
        "4",
        "1",
    ]
    assert [line.split() for line in table.out.splitlines()[4:]] == [["colour", "50.00"], ["count", "50.00"]]
    assert micl("score", path, "--task", "suite/one", "--scorer", "lax").code == 2


OBJECT = '{"question_id": "16", "text": "middle"}\n'


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        ("", "", "has no predictions"),
        (" \n\n", "", "has no predictions"),
        ("[]", "", "has no predictions"),
        (OBJECT + "{nothing", ":2", "not JSON"),
        (OBJECT + "[1, 2]\n", ":2", "it is not an object"),
        ("[1, 2]", ":1", "it is not an object"),
        (OBJECT + '{"id": "17", "reply": "high"}', ":2", "neither text nor caption is among its keys: id, reply"),
        ('{"text": "middle"}\n', ":1", "there is no question_id"),
        ('{"question_id": 16.0, "text": "middle"}\n', ":1", "question_id is neither a text nor a whole number"),
        ('{"question_id": true, "text": "middle"}\n', ":1", "question_id is neither a text nor a whole number"),
        ('{"question_id": "16", "text": 5}\n', ":1", "text is not a text"),
        ('{"question_id": "16", "text": null}\n', ":1", "text is not a text"),
        ('{"question_id": "16", "text": "a", "missing": "no"}\n', ":1", "missing is neither true nor false"),
        ('{"question_id": "16", "image": "a.jpg", "text": "What?"}\n', ":1", "it is a question"),
        ('{"question_id": "16", "text": "What?", "answer": "x"}\n', ":1", "it is a question"),
        ('{"question_id": "16", "text": NaN}\n', ":1", "not JSON"),
        ('{"question_id": "zz", "text": "x"}\n', ":1", "'zz' is not the id of an example of own/aud_qa"),
        (OBJECT.encode("utf-16"), "", "it is UTF-16, not UTF-8"),
        (b'{"question_id": "16", "text": "\xff"}', ":1", "it is not UTF-8"),
        ('{"question_id": "16", "text": ' + "[" * 200 + "]" * 200 + "}", ":1", "more than 100 levels"),
    ],
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_bad_files_are_refused_with_file_and_line(
    home: Path, micl: Any, file: Any, content: Any, place: str, message: str, on_error: str
) -> None:
    path = file(content)
    done = micl("score", path, *TASK, "--on-error", on_error)
    assert (done.code, done.out) == (4, "")
    assert f"{path}{place}" in done.err
    assert message in done.err
    assert "\nhint: " in done.err


@pytest.mark.parametrize("what", ["nothing", "."])
def test_what_is_no_file_is_refused(home: Path, micl: Any, tmp_path: Path, what: str) -> None:
    assert micl("score", tmp_path / what, *TASK).code == 4


def test_a_task_whose_media_are_gone_can_be_scored(home: Path, micl: Any, file: Any, own_folders: Path) -> None:
    from micl_cli.data.prepared import task_folder
    from micl_cli.data.record import read_record

    record = read_record(task_folder("own/aud_qa", home))
    assert record and record.root
    text = (home / "tasks/own/aud_qa/prepared.json").read_text().replace(record.root, "/nowhere")
    from micl_cli.io.documents import json_sha256

    fields = {key: value for key, value in json.loads(text).items() if key not in ("format", "digest")}
    (home / "tasks/own/aud_qa/prepared.json").write_text(
        json.dumps({"format": 2, "digest": json_sha256(fields), **fields})
    )
    assert score(micl, file(rows()))["score"] == 100.0


def test_scoring_imports_neither_torch_nor_a_database(home: Path, file: Any) -> None:
    program = (
        "import sys; from micl_cli.cli.main import run; code = run(sys.argv[1:]); "
        "print(code, sorted({'torch', 'transformers', 'peft', 'sqlalchemy'} & set(sys.modules)))"
    )
    words = ["score", str(file(rows())), *TASK, "--json"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
