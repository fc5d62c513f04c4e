"""Command line options for the settings of a plan (``Training`` and ``Evaluation``)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import click

from micl_cli.cli.completers import complete_benchmarks
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import DECODING, Evaluation, Setting, Training, declared_settings
from micl_cli.settings import SECTIONS

NONE = "none"
"""The value of an optional setting that has no limit, in flags and files."""
_CLASSES = (Training, Evaluation)
"""The classes of the settings in :data:`SECTIONS`."""
_C = TypeVar("_C", bound=Callable[..., Any])

trust_option = click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Allow the checkpoint's own Python code to run, also of a run that was planned with it; "
    "in files, only the user's own may set it.",
)
"""The option of commands that load a backbone."""

benchmark_option = click.option(
    "--benchmark",
    default="mini",
    shell_complete=complete_benchmarks,
    help="The benchmark of task names without one.",
)


def plan_options(command: _C) -> _C:
    """Add an option to a command for each training and evaluation setting."""
    settings = [*declared_settings(Training).values(), *declared_settings(Evaluation).values()]
    for setting in reversed(settings):
        _option(setting)(command)
    return command


def decoding_options(command: _C) -> _C:
    """Add an option for each decoding setting to a command that scores; by default it is that of the run."""
    return _decoding_options(command, "By default as in the run; scores with other values are not stored.")


def answering_options(command: _C) -> _C:
    """Add an option for each decoding setting to a command that answers; by default it is that of the run."""
    return _decoding_options(command, "By default as in the run.")


def _decoding_options(command: _C, default: str) -> _C:
    settings = declared_settings(Evaluation)
    for name in reversed(DECODING):
        option = settings[name].option
        text = f"{option.help[0].upper()}{option.help[1:]}. {default}"
        flags = (*settings[name].flags, settings[name].parameter)
        click.option(*flags, type=_type(settings[name]), default=None, help=text)(command)
    return command


def _option(setting: Setting) -> Callable[[Any], Any]:
    option, flags = setting.option, list(setting.flags)
    if option.type is bool:
        flags[0] += f"/--no-{flags[0].removeprefix('--')}"
    text = option.help[0].upper() + option.help[1:] + "."
    if option.help.startswith("choices:"):
        text = option.help + "."
    return click.option(*flags, setting.parameter, type=_type(setting), default=None, help=text)


class OptionalRange(click.IntRange):
    """A whole number in a range, or "none" for the setting's own None, which is another value than not given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a number, or "none"."""
        word = value.strip().lower() if isinstance(value, str) else value
        return NONE if word == NONE else super().convert(value, param, ctx)


def _type(setting: Setting) -> Any:
    option = setting.option
    if option.choices:
        return click.Choice(list(option.choices))
    if option.range is None or option.type is bool:
        return option.type
    bounds: dict[str, Any] = {"min_open": option.range.low_open, "max_open": option.range.high_open}
    if option.type is int:
        low, high = (None if bound is None else int(bound) for bound in (option.range.low, option.range.high))
        return (OptionalRange if option.optional else click.IntRange)(low, high, **bounds)
    return click.FloatRange(option.range.low, option.range.high, **bounds)


def flat_settings(table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the table of a file with the settings of its tables ``training`` and ``evaluation`` by parameter.

    ``{"epochs": 3, "evaluation": {"batch_size": 8}}`` becomes ``{"epochs": 3, "eval_batch_size": 8}``. Raises
    UsageError for an unknown setting, or one that is set twice, as by ``lr`` and ``learning_rate``.
    """
    every = {key: name for cls in _CLASSES for key, name in _by_flag(cls).items()}
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if key not in SECTIONS:
            _add(flat, every.get(key.replace("-", "_"), key), value, source)
    for section, cls in zip(SECTIONS, _CLASSES, strict=True):
        values = table.get(section, {})
        if not isinstance(values, Mapping):
            raise UsageError(f"{source}: {section} is {values!r}", "It must be a table.")
        known = {**{name: setting.parameter for name, setting in declared_settings(cls).items()}, **_by_flag(cls)}
        for key, value in values.items():
            if (name := known.get(key.replace("-", "_"))) is None:
                hint = nearest(key, known) or f"Known: {', '.join(known)}."
                raise UsageError(f"{source}: unknown key {key!r} in [{section}]", hint)
            _add(flat, name, value, source)
    return flat


def _add(flat: dict[str, Any], name: str, value: Any, source: str) -> None:
    if name in flat:
        raise UsageError(f"{source}: {name} is set twice", "Keep one of its keys.")
    flat[name] = value


def _by_flag(cls: type[Any]) -> dict[str, str]:
    """Return the parameters of the settings of ``cls`` by parameter and by long flag."""
    declared = declared_settings(cls).values()
    flags = {flag.removeprefix("--").replace("-", "_"): each.parameter for each in declared for flag in each.flags}
    return {**flags, **{setting.parameter: setting.parameter for setting in declared}}


def take_settings(cls: type[Any], flat: dict[str, Any]) -> dict[str, Any]:
    """Remove the settings of ``cls`` from a table of :func:`flat_settings`, and return them by name."""
    declared = declared_settings(cls)
    return {name: flat.pop(setting.parameter) for name, setting in declared.items() if setting.parameter in flat}


def pop_settings(cls: type[Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Remove the parameters for the settings of ``cls`` from ``flags``, and return their values by setting."""
    return {name: flags.pop(setting.parameter) for name, setting in declared_settings(cls).items()}


def given_settings(cls: type[Any], values: Mapping[str, Any], parameters: Collection[str]) -> dict[str, Any]:
    """Return the ``values`` of those settings of ``cls`` whose parameter is in ``parameters``."""
    declared = declared_settings(cls)
    return {name: value for name, value in values.items() if declared[name].parameter in parameters}
