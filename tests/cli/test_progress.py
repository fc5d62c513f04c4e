"""What is shown while a run is learnt or scored."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

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
from micl_cli.cli.console import output
from micl_cli.cli.progress import Progress, counting, has_bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain() -> None:
    output.reset()


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


def test_answers_are_counted_until_the_score() -> None:
    terminal = Terminal()
    progress = Progress(stream=terminal)
    progress.consume(RUN)
    progress.answering("validation", 0, 8)
    progress.answering("mini/img_cap", 0, 40)
    progress.answering("mini/img_cap", 20, 40)
    progress.consume(Scored(after=1, task="mini/img_cap", metric="cider", value=93.123, n=200))
    text = terminal.getvalue()
    assert "validation:   0%|" in text
    assert "scoring mini/img_cap:   0%|" in text
    assert text.endswith("  mini/img_cap  cider 93.1\n")
    assert "scoring" not in shown([RUN])


def test_the_time_left_of_a_resumed_stage_is_that_of_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[dict[str, Any]] = []
    import tqdm

    real = tqdm.tqdm
    monkeypatch.setattr("tqdm.tqdm", lambda *args, **how: bars.append(how) or real(*args, **how))
    run = RunStarted(run="r", tasks=RUN.tasks, strategy="s", backbone="b", seed=0, resumed_from=(1, 150))
    validated = Validated(position=1, step=160, epoch=1, value=80.0, best=True)
    progress = Progress(stream=Terminal())
    for event in (run, started(1, RUN.tasks[:1]), step(151)):
        progress.consume(event)
    progress.answering("validation", 0, 8)
    for event in (validated, step(161)):
        progress.consume(event)
    assert [bar["initial"] for bar in bars] == [150, 0, 160]


@pytest.mark.parametrize(("columns", "text"), [("40", "ni-tuning/lamp_cap: 0%, ? left"), ("100", "0/40 [00:00<?")])
def test_a_narrow_terminal_shows_the_time_left_without_a_bar(
    monkeypatch: pytest.MonkeyPatch, columns: str, text: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    terminal = Terminal()
    Progress(stream=terminal).answering("mini-tuning/lamp_cap", 0, 40)
    assert text in terminal.getvalue()
    assert all(len(line) <= int(columns) for line in terminal.getvalue().replace("\r", "\n").split("\n"))


def test_loading_shows_the_weights_that_transformers_loads() -> None:
    from transformers.utils import logging

    terminal = Terminal()
    progress = Progress(stream=terminal)
    with progress.loading("tiny"):
        assert "loading tiny" in terminal.getvalue()
        assert list(logging.tqdm([1, 2], desc="Loading weights")) == [1, 2]
    progress.consume(RUN)
    assert "loading tiny: 100%|" in terminal.getvalue() or "loading tiny:   0%|" in terminal.getvalue()
    assert "Loading weights" not in terminal.getvalue()
    quiet = io.StringIO()
    with Progress(stream=quiet).loading("tiny"):
        assert list(logging.tqdm([1], desc="Loading weights", disable=True)) == [1]
    assert quiet.getvalue() == ""


def test_notebooks_have_bars_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_bars(Terminal()) and not has_bars(io.StringIO())
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert has_bars(io.StringIO())
    bars: list[Any] = []
    bar = SimpleNamespace(n=0, update=lambda n: None, close=lambda: None)
    monkeypatch.setattr("tqdm.auto.tqdm", lambda **how: bars.append(how) or bar)
    progress = Progress(stream=io.StringIO())
    progress.answering("own/birds", 0, 4)
    progress.close()
    assert bars[0]["total"] == 4
