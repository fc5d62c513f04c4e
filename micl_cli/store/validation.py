"""Validation of what is read from a store, which may be damaged, or shared with others.

Every column, and every value within JSON, is checked against the annotations of the record that it becomes a field of.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from pathlib import PurePosixPath
from typing import Any, Literal, Union

from micl_cli.plan import Plan
from micl_cli.records import EnvironmentRecord, RunRecord, StageRecord
from micl_cli.store.connect import Undecodable

DAMAGED = "damaged"
"""The status of a run whose row cannot be read."""
STATUSES = ("running", "finished", "interrupted", "failed")

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_known_hints: dict[Any, dict[str, Any]] = {}
_SECTIONS = ("training", "evaluation")
_SCALAR = str | float | None
_COUNTS = ("threads", "cores", "weights_bytes")
"""The entries of an environment that are numbers."""
_IDENTIFIERS = {
    "code": re.compile(r"(?:[0-9a-f]{8,64})?", re.ASCII),
    "commit": re.compile(r"(?:[0-9a-f]{7,64}(?:\+changes)?)?", re.ASCII),
}
"""The entries of an environment that identify code: hexadecimal digits, or empty if it is unknown."""


def is_run_id(text: Any) -> bool:
    """Return whether ``text`` can be the id of a run, which is also the name of its folder."""
    return isinstance(text, str) and bool(_RUN_ID.fullmatch(text))


def problems(cls: type[Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the values for a record, as text like "its name is not text"."""
    for name, hint in _hints(cls).items():
        if not _conforms(values[name], hint):
            yield f"its {name} is not {_described(values[name], hint)}"
            return
    yield from _SPECIAL[cls](values) if cls in _SPECIAL else ()


def plan_problem(plan: Any, *, complete: bool = True) -> str:
    """Return what is wrong with the JSON of a plan, or an empty text. ``complete`` requires every field of a plan."""
    if not isinstance(plan, Mapping):
        return "its plan is not a JSON object"
    hints = _hints(Plan)
    for field in fields(Plan):
        if field.name not in plan:
            required = field.default is MISSING and field.default_factory is MISSING
            if complete and (required or field.name in _SECTIONS):
                return f"its plan has no {field.name}"
        elif not _conforms(plan[field.name], hints[field.name]):
            return f"the {field.name} of its plan is not {_described(plan[field.name], hints[field.name])}"
    if plan.get("parent") is not None and not is_run_id(plan["parent"]):
        return "the parent of its plan is not the id of a run"
    return ""


def _run_problems(values: Mapping[str, Any]) -> Iterator[str]:
    if not is_run_id(values["id"]):
        yield "its id is not that of a run"
    if values["parent"] is not None and not is_run_id(values["parent"]):
        yield "its parent is not the id of a run"
    if values["status"] not in STATUSES:
        yield f"its status is {values['status']!r}"
    if problem := plan_problem(values["plan"], complete=False):
        yield problem
    yield from _environment_problems(values)
    for name, value in (values["recipe"] or {}).items():
        if not _conforms(value, _SCALAR):
            yield f"the {name} of its recipe is neither text nor a number"


def _environment_problems(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values["environment"].items():
        if not _conforms(value, _SCALAR):
            yield f"the {name} of its environment is neither text nor a number"
    for name in _COUNTS:
        if not _conforms(count := values["environment"].get(name, 0), int) or count < 0:
            yield f"the {name} of its environment is not a number"
    for name, pattern in _IDENTIFIERS.items():
        if not (isinstance(text := values["environment"].get(name, ""), str) and pattern.fullmatch(text)):
            yield f"the {name} of its environment is not an identifier"
    if values.get("position", 0) < 0 or values.get("step", 0) < 0:
        yield "its stage or step is negative"


def _stage_problems(values: Mapping[str, Any]) -> Iterator[str]:
    path = PurePosixPath(values["checkpoint"].replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        yield "its checkpoint is not in the folder of the run"


_SPECIAL = {RunRecord: _run_problems, EnvironmentRecord: _environment_problems, StageRecord: _stage_problems}


def _hints(cls: Any) -> dict[str, Any]:
    """Return the annotations of the fields of a dataclass or named tuple."""
    if cls not in _known_hints:
        hints = typing.get_type_hints(cls)
        names = [field.name for field in fields(cls)] if is_dataclass(cls) else list(cls._fields)
        _known_hints[cls] = {name: hints[name] for name in names}
    return _known_hints[cls]


def _conforms(value: Any, hint: Any) -> bool:
    """Return whether JSON-like data conforms to the annotation of a field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return not isinstance(value, Undecodable)
    if origin in (Union, types.UnionType):
        return any(_conforms(value, each) for each in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin in (tuple, list) or (origin and issubclass(origin, Sequence)):
        return isinstance(value, (list, tuple)) and all(_conforms(each, arguments[0]) for each in value)
    if origin and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(_conforms(each, arguments[1]) for each in value.values())
    if is_dataclass(hint):
        return isinstance(value, dict) and all(
            _conforms(value[name], inner)
            for name, inner in _hints(typing.cast(type[Any], hint)).items()
            if name in value
        )
    return _is(value, hint)


def _is(value: Any, cls: Any) -> bool:
    if cls is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
    if cls is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if cls is type(None) else isinstance(value, cls)


def _described(value: Any, hint: Any) -> str:
    if isinstance(value, Undecodable):
        return "JSON"
    if hint in (str, int, float):
        return {str: "text", int: "a whole number", float: "a finite number"}[hint]
    return "of the right type"
