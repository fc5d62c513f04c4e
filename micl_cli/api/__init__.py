"""All that a plugin may import.

Names are resolved on first use (PEP 562), so that a plugin's announcing module, which needs
only ``hookimpl``, costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from micl_cli.api.backbone import IGNORE_INDEX as IGNORE_INDEX
    from micl_cli.api.backbone import Backbone as Backbone
    from micl_cli.api.backbone import Batch as Batch
    from micl_cli.api.backbone import FeatureCache as FeatureCache
    from micl_cli.api.backbone import MediaReader as MediaReader
    from micl_cli.api.events import Event as Event
    from micl_cli.api.hookspecs import Register as Register
    from micl_cli.api.hookspecs import hookimpl as hookimpl
    from micl_cli.api.losses import answer_loss as answer_loss
    from micl_cli.api.losses import distillation_loss as distillation_loss
    from micl_cli.api.metric import Metric as Metric
    from micl_cli.api.metric import Score as Score
    from micl_cli.api.modality import Modality as Modality
    from micl_cli.api.modality import Sound as Sound
    from micl_cli.api.options import Option as Option
    from micl_cli.api.options import options_of as options_of
    from micl_cli.api.options import parse_options as parse_options
    from micl_cli.api.router import Route as Route
    from micl_cli.api.router import Router as Router
    from micl_cli.api.strategy import ADAPTER as ADAPTER
    from micl_cli.api.strategy import State as State
    from micl_cli.api.strategy import Strategy as Strategy
    from micl_cli.api.task import Example as Example
    from micl_cli.api.task import Row as Row
    from micl_cli.api.task import Task as Task
    from micl_cli.api.task import TaskSource as TaskSource
    from micl_cli.api.weights import PresetInfo as PresetInfo
    from micl_cli.api.weights import Tell as Tell
    from micl_cli.api.weights import weights_folder as weights_folder
    from micl_cli.errors import MediaError as MediaError
    from micl_cli.errors import MiclError as MiclError
    from micl_cli.errors import OptionError as OptionError
    from micl_cli.errors import PlanError as PlanError

_HOME = {
    "IGNORE_INDEX": "backbone",
    "Backbone": "backbone",
    "Batch": "backbone",
    "FeatureCache": "backbone",
    "MediaReader": "backbone",
    "Event": "events",
    "Register": "hookspecs",
    "hookimpl": "hookspecs",
    "answer_loss": "losses",
    "distillation_loss": "losses",
    "Metric": "metric",
    "Score": "metric",
    "Modality": "modality",
    "Sound": "modality",
    "Option": "options",
    "options_of": "options",
    "parse_options": "options",
    "Route": "router",
    "Router": "router",
    "ADAPTER": "strategy",
    "State": "strategy",
    "Strategy": "strategy",
    "Example": "task",
    "Row": "task",
    "Task": "task",
    "TaskSource": "task",
    **dict.fromkeys(("PresetInfo", "Tell", "weights_folder"), "weights"),
}
_ERRORS = ("MediaError", "MiclError", "OptionError", "PlanError")

__all__ = [
    "ADAPTER",
    "IGNORE_INDEX",
    "Backbone",
    "Batch",
    "Event",
    "Example",
    "FeatureCache",
    "MediaError",
    "MediaReader",
]
__all__ += ["Metric", "MiclError", "Modality", "Option", "OptionError", "PlanError", "PresetInfo", "Register", "Route"]
__all__ += ["Router", "Row", "Score", "Sound", "State", "Strategy", "Task", "TaskSource", "Tell", "answer_loss"]
__all__ += ["distillation_loss", "hookimpl", "options_of", "parse_options", "weights_folder"]


def __getattr__(name: str) -> Any:
    if name in _ERRORS:
        return getattr(import_module("micl_cli.errors"), name)
    if name in _HOME:
        return getattr(import_module(f"micl_cli.api.{_HOME[name]}"), name)
    raise AttributeError(f"module 'micl_cli.api' has no attribute {name!r}")
