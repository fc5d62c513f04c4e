"""Runs and answers to be reported as HTML."""

from __future__ import annotations

import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micl_cli.api.modality import Clip, Sound
from micl_cli.api.task import Media
from micl_cli.records import PredictionRecord, RoutingRecord, StepRecord, ValidationRecord
from micl_cli.report.data import RunData
from micl_cli.report.html.answers import AnsweredExample, ReportDetails, TaskAnswers
from micl_cli.report.html.previews import preview

sys.path.append(str(Path(__file__).parents[2]))

from browser import chromium as chromium
from browser import serious_findings as serious_findings

HOSTILE = "<script>window.hacked = 1</script>\"'><img src=x onerror='window.hacked=1'>$x_{$ \x1b[31m\u202e{{ 7*7 }}"
VOID = {"meta", "link", "img", "input", "br"}


class Parsed(HTMLParser):
    """The elements of a page, checked to be properly nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a tag."""
        return [attributes for name, attributes in self.elements if name == tag]

    def attributes(self, name: str) -> list[str]:
        """Return the values of an attribute of all elements."""
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]


@pytest.fixture(scope="session")
def parsed() -> type[Parsed]:
    """Parse a page."""
    return Parsed


@pytest.fixture(scope="session")
def hostile() -> str:
    """Markup, quotes, control characters, an override of the text direction, and a template expression."""
    return HOSTILE


@pytest.fixture(scope="session")
def routed(learnt: RunData) -> RunData:
    """A finished run with validations and routing."""
    first, second = learnt.tasks
    routings = [
        RoutingRecord(after=1, task=first, router="ridge", n=64, chosen={first: 64}, unsure=0, seconds=0.5),
        RoutingRecord(after=2, task=first, router="ridge", n=64, chosen={first: 60, second: 4}, unsure=6, seconds=0.5),
        RoutingRecord(after=2, task=second, router="ridge", n=60, chosen={second: 60}, unsure=0, seconds=0.5),
    ]
    validations = [
        ValidationRecord(position=position, step=step, epoch=1, value=value, best=best)
        for position, step, value, best in ((1, 2, 300.0, False), (1, 4, 500.0, True), (2, 3, 80.0, True))
    ]
    return replace(learnt, routings=routings, validations=validations)


@pytest.fixture(scope="session")
def steps() -> list[StepRecord]:
    """Five optimiser steps of each of two stages; the loss of one is not finite."""
    return [
        StepRecord(position=stage, step=step, epoch=1, loss=None if step == 2 else 5.0 / step, lr=0.01, seconds=0.1)
        for stage in (1, 2)
        for step in range(1, 6)
    ]


def answered(number: int, scores: dict[int, float | None], medium: str, text: str = "") -> AnsweredExample:
    """Return an answered example of the task learnt in stage 1."""
    answers = {
        stage: PredictionRecord(f"{number}", text or f"answer {number} of {stage}", ("a crane", "a bird"), score)
        for stage, score in scores.items()
    }
    return AnsweredExample(
        id=f"{number}",
        answers=answers,
        learnt=1,
        prompt=text or "what is it?",
        media=[Media(medium, Path("/m"), medium)],
    )


@pytest.fixture(scope="session")
def details(routed: RunData, steps: list[StepRecord], hostile: str) -> ReportDetails:
    """Steps, and answers of three examples of an image, one of a sound and one of a clip, and one hostile one."""
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    media: dict[str, Any] = {
        "image": pixels,
        "audio": Sound(np.sin(np.arange(1600) / 9).astype(np.float32), 800),
        "video": Clip(np.stack([pixels] * 8), np.linspace(0, 2, 8), 2.0),
    }
    first, second = routed.tasks
    examples = [
        answered(1, {1: 100.0, 2: 0.0}, "image"),
        answered(2, {1: 0.0, 2: 30.0}, "image"),
        answered(3, {1: 50.0, 2: 100.0}, "image"),
        answered(10, {1: 40.0, 2: None}, "audio"),
        answered(11, {1: 90.0, 2: 60.0}, "video"),
    ]
    unsafe = [answered(1, {2: 100.0}, "image", hostile)]
    return ReportDetails(
        steps={routed.id: steps},
        answers={
            routed.id: [
                TaskAnswers(task=first, stages=[1, 2], examples=examples, stored=64),
                TaskAnswers(task=second, stages=[2], examples=unsafe, stored=1, notes=[f"note {hostile}"]),
            ]
        },
        previews={name: preview(medium, name) for name, medium in media.items()},
    )
