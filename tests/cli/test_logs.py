"""Messages on stderr, with and without --verbose."""

from __future__ import annotations

import logging
from typing import Any

import pytest


@pytest.mark.parametrize("words", [("-v", "plugins"), ("plugins", "--verbose"), ("plugins", "list", "-v")])
def test_verbose_shows_messages_anywhere_on_the_command_line(micl: Any, isolated: Any, words: tuple[str, ...]) -> None:
    done = micl(*words)
    assert done.code == 0
    if words[0] == "-v":
        assert f"cli.groups: home {isolated}, configuration files: []" in done.err
    assert micl("plugins").err == ""


def test_what_a_run_loads_and_writes_is_shown(learn: Any) -> None:
    err = learn("-v").err
    for words in ("session.session: loading backbone toy", "training.loop: writing the checkpoint of stage 1"):
        assert words in err
    assert err.count("own/img_cap: 12 examples") == 1  # events are shown as progress only


def test_warnings_are_always_shown_escaped_and_without_secrets(micl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert micl("--version").err == ""
    logging.getLogger("micl_cli.store.schema").warning("upgraded \x1b[31m%s", "postgresql://ada:secret@host/micl")
    assert capsys.readouterr().err == "upgraded \\x1b[31mpostgresql://ada:***@host/micl\n"
    logging.getLogger("micl_cli.store.schema").info("opened")
    assert capsys.readouterr().err == ""
