"""Leases: the right of one machine to work on a run, if several machines share a store."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy.orm import Session

from micl_cli.errors import BusyError
from micl_cli.store import models

LEASE_SECONDS = 120.0
"""Seconds for which a lease is valid unless it is renewed."""
CLOCK_SECONDS = LEASE_SECONDS / 2
"""Seconds by which the clocks of two machines may differ."""

_IDENTITY = re.compile(r"(?P<name>(?P<machine>[^:]*):.*)#(?P<home>[0-9]+-[0-9]+)", re.DOTALL | re.ASCII)


def holder_name(machine: str, home: str, identity: str = "") -> str:
    """Return the holder of a lease: a machine and a home folder, with the ``identity`` that it keeps if it is moved."""
    return f"{machine}:{home}#{identity}" if identity else f"{machine}:{home}"


def same_holder(one: str, other: str) -> bool:
    """Return whether two holders are the same home folder, though it may have been moved in between."""
    if one == other:
        return True
    first, second = _IDENTITY.fullmatch(one), _IDENTITY.fullmatch(other)
    if first and second:
        return (first["machine"], first["home"]) == (second["machine"], second["home"])
    return holder_label(one) == holder_label(other)  # earlier versions wrote no identity


def holder_label(holder: str) -> str:
    """Return the machine and folder of a holder, for messages."""
    match = _IDENTITY.fullmatch(holder)
    return match["name"] if match else holder


def acquire(session: Session, run: str, holder: str, now: float, *, renew: bool = False) -> None:
    """Write a lease at ``now`` (seconds since the epoch), or ``renew`` it. Raises BusyError if another holds it.

    A lease that another holder has taken over is never renewed, even if it seems to have expired: this machine was
    suspended, or its clock differs from that of the other.
    """
    row = session.get(models.Lease, run, with_for_update=True)
    if row is None:
        row = models.Lease(run=run)
        session.add(row)
    elif not same_holder(str(row.holder), holder) and (renew or _is_valid(row.until, now)):
        raise BusyError(
            f"{holder_label(str(row.holder))} works on run {run}",
            f"Wait until it ends. If it was killed, its lease expires {LEASE_SECONDS:.0f} seconds later.",
        )
    row.holder, row.until = holder, now + LEASE_SECONDS


def release(session: Session, run: str, holder: str) -> None:
    """Delete the lease of a run if ``holder`` holds it."""
    row = session.get(models.Lease, run)
    if row is not None and same_holder(str(row.holder), holder):
        session.delete(row)


def holder_of(session: Session, run: str, now: float) -> str | None:
    """Return the holder of the lease that is valid at ``now``, or None."""
    row = session.get(models.Lease, run)
    return str(row.holder) if row and _is_valid(row.until, now) else None


def _is_valid(until: Any, now: float) -> bool:
    """Return whether a lease is valid until a time. One that ends too late was written by a clock that is wrong."""
    return isinstance(until, (int, float)) and now < until <= now + LEASE_SECONDS + CLOCK_SECONDS
