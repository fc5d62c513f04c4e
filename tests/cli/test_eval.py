from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.store import Store
from micl_cli.testing import ToyBackbone


def scored(out: str) -> dict[tuple[str, str], float]:
    return {(e["task"], e["metric"]): e["value"] for e in map(json.loads, out.splitlines()) if e["event"] == "scored"}


def kept(home: Path, run: str, after: int, split: str = "test") -> dict[tuple[str, str], float | None]:
    with Store.open(f"sqlite:///{home / 'micl.db'}") as store:
        scores = store.details(run).scores
    return {(s.task, s.metric): s.value for s in scores if (s.after, s.split) == (after, split)}


@pytest.mark.parametrize("stage", [1, 2])
def test_eval_equals_the_scores_of_learning(finished: str, micl: Any, isolated: Path, stage: int) -> None:
    before = kept(isolated, finished, stage)
    found = scored(micl("eval", finished, "--stage", stage, "--json").out)
    assert {key: found[key] for key in before} == before
    assert kept(isolated, finished, stage) == found  # stage 1 is now scored on what came later too


def test_a_table_is_shown(finished: str, micl: Any) -> None:
    code, out, err = micl("eval", "@last", "--tasks", "own/aud_qa")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["task", "metric", "score", "examples", "split", "after", "stage"]
    assert [row.split()[:2] for row in rows] == [["own/aud_qa", "accuracy"], ["own/aud_qa", "vqa_accuracy"]]
    assert rows[0].split()[3:] == ["3", "test", "2"]


def test_other_tasks_and_splits_are_scored_and_kept(finished: str, micl: Any, isolated: Path) -> None:
    found = scored(micl("eval", finished, "--tasks", "own/img_qa", "--split", "val", "--json").out)
    assert set(found) == {("own/img_qa", "accuracy"), ("own/img_qa", "vqa_accuracy")}
    assert kept(isolated, finished, 2, "val") == found
    (report,) = json.loads(micl("report", finished, "--json").out)["runs"]
    assert len(report["matrix"][0]) == 2


def test_embedded_tasks_are_prepared_when_they_are_missing(finished: str, micl: Any, little_mini: Any) -> None:
    done = micl("eval", finished, "--tasks", "img_qa", "--json")
    assert (done.code, done.err) == (0, "preparing mini/img_qa\n")
    assert ("mini/img_qa", "accuracy") in scored(done.out)


def test_scores_on_a_few_examples_are_not_kept(finished: str, micl: Any, isolated: Path) -> None:
    before = kept(isolated, finished, 2)
    done = micl("eval", finished, "--examples", "1", "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert {event["n"] for event in found if event["event"] == "scored"} == {1}
    (note,) = [event["text"] for event in found if event["event"] == "notice"]
    assert note.startswith("cider gives every answer to the test examples of own/img_cap the same score")
    assert kept(isolated, finished, 2) == before


def test_answers_can_be_generated_otherwise_than_in_the_run(finished: str, micl: Any, isolated: Path) -> None:
    before = kept(isolated, finished, 2)
    same = micl("eval", finished, "--tasks", "own/aud_qa", "--num-beams", "1", "--json", "--predictions", "all")
    words = ("--repetition-penalty", "40", "--length-penalty", "0", "--num-beams", "2", "--max-new-tokens", "9")
    other = micl("eval", finished, "--tasks", "own/aud_qa", *words, "--json", "--predictions", "all")
    assert (same.code, other.code) == (0, 0), other.err
    first, second = (
        [json.loads(line)["rows"] for line in done.out.splitlines() if json.loads(line)["event"] == "answered"]
        for done in (same, other)
    )
    assert first != second
    assert kept(isolated, finished, 2) == before, "scores with another decoding are not those of the run"


def test_penalties_need_a_backbone_that_has_them(finished: str, micl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "provides", ToyBackbone.provides - {"penalties"})
    done = micl("eval", finished, "--repetition-penalty", "1.15")
    assert done.code == 4
    assert "does not support a repetition penalty" in done.err
    assert "Leave out --repetition-penalty" in done.err


def zero_shot(micl: Any, run: str) -> Any:
    (report,) = json.loads(micl("report", run, "--json").out)["runs"]
    return report["zero_shot"]


def test_stage_0_gives_the_scores_before_learning(learn: Any, micl: Any) -> None:
    plain, unseen = learn().out.strip(), learn("--eval-unseen").out.strip()
    assert zero_shot(micl, plain) is None
    assert micl("eval", plain, "--stage", "0").code == 0
    assert zero_shot(micl, plain) == zero_shot(micl, unseen)


def test_several_stages_are_scored_in_order(finished: str, micl: Any, isolated: Path) -> None:
    words = ("eval", finished, "--tasks", "own/img_qa", "--json")
    done = micl(*words, "--stage", "last,0")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [e["after"] for e in events if e["event"] == "scored" and e["main"]] == [0, 2]
    assert set(kept(isolated, finished, 0)) == {("own/img_qa", "accuracy"), ("own/img_qa", "vqa_accuracy")}
    every = [json.loads(line) for line in micl(*words, "--stage", "0..last").out.splitlines()]
    assert [e["after"] for e in every if e["event"] == "scored" and e["main"]] == [0, 1, 2]
    scores = {e["after"]: e["value"] for e in every if e["event"] == "scored" and e["main"]}
    assert {e["after"]: e["value"] for e in events if e["event"] == "scored" and e["main"]} == {
        after: scores[after] for after in (0, 2)
    }
    report = micl("report", finished).out
    section = report[report.index("Tasks outside the sequence") :].splitlines()
    assert section[1].split() == ["metric", "n", "before", "after", "1", "after", "2", "change"]
    assert section[3].split()[:2] == ["own/img_qa", "accuracy"]


@pytest.mark.parametrize("stages", ["", "first", "2..1", "-1", "1,", "0..", "last..2"])
def test_stages_that_name_nothing_are_refused(finished: str, micl: Any, stages: str) -> None:
    done = micl("eval", finished, f"--stage={stages}")
    assert (done.code, "names no stage" in done.err) == (2, True)


def test_answers_are_kept_where_asked_for(finished: str, micl: Any, isolated: Path) -> None:
    assert micl("eval", finished, "--save-predictions", "--tasks", "own/aud_qa").code == 0
    with Store.open(f"sqlite:///{isolated / 'micl.db'}") as store:
        assert len(store.predictions(finished, 2, "own/aud_qa", "test")) == 3


def test_answers_on_a_few_examples_are_said_not_to_be_kept(finished: str, micl: Any, isolated: Path) -> None:
    done = micl("eval", finished, "--save-predictions", "--examples", "1", "--tasks", "own/aud_qa")
    assert done.code == 0
    assert "note: answers are not stored" in done.err
    with Store.open(f"sqlite:///{isolated / 'micl.db'}") as store:
        assert len(store.predictions(finished, 2, "own/aud_qa", "test")) == 3  # those of learning


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--stage", "3"), 2, "stage 3 is not learnt"),
        (("--stage", "0..999999"), 2, "stage 999999 is not learnt"),
        (("--predictions", "some"), 2, "is neither a number nor all or none"),
        (("--tasks", "own/nothing"), 3, "no task 'own/nothing'"),
        (("--split", "all"), 2, "Invalid value for '--split'"),
        (("--num-beams", "0"), 2, "Invalid value for '--num-beams'"),
        (("--length-penalty", "0.5"), 2, "a length penalty acts on beams, and answers are generated without"),
        (("--length-penalty", "nan"), 2, "option 'length_penalty' of evaluation expects a number"),
    ],
)
def test_what_cannot_be_scored(finished: str, micl: Any, words: Any, code: int, message: str) -> None:
    done = micl("eval", finished, *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_an_interrupt_shows_what_was_scored(finished: str, micl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from micl_cli.testing import ToyBackbone

    generate = ToyBackbone.generate

    def interrupted(self: Any, examples: Any, **options: Any) -> list[str]:
        if examples[0].task == "own/aud_qa":
            raise KeyboardInterrupt
        return generate(self, examples, **options)

    monkeypatch.setattr(ToyBackbone, "generate", interrupted)
    done = micl("eval", finished)
    assert done.code == 130
    assert "own/img_cap" in done.out
    assert done.err.strip() == ("interrupted; scores so far are stored\nhint: Run the same command again.")


def test_scores_that_cannot_be_stored_are_shown_with_a_notice(
    finished: str, micl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from micl_cli.errors import StoreError
    from micl_cli.store import Store

    def refuse(self: Store, *_: Any) -> None:
        raise StoreError("the run store /x cannot be written to", "Make it writable.")

    monkeypatch.setattr(Store, "write", refuse)
    done = micl("eval", finished, "--tasks", "own/img_cap")
    assert done.code == 0
    assert "own/img_cap" in done.out
    assert done.err.count("scores are not stored: the run store /x cannot be written to") == 1
