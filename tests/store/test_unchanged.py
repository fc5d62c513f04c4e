from __future__ import annotations

import pytest

from micl_cli.errors import StoreError
from micl_cli.store import check, open_unchanged


def test_a_store_is_only_read(store, url, new_run):
    store.start_run(new_run("aa11"))
    with open_unchanged(url) as read:
        assert [run.id for run in read.runs()] == ["aa11"]
        store.start_run(new_run("bb22"))
        assert len(read.runs()) == 2, "what is written meanwhile is seen"
        with pytest.raises(StoreError):
            read.rename_run("aa11", "x")


def test_a_missing_store_is_not_made(url, file):
    with pytest.raises(StoreError, match="there is no run store"):
        open_unchanged(url)
    assert check(url).state == "missing"
    assert not file.parent.exists()
