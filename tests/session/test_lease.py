from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from micl_cli.api.events import Event, Notice
from micl_cli.errors import BusyError
from micl_cli.session import lease
from micl_cli.session.lease import is_busy, lease_holder, leased
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


def test_a_lease_holds_during_the_block_and_is_renewed(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.04)
    with leased("abc", store, settings):
        assert store.lease_holder("abc") == lease_holder(settings)
        store.acquire_lease("abc", lease_holder(settings), now=0.0)  # as if long ago
        until(lambda: store.lease_holder("abc"))
        assert store.lease_holder("abc") == lease_holder(settings)
    assert store.lease_holder("abc") is None


def test_a_lost_lease_ends_the_run(settings: Settings, store: Store) -> None:
    with leased("abc", store, settings) as held:  # it is not renewed within the time of this test
        store.release_lease("abc", lease_holder(settings))
        store.acquire_lease("abc", "node7:/home")
        held.renew_once()
        with pytest.raises(BusyError, match="node7:/home works on run abc"):
            list(held.guard(iter([Notice(text="a")])))
    assert store.lease_holder("abc") == "node7:/home"


def test_a_lease_of_another_machine_is_busy_and_one_of_a_killed_process_here_is_not(
    settings: Settings, store: Store
) -> None:
    assert not is_busy("abc", store, settings)
    store.acquire_lease("abc", lease_holder(settings))
    assert not is_busy("abc", store, settings)
    store.acquire_lease("xyz", "node7:/home")
    assert is_busy("xyz", store, settings)
    with pytest.raises(BusyError), leased("xyz", store, settings):
        pass


def test_events_pass_while_the_lease_is_held(settings: Settings, store: Store) -> None:
    events: list[Event] = [Notice(text="a"), Notice(text="b")]
    with leased("abc", store, settings) as held:
        assert list(held.guard(iter(events))) == events
