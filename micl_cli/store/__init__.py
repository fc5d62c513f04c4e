"""The run store: a database of runs with their data, plugins, scores and costs.

``Store`` and its functions are resolved on first use (PEP 562), because importing SQLAlchemy takes
longer than most commands. The records have no dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from micl_cli.records import EnvironmentRecord as EnvironmentRecord
from micl_cli.records import NewRun as NewRun
from micl_cli.records import PluginRecord as PluginRecord
from micl_cli.records import PredictionRecord as PredictionRecord
from micl_cli.records import PredictionSet as PredictionSet
from micl_cli.records import RoutingRecord as RoutingRecord
from micl_cli.records import RunDetails as RunDetails
from micl_cli.records import RunRecord as RunRecord
from micl_cli.records import ScoreRecord as ScoreRecord
from micl_cli.records import StageRecord as StageRecord
from micl_cli.records import StepRecord as StepRecord
from micl_cli.records import StoreCheck as StoreCheck
from micl_cli.records import TaskRecord as TaskRecord
from micl_cli.records import ValidationRecord as ValidationRecord

if TYPE_CHECKING:
    from micl_cli.store.leases import LEASE_SECONDS as LEASE_SECONDS
    from micl_cli.store.leases import holder_label as holder_label
    from micl_cli.store.leases import holder_name as holder_name
    from micl_cli.store.leases import same_holder as same_holder
    from micl_cli.store.little_space import delete_in_little_space as delete_in_little_space
    from micl_cli.store.maintenance import check as check
    from micl_cli.store.maintenance import exists as exists
    from micl_cli.store.maintenance import locate as locate
    from micl_cli.store.maintenance import upgrade as upgrade
    from micl_cli.store.queries import damaged_run as damaged_run
    from micl_cli.store.store import Store as Store
    from micl_cli.store.unchanged import open_unchanged as open_unchanged
    from micl_cli.store.validation import DAMAGED as DAMAGED
    from micl_cli.store.validation import is_run_id as is_run_id
    from micl_cli.store.validation import plan_problem as plan_problem

_HOME = {"Store": "store", "damaged_run": "queries", "delete_in_little_space": "little_space"}
_HOME["open_unchanged"] = "unchanged"
_HOME |= dict.fromkeys(("LEASE_SECONDS", "holder_label", "holder_name", "same_holder"), "leases")
_HOME |= dict.fromkeys(("check", "exists", "locate", "upgrade"), "maintenance")
_HOME |= dict.fromkeys(("DAMAGED", "is_run_id", "plan_problem"), "validation")

__all__ = [
    "LEASE_SECONDS",
    "EnvironmentRecord",
    "NewRun",
    "PluginRecord",
    "PredictionRecord",
    "PredictionSet",
    "RoutingRecord",
    "RunDetails",
    "RunRecord",
    "ScoreRecord",
    "StageRecord",
]
__all__ += [
    "StepRecord",
    "Store",
    "StoreCheck",
    "TaskRecord",
    "ValidationRecord",
    "check",
    "exists",
    "locate",
    "upgrade",
]
__all__ += ["DAMAGED", "damaged_run", "delete_in_little_space", "holder_label", "holder_name", "is_run_id"]
__all__ += ["open_unchanged", "plan_problem", "same_holder"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"micl_cli.store.{_HOME[name]}"), name)
    raise AttributeError(f"module 'micl_cli.store' has no attribute {name!r}")
