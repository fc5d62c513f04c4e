from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.events import Event, RunFinished, RunStarted
from micl_cli.api.listener import Listener, RunInfo
from micl_cli.api.task import Task
from micl_cli.errors import Interrupted, MiclError, OptionError, PluginError
from micl_cli.plan import Plan
from micl_cli.registry import Registry
from micl_cli.session import Session, configured_listeners, learn
from micl_cli.session.listeners import EventDelivery
from micl_cli.settings import load_settings
from micl_cli.training.loop import Control

HOOK = """
events = []

@hookimpl
def micl_event(run, event):
    events.append((run, event))
"""
PLUGIN = """
from micl_cli.api import hookimpl

@hookimpl
def micl_register_listeners(register):
    register("log", "log_listener:Log", "writes events to a file")
"""
LOG = """
from pathlib import Path
from typing import Annotated, Literal

from micl_cli.api import Listener, Range

class Log(Listener):
    def __init__(
        self,
        *,
        path: Annotated[Path, "the file to write"],
        style: Annotated[Literal["name", "run"], "what to write"] = "name",
        at_most: Annotated[int, "events to write", Range(1)] = 1000,
        fail_on: Annotated[str, "the event to fail on"] = "",
    ):
        self.file, self.style, self.at_most, self.fail_on = path.open("a"), style, at_most, fail_on

    def consume(self, run, event):
        if event.name == self.fail_on:
            raise ValueError("ouch")
        status = f" {event.status}" if event.name == "run_finished" else ""
        self.file.write((event.name if self.style == "name" else run) + status + "\\n")

    def close(self):
        self.file.write("closed\\n")
        self.file.close()
"""


class Memory(Listener):
    """Remembers events; ``fail_on`` names the call to fail in."""

    def __init__(self, fail_on: str = "") -> None:
        if fail_on == "start":
            raise ValueError("ouch")
        self.fail_on, self.names, self.closed = fail_on, list[str](), 0

    def consume(self, run: str, event: Event) -> None:
        self.names.append(event.name)
        if event.name == self.fail_on:
            raise ValueError("ouch")

    def close(self) -> None:
        self.closed += 1
        if self.fail_on == "close":
            raise ValueError("ouch")


@pytest.fixture
def log(install: Any, tmp_path: Path) -> Path:
    """The file that the installed listener ``log`` writes to, as micl.toml says."""
    install("micl-log", entry_points="[micl]\nlog = log_plugin\n",
            files={"log_plugin.py": PLUGIN, "log_listener.py": LOG})  # fmt: skip
    (tmp_path / "micl.toml").write_text('[listen.log]\npath = "log.txt"\n')
    return tmp_path / "log.txt"


def test_plugins_get_every_event_of_a_run_in_order(learn: Any, listener: Any) -> None:
    listener(HOOK)
    done = learn("--max-steps", "2", "--json")
    import ear_plugin  # type: ignore[import-not-found]

    shown = [json.loads(line) for line in done.out.splitlines()]
    assert [event.name for _, event in ear_plugin.events] == [event["event"] for event in shown]
    assert {run for run, _ in ear_plugin.events} == {shown[0]["run"]}
    assert ear_plugin.events[0][1].plan["strategy"] == "finetune"
    assert ear_plugin.events[-1][1].status == "finished"


@pytest.mark.parametrize("event", ["RunStarted", "Step", "RunFinished"])
def test_a_plugin_that_raises_is_reported_once_and_the_run_goes_on(
    learn: Any, listener: Any, micl: Any, event: str
) -> None:
    listener(
        "@hookimpl\ndef micl_event(event):\n"
        f"    if type(event).__name__ == {event!r}:\n        raise ValueError('ouch')\n"
    )
    done = learn("--max-steps", "2")
    assert done.code == 0
    assert done.err.count("ouch") == 1
    message = "plugin 'ear' of micl-ear 1.0 failed in micl_event and is skipped from now on: ValueError: ouch"
    assert message in done.err
    assert json.loads(micl("runs", "--json").out)["runs"][0]["status"] == "finished"


def test_listen_sends_every_event_to_a_listener(learn: Any, log: Path) -> None:
    done = learn("--max-steps", "2", "--listen", "log", "--json")
    assert done.code == 0, done.err
    names = [json.loads(line)["event"] for line in done.out.splitlines()]
    assert {"validated", "scored"} <= set(names)
    assert log.read_text().splitlines() == [*names[:-1], "run_finished finished", "closed"]


@pytest.mark.parametrize("form", ["option", "file"])
def test_listeners_may_be_a_list_with_commas(learn: Any, log: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "run.toml").write_text('listen = "log, log"\n')
    words = ("--listen", "log,log") if form == "option" else ()
    done = learn("--max-steps", "1", *words) if words else learn(str(tmp_path / "run.toml"), "--max-steps", "1")
    assert done.code == 0, done.err
    assert log.read_text().count("run_started") == 1
    assert "Did you mean 'log'?" in learn("--listen", "log,lok").err


def test_a_listener_is_no_part_of_the_plan(learn: Any, log: Path) -> None:
    run = learn("--max-steps", "1", "--listen", "log").out
    assert learn("--max-steps", "1").out == run
    log.unlink()
    assert learn("--max-steps", "1", "--listen", "log").out == run
    assert not log.exists()  # a run that is already finished has no events


def test_files_choose_listeners_too(learn: Any, log: Path, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text('[learn]\nlisten = ["log"]\n[listen.log]\npath = "log.txt"\nstyle = "run"\n')
    run = learn("--max-steps", "1").out.strip()
    assert set(log.read_text().splitlines()) == {run, f"{run} finished", "closed"}


@pytest.mark.parametrize(
    ("toml", "code", "message"),
    [
        ("", 2, "listener log needs the option 'path'\nhint: Set it in [listen.log] of micl.toml: the file to write"),
        ('path = "x"\nstil = "run"', 2, "listener log has no option 'stil'\nhint: Did you mean 'style'?"),
        ('path = "x"\nat_most = 0', 2, "option 'at_most' of listener log expects a whole number, at least 1, not 0"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_options_of_listeners_are_checked_before_anything_is_done(
    learn: Any, log: Path, tmp_path: Path, toml: str, code: int, message: str, more: tuple[str, ...]
) -> None:
    (tmp_path / "micl.toml").write_text(f"[listen.log]\n{toml}\n")
    done = learn("--listen", "log", *more)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_an_unknown_listener_names_the_nearest(learn: Any, log: Path) -> None:
    done = learn("--listen", "lag")
    assert (done.code, done.out) == (3, "")
    assert "no listener 'lag'\nhint: Did you mean 'log'?" in done.err


def test_options_come_typed_from_all_files(log: Path, isolated: Path) -> None:
    isolated.mkdir(exist_ok=True)
    (isolated / "config.toml").write_text('[listen.log]\npath = "elsewhere.txt"\nat_most = 3\n')
    make = configured_listeners(["log"], load_settings(), Registry.discover())["log"]
    made: Any = make()
    assert (Path(made.file.name), made.at_most) == (Path("log.txt"), 3)
    made.close()


def test_configured_listeners_refuse_what_is_not_installed() -> None:
    with pytest.raises(PluginError, match="no listener 'none'"):
        configured_listeners(["none"], load_settings(), Registry.discover())
    assert OptionError.exit_code == 2


@pytest.mark.parametrize("event", ["run_started", "step", "run_finished"])
def test_a_listener_that_raises_is_left_out_with_a_notice(
    learn: Any, log: Path, tmp_path: Path, micl: Any, event: str
) -> None:
    (tmp_path / "micl.toml").write_text(f'[listen.log]\npath = "log.txt"\nfail_on = "{event}"\n')
    done = learn("--max-steps", "2", "--listen", "log")
    assert done.code == 0
    assert done.err.count("ouch") == 1
    message = f"note: listener 'log' failed on event '{event}' and gets no further events: ValueError: ouch"
    assert message in done.err
    assert log.read_text().splitlines()[-1] == "closed"
    assert json.loads(micl("runs", "--json").out)["runs"][0]["status"] == "finished"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("x"), "failed"), (KeyboardInterrupt(), "interrupted"), (None, "interrupted")]
)
def test_listeners_are_told_how_a_run_ended(
    session: Session,
    plan: Plan,
    tasks: list[Task],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException | None,
    status: str,
) -> None:
    from micl_cli.testing import ToyBackbone

    def generate(*args: Any, **options: Any) -> list[str]:
        assert error is not None
        raise error

    ends: list[str] = []

    class End(Memory):
        def consume(self, run: str, event: Event) -> None:
            super().consume(run, event)
            ends.extend([event.status] if isinstance(event, RunFinished) else [])

    memory = End()
    if error:
        monkeypatch.setattr(ToyBackbone, "generate", generate)
    control = Control(stop=lambda: error is None)
    with pytest.raises(type(error) if error else Interrupted):
        list(learn(session, plan, tasks, control, listeners={"memory": lambda: memory}))
    assert ends == [status]
    assert (memory.names[0], memory.names[-1], memory.closed) == ("run_started", "run_finished", 1)


def started() -> RunStarted:
    return RunStarted(run="r", tasks=[], strategy="s", backbone="b", seed=0)


def test_notices_about_failures_are_delivered_to_the_other_listeners() -> None:
    good, bad = Memory(), Memory("run_started")
    delivery = EventDelivery("r", Registry(), {"bad": lambda: bad, "good": lambda: good})
    (notice,) = delivery.deliver(started())
    assert notice.text == "listener 'bad' failed on event 'run_started' and gets no further events: ValueError: ouch"
    assert list(delivery.deliver(started())) == []
    assert good.names == ["run_started", "notice", "run_started"]
    assert bad.names == ["run_started"]
    assert delivery.close() == []
    assert (good.closed, bad.closed) == (1, 1)
    assert delivery.close() == []
    assert good.closed == 1


def test_listeners_that_cannot_be_started_or_closed_are_reported() -> None:
    delivery = EventDelivery("r", Registry(), {"a": lambda: Memory("start"), "b": lambda: Memory("close")})
    (notice,) = delivery.deliver(started())
    assert notice.text == "listener 'a' cannot be started and gets no further events: ValueError: ouch"
    (notice,) = delivery.close()
    assert notice.text == "listener 'b' could not be closed and gets no further events: ValueError: ouch"


def test_an_interrupt_in_a_listener_is_none_of_its_failures() -> None:
    class Stopping(Memory):
        def consume(self, run: str, event: Event) -> None:
            raise KeyboardInterrupt

    delivery = EventDelivery("r", Registry(), {"a": Stopping})
    with pytest.raises(KeyboardInterrupt):
        list(delivery.deliver(started()))


def info(tmp_path: Path) -> RunInfo:
    return RunInfo(
        id="r", name="", strategy="s", group="", tags=(), configuration={}, folder=tmp_path,
        history=lambda position, step: iter(()), figures=dict, report=str,
    )  # fmt: skip


def test_listeners_are_started_once_before_the_first_event(tmp_path: Path) -> None:
    class Shown(Memory):
        def start(self, run: RunInfo) -> str:
            self.names.append(run.folder.name)
            return "shown in a browser"

    shown, silent = Shown(), Memory()
    delivery = EventDelivery("r", Registry(), {"a": lambda: shown, "b": lambda: silent}, lambda: info(tmp_path))
    (notice,) = delivery.deliver(started())
    assert notice.text == "shown in a browser"
    assert list(delivery.deliver(started())) == []
    assert shown.names == ["a", "run_started", "notice", "run_started"]


def test_a_listener_whose_start_fails_gets_no_events_and_is_closed(tmp_path: Path) -> None:
    class Unreachable(Memory):
        def start(self, run: RunInfo) -> str:
            raise ConnectionError("no network")

    listener = Unreachable()
    delivery = EventDelivery("r", Registry(), {"a": lambda: listener}, lambda: info(tmp_path))
    (notice,) = delivery.deliver(started())
    assert notice.text == "listener 'a' cannot be started and gets no further events: ConnectionError: no network"
    delivery.close()
    assert (listener.names, listener.closed) == ([], 1)


def test_what_a_listener_needs_is_told_in_sentences(tmp_path: Path) -> None:
    class Locked(Memory):
        def start(self, run: RunInfo) -> str:
            raise MiclError("it needs a key", "Set KEY.")

    delivery = EventDelivery("r", Registry(), {"a": Locked}, lambda: info(tmp_path))
    (notice,) = delivery.deliver(started())
    assert notice.text == "listener 'a' cannot be started and gets no further events: it needs a key. Set KEY."


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_listener_without_its_library_is_refused_with_the_command_to_install_it(
    learn: Any, install: Any, more: tuple[str, ...]
) -> None:
    head = "class Log(Listener):"
    source = LOG.replace(head, f'{head}\n    requires = {{"no_such_module": "pip install x"}}')
    install("micl-log", entry_points="[micl]\nlog = log_plugin\n",
            files={"log_plugin.py": PLUGIN, "log_listener.py": source})  # fmt: skip
    done = learn("--listen", "log", *more)
    assert (done.code, done.out) == (3, "")
    assert "listener log needs the package no_such_module, which is not installed\nhint: Run: pip install x" in done.err
