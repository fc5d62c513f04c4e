"""What listeners may use of a run besides its events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from micl_cli.api.events import Event, Step, Validated
from micl_cli.api.listener import RunInfo
from micl_cli.records import StepRecord
from micl_cli.redaction import MASK, is_secret_name, redact
from micl_cli.session.report_page import report_page
from micl_cli.session.session import Session

FOLDER = "listeners"
"""The folder within the home folder in which listeners store their files, each in a folder of its own."""


def run_info(session: Session, run_id: str, group: str = "") -> RunInfo:
    """Return what listeners may use of a run that is in the store."""
    run, plan = session.record(run_id)
    configuration = {"plan": plan.as_json(), "environment": dict(run.environment), "recipe": dict(run.recipe or {})}
    return RunInfo(
        id=run_id,
        name=run.name,
        strategy=plan.strategy,
        group=group,
        tags=run.tags,
        configuration=public(configuration),
        folder=session.settings.home / FOLDER,
        history=lambda position, step: _history(session, run_id, (position, step)),
        figures=lambda: _figures(session, run_id),
        report=lambda: _report(session, run_id),
    )


def public(value: Any, name: str = "") -> Any:
    """Return JSON-ready data without secrets, which is sent to other programs."""
    if isinstance(value, Mapping):
        return {key: public(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [public(each, name) for each in value]
    if not isinstance(value, str):
        return value
    return MASK if value and is_secret_name(name) else redact(value)


def _history(session: Session, run_id: str, until: tuple[int, int]) -> Iterator[Event]:
    with session.store_to_read() as store:
        steps, validations = store.steps(run_id), store.details(run_id).validations
    yield from (_step(each) for each in steps if (each.position, each.step) <= until)
    yield from (Validated(**asdict(each)) for each in validations if (each.position, each.step) <= until)


def _step(record: StepRecord) -> Step:
    """Return a stored step as an event, with NaN for values that were not finite."""
    terms = {name: _number(value) for name, value in record.terms.items()}
    return Step(**{**asdict(record), "loss": _number(record.loss), "terms": terms})


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _figures(session: Session, run_id: str) -> dict[str, float]:
    data = session.report(run_id)
    known: dict[str, float | None] = {**data.metrics, **data.extra}
    return {name: value for name, value in known.items() if value is not None}


def _report(session: Session, run_id: str) -> str:
    return report_page(session, [session.report(run_id)])
