from __future__ import annotations

import pytest

from micl_cli.errors import BusyError
from micl_cli.store import LEASE_SECONDS

NOW = 1_700_000_000.0


def test_one_machine_at_a_time(store):
    store.acquire_lease("abc", "one:/home", NOW)
    with pytest.raises(BusyError, match="one:/home works on run abc") as caught:
        store.acquire_lease("abc", "two:/home", NOW + 1)
    assert "120 seconds" in caught.value.hint
    store.acquire_lease("another", "two:/home", NOW + 1)
    assert (store.lease_holder("abc", NOW + 1), store.lease_holder("another", NOW + 1)) == ("one:/home", "two:/home")


def test_a_lease_is_extended_by_its_holder(store):
    store.acquire_lease("abc", "one", NOW)
    store.acquire_lease("abc", "one", NOW + LEASE_SECONDS - 1)
    assert store.lease_holder("abc", NOW + LEASE_SECONDS + 1) == "one"


def test_an_expired_lease_can_be_taken_over(store):
    store.acquire_lease("abc", "one", NOW)
    assert store.lease_holder("abc", NOW + LEASE_SECONDS + 1) is None
    store.acquire_lease("abc", "two", NOW + LEASE_SECONDS + 1)
    with pytest.raises(BusyError, match="two works"):
        store.acquire_lease("abc", "one", NOW + LEASE_SECONDS + 2)


def test_only_its_holder_releases_a_lease(store):
    store.acquire_lease("abc", "one", NOW)
    store.release_lease("abc", "two")
    assert store.lease_holder("abc", NOW) == "one"
    store.release_lease("abc", "one")
    assert store.lease_holder("abc", NOW) is None
    store.acquire_lease("abc", "two", NOW)
