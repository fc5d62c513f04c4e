from __future__ import annotations

from pathlib import Path

import pytest

from micl_listeners.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a ledger that says: loss was sent up to step 3 to "here"."""
    path = tmp_path / "sent" / "r1.json"
    ledger = Ledger(path, "here")
    ledger.add(["loss"], 3)
    ledger.save()
    return path


def test_a_ledger_remembers_what_was_sent(path: Path) -> None:
    ledger = Ledger(path, "here")
    assert [ledger.is_new("loss", at) for at in (2, 3, 4)] == [False, False, True]
    assert ledger.is_new("lr", 0)
    assert [each.name for each in path.parent.iterdir()] == ["r1.json"]


def test_what_is_not_saved_is_new_again(path: Path) -> None:
    Ledger(path, "here").add(["loss"], 9)
    assert Ledger(path, "here").is_new("loss", 9)


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", '{"destination": "here", "last": 3}', "\x00"])
def test_a_damaged_or_missing_ledger_begins_anew(path: Path, damaged: str) -> None:
    path.write_text(damaged)
    assert Ledger(path, "here").is_new("loss", 1)
    path.unlink()
    assert Ledger(path, "here").is_new("loss", 1)


def test_a_ledger_about_another_destination_begins_anew(path: Path) -> None:
    assert Ledger(path, "there").is_new("loss", 1)
