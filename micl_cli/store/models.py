"""SQLAlchemy models. Primary keys identify events, so that writing an event again updates its row."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, MetaData, String, Text, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Key = Annotated[str, mapped_column(String(255), primary_key=True)]
Word = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(255))]
Time = Annotated[str, mapped_column(String(32))]
Long = Annotated[str, mapped_column(Text)]
Count = Annotated[int, mapped_column(BigInteger)]
Owner = Annotated[str, mapped_column(String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)]


class Base(DeclarativeBase):
    """The base class of all models. Constraints have names because SQLite can only alter named ones."""

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
        float: Double,  # Float is single precision on some servers, and scores must be stored exactly
    }


class Run(Base):
    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Not a foreign key: the id remains if the parent is deleted with --force.
    parent: Mapped[str | None] = mapped_column(String(64), index=True)
    name: Mapped[Name] = mapped_column(default="")
    # The complete plan, so that a run can be resumed without its original command line.
    plan: Mapped[dict[str, Any]]
    # Device and versions: not part of the fingerprint, but resuming warns if they have changed.
    environment: Mapped[dict[str, Any]]
    status: Mapped[Word]
    started: Mapped[Time]
    finished: Mapped[Time] = mapped_column(default="")
    error: Mapped[Long] = mapped_column(default="")
    # The number of the start, since two runs may start within the same second and @last needs the later one.
    turn: Mapped[int] = mapped_column(index=True)
    # Name, sha256 and citation of the recipe that the run was started with; null without one.
    recipe: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # Read with the runs in one further query; written and deleted through the table.
    tag_rows: Mapped[list[Tag]] = relationship(lazy="selectin", viewonly=True, order_by="Tag.tag")

    @property
    def tags(self) -> list[str]:
        """The tags of the run, sorted."""
        return [row.tag for row in self.tag_rows]


class Tag(Base):
    """A word that a user gave to a run, to find it again together with others."""

    __tablename__ = "tags"

    run: Mapped[Owner]
    tag: Mapped[Key]


class Environment(Base):
    """An environment in which a run was learnt or scored, from a stage and step on."""

    __tablename__ = "environments"

    run: Mapped[Owner]
    # In the order of their start: scores may be made again at any stage.
    number: Mapped[int] = mapped_column(primary_key=True)
    # "learning", or "scoring" of stages that were learnt before.
    purpose: Mapped[Word]
    position: Mapped[int]
    step: Mapped[int]
    started: Mapped[Time]
    environment: Mapped[dict[str, Any]]


class Lease(Base):
    """The right to work on a run for a limited time, since lock files do not work between machines."""

    __tablename__ = "leases"

    # Not a foreign key: the lease is written before the run, so that only one machine starts it.
    run: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[Long]
    # Seconds since the epoch. A working holder renews the lease; that of a killed process expires.
    until: Mapped[float]


class RunPlugin(Base):
    """A plugin that a run used, with its distribution, since another one may later provide the same name."""

    __tablename__ = "run_plugins"

    run: Mapped[Owner]
    kind: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[Key]
    distribution: Mapped[Name]
    version: Mapped[Word]


class Task(Base):
    __tablename__ = "tasks"

    name: Mapped[Key]
    # Sorted; empty for text alone.
    modalities: Mapped[list[str]]
    type: Mapped[Word]
    metric: Mapped[Word]
    # Of the manifest and all media at preparation; a run refuses changed data.
    sha256: Mapped[Word]
    counts: Mapped[dict[str, Any]]
    path: Mapped[Long]
    prepared: Mapped[Time]


class Stage(Base):
    __tablename__ = "stages"

    run: Mapped[Owner]
    position: Mapped[int] = mapped_column(primary_key=True)
    # A list, since joint learning has all tasks in one stage.
    tasks: Mapped[list[str]]
    # Of the training data of this run; tasks.sha256 is that of the latest preparation.
    data_sha256: Mapped[list[str]]
    status: Mapped[Word]
    steps: Mapped[int]
    examples: Mapped[int]
    # Of learning, without the passes over data before and after it.
    seconds: Mapped[float]
    before_seconds: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    after_seconds: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    peak_bytes: Mapped[Count]
    trainable_parameters: Mapped[Count]
    # The size of the checkpoint, which is the storage cost of experts, teachers and stored examples.
    stored_bytes: Mapped[Count]
    # Relative to the run's folder, so that the home folder can be moved.
    checkpoint: Mapped[Long]


class Score(Base):
    """A score. Those with ``main`` form the R matrix: row ``after``, column ``task``."""

    __tablename__ = "scores"

    run: Mapped[Owner]
    # 0 is before any learning: the baseline of forward transfer.
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    metric: Mapped[str] = mapped_column(String(64), primary_key=True)
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Null if it was not finite, since SQLite has no NaN.
    value: Mapped[float | None]
    n: Mapped[int]
    # Whether this was the task's own metric when the run was scored.
    main: Mapped[bool]
    # The number of answers without an end within the maximum length; null if not known.
    cut: Mapped[int | None]
    # Of the metric; null for the scores of earlier versions of micl.
    version: Mapped[int | None]
    # The variants of a published task; empty if there is only one.
    prompts: Mapped[Word] = mapped_column(default="", server_default="")
    scorer: Mapped[Word] = mapped_column(default="", server_default="")
    # The number of missing answers.
    missing: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    # Further figures x100 by name, such as the score of each category.
    figures: Mapped[dict[str, Any]]


class Routing(Base):
    """The routing of a task's examples by a strategy with several experts."""

    __tablename__ = "routings"

    run: Mapped[Owner]
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    router: Mapped[Name]
    n: Mapped[int]
    # Counts of the n examples by predicted task: one row of the confusion matrix.
    chosen: Mapped[dict[str, Any]]
    unsure: Mapped[int]
    seconds: Mapped[float]
    # Forward passes of the language model for routing one query, without those for answering it.
    passes: Mapped[int]


class Step(Base):
    __tablename__ = "steps"

    run: Mapped[Owner]
    position: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    # Null if it was not finite, so that a diverging run can be recorded.
    loss: Mapped[float | None]
    lr: Mapped[float]
    seconds: Mapped[float]
    # Terms of the loss by name, which depend on the strategy.
    terms: Mapped[dict[str, Any]]


class Validation(Base):
    """A validation of a stage; ``final`` is one of what the strategy made of the best weights."""

    __tablename__ = "validations"

    run: Mapped[Owner]
    position: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    final: Mapped[bool] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    value: Mapped[float]
    best: Mapped[bool]
    # "score" (x100), or "loss" in nats.
    criterion: Mapped[Word]


class Prediction(Base):
    """A stored answer, from which a run can be scored again."""

    __tablename__ = "predictions"

    run: Mapped[Owner]
    after: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Key]
    split: Mapped[str] = mapped_column(String(64), primary_key=True)
    # The position in the manifest, since ids are not necessarily in its order.
    number: Mapped[int] = mapped_column(primary_key=True)
    # Of any length: published ids may be paths.
    example: Mapped[Long]
    answer: Mapped[Long]
    references: Mapped[list[str]]
    # x100 by the task's own metric; null if it was not finite, or was stored by an earlier version of micl.
    score: Mapped[float | None]
    # Whether there is no answer.
    missing: Mapped[bool] = mapped_column(default=False, server_default=false())
