"""The search for damaged rows, for the check of a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from micl_cli.errors import StoreError
from micl_cli.records import (
    EnvironmentRecord,
    PluginRecord,
    RoutingRecord,
    ScoreRecord,
    StageRecord,
    TaskRecord,
    ValidationRecord,
)
from micl_cli.store import models, queries, validation

_RECORDS: tuple[tuple[type[Any], type[models.Base]], ...] = (
    (TaskRecord, models.Task),
    (PluginRecord, models.RunPlugin),
    (StageRecord, models.Stage),
    (ScoreRecord, models.Score),
    (RoutingRecord, models.Routing),
    (ValidationRecord, models.Validation),
    (EnvironmentRecord, models.Environment),
)
_MANY = ((models.Step, models.Step.terms), (models.Prediction, models.Prediction.references))
"""Tables with too many rows to read all, and their JSON columns."""


def damaged_rows(connection: Connection) -> Iterator[str]:
    """Yield the rows whose values are not of the right type, or whose JSON cannot be decoded."""
    with Session(connection) as session:
        for run in map(queries.run_record, session.scalars(queries.newest_first())):
            if run.status == validation.DAMAGED:
                yield f"run {run.id}: {run.error}"
        for record, table in _RECORDS:
            yield from _damaged(session, record, table)
        if connection.dialect.name == "sqlite":  # other databases validate JSON themselves
            for table, column in _MANY:
                query = select(func.count()).select_from(table).where(func.json_valid(column) == 0)
                if count := session.scalar(query):
                    yield f"{count} rows of {table.__tablename__} are not JSON"


def _damaged(session: Session, record: type[Any], table: type[models.Base]) -> Iterator[str]:
    for row in session.scalars(select(table)):
        try:
            queries.record(record, row)
        except StoreError as error:
            yield error.message
