"""Media that a backbone cannot process, or reads in part, are named before anything is learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.backbone import InspectedMedium, MediumFault
from micl_cli.api.task import Example, Media, Task
from micl_cli.errors import PlanError
from micl_cli.testing import ToyBackbone, toy_task
from micl_cli.training.media_check import inspected_media

Check = Callable[[ToyBackbone, Sequence[InspectedMedium]], Iterable[MediumFault]]


def sounds(count: int) -> Task:
    """A task of sounds of 0, 1, 2, ... seconds, each of which two examples ask about."""
    media = [Media("audio", Path(f"{i}.wav"), f"digest {i}") for i in range(count)]
    examples = [Example(f"{m.digest}/{n}", (m, "what?"), ("a",)) for m in media for n in range(2)]
    facts = {medium.digest: {"seconds": float(i)} for i, medium in enumerate(media)}
    task = toy_task("audio", "qa")
    return replace(task, facts=facts, load=lambda split: examples if split == "train" else task.examples(split))


def longer_than(limit: float, *, partial: bool) -> Check:
    def check(self: ToyBackbone, media: Sequence[InspectedMedium]) -> Iterable[MediumFault]:
        for medium, facts in media:
            if facts.get("seconds", 0) > limit:
                yield MediumFault(medium, f"only {limit:g} s are read", partial)

    return check


def test_each_medium_of_a_task_is_listed_once_with_its_facts() -> None:
    media = inspected_media(sounds(3))
    assert [each.facts for each in media[:3]] == [{"seconds": 0.0}, {"seconds": 1.0}, {"seconds": 2.0}]
    assert len({each.medium for each in media}) == len(media)
    assert media[-1].facts == {}


def test_refused_media_are_named_before_learning(make_components: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "check_media", longer_than(1, partial=False), raising=False)
    with pytest.raises(PlanError) as caught:
        make_components(tasks=[sounds(4)])
    assert str(caught.value).splitlines()[:3] == [
        "this backbone cannot process 2 media files:",
        "  2.wav: only 1 s are read",
        "  3.wav: only 1 s are read",
    ]


def test_a_long_list_of_refused_media_is_cut(make_components: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "check_media", longer_than(0, partial=False), raising=False)
    monkeypatch.setattr("micl_cli.training.media_check._LISTED", 2)
    with pytest.raises(PlanError, match=r"2\.wav: only 0 s are read\n  and 19 more"):
        make_components(tasks=[sounds(22)])


def test_media_that_are_cut_are_counted_in_a_note(make_components: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "check_media", longer_than(1, partial=True), raising=False)
    task = sounds(4)
    total = len(inspected_media(task))
    assert make_components(tasks=[task]).notes == [f"{task.name}: 2 of {total} audio files are cut: only 1 s are read"]


def test_without_faults_there_is_no_note(make_components: Any) -> None:
    assert not make_components(tasks=[sounds(2)]).notes
