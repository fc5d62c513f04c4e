from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api.events import Event, Scored, Step, TaskLearned, TaskStarted
from micl_cli.store import NewRun, Store, schema

ASSETS = Path(__file__).parent / "assets"

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade():
    with op.batch_alter_table("runs", recreate="always") as runs:
        runs.add_column(sa.Column("note", sa.Text, server_default="none"))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "micl.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, created once: that takes longer than most tests."""
    made = tmp_path_factory.mktemp("fresh") / "micl.db"
    Store.open(f"sqlite:///{made}").close()
    return made


@pytest.fixture
def store(fresh: Path, file: Path, url: str) -> Iterator[Store]:
    file.parent.mkdir(parents=True)
    shutil.copy(fresh, file)
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def old(file: Path) -> Path:
    """A store of the current schema."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0008.sqlite", file)
    return file


@pytest.fixture
def first(file: Path) -> Path:
    """A store written by the program of schema 0001."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0001.sqlite", file)
    return file


@pytest.fixture
def second(file: Path) -> Path:
    """A store written by the program of schema 0002."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0002.sqlite", file)
    return file


@pytest.fixture
def third(file: Path) -> Path:
    """A store written by the program of schema 0003."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0003.sqlite", file)
    return file


@pytest.fixture
def fourth(file: Path) -> Path:
    """A store written by the program of schema 0004."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0004.sqlite", file)
    return file


@pytest.fixture
def fifth(file: Path) -> Path:
    """A store written by the program of schema 0005."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0005.sqlite", file)
    return file


@pytest.fixture
def sixth(file: Path) -> Path:
    """A store written by the program of schema 0006."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0006.sqlite", file)
    return file


@pytest.fixture
def seventh(file: Path) -> Path:
    """A store written by the program of schema 0007."""
    file.parent.mkdir(parents=True)
    shutil.copy(ASSETS / "schema-0007.sqlite", file)
    return file


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the program by one of the next revision; return the folder of its migrations."""
    migrations = tmp_path / "mig%rations"
    shutil.copytree(schema.MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    (migrations / "versions" / "schema_0009.py").write_text(NEXT)
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)
    monkeypatch.setattr(schema, "HEAD", "0009")
    return migrations


@pytest.fixture
def new_run() -> Callable[..., NewRun]:
    def make(run: str = "abc123", **more: Any) -> NewRun:
        return NewRun(id=run, plan={"strategy": "moincl"}, **more)

    return make


@pytest.fixture
def step() -> Callable[..., Step]:
    def make(position: int, number: int, loss: float = 0.5, **more: Any) -> Step:
        return Step(position=position, step=number, epoch=1, loss=loss, lr=1e-3, seconds=0.01, **more)

    return make


@pytest.fixture
def stage(step: Callable[..., Step]) -> Callable[..., list[Event]]:
    """The events of learning one task in two steps and scoring it."""

    def make(position: int = 1, task: str = "mini/img_cap") -> list[Event]:
        learned = TaskLearned(
            position=position,
            tasks=[task],
            data_sha256=["ab" * 32],
            steps=2,
            examples=128,
            seconds=1.5,
            peak_bytes=3 * 2**32,
            trainable_parameters=1000,
            stored_bytes=4000,
            checkpoint=f"stage-{position}",
        )
        started = TaskStarted(position=position, tasks=[task], examples=64, steps_planned=2, trainable_parameters=1000)
        scored = Scored(after=position, task=task, metric="cider", value=93.125, n=32)
        return [started, step(position, 1), step(position, 2), learned, scored]

    return make
