from __future__ import annotations

from pathlib import Path

import pytest

from micl_cli.api.task import Task
from micl_cli.plan import Plan
from micl_cli.session import Request, Session
from micl_cli.settings import load_settings


@pytest.fixture
def request_() -> Request:
    return Request(
        strategy="finetune",
        backbone="toy",
        tasks=("own/img_cap", "own/aud_qa"),
        training={"batch_size": 4, "max_steps": 2},
        evaluation={"examples": 2, "max_new_tokens": 4},
    )


@pytest.fixture
def session(home: Path) -> Session:
    """A session of this test's own home."""
    return Session(load_settings())


@pytest.fixture
def tasks(session: Session, request_: Request) -> list[Task]:
    return session.tasks.open_tasks(request_.tasks)


@pytest.fixture
def plan(session: Session, request_: Request, tasks: list[Task]) -> Plan:
    return session.plan(request_, tasks)
