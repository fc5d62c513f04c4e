"""``micl ask``: the answers of a run's model, its errors, and what it leaves behind."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_cli.testing import ToyBackbone


@pytest.fixture
def pictures(own_folders: Path) -> list[Path]:
    return sorted((own_folders / "img_cap" / "media").iterdir())


@pytest.fixture
def sound(own_folders: Path) -> Path:
    return min((own_folders / "aud_qa" / "media").iterdir())


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let stdin hold bytes, and not be a terminal."""

    def call(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The contents that the backbone is asked, in order."""
    contents: list[Any] = []
    stream = ToyBackbone.stream

    def record(self: ToyBackbone, example: Any, receive: Any, **decoding: Any) -> str:
        contents.append(example.content)
        return stream(self, example, receive, **decoding)

    monkeypatch.setattr(ToyBackbone, "stream", record)
    return contents


def answers(out: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(out)["answers"]
    return listed


def test_a_question_without_a_run_says_that_the_run_comes_first(finished: str, micl: Any, pictures: list[Path]) -> None:
    words = {
        ("--image", pictures[0], "what?"): f"micl ask @last --image {pictures[0]} 'what?'",
        (pictures[0], "what?"): f"micl ask @last --image {pictures[0]} 'what?'",
        ("What is it",): "micl ask @last 'What is it'",
    }
    for given, command in words.items():
        done = micl("ask", *given)
        assert (done.code, done.out) == (2, "")
        assert "the first argument is the run\n" in done.err
        assert done.err.endswith(f"hint: Write: {command}\n")
    assert "the first argument is the run" not in micl("ask", "nothing", "what?").err


def test_a_file_is_no_question(finished: str, micl: Any, pictures: list[Path]) -> None:
    done = micl("ask", "@last", pictures[0])
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(f"hint: Write: micl ask @last --image {pictures[0]} 'What is it?'\n")


def test_a_run_without_a_stage_names_one_that_has_one(learn: Any, micl: Any, listener: Any) -> None:
    finished = learn("--max-steps", "1").out.strip()
    listener(
        "@hookimpl\ndef micl_event(run, event):\n"
        "    if event.name == 'step':\n        os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert learn("--seed", "7").code == 130
    for words in (("ask", "@last", "what?"), ("serve", "@last"), ("eval", "@last")):
        done = micl(*words)
        assert (done.code, "has no finished stage yet" in done.err) == (2, True)
        assert done.err.endswith(f"; the latest run that has one: {finished}\n")


def test_answers_are_those_that_an_evaluation_scores(finished: str, micl: Any, own_folders: Path) -> None:
    for stage, task in ((1, "img_cap"), (2, "img_cap"), (2, "aud_qa")):
        stored = micl("predictions", finished, "--task", task, "--stage", stage, "--format", "jsonl").out.splitlines()
        rows = {str(row["id"]): row for row in map(json.loads, (own_folders / task / "manifest.jsonl").open())}
        for line in map(json.loads, stored):
            row = rows[line["question_id"]]
            modality = "image" if "image" in row else "audio"
            done = micl("ask", finished, f"--{modality}", own_folders / task / row[modality], "--stage", stage,
                        row["prompt"])  # fmt: skip
            assert (done.code, done.out) == (0, line["text"] + "\n"), done.err
            assert done.err.startswith(f"(stage {stage}: main; ")
        assert len(stored) == 3


def test_the_answers_after_all_stages_are_compared(finished: str, micl: Any, pictures: list[Path]) -> None:
    done = micl("ask", finished, "--image", pictures[0], "--compare", "describe the image.")
    first, _, second, _ = done.out.splitlines()
    assert (first, second) == ("after stage 1, own/img_cap:", "after stage 2, own/aud_qa:")
    document = json.loads(micl("ask", finished, "--image", pictures[0], "--stage", "0..last", "x?", "--json").out)
    assert [answer["stage"] for answer in document["answers"]] == [0, 1, 2]
    assert [answer["tasks"] for answer in document["answers"]] == [[], ["own/img_cap"], ["own/aud_qa"]]
    assert [answer["adapters"] for answer in document["answers"]] == [["zero-shot"], ["main"], ["main"]]
    assert (document["run"], document["prompt"], document["media"][0]["width"]) == (finished, "x?", 24)


def test_media_come_first_in_the_order_given_or_stand_at_their_marks(
    finished: str, micl: Any, pictures: list[Path], sound: Path, asked: list[Any]
) -> None:
    words = ("--image", pictures[0], "--audio", sound, "--image", pictures[1])
    assert micl("ask", finished, *words, "what is it?").code == 0
    assert micl("ask", finished, *words, "is <image> like <image>?").code == 0
    first, second = ([getattr(item, "path", item) for item in content] for content in asked)
    assert first == [pictures[0], sound, pictures[1], "what is it?"]
    assert second == [sound, "is", pictures[0], "like", pictures[1], "?"]
    done = micl("ask", finished, "--image", pictures[0], "is <image> like <image>?")
    assert (done.code, "2 marks <image>, and 1 are given" in done.err) == (2, True)
    assert micl("ask", finished, "what does <image> mean in HTML?").code == 0


def test_the_question_may_come_from_stdin(finished: str, micl: Any, stdin: Any, asked: list[Any]) -> None:
    for data, words in ((b"a colour?\n", ()), ("größer?\r\n".encode(), ("-",))):
        stdin(data)
        assert micl("ask", finished, *words).code == 0
    assert asked == [("a colour?",), ("größer?",)]
    for data, reason in (
        (b"", "the question is empty"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"x" * 2**21, "larger than 1 MiB"),
    ):
        stdin(data)
        done = micl("ask", finished)
        assert (done.code, reason in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no picture", "it holds text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "cannot be read as an image"),
    ],
)
def test_a_faulty_medium_is_refused_with_the_reason(
    finished: str, micl: Any, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "cat.png").write_bytes(content)
    done = micl("ask", finished, "--image", "cat.png", "what is it?")
    assert (done.code, done.out) == (4, "")
    assert reason in done.err
    assert "hint: Give another file." in done.err


def test_other_mistakes_are_explained(finished: str, micl: Any, pictures: list[Path], tmp_path: Path) -> None:
    for words, code, reason in (
        (("--image", tmp_path / "none.png", "x?"), 4, "there is no such file"),
        (("--image", tmp_path, "x?"), 4, "it is not a file"),
        (("--audio", pictures[0], "x?"), 4, "its content is PNG"),
        (("--stage", "7", "x?"), 2, "stage 7 is not learnt"),
        (("--adapter", "mian", "x?"), 2, "Did you mean 'main'?"),
        (("-i", "--json"), 2, "cannot be combined"),
        (("--compare", "--stage", "1", "x?"), 2, "cannot be combined"),
        (("  ",), 2, "the question is empty"),
    ):
        done = micl("ask", finished, *words)
        assert (done.code, done.out, reason in done.err) == (code, "", True), done.err


def test_a_model_that_cannot_read_a_modality_is_not_asked(
    finished: str, micl: Any, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyBackbone, "modalities", frozenset({"image", "audio"}))
    original = ToyBackbone.__init__

    def deaf(self: ToyBackbone, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        self.modalities = frozenset({"image"})

    monkeypatch.setattr("micl_cli.training.components.check_fit", lambda *args: None)
    monkeypatch.setattr(ToyBackbone, "__init__", deaf)
    done = micl("ask", finished, "--audio", sound, "x?")
    assert (done.code, "cannot read audio" in done.err) == (4, True), done.err


def test_a_modality_that_is_not_learnt_yet_is_noted(finished: str, micl: Any, sound: Path) -> None:
    words = ("ask", finished, "--audio", sound, "which one?")
    assert "no task with audio is learnt by stage 1" in micl(*words, "--stage", "1").err
    assert "note:" not in micl(*words).err


def test_the_router_is_shown_with_its_margin_unless_an_adapter_is_named(learn: Any, micl: Any, sound: Path) -> None:
    run = learn("--strategy", "router", "-o", "router", "prototype").out.strip()
    words = ("ask", run, "--audio", sound, "which one?")
    done = micl(*words)
    assert "(stage 2: expert2, chosen by prototype for own/aud_qa with margin " in done.err
    (answer,) = answers(micl(*words, "--json").out)
    assert (answer["route"]["task"], answer["route"]["router"]) == ("own/aud_qa", "prototype")
    assert 0 <= answer["route"]["margin"] <= 1
    (told,) = answers(micl(*words, "--adapter", "expert2", "--json").out)
    assert (told["route"], told["adapters"], told["answer"]) == (None, ["expert2"], answer["answer"])
    assert answers(micl(*words, "--adapter", "base", "--json").out)[0]["adapters"] == []


def test_a_method_that_is_told_the_task_answers_by_it(learn: Any, micl: Any, sound: Path) -> None:
    run = learn("--strategy", "single").out.strip()
    words = ("ask", run, "--audio", sound, "which one?", "--json")
    for name in ("own/aud_qa", "aud_qa"):
        done = micl(*words, "--task", name)
        assert (answers(done.out)[0]["adapters"], done.err) == (["expert2"], "")
    done = micl(*words)
    assert (answers(done.out)[0]["adapters"], "single may need the task" in done.err) == ([], True)
    assert "has no task 'aud'" in micl(*words, "--task", "aud").err


def test_asking_writes_nothing_and_needs_no_data(
    finished: str, micl: Any, isolated: Path, tmp_path: Path, sound: Path
) -> None:
    question = shutil.copy(sound, tmp_path / "sound.wav")
    before = {path: path.stat().st_mtime_ns for path in isolated.rglob("*") if path.is_file()}
    first = micl("ask", finished, "--audio", question, "which one?")
    assert {path: path.stat().st_mtime_ns for path in isolated.rglob("*") if path.is_file()} == before
    shutil.rmtree(isolated / "tasks")
    assert micl("ask", finished, "--audio", question, "which one?").out == first.out


def test_a_chat_remembers_what_was_said(
    finished: str, micl: Any, stdin: Any, pictures: list[Path], asked: list[Any]
) -> None:
    lines = [
        "which one?",
        "/iamge x",
        "/image none.png",
        f"/image {pictures[1]}",
        "and now?",
        "/clear",
        "again?",
        "/exit",
    ]
    stdin("\n".join(lines).encode())
    done = micl("ask", finished, "-i", "--image", pictures[0])
    assert done.code == 0
    assert "no command '/iamge'" in done.err and "there is no such file" in done.err
    replies = done.out.splitlines()
    contents = [[getattr(item, "path", item) for item in content] for content in asked]
    assert contents[0] == [pictures[0], "which one?"]
    assert contents[1] == [pictures[0], f"which one?\n{replies[0]}", pictures[1], "and now?"]
    assert contents[2] == ["again?"]


def test_decoding_may_differ_from_the_run(finished: str, micl: Any, sound: Path) -> None:
    words = ("ask", finished, "--audio", sound, "which one?", "--json")
    (short,) = answers(micl(*words, "--max-new-tokens", "1").out)
    assert (short["cut"], len(short["answer"]) <= 1) == (True, True)
    assert micl(*words, "--length-penalty", "2").code == 2
