"""The tables. Each key is what makes a row the same row, so that writing an event again updates it."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Key = Annotated[str, mapped_column(String(255), primary_key=True)]
Word = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(255))]
Time = Annotated[str, mapped_column(String(32))]
Long = Annotated[str, mapped_column(Text)]
Count = Annotated[int, mapped_column(BigInteger)]
Owner = Annotated[str, mapped_column(String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)]


class Base(DeclarativeBase):
    """Every table. Constraints have names because SQLite can only alter those that have."""

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
    # Not a foreign key: where the parent was deleted by force, its id still says where this run came from.
    parent: Mapped[str | None] = mapped_column(String(64), index=True)
    name: Mapped[Name] = mapped_column(default="")
    # The whole plan, so that a run can be resumed without the command line that started it.
    plan: Mapped[dict[str, Any]]
    # Device, versions and paths: not part of the fingerprint, but a resume warns where they changed.
    environment: Mapped[dict[str, Any]]
    status: Mapped[Word]
    started: Mapped[Time]
    finished: Mapped[Time] = mapped_column(default="")
    error: Mapped[Long] = mapped_column(default="")
    # Counts the starts: two runs may start within the same second, and @last must know which came later.
    turn: Mapped[int] = mapped_column(index=True)


class Claim(Base):
    """Who works on a run. A lock file tells that on one machine only, and a store may serve several."""

    __tablename__ = "claims"

    # Not a foreign key: a run is claimed before it has a row, so that only one machine starts it.
    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[Long]
    # Seconds since the epoch; whoever works says so again before, and a killed machine does not.
    until: Mapped[float]


class RunPlugin(Base):
    """Which code gave the figures: the same name may come from another distribution tomorrow."""

    __tablename__ = "run_plugins"

    run: Mapped[Owner]
    kind: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[Key]
    distribution: Mapped[Name]
    version: Mapped[Word]


class Task(Base):
    __tablename__ = "tasks"

    name: Mapped[Key]
    modality: Mapped[Word]
    kind: Mapped[Word]
    metric: Mapped[Word]
    # Of manifest and media at preparation; data that differs now stops a run.
    sha256: Mapped[Word]
    counts: Mapped[dict[str, Any]]
    path: Mapped[Long]
    prepared: Mapped[Time]


class Stage(Base):
    __tablename__ = "stages"

    run: Mapped[Owner]
    position: Mapped[int] = mapped_column(primary_key=True)
    # A list, because joint learning has all its tasks in one stage.
    tasks: Mapped[list[str]]
    # Of the data that was really learnt from; tasks.sha256 follows the latest preparation.
    data_sha256: Mapped[list[str]]
    status: Mapped[Word]
    steps: Mapped[int]
    examples: Mapped[int]
    seconds: Mapped[float]
    peak_bytes: Mapped[Count]
    trainable_parameters: Mapped[Count]
    # What must be kept to go on: the price of strategies that keep experts, teachers or examples.
    stored_bytes: Mapped[Count]
    # Below the run's folder, so that the whole home can be moved.
    checkpoint: Mapped[Long]


class Score(Base):
    """The R matrix: row ``after``, column ``task``, in the rows where ``main`` is true."""

    __tablename__ = "scores"

    run: Mapped[Owner]
    # 0 is before any learning; what forward transfer is measured against.
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    metric: Mapped[str] = mapped_column(String(64), primary_key=True)
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Null where it was not finite: SQLite has no NaN.
    value: Mapped[float | None]
    n: Mapped[int]
    # Which of a task's metrics stands in the matrix, as it was when the run was scored.
    main: Mapped[bool]


class Routing(Base):
    """Where a strategy with several experts sent a task's examples."""

    __tablename__ = "routings"

    run: Mapped[Owner]
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    router: Mapped[Name]
    n: Mapped[int]
    # How many of the n went to each task's expert: one row of the confusion matrix.
    chosen: Mapped[dict[str, Any]]
    unsure: Mapped[int]
    seconds: Mapped[float]
    # Of the language model, to route one query: the price beside answering it.
    passes: Mapped[int]


class Step(Base):
    __tablename__ = "steps"

    run: Mapped[Owner]
    position: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    # Null where it was not finite: a run that diverges must still be recorded.
    loss: Mapped[float | None]
    lr: Mapped[float]
    seconds: Mapped[float]
    # The loss's terms by name, each strategy having its own.
    parts: Mapped[dict[str, Any]]


class Prediction(Base):
    """Kept only on request: with them a run can be scored again by another metric."""

    __tablename__ = "predictions"

    run: Mapped[Owner]
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    # The place in the manifest, whose order the example ids need not follow.
    number: Mapped[int] = mapped_column(primary_key=True)
    example: Mapped[Name]
    answer: Mapped[Long]
    references: Mapped[list[str]]
