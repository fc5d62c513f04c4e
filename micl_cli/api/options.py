"""Options of plugins: keyword-only constructor parameters, read from their annotations.

``lambda_kl: Annotated[float, "weight of the distillation term", Range(0)] = 0.5`` is an option; a
parameter without a help text is not. The help text may be followed by a :class:`Range`,
:class:`Choices`, :class:`ExistingFile`, :class:`AddedLater`, :class:`Formerly` or :class:`Search`.
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

from micl_cli.api.search import Search
from micl_cli.errors import OptionError, PluginError, nearest

_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NONE = ("none", "null")


@dataclass(frozen=True)
class Range:
    """An interval of valid numbers, with its ends included unless they are ``open``."""

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
    """The valid values of an option that are only known at run time; otherwise use ``Literal``."""

    def __init__(self, *values: Any) -> None:
        self.values = values


class ExistingFile:
    """Marks an option as the path of an existing file, or also of a ``folder``. An empty string stands for no file.

    The digest of the file, or of the files in the folder, is part of a run's plan.
    """

    def __init__(self, *, folder: bool = False) -> None:
        self.folder = folder


class AddedLater:
    """Marks an option that earlier versions of the plugin did not have.

    At its default it is left out of plans, so that the ids of earlier runs stay valid.
    """


class Formerly:
    """Marks an option that earlier versions of the plugin did not have, and whose default is not what they did.

    ``value`` is what they did: plans without the option, which those versions made, have this value.
    """

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass(frozen=True)
class Option:
    """One option of a plugin.

    ``type`` is bool, int, float, str or Path; ``optional`` allows None as well. ``default`` is JSON-ready, and None if
    ``required``. ``choices`` is empty if any value of the type is valid. ``range`` limits a number. ``existing_file``
    marks the path of a file that must exist, and ``or_folder`` one that may be a folder. ``added_later`` marks an
    option that earlier versions did not have. ``formerly`` is its value in a plan without it, and None if that is the
    default. ``search`` is the space of ``micl tune``, if one is declared.
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
    or_folder: bool = False
    added_later: bool = False
    formerly: Any = None
    search: Search | None = None

    @property
    def type_name(self) -> str:
        """The type as text: "float", "int or none", "modality|type"."""
        word = "|".join(map(str, self.choices)) or self.type.__name__.lower()
        return f"{word} or none" if self.optional else word

    @property
    def expected(self) -> str:
        """A description of valid values, for error messages."""
        word = "one of " + ", ".join(map(str, self.choices)) if self.choices else _EXPECTED[self.type]
        word = f"{word}, {self.range}" if self.range else word
        if self.existing_file:
            word = f"the path of a file{' or folder' if self.or_folder else ''} that exists"
        return f"{word}, or none" if self.optional else word

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        fields = {"name": self.name, "type": self.type_name, "default": self.default, "help": self.help}
        fields |= {"required": self.required, "choices": list(self.choices)}
        fields |= {"range": str(self.range) if self.range else None}
        return {**fields, "search": str(self.search) if self.search else None}

    def parse(self, raw: Any) -> Any:
        """Convert text, or a value from TOML or JSON, to the option's type. Raises ValueError."""
        if self.optional and raw not in self.choices and (raw is None or str(raw).strip().lower() in _NONE):
            return None
        if self.choices:
            return self._choice(raw)
        value = _CONVERT[self.type](raw)
        if self.range and value not in self.range:
            raise ValueError("out of range")
        return self._file(value) if self.existing_file and str(value) else value

    def _file(self, value: Any) -> Any:
        """Return the absolute path of a file, so that it is the same file in another working folder."""
        path = _expanded(value).absolute()
        if not (path.is_file() or (self.or_folder and path.is_dir())):
            raise ValueError("no such file")
        return self.type(path)

    def _choice(self, raw: Any) -> Any:
        for choice in self.choices:
            if (type(raw) is type(choice) and raw == choice) or (isinstance(raw, str) and raw.strip() == str(choice)):
                return choice
        raise ValueError("not one of the choices")


def options_of(cls: type[Any]) -> dict[str, Option]:
    """Return the options of a plugin class by name, followed by those of base classes that receive ``**options``.

    Raises PluginError if an annotation cannot be resolved or its type is not supported.
    """
    options: dict[str, Option] = {}
    shadowed: set[str] = set()
    for init in _constructors(cls):
        named = {name: p for name, p in inspect.signature(init).parameters.items() if name not in shadowed}
        shadowed.update(named)
        for name, parameter in named.items():
            if parameter.kind is parameter.KEYWORD_ONLY and (option := _option(cls, init, parameter)):
                options[name] = option
    return options


def parse_options(cls: type[Any], raw: Mapping[str, Any], *, owner: str, partial: bool = False) -> dict[str, Any]:
    """Convert text or TOML values to typed constructor arguments; only the options in ``raw`` are returned.

    ``owner`` names the plugin in messages ("strategy moincl"). ``partial`` allows required options to be missing, as in
    the options of a single stage. Raises OptionError for an unknown option (with a similar one as a suggestion), a
    wrong type, or a missing required option.
    """
    options = options_of(cls)
    parsed = {name: _parse(options, name, value, owner) for name, value in raw.items()}
    for option in options.values():
        if option.required and option.name not in raw and not partial:
            raise OptionError(
                f"{owner} needs the option {option.name!r}", f"Give -o {option.name} VALUE: {option.help}"
            )
    return parsed


def _parse(options: Mapping[str, Option], name: str, value: Any, owner: str) -> Any:
    if name not in options:
        listing = f"Its options: {', '.join(options)}." if options else "It has no options."
        raise OptionError(f"{owner} has no option {name!r}", f"{nearest(name, options)} {listing}".strip())
    option = options[name]
    try:
        return option.parse(value)
    except (ValueError, OverflowError) as error:
        guess = nearest(str(value), map(str, option.choices))
        hint = f"{guess} {name}: {option.help}".strip()
        raise OptionError(f"option {name!r} of {owner} expects {option.expected}, not {value!r}", hint) from error


def _constructors(cls: type[Any]) -> Iterator[Callable[..., None]]:
    """Yield the constructors that receive keyword arguments, from ``cls`` to its base classes."""
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
    helps = [text for text in extra if isinstance(text, str)]
    if not helps:
        return None
    value_type, choices, optional = _type(cls, parameter.name, inner)
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    option = Option(
        name=parameter.name,
        type=value_type,
        default=str(default) if isinstance(default, Path) else default,
        help=helps[0],
        required=required,
        choices=next((mark.values for mark in extra if isinstance(mark, Choices)), choices),
        optional=optional,
        range=next((mark for mark in extra if isinstance(mark, Range)), None),
        existing_file=ExistingFile in extra or any(isinstance(mark, ExistingFile) for mark in extra),
        or_folder=any(isinstance(mark, ExistingFile) and mark.folder for mark in extra),
        added_later=AddedLater in extra or any(isinstance(mark, AddedLater) for mark in extra),
        formerly=next((mark.value for mark in extra if isinstance(mark, Formerly)), None),
        search=next((mark for mark in extra if isinstance(mark, Search)), None),
    )
    if option.search and (problem := _search_problem(option, option.search)):
        raise _defect(cls, parameter.name, problem)
    return option


def _search_problem(option: Option, search: Search) -> str:
    """Return what is wrong with the space that an option declares, or an empty text."""
    if search.problem:
        return search.problem
    if not search.choices and (option.choices or option.type not in (int, float)):
        return f"the space {search} is an interval, but the option is not a number; declare choices instead"
    values = search.choices or (() if search.relative else (search.low, search.high))
    for value in values:
        try:
            option.parse(option.type(value) if option.type in (int, float) else value)
        except (ValueError, OverflowError):
            return f"its space includes {value}, which is not {option.expected}"
    return ""


def _resolve(cls: type[Any], init: Callable[..., None], parameter: inspect.Parameter) -> Any:
    """Return the annotation as an object, or None if it uses a name that is only imported for type checking.

    Annotations are resolved one at a time, so that such a name does not affect the other parameters.
    """
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    names = getattr(inspect.unwrap(init), "__globals__", {})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)[parameter.name]
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        if isinstance(parameter.annotation, str) and "Annotated[" not in parameter.annotation:
            return None
        raise _defect(cls, parameter.name, f"its annotation cannot be resolved ({error})") from error


def _type(cls: type[Any], name: str, annotation: Any) -> tuple[type[Any], tuple[Any, ...], bool]:
    """Return (type, choices, whether None is allowed) for the first argument of ``Annotated``."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    inner = [member for member in members if member is not type(None)]
    optional = len(inner) < len(members)
    if len(inner) == 1 and get_origin(inner[0]) is Literal:
        choices = get_args(inner[0])
        types_of_choices = {type(choice) for choice in choices}
        if len(types_of_choices) == 1 and types_of_choices <= _CONVERT.keys():
            return types_of_choices.pop(), choices, optional
    elif len(inner) == 1 and inner[0] in _CONVERT:
        return inner[0], (), optional
    raise _defect(cls, name, f"{annotation} is not bool, int, float, str, Path or Literal, or one of them or None")


def _defect(cls: type[Any], name: str, why: str) -> PluginError:
    where = f"{cls.__module__}.{cls.__qualname__}"
    return PluginError(f"{where} declares option {name!r} incorrectly: {why}", "Report this to the plugin's author.")


def _bool(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and (word := raw.strip().lower()) in _BOOLEANS:
        return _BOOLEANS[word]
    raise ValueError("not a boolean")


def _int(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, (int, str)):
        raise ValueError("not a whole number")
    return int(raw)


def _float(raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise ValueError("not a number")
    value = float(raw)
    if not math.isfinite(value):
        raise ValueError("not a finite number")  # a plan is JSON, which has no such numbers
    return value


def _str(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("not text")
    return raw


def _path(raw: Any) -> Path:
    if not isinstance(raw, (str, Path)) or not str(raw).strip() or "\0" in str(raw):
        raise ValueError("not a path")
    return _expanded(raw)


def _expanded(raw: str | Path) -> Path:
    try:
        return Path(raw).expanduser()
    except RuntimeError as error:  # "~NAME" of no user
        raise ValueError("no such home folder") from error


_CONVERT: Mapping[Any, Callable[[Any], Any]] = {bool: _bool, int: _int, float: _float, str: _str, Path: _path}
