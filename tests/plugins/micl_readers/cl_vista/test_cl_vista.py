"""CL-VISTA: questions and answers in two files, videos with and without endings, and mismatches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Fault, ManifestError, Media, Source, SourceRow
from micl_readers.cl_vista import CLVista

Write = Callable[[Path, Any], Path]


def read(root: Path, task: str = "counting") -> tuple[list[SourceRow], list[Fault]]:
    source, reader = Source(root, root, root), CLVista()
    items = list(reader.rows(task, reader.locate(task, source), source))
    return [item for item in items if isinstance(item, SourceRow)], [item for item in items if isinstance(item, Fault)]


def change(path: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    items = json.loads(path.read_text())
    edit(items)
    path.write_text("[" + ",\n".join(map(json.dumps, items)) + "]\n")


def test_eight_tasks_in_the_published_order() -> None:
    assert list(CLVista.tasks) == ["counting", "space", "traffic", "movie", "gui", "science", "sports", "star"]
    assert {tuple(task.scorers.items()) for task in CLVista.tasks.values()} == {
        (("release", "judge"), ("rules", "contains"))
    }


def test_questions_and_answers_are_joined_by_id(vista: Path) -> None:
    rows, faults = read(vista)
    test = [row for row, _ in rows if row.split == "test"]
    assert not faults
    assert [(row.id, row.prompt, row.references) for row in test] == [
        (f"v_{number}_0", f"How many, {number}?", (f"{number} of them",)) for number in range(3)
    ]
    assert [row.media for row in test] == [
        (Media("video", Path(f"Counting/test/v_{number}.mp4")),) for number in range(3)
    ]


def test_conversations_find_their_videos_however_they_are_named(vista: Path) -> None:
    train = [row for row, _ in read(vista)[0] if row.split == "train"]
    assert [row.id for row in train] == [f"train-Counting_{number}" for number in range(4)]
    assert [row.media[0].path for row in train] == [Path(f"Counting/train/t{number}.mp4") for number in range(4)]
    assert train[1].content[1:] == ("How many are there, 1?",)
    assert train[1].references == ("1",)


def test_videos_of_both_splits_may_share_a_folder(vista: Path) -> None:
    shared = vista / "Counting" / "videos"
    (vista / "Counting" / "train").rename(shared)
    for path in (vista / "Counting" / "test").iterdir():
        path.rename(shared / path.name)
    (vista / "Counting" / "test").rmdir()
    change(
        vista / "Counting" / "train.json",
        lambda items: [each.update(video=each["video"].rpartition("/")[2]) for each in items],
    )
    rows, faults = read(vista)
    assert not faults
    assert {row.media[0].path.parent.name for row, _ in rows if row.media[0].path} == {"videos"}


def test_other_names_of_the_two_files(vista: Path) -> None:
    (vista / "Counting" / "test_q.json").rename(vista / "Counting" / "test_questions.json")
    (vista / "Counting" / "test_a.json").rename(vista / "Counting" / "Counting_test_a.json")
    assert len(read(vista)[0]) == 7


@pytest.mark.parametrize(
    ("train", "questions", "answers"),
    [
        ("json_row/train_data_30k", "json_row/test_questions_2k", "json_row/test_answers_2k"),
        (
            *("train_json_row/movie_train_subtitle_30k", "test_json_row/test_question_2k"),
            "test_json_row/test_answer_2k",
        ),
        ("json_row/gui_train_20k", "json_row/test_questions_1k", "json_row/test_answers_1k"),
    ],
)
def test_the_names_of_the_configuration_of_the_release(
    vista: Path, train: str, questions: str, answers: str, write_json: Write
) -> None:
    before = read(vista)
    folder = vista / "Counting"
    for old, new in (("train", train), ("test_q", questions), ("test_a", answers)):
        (folder / new).parent.mkdir(exist_ok=True)
        (folder / f"{old}.json").rename(folder / f"{new}.json")
    for name in ("replay_train", "router_data"):
        write_json(folder / train.partition("/")[0] / f"{name}.json", [{"not": "read"}])
    rows, faults = read(vista)
    assert ([row for row, _ in rows], faults) == ([row for row, _ in before[0]], [])


def test_two_files_of_one_role_are_not_guessed_between(vista: Path, write_json: Write) -> None:
    (vista / "Counting" / "train.json").unlink()
    for name in ("a_train.json", "b_train.json"):
        write_json(vista / "Counting" / "json_row" / name, [])
    with pytest.raises(ManifestError, match=r"a_train\.json and .*b_train\.json: which one is it") as error:
        read(vista)
    assert error.value.hint == "Rename the published one to Counting/train.json."


def test_a_missing_file_names_what_was_looked_for(vista: Path) -> None:
    (vista / "Counting" / "test_a.json").unlink()
    with pytest.raises(ManifestError, match=r" or Counting/test_a\.json or Counting/test_answers\.json or "):
        read(vista)


@pytest.mark.parametrize(
    ("file", "edit", "line", "reason"),
    [
        ("test_a.json", lambda items: items.pop(0), "test_q.json:3", "no answer to question_id 'v_2_0'"),
        ("test_q.json", lambda items: items.pop(0), "test_a.json:3", "no question with question_id 'v_0_0'"),
        (
            "test_a.json",
            lambda items: items.append(items[0]),
            "test_a.json:4",
            "is also that of Counting/test_a.json:1",
        ),
        ("test_q.json", lambda items: items[1].pop("video_name"), "test_q.json:2", "'video_name' is missing"),
        ("test_a.json", lambda items: items[1].update(answer=["1"]), "test_a.json:2", "answer is not a string"),
        ("train.json", lambda items: items[1].pop("video"), "train.json:2", "the key 'video' is missing"),
        ("train.json", lambda items: items[1].pop("conversations"), "train.json:2", "'conversations' is missing"),
    ],
)
def test_what_does_not_belong_together_is_a_fault(
    vista: Path, file: str, edit: Callable[[list[dict[str, Any]]], object], line: str, reason: str
) -> None:
    change(vista / "Counting" / file, edit)
    faults = read(vista)[1]
    assert any(fault.where == f"Counting/{line}" and reason in fault.reason for fault in faults), faults


def test_a_video_that_nothing_names_is_a_fault(vista: Path, write_clip: Callable[[Path, int], Path]) -> None:
    write_clip(vista / "Counting" / "test" / "extra.mp4", 3)
    (fault,) = read(vista)[1]
    assert (fault.where, fault.reason) == (
        "Counting/test/extra.mp4",
        "no conversation and no question names this video",
    )


def test_numbers_as_ids_match_texts_and_are_kept(vista: Path) -> None:
    change(
        vista / "Counting" / "test_q.json", lambda items: [each.update(question_id=i) for i, each in enumerate(items)]
    )
    change(
        vista / "Counting" / "test_a.json",
        lambda items: [each.update(question_id=str(2 - i)) for i, each in enumerate(items)],
    )
    rows, faults = read(vista)
    assert not faults
    assert [(row.id, row.meta) for row, _ in rows if row.split == "test"] == [
        (str(number), {"question_id": number}) for number in range(3)
    ]


# By the command line


def test_a_missing_video_is_an_error_with_its_line(vista: Path, micl: Any) -> None:
    (vista / "Counting" / "test" / "v_1.mp4").unlink()
    code, out, err = micl("prepare", "cl-vista/counting", "--root", vista)
    assert (code, out) == (4, "")
    assert "Counting/test_q.json:2: Counting/test/v_1.mp4: " in err
    code, _, err = micl("prepare", "cl-vista/counting", "--root", vista, "--on-error", "skip")
    assert code == 0
    assert "cl-vista/counting: 1 examples skipped" in err


def test_another_data_set_is_recognised(vista: Path, micl: Any) -> None:
    code, _, err = micl("prepare", "general/pope", "--root", vista)
    assert code == 4
    assert "It looks like CL-VISTA (cl-vista)." in err


LEARN = ("learn", "--strategy", "finetune", "--backbone", "toy", "--max-steps", "1", "--batch-size", "2")
TASKS = "cl-vista/counting,cl-vista/star"


@pytest.fixture
def prepared(vista: Path, micl: Any, toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data set, with two of its tasks prepared to be judged."""
    monkeypatch.syspath_prepend(str(toy_site))
    done = micl("prepare", TASKS, "--root", vista)
    assert done.code == 0, done.err
    return vista


def test_without_a_judge_nothing_is_learnt(prepared: Path, micl: Any) -> None:
    code, out, err = micl(*LEARN, "--tasks", TASKS)
    assert (code, out) == (4, "")
    assert "the metric judge needs a language model" in err
    assert "MICL_JUDGE_MODEL" in err


@pytest.mark.slow
def test_two_tasks_are_learnt_and_judged(
    prepared: Path, micl: Any, judge_folder: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICL_JUDGE_MODEL", str(judge_folder))
    done = micl(*LEARN, "--tasks", TASKS)
    assert done.code == 0, done.err
    done = micl("eval", "@last", "--json")
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    judged = [event for event in events if event["event"] == "scored" and event["metric"] == "judge"]
    assert [event["task"] for event in judged] == ["cl-vista/counting", "cl-vista/star"]
    assert all(0 <= event["figures"]["score (0-5)"] <= 5 for event in judged)
    assert judged[0]["version"] > 1_000_000
    assert list((isolated / "verdicts").iterdir())
    report = micl("report", "@last", "--format", "md")
    assert report.code == 0
    assert "judge" in report.out


def test_the_rule_needs_no_judge_and_is_named(prepared: Path, micl: Any) -> None:
    assert micl("prepare", TASKS, "--root", prepared, "--scorer", "rules").code == 0
    done = micl(*LEARN, "--tasks", TASKS, "--json")
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    scorers = {(event["metric"], event["scorer"]) for event in events if event["event"] == "scored" and event["main"]}
    assert scorers == {("contains", "rules")}
