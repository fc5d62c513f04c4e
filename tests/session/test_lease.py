from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from micl_cli.api.events import Event, Notice
from micl_cli.errors import BusyError
from micl_cli.session import claim
from micl_cli.session.lease import holder_of, is_busy, leased
from micl_cli.settings import Settings
from micl_cli.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", store_url=f"sqlite:///{tmp_path / 'micl.db'}")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store.open(settings.store_url) as opened:
        yield opened


def until(true: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.01)


def test_a_claim_holds_for_the_block_and_is_prolonged(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "LEASE", 0.04)
    with leased("abc", store, settings):
        assert store.holder("abc") == holder_of(settings)
        store.claim("abc", holder_of(settings), now=0.0)  # as if long ago
        until(lambda: store.holder("abc"))
        assert store.holder("abc") == holder_of(settings)
    assert store.holder("abc") is None


def test_who_lost_a_claim_is_told(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "LEASE", 0.04)
    with leased("abc", store, settings) as held:
        store.claim("abc", holder_of(settings), now=0.0)
        store.release("abc", holder_of(settings))
        store.claim("abc", "node7:/home")
        until(lambda: held.lost)
        with pytest.raises(BusyError, match="node7:/home works on run abc"):
            list(held.checked(iter([Notice(text="a")])))
    assert store.holder("abc") == "node7:/home"


def test_what_another_holds_is_busy_and_what_was_killed_here_is_not(settings: Settings, store: Store) -> None:
    assert not is_busy("abc", store, settings)
    store.claim("abc", holder_of(settings))
    assert not is_busy("abc", store, settings)
    store.claim("xyz", "node7:/home")
    assert is_busy("xyz", store, settings)
    with pytest.raises(BusyError), leased("xyz", store, settings):
        pass


def test_events_pass_while_the_claim_holds(settings: Settings, store: Store) -> None:
    told: list[Event] = [Notice(text="a"), Notice(text="b")]
    with leased("abc", store, settings) as held:
        assert list(held.checked(iter(told))) == told
