"""Leases: the right of one machine to work on a run, if several machines share a store."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session

from micl_cli.errors import BusyError
from micl_cli.store import models

LEASE_SECONDS = 120.0
"""Seconds for which a lease is valid unless it is renewed; the clocks of machines may differ by half of that."""


def acquire(session: Session, run: str, holder: str, now: float) -> None:
    """Write or renew a lease at ``now`` (seconds since the epoch). Raises BusyError if another holder's is valid."""
    row = session.get(models.Lease, run, with_for_update=True)
    if row is None:
        row = models.Lease(run=run)
        session.add(row)
    elif row.holder != holder and row.until > now:
        raise BusyError(
            f"{row.holder} works on run {run}",
            f"Wait until it ends. If it was killed, its lease expires {LEASE_SECONDS:.0f} seconds later.",
        )
    row.holder, row.until = holder, now + LEASE_SECONDS


def release(session: Session, run: str, holder: str) -> None:
    """Delete the lease of a run if ``holder`` holds it."""
    session.execute(delete(models.Lease).filter_by(run=run, holder=holder))


def holder_of(session: Session, run: str, now: float) -> str | None:
    """Return the holder of the lease that is valid at ``now``, or None."""
    row = session.get(models.Lease, run)
    return row.holder if row and row.until > now else None
