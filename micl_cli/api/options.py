"""Options of plugins: keyword-only constructor parameters, read from their annotations.

``lambda_kl: Annotated[float, "weight of the distillation term", Range(0)] = 0.5`` is an option; a
parameter without such help is not. What may stand behind the help: a :class:`Range`,
:class:`Choices`, or :class:`ExistingFile`.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from micl_cli.errors import OptionError, PluginError, nearest

_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NOTHING = ("none", "null")


@dataclass(frozen=True)
class Range:
    """The values that a number may have, ends included where they are not ``open``."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.low is None or value > self.low or (value == self.low and not self.low_open)
        below = self.high is None or value < self.high or (value == self.high and not self.high_open)
        return above and below

    def __str__(self) -> str:
        low = None if self.low is None else f"{'more than' if self.low_open else 'at least'} {self.low:g}"
        high = None if self.high is None else f"{'less than' if self.high_open else 'at most'} {self.high:g}"
        return " and ".join(filter(None, (low, high)))


class Choices:
    """The values that an option may have, where they are known only at run time; else use ``Literal``."""

    def __init__(self, *values: Any) -> None:
        self.values = values


class ExistingFile:
    """Marks an option that names a file which must be there. An empty text names none."""


@dataclass(frozen=True)
class Option:
    """One option of a plugin.

    ``type`` is bool, int, float, str or Path; ``optional`` tells that None is a value too.
    ``default`` is JSON-ready, and None where ``required``. ``choices`` is empty where any
    value of the type will do. ``range`` limits a number. ``existing_file`` marks the path of a file that must be there.
    """

    name: str
    type: type[Any]
    default: Any
    help: str
    required: bool = False
    choices: tuple[Any, ...] = ()
    optional: bool = False
    range: Range | None = None
    existing_file: bool = False

    @property
    def type_name(self) -> str:
        """The type in words: "float", "int or none", "modality|type"."""
        word = "|".join(map(str, self.choices)) or self.type.__name__.lower()
        return f"{word} or none" if self.optional else word

    @property
    def expected(self) -> str:
        """What a value must be, as a message says it."""
        word = "one of " + ", ".join(map(str, self.choices)) if self.choices else _EXPECTED[self.type]
        word = f"{word}, {self.range}" if self.range else word
        word = "the path of a file that exists" if self.existing_file else word
        return f"{word}, or none" if self.optional else word

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        known = {"name": self.name, "type": self.type_name, "default": self.default, "help": self.help}
        known |= {"required": self.required, "choices": list(self.choices)}
        return {**known, "range": str(self.range) if self.range else None}

    def parse(self, raw: Any) -> Any:
        """Turn text, or a value out of TOML or JSON, into the option's type. Raises ValueError."""
        if self.optional and raw not in self.choices and (raw is None or str(raw).strip().lower() in _NOTHING):
            return None
        if self.choices:
            return self._choice(raw)
        value = _CONVERT[self.type](raw)
        if self.range and value not in self.range:
            raise ValueError("out of range")
        if self.existing_file and str(value) and not Path(value).expanduser().is_file():
            raise ValueError("no such file")
        return value

    def _choice(self, raw: Any) -> Any:
        for choice in self.choices:
            if (type(raw) is type(choice) and raw == choice) or (isinstance(raw, str) and raw.strip() == str(choice)):
                return choice
        raise ValueError("not among the choices")


def options_of(cls: type[Any]) -> dict[str, Option]:
    """The options of a plugin's class by name, its own before those it passes up by ``**options``.

    Raises PluginError where an annotation cannot be resolved or its type is not supported.
    """
    found: dict[str, Option] = {}
    shadowed: set[str] = set()
    for init in _constructors(cls):
        named = {name: p for name, p in inspect.signature(init).parameters.items() if name not in shadowed}
        shadowed.update(named)
        for name, parameter in named.items():
            if parameter.kind is parameter.KEYWORD_ONLY and (option := _option(cls, init, parameter)):
                found[name] = option
    return found


def parse_options(cls: type[Any], raw: Mapping[str, Any], *, owner: str, partial: bool = False) -> dict[str, Any]:
    """Turn text or TOML values into typed constructor arguments; only what is in ``raw`` is returned.

    ``owner`` is the part in words ("strategy moincl"). ``partial`` leaves required options
    unasked, as for those of a single step. Raises OptionError for an unknown option (with
    the nearest known one), a wrong type, or a required option that is absent.
    """
    known = options_of(cls)
    parsed = {name: _parse(known, name, value, owner) for name, value in raw.items()}
    for option in known.values():
        if option.required and option.name not in raw and not partial:
            raise OptionError(
                f"{owner} needs the option {option.name!r}", f"Give -o {option.name} VALUE: {option.help}"
            )
    return parsed


def _parse(known: Mapping[str, Option], name: str, value: Any, owner: str) -> Any:
    if name not in known:
        listing = f"Its options: {', '.join(known)}." if known else "It has no options."
        raise OptionError(f"{owner} has no option {name!r}", f"{nearest(name, known)} {listing}".strip())
    option = known[name]
    try:
        return option.parse(value)
    except (ValueError, OverflowError) as error:
        guess = nearest(str(value), map(str, option.choices))
        about = f"{name}: {option.help}"
        raise OptionError(
            f"option {name!r} of {owner} expects {option.expected}, not {value!r}", f"{guess} {about}".strip()
        ) from error


def _constructors(cls: type[Any]) -> Iterator[Callable[..., None]]:
    """The constructors that keyword arguments reach, from ``cls`` upwards."""
    for owner in cls.__mro__:
        init = vars(owner).get("__init__")
        if owner is object or not inspect.isroutine(init):
            continue
        yield init
        if all(p.kind is not p.VAR_KEYWORD for p in inspect.signature(init).parameters.values()):
            return


def _option(cls: type[Any], init: Callable[..., None], parameter: inspect.Parameter) -> Option | None:
    annotation = _resolve(cls, init, parameter)
    if get_origin(annotation) is not Annotated:
        return None
    inner, *extra = get_args(annotation)
    words = [text for text in extra if isinstance(text, str)]
    if not words:
        return None
    kind, choices, optional = _type(cls, parameter.name, inner)
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    return Option(
        name=parameter.name,
        type=kind,
        default=str(default) if isinstance(default, Path) else default,
        help=words[0],
        required=required,
        choices=next((mark.values for mark in extra if isinstance(mark, Choices)), choices),
        optional=optional,
        range=next((mark for mark in extra if isinstance(mark, Range)), None),
        existing_file=ExistingFile in extra or any(isinstance(mark, ExistingFile) for mark in extra),
    )


def _resolve(cls: type[Any], init: Callable[..., None], parameter: inspect.Parameter) -> Any:
    """The annotation as an object; None where it names what is only known to a type checker.

    Each is resolved alone: one that is imported for type checking only costs no other.
    """
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    names = getattr(inspect.unwrap(init), "__globals__", {})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)[parameter.name]
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        if isinstance(parameter.annotation, str) and "Annotated[" not in parameter.annotation:
            return None
        raise _defect(cls, parameter.name, f"its annotation cannot be read ({error})") from error


def _type(cls: type[Any], name: str, annotation: Any) -> tuple[type[Any], tuple[Any, ...], bool]:
    """(type, choices, may be None) of what stands inside ``Annotated``."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    inner = [member for member in members if member is not type(None)]
    optional = len(inner) < len(members)
    if len(inner) == 1 and get_origin(inner[0]) is Literal:
        choices = get_args(inner[0])
        kinds = {type(choice) for choice in choices}
        if len(kinds) == 1 and kinds <= _CONVERT.keys():
            return kinds.pop(), choices, optional
    elif len(inner) == 1 and inner[0] in _CONVERT:
        return inner[0], (), optional
    raise _defect(cls, name, f"{annotation} is none of bool, int, float, str, Path, Literal, or one of them or None")


def _defect(cls: type[Any], name: str, why: str) -> PluginError:
    where = f"{cls.__module__}.{cls.__qualname__}"
    return PluginError(f"{where} declares option {name!r} wrongly: {why}", "Report this to the plugin's author.")


def _bool(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and (word := raw.strip().lower()) in _TRUTH:
        return _TRUTH[word]
    raise ValueError("not a truth value")


def _int(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, (int, str)):
        raise ValueError("not a whole number")
    return int(raw)


def _float(raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise ValueError("not a number")
    value = float(raw)
    if not math.isfinite(value):
        # A plan is JSON, and JSON has no word for it.
        raise ValueError("not a finite number")
    return value


def _str(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("not text")
    return raw


def _path(raw: Any) -> Path:
    if not isinstance(raw, (str, Path)) or not str(raw).strip() or "\0" in str(raw):
        raise ValueError("not a path")
    return Path(raw).expanduser()


_CONVERT: Mapping[Any, Callable[[Any], Any]] = {bool: _bool, int: _int, float: _float, str: _str, Path: _path}
