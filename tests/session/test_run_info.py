from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.events import Step, Validated
from micl_cli.session import Session
from micl_cli.session.run_info import public, run_info
from micl_cli.settings import load_settings

SECRET = "abcd1234efgh"


def test_a_listener_can_use_all_that_is_stored_of_a_run(finished: str) -> None:
    session = Session(load_settings())
    info = run_info(session, finished, "grid")
    assert (info.id, info.strategy, info.group) == (finished, "moincl", "grid")
    assert info.configuration["plan"]["training"]["learning_rate"] == 0.01
    assert {"micl", "code", "python"} <= set(info.configuration["environment"])
    assert info.folder == session.settings.home / "listeners"
    events = list(info.history(2, 1))
    assert [(e.position, e.step) for e in events if isinstance(e, Step)][-1] == (2, 1)
    assert {e.position for e in events if isinstance(e, Validated)} == {1}
    assert {"mft", "mfn", "bwt"} <= set(info.figures())
    assert info.report().lower().startswith("<!doctype html>")


def test_secrets_are_hidden_from_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", SECRET)
    options = {"api_key": "x", "url": "https://ada:pass@host", "max_new_tokens": 3}
    shown = public({"options": options, "texts": [f"is {SECRET}", None]})
    assert shown["options"] == {"api_key": "***", "url": "https://ada:***@host", "max_new_tokens": 3}
    assert shown["texts"] == ["is ***", None]


PLAIN = st.none() | st.integers() | st.booleans()
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(JSON)
def test_data_without_texts_stays_as_it_is(data: Any) -> None:
    assert public(data) == data
