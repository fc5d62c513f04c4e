"""Sessions: plan, run, record and evaluate, by connecting plugins, store and training.

Names are resolved on first use (PEP 562): commands that only read tasks do not import the store.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from micl_cli.session.estimate import RunEstimate as RunEstimate
    from micl_cli.session.estimate import StageEstimate as StageEstimate
    from micl_cli.session.evaluation import evaluate as evaluate
    from micl_cli.session.learning import learn as learn
    from micl_cli.session.listeners import configured_listeners as configured_listeners
    from micl_cli.session.recorder import Recorder as Recorder
    from micl_cli.session.recorder import run_data as run_data
    from micl_cli.session.request import Request as Request
    from micl_cli.session.session import Session as Session

_HOME = {
    "RunEstimate": "estimate",
    "StageEstimate": "estimate",
    "evaluate": "evaluation",
    "learn": "learning",
    "configured_listeners": "listeners",
    "Recorder": "recorder",
    "run_data": "recorder",
    "Request": "request",
    "Session": "session",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"micl_cli.session.{_HOME[name]}"), name)
    raise AttributeError(f"module 'micl_cli.session' has no attribute {name!r}")
