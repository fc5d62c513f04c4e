"""The scores and times of many runs at once, for a list of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from micl_cli.records import RunRecord
from micl_cli.report.data import RunData
from micl_cli.session.recorder import run_data
from micl_cli.session.report_data import with_scales
from micl_cli.store import DAMAGED

if TYPE_CHECKING:
    from micl_cli.session.session import Session


def overviews(session: Session, runs: Sequence[RunRecord]) -> dict[str, RunData]:
    """Return the report data of runs by id, with stages, main scores and their scales. Damaged runs are left out."""
    intact = [run for run in runs if run.status != DAMAGED]
    if not intact:
        return {}
    with session.store_to_read() as store:
        return {run: with_scales(run_data(details), session.registry) for run, details in store.results(intact).items()}
