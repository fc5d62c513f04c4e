"""Reading of dataclasses from JSON with a check of every field, so that damaged files are found where they are read."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

_NAMES: Mapping[Any, str] = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def from_json(annotation: Any, value: Any, where: str) -> Any:
    """Return ``value``, the content of a JSON document, as an object of the type ``annotation``.

    Lists become tuples, objects become dataclasses or mappings. Raises ValueError, which names the place in the
    document, for a wrong type and for a missing or unknown key.
    """
    if annotation is Any:
        return value
    if annotation in _NAMES:
        return _plain(annotation, value, where)
    if is_dataclass(annotation):
        return _dataclass(annotation, value, where)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return None if value is None else from_json(arguments[0], value, where)
    if origin is tuple:
        _check(isinstance(value, list), where, "a list")
        return tuple(from_json(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    _check(isinstance(value, dict), where, "an object")
    return {key: from_json(arguments[1], item, f"{where}.{key}") for key, item in value.items()}


def _plain(annotation: Any, value: Any, where: str) -> Any:
    accepted = (int, float) if annotation is float else annotation
    _check(isinstance(value, accepted) and isinstance(value, bool) == (annotation is bool), where, _NAMES[annotation])
    return value


def _dataclass(cls: Any, value: Any, where: str) -> Any:
    _check(isinstance(value, dict), where, "an object")
    annotations, required = _fields(cls)
    if missing := sorted(required - value.keys()):
        raise ValueError(f"{where} has no {missing[0]!r}")
    if unknown := sorted(value.keys() - annotations.keys()):
        raise ValueError(f"{where} has the unknown key {unknown[0]!r}")
    return cls(**{key: from_json(annotations[key], item, f"{where}.{key}") for key, item in value.items()})


@cache
def _fields(cls: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the annotations of a dataclass, and the names of the fields without a default."""
    required = {field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING}
    return get_type_hints(cls), frozenset(required)


def _check(condition: bool, where: str, expected: str) -> None:
    if not condition:
        raise ValueError(f"{where} is not {expected}")
