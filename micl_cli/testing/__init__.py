"""Tools for testing plugins: toy tasks, a toy backbone, and a contract (a class of tests) for each kind of plugin.

Subclass a contract in a test module, set the plugin class, and run pytest::

    from micl_cli.testing import StrategyContract

    class TestMine(StrategyContract):
        strategy = Mine

Names are resolved on first use (PEP 562), so that only contracts import pytest, and only toy objects import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from micl_cli.testing.backbones import BackboneContract as BackboneContract
    from micl_cli.testing.course import Checkpoint as Checkpoint
    from micl_cli.testing.course import Course as Course
    from micl_cli.testing.metrics import MetricContract as MetricContract
    from micl_cli.testing.modalities import ModalityContract as ModalityContract
    from micl_cli.testing.routers import RouterContract as RouterContract
    from micl_cli.testing.routers import learn_task as learn_task
    from micl_cli.testing.sources import TaskSourceContract as TaskSourceContract
    from micl_cli.testing.strategies import StrategyContract as StrategyContract
    from micl_cli.testing.tasks import toy_examples as toy_examples
    from micl_cli.testing.tasks import toy_media as toy_media
    from micl_cli.testing.tasks import toy_task as toy_task
    from micl_cli.testing.tasks import toy_tasks as toy_tasks
    from micl_cli.testing.toy import ToyBackbone as ToyBackbone

_TOYS = {
    "Checkpoint": "course",
    "ToyBackbone": "toy",
    "learn_task": "routers",
    "toy_examples": "tasks",
    "toy_media": "tasks",
    "toy_task": "tasks",
    "toy_tasks": "tasks",
}
_CONTRACTS = {
    "BackboneContract": "backbones",
    "Course": "course",
    "MetricContract": "metrics",
    "ModalityContract": "modalities",
    "RouterContract": "routers",
    "StrategyContract": "strategies",
    "TaskSourceContract": "sources",
}

__all__ = ["BackboneContract", "Checkpoint", "Course", "MetricContract", "ModalityContract", "RouterContract"]
__all__ += ["StrategyContract", "TaskSourceContract", "ToyBackbone", "learn_task", "toy_examples", "toy_media"]
__all__ += ["toy_task", "toy_tasks"]


def __getattr__(name: str) -> Any:
    if name in _TOYS:
        return getattr(import_module(f"{__name__}.{_TOYS[name]}"), name)
    if name in _CONTRACTS:
        return getattr(_contract(f"{__name__}.{_CONTRACTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _contract(module: str) -> Any:
    """Import a module with pytest's assertion rewriting, and return it."""
    import sys

    import pytest

    if module not in sys.modules:
        pytest.register_assert_rewrite(module)
    return import_module(module)
