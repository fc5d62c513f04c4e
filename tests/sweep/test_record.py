from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from micl_cli.settings import Settings
from micl_cli.sweep.record import record_sweep, sweep_records


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", store_url="sqlite://")


def cells(*runs: str) -> Any:
    fields = [{"run": run, "strategy": "ewc", "order": "order-1", "seed": seed} for seed, run in enumerate(runs)]
    return [SimpleNamespace(as_json=lambda each=each: each) for each in fields]


def test_a_sweep_has_one_record_however_often_it_starts(settings: Settings) -> None:
    record_sweep(settings, cells("aa11", "bb22"), "2026-03-01T12:00:00Z")
    other = record_sweep(settings, cells("cc33"), "2026-03-02T12:00:00Z")
    again = record_sweep(settings, cells("aa11", "bb22"), "2026-03-03T12:00:00Z")
    assert sweep_records(settings, 10) == [again, other]
    assert [cell.run for cell in again.cells] == ["aa11", "bb22"]
    assert len(sweep_records(settings, 1)) == 1


def test_what_is_damaged_is_left_out(settings: Settings) -> None:
    assert sweep_records(settings, 10) == []
    kept = record_sweep(settings, cells("aa11"), "2026-03-01T12:00:00Z")
    folder = settings.home / "sweeps"
    (folder / "broken.json").write_text("{")
    (folder / "list.json").write_text("[]")
    (folder / "folder.json").mkdir()
    record_sweep(settings, cells("../../etc"), "2026-03-02T12:00:00Z")
    (folder / f"{kept.id}.copy.json").write_bytes((folder / f"{kept.id}.json").read_bytes())
    assert sweep_records(settings, 10) == [kept]
