"""What an HTML report shows besides scores: steps, answers, prompts and previews."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from micl_cli.data.prepared import task_folder
from micl_cli.report.data import RunData
from micl_cli.report.html.answers import MAX_DETAILED, TaskAnswers
from micl_cli.session import Session
from micl_cli.session.report_details import report_details
from micl_cli.settings import load_settings

IMAGES, SOUNDS = "own/img_cap", "own/aud_qa"


@pytest.fixture
def session(finished: str) -> Session:
    return Session(load_settings())


@pytest.fixture
def run(session: Session, finished: str) -> RunData:
    return session.report(finished)


def answers_of(session: Session, run: RunData, limit: int = 100) -> dict[str, TaskAnswers]:
    return {each.task: each for each in report_details(session, [run], limit).answers[run.id]}


def test_answers_have_stages_prompts_and_previews(session: Session, run: RunData) -> None:
    details = report_details(session, [run], 100)
    images, sounds = details.answers[run.id]
    assert (images.task, list(images.stages), sounds.task, list(sounds.stages)) == (IMAGES, [1, 2], SOUNDS, [2])
    assert (images.stored, len(images.examples), sounds.notes) == (3, 3, ())
    assert {each.prompt for each in images.examples} == {"describe the image."}
    assert [each.learnt for each in (images.examples[0], sounds.examples[0])] == [1, 2]
    for task, form in ((images, "uri"), (sounds, "path")):
        for example in task.examples:
            (medium,) = example.media
            assert getattr(details.previews[medium.key], form)
    assert len(details.steps[run.id]) == 8
    assert details.notes == []


def test_the_number_of_answers_is_limited(session: Session, run: RunData) -> None:
    shown = answers_of(session, run, 2)[IMAGES]
    assert (len(shown.examples), shown.stored) == (2, 3)
    assert not answers_of(session, run, 0)


def test_reports_of_many_runs_have_no_answers(session: Session, run: RunData) -> None:
    details = report_details(session, [run] * (MAX_DETAILED + 1), 100)
    assert not details.answers
    assert "up to 4 runs" in details.notes[0]


def test_prompts_and_media_of_a_task_that_is_not_here_are_not_shown(session: Session, run: RunData) -> None:
    shutil.rmtree(task_folder(IMAGES, session.settings.home))
    shown = answers_of(session, run)
    assert "own/img_cap is not prepared on this machine" in shown[IMAGES].notes[0]
    assert {each.prompt for each in shown[IMAGES].examples} == {None}
    assert {each.prompt for each in shown[SOUNDS].examples} == {"which one?"}


def test_prompts_and_media_of_other_data_are_not_shown(session: Session, run: RunData) -> None:
    shown = answers_of(session, replace(run, data={**run.data, IMAGES: "0" * 64}))
    assert "with other data than the run's" in shown[IMAGES].notes[0]
    assert {each.prompt for each in shown[IMAGES].examples} == {None}


def test_examples_with_other_references_are_not_shown(session: Session, run: RunData) -> None:
    rest = {name: sha256 for name, sha256 in run.data.items() if name != IMAGES}
    manifest = task_folder(IMAGES, session.settings.home) / "manifest.jsonl"
    assert answers_of(session, replace(run, data=rest))[IMAGES].examples[0].prompt
    manifest.write_text(manifest.read_text().replace("thing", "ball"))
    shown = answers_of(session, replace(run, data=rest))[IMAGES]
    assert {each.prompt for each in shown.examples} == {None}


def test_media_that_have_changed_or_cannot_be_read_are_named(
    session: Session, run: RunData, own_folders: Path, tmp_path: Path
) -> None:
    shutil.rmtree(task_folder(IMAGES, session.settings.home))
    session.tasks.prepare(str(shutil.copytree(own_folders / "img_cap", tmp_path / "img_cap")))
    first, second, third = (each.media[0].path for each in answers_of(session, run)[IMAGES].examples)
    assert first and second and third
    first.write_bytes(b"other")
    second.unlink()
    details = report_details(session, [run], 100)
    shown = [details.previews[each.media[0].key] for each in details.answers[run.id][0].examples]
    assert [each.text for each in shown[:2]] == ["image: the file has changed", "image: the file cannot be read"]
    assert shown[2].uri


def test_previews_that_do_not_fit_are_left_out_and_counted(
    session: Session, run: RunData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micl_cli.session.report_previews.MAX_BYTES", 2000)
    details = report_details(session, [run], 100)
    assert sum(each.size for each in details.previews.values()) <= 2000
    (note,) = details.notes
    assert "media are left out" in note
