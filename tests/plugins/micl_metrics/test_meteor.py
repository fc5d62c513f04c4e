"""METEOR: against pycocoevalcap, and where Java or the package is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from micl_cli.api import PlanError
from micl_metrics import meteor
from micl_metrics.meteor import Meteor

Corpus = tuple[list[str], list[list[str]]]


# What pycocoevalcap 1.2 prints for the same words.
OFFICIAL = (0.38315742212980103, (0.9403164774681801, 0.0, 0.31818181818181823, 0.4141014560497727, 0.2442748091603053))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("java"), reason="METEOR needs Java, and there is no program java")
def test_agrees_with_pycocoevalcap(corpus: Corpus) -> None:
    score = Meteor().score(*corpus)
    assert score.value == pytest.approx(OFFICIAL[0])
    assert score.each == pytest.approx(OFFICIAL[1])


def test_nothing_is_run_for_no_captions_or_to_tell_whether_references_have_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert Meteor().score([], []) == (0.0, (), {})
    assert Meteor().informative([["a dog"], ["..."]])
    assert not Meteor().informative([["..."], [""]])


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PlanError, match="needs Java") as caught:
        Meteor().score(["a dog"], [["a dog"]])
    assert "micl-cli[meteor]" in caught.value.hint
    assert "caption_mean6" in caught.value.hint


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(meteor, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match="pycocoevalcap") as caught:
        meteor.command()
    assert "micl-cli[meteor]" in caught.value.hint


@pytest.mark.parametrize("script", ["exit 1", "cat > /dev/null", "while read line; do echo none; done"])
def test_a_program_that_fails_is_an_error(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(meteor, "command", lambda: [str(program)])
    if script.startswith("cat"):
        monkeypatch.setattr(meteor, "_ask", lambda requests, replies, line: "")
    with pytest.raises(PlanError, match="without a score"):
        Meteor().score(["a dog"], [["a dog"]])
