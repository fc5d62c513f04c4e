from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.events import (
    Event,
    Notice,
    PassProgress,
    RunStarted,
    Scored,
    Step,
    TaskLearned,
    TaskStarted,
    Validated,
)
from micl_cli.cli.console import (
    Progress,
    counting,
    echo_json,
    escape,
    note,
    output,
    table,
    wants_colour,
    warn,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain() -> None:
    output.reset()


def test_a_table_is_aligned_and_numbers_stand_to_the_right() -> None:
    assert table(["name", "n", "text"], [["a", 1, "x"], ["bcd", 20, None]]).splitlines() == [
        "name   n  text",
        "a      1  x",
        "bcd   20",
    ]


def test_an_empty_table_is_its_head() -> None:
    assert table(["kind", "name"], []) == "kind  name"


def test_a_long_last_column_is_wrapped_below_itself() -> None:
    lines = table(["a", "text"], [["x", "some words that are too long for one line"]], width=28).splitlines()
    assert lines == ["a  text", "x  some words that are too", "   long for one line"]


def test_elsewhere_than_on_a_terminal_a_row_is_a_line() -> None:
    assert len(table(["text"], [["word " * 200]]).splitlines()) == 2


def test_wide_characters_take_two_columns() -> None:
    assert table(["a", "b"], [["学習", "x"], ["abcd", "y"]]).splitlines()[1:] == ["学習  x", "abcd  y"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 学", "plain ünï 学"),
        ("\x1b[2J\r\n\t", "\\x1b[2J\\r\\n\\t"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\udc80", "\\udc80"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(text=st.text(), width=st.integers(20, 60))
def test_any_text_stays_in_its_table(text: str, width: int) -> None:
    lines = table(["name", "text"], [[text[:5], text]], width=width).split("\n")
    assert all(escape(line) == line for line in lines)


def test_json_is_one_document_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": ["é", None], "b": "\x1b"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"a": ["é", None], "b": "\x1b"}


def test_all_but_results_goes_to_stderr_and_quiet_hides_notes(capsys: pytest.CaptureFixture[str]) -> None:
    note("by the way")
    warn("take care")
    assert capsys.readouterr() == ("", "by the way\nwarning: take care\n")
    output.quiet = True
    note("by the way")
    warn("take care")
    assert capsys.readouterr() == ("", "warning: take care\n")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("NO_COLOR", "please"), ("TERM", "dumb")])
def test_colour_obeys_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv(name, value)
    assert not wants_colour(Terminal())


def test_no_color_is_a_flag_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    output.no_color = True
    assert not wants_colour(Terminal())


def learned(position: int, tasks: list[str], **changes: Any) -> TaskLearned:
    values: dict[str, Any] = {"data_sha256": [], "steps": 200, "examples": 640, "seconds": 12.34, "peak_bytes": 1}
    values |= {"trainable_parameters": 1, "stored_bytes": 1, "checkpoint": "1"}
    return TaskLearned(position=position, tasks=tasks, **{**values, **changes})


def started(position: int, tasks: list[str]) -> TaskStarted:
    return TaskStarted(position=position, tasks=tasks, examples=640, steps_planned=200, trainable_parameters=1)


def step(number: int) -> Step:
    return Step(position=1, step=number, epoch=1, loss=0.5, lr=0.1, seconds=0.01)


RUN = RunStarted(run="ab12", tasks=["mini/img_cap", "mini/aud_qa"], strategy="moincl", backbone="tiny", seed=0)
EVENTS: list[Event] = [
    RUN,
    started(1, ["mini/img_cap"]),
    step(1),
    Validated(position=1, step=1, epoch=1, value=80.0, best=True),
    Notice(text="a \x1b[31mversion changed"),
    step(2),
    Validated(position=1, step=2, epoch=2, value=70.0, best=False),
    learned(1, ["mini/img_cap"]),
    Scored(after=1, task="mini/img_cap", metric="cider", value=93.123, n=200),
    Scored(after=1, task="mini/img_cap", metric="bleu4", value=50.0, n=200, main=False),
    started(2, ["mini/aud_qa"]),
]


def shown(events: list[Event], stream: io.StringIO | None = None, **how: Any) -> str:
    stream = stream or io.StringIO()
    progress = Progress(stream=stream, **how)
    for event in events:
        progress.consume(event)
    progress.close()
    return stream.getvalue()


def test_progress_elsewhere_than_on_a_terminal_is_a_few_lines_a_task() -> None:
    assert shown(EVENTS).splitlines() == [
        "run ab12: moincl on tiny, seed 0",
        "1/2 mini/img_cap: 640 examples, 200 steps",
        "note: a \\x1b[31mversion changed",
        "  learnt in 12.3 s, 200 steps, loss 0.500, best validation 80.0",
        "  mini/img_cap  cider 93.1",
        "2/2 mini/aud_qa: 640 examples, 200 steps",
    ]


def test_quiet_progress_shows_notices_only() -> None:
    assert shown(EVENTS, quiet=True).splitlines() == ["note: a \\x1b[31mversion changed"]


def test_progress_on_a_terminal_draws_a_bar_with_the_loss() -> None:
    text = shown(EVENTS, Terminal())
    assert "1/2 mini/img_cap:   0%|" in text
    assert "1/2 mini/img_cap: 640 examples, 200 steps\n" in text
    assert "loss 0.500, best validation 80.0" in text


def test_passes_around_learning_have_a_bar_of_their_own() -> None:
    progress = {"position": 1, "total": 8, "label": "pseudo samples"}
    events = [RUN, started(1, ["mini/img_cap"]), PassProgress(when="before", done=4, **progress), step(1)]
    text = shown(events, Terminal())
    assert "task 1, pseudo samples:   0%|" in text
    assert text.index("pseudo samples") < text.rindex("1/2 mini/img_cap: ")
    assert "pseudo samples" not in shown(events)


def test_joint_learning_is_one_stage() -> None:
    assert "1/1 mini/img_cap, mini/aud_qa: 640" in shown([RUN, started(1, RUN.tasks)])


def test_a_resumed_run_goes_on_counting() -> None:
    run = RunStarted(run="r", tasks=RUN.tasks, strategy="s", backbone="b", seed=0, resumed_from=(2, 40))
    lines = shown([run, learned(1, RUN.tasks[:1], restored=True), started(2, RUN.tasks[1:])]).splitlines()
    assert lines[1:] == [
        "resuming at task 2, step 40",
        "1/2 mini/img_cap: already learnt",
        "2/2 mini/aud_qa: 640 examples, 200 steps",
    ]


def test_scores_before_learning_say_so() -> None:
    event = Scored(after=0, task="mini/img_cap", metric="cider", value=1.0, n=1)
    assert shown([event]) == "  mini/img_cap  cider 1.0 before learning\n"


def test_counting_is_silent_elsewhere_than_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("files") as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")


def test_counting_draws_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with counting("files") as show:
        show(1, 2)
        show(2, 2)
    assert "files: " in terminal.getvalue()
