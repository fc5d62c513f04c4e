from __future__ import annotations

import pytest

from micl_cli.errors import BusyError
from micl_cli.store.store import LEASE

NOW = 1_700_000_000.0


def test_one_machine_at_a_time(store):
    store.claim("abc", "one:/home", NOW)
    with pytest.raises(BusyError, match="one:/home works on run abc") as caught:
        store.claim("abc", "two:/home", NOW + 1)
    assert "120 seconds" in caught.value.hint
    store.claim("another", "two:/home", NOW + 1)
    assert (store.holder("abc", NOW + 1), store.holder("another", NOW + 1)) == ("one:/home", "two:/home")


def test_a_claim_is_prolonged_by_its_holder(store):
    store.claim("abc", "one", NOW)
    store.claim("abc", "one", NOW + LEASE - 1)
    assert store.holder("abc", NOW + LEASE + 1) == "one"


def test_a_claim_that_is_over_can_be_taken(store):
    store.claim("abc", "one", NOW)
    assert store.holder("abc", NOW + LEASE + 1) is None
    store.claim("abc", "two", NOW + LEASE + 1)
    with pytest.raises(BusyError, match="two works"):
        store.claim("abc", "one", NOW + LEASE + 2)


def test_only_its_holder_gives_a_claim_back(store):
    store.claim("abc", "one", NOW)
    store.release("abc", "two")
    assert store.holder("abc", NOW) == "one"
    store.release("abc", "one")
    assert store.holder("abc", NOW) is None
    store.claim("abc", "two", NOW)
