"""SQLAlchemy models of the tables. Primary keys identify events, so that writing an event again updates its row."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Key = Annotated[str, mapped_column(String(255), primary_key=True)]
Word = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(255))]
Time = Annotated[str, mapped_column(String(32))]
Long = Annotated[str, mapped_column(Text)]
Count = Annotated[int, mapped_column(BigInteger)]
Owner = Annotated[str, mapped_column(String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)]


class Base(DeclarativeBase):
    """Base class of all tables. Constraints have names because SQLite can only alter named ones."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        dict[str, Any]: JSON,
        list[str]: JSON,
        float: Double,  # a plain Float is single precision on some servers, and scores must come back exactly
    }


class Run(Base):
    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Not a foreign key: after the parent was deleted by force, its id still names the origin of this run.
    parent: Mapped[str | None] = mapped_column(String(64), index=True)
    name: Mapped[Name] = mapped_column(default="")
    # The whole plan, so that a run can be resumed without the command line that started it.
    plan: Mapped[dict[str, Any]]
    # Device and versions: not part of the fingerprint, but resuming warns where they changed.
    environment: Mapped[dict[str, Any]]
    status: Mapped[Word]
    started: Mapped[Time]
    finished: Mapped[Time] = mapped_column(default="")
    error: Mapped[Long] = mapped_column(default="")
    # Counts starts: two runs may start within the same second, and @last must know the later one.
    turn: Mapped[int] = mapped_column(index=True)


class Lease(Base):
    """The right to work on a run, for a limited time: lock files do not reach other machines that share the store."""

    __tablename__ = "leases"

    # Not a foreign key: the lease comes before the row of the run, so that only one machine starts it.
    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[Long]
    # Seconds since the epoch; the holder extends it while it works, and a killed machine does not.
    until: Mapped[float]


class RunPlugin(Base):
    """A plugin that a run used; the same name may come from another distribution later."""

    __tablename__ = "run_plugins"

    run: Mapped[Owner]
    kind: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[Key]
    distribution: Mapped[Name]
    version: Mapped[Word]


class Task(Base):
    __tablename__ = "tasks"

    name: Mapped[Key]
    # In alphabetical order; empty for text alone.
    modalities: Mapped[list[str]]
    type: Mapped[Word]
    metric: Mapped[Word]
    # Of the manifest and all media at preparation; a run stops where the data has changed.
    sha256: Mapped[Word]
    counts: Mapped[dict[str, Any]]
    path: Mapped[Long]
    prepared: Mapped[Time]


class Stage(Base):
    __tablename__ = "stages"

    run: Mapped[Owner]
    position: Mapped[int] = mapped_column(primary_key=True)
    # A list: joint learning has all tasks in one stage.
    tasks: Mapped[list[str]]
    # Of the data that was learnt from; tasks.sha256 is that of the latest preparation.
    data_sha256: Mapped[list[str]]
    status: Mapped[Word]
    steps: Mapped[int]
    examples: Mapped[int]
    # Of learning; the passes over data before and after it are counted apart.
    seconds: Mapped[float]
    before_seconds: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    after_seconds: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    peak_bytes: Mapped[Count]
    trainable_parameters: Mapped[Count]
    # What must be stored to continue: the cost of strategies that keep experts, teachers or examples.
    stored_bytes: Mapped[Count]
    # Relative to the run's folder, so that the home folder can be moved.
    checkpoint: Mapped[Long]


class Score(Base):
    """A score. Those with ``main`` true form the R matrix: row ``after``, column ``task``."""

    __tablename__ = "scores"

    run: Mapped[Owner]
    # 0 is before any learning, which forward transfer is measured against.
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    metric: Mapped[str] = mapped_column(String(64), primary_key=True)
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Null where it was not finite: SQLite has no NaN.
    value: Mapped[float | None]
    n: Mapped[int]
    # Whether this was the task's own metric when the run was scored.
    main: Mapped[bool]


class Routing(Base):
    """How a strategy with several experts routed the examples of a task."""

    __tablename__ = "routings"

    run: Mapped[Owner]
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    router: Mapped[Name]
    n: Mapped[int]
    # Counts of the n by the task taken for: one row of the confusion matrix.
    chosen: Mapped[dict[str, Any]]
    unsure: Mapped[int]
    seconds: Mapped[float]
    # Of the language model to route one query, besides those to answer it.
    passes: Mapped[int]


class Step(Base):
    __tablename__ = "steps"

    run: Mapped[Owner]
    position: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    # Null where it was not finite: a diverging run must still be recorded.
    loss: Mapped[float | None]
    lr: Mapped[float]
    seconds: Mapped[float]
    # Terms of the loss by name; each strategy has its own.
    terms: Mapped[dict[str, Any]]


class Prediction(Base):
    """An answer, stored on request only; with them a run can be scored by another metric."""

    __tablename__ = "predictions"

    run: Mapped[Owner]
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    # The position in the manifest, whose order the example ids need not follow.
    number: Mapped[int] = mapped_column(primary_key=True)
    example: Mapped[Name]
    answer: Mapped[Long]
    references: Mapped[list[str]]
