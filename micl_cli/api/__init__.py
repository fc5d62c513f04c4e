"""The public API for plugins.

Names are resolved on first use (PEP 562), so that a module which only registers plugins, and
needs only ``hookimpl``, does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from micl_cli.api.adapter_kinds import FROZEN as FROZEN
    from micl_cli.api.adapter_kinds import AdapterHost as AdapterHost
    from micl_cli.api.adapter_kinds import AdapterKind as AdapterKind
    from micl_cli.api.adapter_kinds import AdapterSpec as AdapterSpec
    from micl_cli.api.adapter_kinds import Layer as Layer
    from micl_cli.api.adapter_kinds import LayerAdapter as LayerAdapter
    from micl_cli.api.adapters import Adapters as Adapters
    from micl_cli.api.answer import Answer as Answer
    from micl_cli.api.answer import is_missing as is_missing
    from micl_cli.api.backbone import IGNORE_INDEX as IGNORE_INDEX
    from micl_cli.api.backbone import Backbone as Backbone
    from micl_cli.api.backbone import Batch as Batch
    from micl_cli.api.backbone import FeatureCache as FeatureCache
    from micl_cli.api.backbone import InspectedMedium as InspectedMedium
    from micl_cli.api.backbone import MediaReader as MediaReader
    from micl_cli.api.backbone import MediumFault as MediumFault
    from micl_cli.api.encoder import Encoder as Encoder
    from micl_cli.api.events import BASE as BASE
    from micl_cli.api.events import Answered as Answered
    from micl_cli.api.events import Event as Event
    from micl_cli.api.events import Notice as Notice
    from micl_cli.api.events import PassProgress as PassProgress
    from micl_cli.api.events import Routed as Routed
    from micl_cli.api.events import RunFinished as RunFinished
    from micl_cli.api.events import RunStarted as RunStarted
    from micl_cli.api.events import Scored as Scored
    from micl_cli.api.events import Step as Step
    from micl_cli.api.events import TaskLearned as TaskLearned
    from micl_cli.api.events import TaskStarted as TaskStarted
    from micl_cli.api.events import Validated as Validated
    from micl_cli.api.export import ExportFormat as ExportFormat
    from micl_cli.api.export import ExportRequest as ExportRequest
    from micl_cli.api.export import ExportSummary as ExportSummary
    from micl_cli.api.export import Usage as Usage
    from micl_cli.api.format import Format as Format
    from micl_cli.api.format import Item as Item
    from micl_cli.api.format import Items as Items
    from micl_cli.api.format import JsonHead as JsonHead
    from micl_cli.api.format import Match as Match
    from micl_cli.api.format import MediumValue as MediumValue
    from micl_cli.api.format import interleave as interleave
    from micl_cli.api.format import json_head as json_head
    from micl_cli.api.format import json_values as json_values
    from micl_cli.api.hookspecs import Register as Register
    from micl_cli.api.hookspecs import hookimpl as hookimpl
    from micl_cli.api.letters import choices_in as choices_in
    from micl_cli.api.letters import choices_of as choices_of
    from micl_cli.api.letters import chosen_letter as chosen_letter
    from micl_cli.api.letters import lettered as lettered
    from micl_cli.api.listener import Listener as Listener
    from micl_cli.api.listener import RunInfo as RunInfo
    from micl_cli.api.losses import answer_loss as answer_loss
    from micl_cli.api.losses import distillation_loss as distillation_loss
    from micl_cli.api.metric import CATEGORY as CATEGORY
    from micl_cli.api.metric import ExampleMetric as ExampleMetric
    from micl_cli.api.metric import Metric as Metric
    from micl_cli.api.metric import Score as Score
    from micl_cli.api.metric import category_means as category_means
    from micl_cli.api.modality import Clip as Clip
    from micl_cli.api.modality import Modality as Modality
    from micl_cli.api.modality import Sound as Sound
    from micl_cli.api.options import AddedLater as AddedLater
    from micl_cli.api.options import Choices as Choices
    from micl_cli.api.options import ExistingFile as ExistingFile
    from micl_cli.api.options import Formerly as Formerly
    from micl_cli.api.options import Option as Option
    from micl_cli.api.options import Range as Range
    from micl_cli.api.options import options_of as options_of
    from micl_cli.api.options import parse_options as parse_options
    from micl_cli.api.predictions import QUESTION_ID as QUESTION_ID
    from micl_cli.api.predictions import Prediction as Prediction
    from micl_cli.api.presets import FetchProgress as FetchProgress
    from micl_cli.api.presets import PresetInfo as PresetInfo
    from micl_cli.api.reader import FILE as FILE
    from micl_cli.api.reader import PUBLISHED as PUBLISHED
    from micl_cli.api.reader import RELEASE as RELEASE
    from micl_cli.api.reader import STRICT as STRICT
    from micl_cli.api.reader import Count as Count
    from micl_cli.api.reader import Fault as Fault
    from micl_cli.api.reader import Reader as Reader
    from micl_cli.api.reader import ReaderTask as ReaderTask
    from micl_cli.api.reader import Source as Source
    from micl_cli.api.reader import SourceRow as SourceRow
    from micl_cli.api.reader import SourceRows as SourceRows
    from micl_cli.api.reader import field_of as field_of
    from micl_cli.api.reader import rows_of as rows_of
    from micl_cli.api.reader import rows_of_each as rows_of_each
    from micl_cli.api.reader import text_field as text_field
    from micl_cli.api.resources import PartLoader as PartLoader
    from micl_cli.api.resources import Resources as Resources
    from micl_cli.api.router import Router as Router
    from micl_cli.api.router import RouterContext as RouterContext
    from micl_cli.api.router import route_readable as route_readable
    from micl_cli.api.router import tasks_with_modalities as tasks_with_modalities
    from micl_cli.api.sampling import GROUP as GROUP
    from micl_cli.api.sampling import subset as subset
    from micl_cli.api.schedule import Schedule as Schedule
    from micl_cli.api.search import Search as Search
    from micl_cli.api.selection import Mixture as Mixture
    from micl_cli.api.selection import Selection as Selection
    from micl_cli.api.selection import TokenMap as TokenMap
    from micl_cli.api.selection import combine as combine
    from micl_cli.api.statistics import PlainPass as PlainPass
    from micl_cli.api.statistics import Statistic as Statistic
    from micl_cli.api.strategy import ADAPTER as ADAPTER
    from micl_cli.api.strategy import NEW as NEW
    from micl_cli.api.strategy import Loss as Loss
    from micl_cli.api.strategy import Progress as Progress
    from micl_cli.api.strategy import Route as Route
    from micl_cli.api.strategy import Stage as Stage
    from micl_cli.api.strategy import State as State
    from micl_cli.api.strategy import Strategy as Strategy
    from micl_cli.api.task import CAPTIONING as CAPTIONING
    from micl_cli.api.task import CHOICE as CHOICE
    from micl_cli.api.task import QA as QA
    from micl_cli.api.task import Content as Content
    from micl_cli.api.task import Example as Example
    from micl_cli.api.task import Media as Media
    from micl_cli.api.task import Row as Row
    from micl_cli.api.task import Task as Task
    from micl_cli.api.task import TaskSource as TaskSource
    from micl_cli.api.text import TextTokenizer as TextTokenizer
    from micl_cli.errors import ManifestError as ManifestError
    from micl_cli.errors import MediaError as MediaError
    from micl_cli.errors import MiclError as MiclError
    from micl_cli.errors import OptionError as OptionError
    from micl_cli.errors import PlanError as PlanError
    from micl_cli.errors import nearest as nearest
    from micl_cli.io.digest import file_sha256 as file_sha256
    from micl_cli.io.download import RETRY_HINT as RETRY_HINT
    from micl_cli.io.download import download as download
    from micl_cli.io.processes import module_command as module_command
    from micl_cli.io.text import TextError as TextError
    from micl_cli.io.text import parse_json as parse_json
    from micl_cli.io.text import read_json as read_json
    from micl_cli.io.text import read_lines as read_lines
    from micl_cli.io.text import read_toml as read_toml
    from micl_cli.io.toml_text import toml_text as toml_text

_MODULES = {
    "adapter_kinds": ("FROZEN", "AdapterHost", "AdapterKind", "AdapterSpec", "Layer", "LayerAdapter"),
    "adapters": ("Adapters",),
    "answer": ("Answer", "is_missing"),
    "backbone": (
        *("IGNORE_INDEX", "Backbone", "Batch", "FeatureCache", "InspectedMedium", "MediaReader"),
        "MediumFault",
    ),
    "encoder": ("Encoder",),
    "events": (
        *("Answered", "BASE", "Event", "Notice", "PassProgress", "Routed", "RunFinished", "RunStarted", "Scored"),
        *("Step", "TaskLearned", "TaskStarted", "Validated"),
    ),
    "export": ("ExportFormat", "ExportRequest", "ExportSummary", "Usage"),
    "format": (
        *("Format", "Item", "Items", "JsonHead", "Match", "MediumValue", "interleave", "json_head", "json_values"),
    ),
    "hookspecs": ("Register", "hookimpl"),
    "letters": ("choices_in", "choices_of", "chosen_letter", "lettered"),
    "listener": ("Listener", "RunInfo"),
    "losses": ("answer_loss", "distillation_loss"),
    "metric": ("CATEGORY", "ExampleMetric", "Metric", "Score", "category_means"),
    "modality": ("Clip", "Modality", "Sound"),
    "options": (
        *("AddedLater", "Choices", "ExistingFile", "Formerly", "Option", "Range", "options_of", "parse_options"),
    ),
    "predictions": ("QUESTION_ID", "Prediction"),
    "presets": ("FetchProgress", "PresetInfo"),
    "reader": (
        *("Count", "FILE", "Fault", "PUBLISHED", "RELEASE", "Reader", "ReaderTask", "STRICT", "Source", "SourceRow"),
        *("SourceRows", "field_of", "rows_of", "rows_of_each", "text_field"),
    ),
    "resources": ("PartLoader", "Resources"),
    "router": ("Router", "RouterContext", "route_readable", "tasks_with_modalities"),
    "sampling": ("GROUP", "subset"),
    "schedule": ("Schedule",),
    "search": ("Search",),
    "selection": ("Mixture", "Selection", "TokenMap", "combine"),
    "statistics": ("PlainPass", "Statistic"),
    "strategy": ("ADAPTER", "NEW", "Loss", "Progress", "Route", "Stage", "State", "Strategy"),
    "task": ("CAPTIONING", "CHOICE", "QA", "Content", "Example", "Media", "Row", "Task", "TaskSource"),
    "text": ("TextTokenizer",),
}
_HOME = {name: f"micl_cli.api.{module}" for module, names in _MODULES.items() for name in names}
_ERRORS = ("ManifestError", "MediaError", "MiclError", "OptionError", "PlanError", "nearest")
_HOME |= dict.fromkeys(_ERRORS, "micl_cli.errors")
_HOME |= dict.fromkeys(("TextError", "parse_json", "read_json", "read_lines", "read_toml"), "micl_cli.io.text")
_HOME |= dict.fromkeys(("RETRY_HINT", "download"), "micl_cli.io.download")
_HOME["file_sha256"] = "micl_cli.io.digest"
_HOME["toml_text"] = "micl_cli.io.toml_text"
_HOME["module_command"] = "micl_cli.io.processes"

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'micl_cli.api' has no attribute {name!r}")
