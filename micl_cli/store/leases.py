"""Leases: which machine works on a run, where several share a store."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Session

from micl_cli.errors import BusyError
from micl_cli.store import models

LEASE_SECONDS = 120.0
"""Seconds that a lease holds unless its holder extends it; the clocks of machines may differ by half of that."""


def acquire(session: Session, run: str, holder: str, now: float) -> None:
    """Write a lease that holds from ``now`` (seconds since the epoch). Raises BusyError where another's is valid."""
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
    """Delete the lease of ``holder``, if that is who holds it."""
    session.execute(delete(models.Lease).filter_by(run=run, holder=holder))


def holder_of(session: Session, run: str, now: float) -> str | None:
    """Return who holds a valid lease of a run at ``now``."""
    row = session.get(models.Lease, run)
    return row.holder if row and row.until > now else None
