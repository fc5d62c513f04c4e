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


def test_a_lease_that_ends_too_late_binds_nobody(store):
    store.acquire_lease("abc", "one:/home", NOW + 86_400)  # by a clock that is a day ahead
    assert store.lease_holder("abc", NOW) is None
    store.acquire_lease("abc", "two:/home", NOW)
    with pytest.raises(BusyError, match="two:/home works"):
        store.acquire_lease("abc", "one:/home", NOW + 86_430, renew=True)
    assert store.lease_holder("abc", NOW) == "two:/home"


def test_clocks_may_differ_a_little(store):
    store.acquire_lease("abc", "one:/home", NOW + LEASE_SECONDS / 2)
    assert store.lease_holder("abc", NOW) == "one:/home"


@pytest.mark.parametrize("until", ["'soon'", "NULL", "9e999", "x'00'"])
def test_a_damaged_lease_binds_nobody(store, until):
    from sqlalchemy import text

    store.acquire_lease("abc", "one:/home", NOW)
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE OR IGNORE leases SET until = {until if until != 'NULL' else 0}"))
    assert store.lease_holder("abc", NOW) is None
    store.acquire_lease("abc", "two:/home", NOW)


def test_a_home_that_moved_holds_its_lease_and_a_copy_of_it_does_not(store):
    store.acquire_lease("abc", "one:/home/old#1-2", NOW)
    with pytest.raises(BusyError, match="one:/home/old works on run abc"):
        store.acquire_lease("abc", "one:/home/copy#1-3", NOW)
    with pytest.raises(BusyError):
        store.acquire_lease("abc", "two:/home/old#1-2", NOW)
    store.acquire_lease("abc", "one:/home/new#1-2", NOW)
    store.release_lease("abc", "one:/home/newer#1-2")
    assert store.lease_holder("abc", NOW) is None


def test_a_lease_of_an_earlier_version_belongs_to_its_folder(store):
    store.acquire_lease("abc", "one:/home", NOW)
    store.acquire_lease("abc", "one:/home#1-2", NOW)
    assert store.lease_holder("abc", NOW) == "one:/home#1-2"
