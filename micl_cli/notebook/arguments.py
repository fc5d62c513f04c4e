"""The keyword arguments of ``micl_cli.learn``, which are the options of ``micl learn``, and the plan made from them.

The arguments become words of the command line, so that both have the same defaults, files, checks and run ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from micl_cli.api.task import Task
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import by_key, key_of
from micl_cli.cli.learn_request import LearnArguments, make_learn_plan
from micl_cli.cli.main import micl
from micl_cli.cli.pairs import PairOption
from micl_cli.cli.predictions_options import max_answers
from micl_cli.cli.status import DownloadBars, quiet_libraries
from micl_cli.cli.toml_files import plugin_options
from micl_cli.cli.unknown_option import option_owners
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import Plan
from micl_cli.session.listeners import configured_listeners
from micl_cli.session.session import Session
from micl_cli.settings import Settings, load_settings, prepare_process

_COMMAND = "learn"
_OF_THE_COMMAND = frozenset(("as_json", "dry_run", "save_config"))
"""The options of ``micl learn`` that only a command has."""
_RENAMED = {"strategy_options": "options"}
"""Arguments that have another name than the option in files."""
_OF_PLUGINS = 'Options of plugins are given as strategy_options={"alpha": 0.3} or backbone_options={...}.'

_TABLES = (("strategies", "strategy", "strategy_options"), ("backbones", "backbone", "backbone_options"))
"""Kinds of plugins, the arguments that name one, and those for its options."""


class PlannedLearning(NamedTuple):
    """A plan, and the options with which it is carried out, as :func:`micl_cli.session.learning.learn` takes them."""

    session: Session
    plan: Plan
    tasks: Sequence[Task]
    control: Mapping[str, Any]
    options: Mapping[str, Any]


def plan_learning(home: str | Path | None, config: str | Path | None, arguments: Mapping[str, Any]) -> PlannedLearning:
    """Return the plan of the arguments of ``micl_cli.learn``, as ``micl learn`` makes it; tasks are prepared.

    Raises UsageError, OptionError, PluginError or PlanError.
    """
    prepare_process()
    with _click_errors(), _command(_words(home, config, arguments)) as flags:
        settings = current_settings()
        listeners = flags.pop("listeners")
        control = {name: flags.pop(name) for name in ("save_seconds", "loader_workers")}
        control["max_answers"] = max_answers(flags.pop("predictions"), flags.pop("save_predictions"))
        options = {name: flags.pop(name) for name in ("device", "threads")}
        for name in ("file", *_OF_THE_COMMAND):
            del flags[name]  # the context has the file
        learn = LearnArguments.from_flags(flags)
        session = Session(settings, progress=DownloadBars().update, trusted=learn.trusted)
        options["listeners"] = configured_listeners(listeners, settings, session.registry)
        with quiet_libraries():
            plan, tasks, options["recipe"] = make_learn_plan(session, learn, dry=False)
    return PlannedLearning(session, plan, tasks, control, options)


def settings_of(home: str | Path | None) -> Settings:
    """Return the settings for a home folder; without one, those of the environment and the configuration files."""
    return load_settings(Path(home).expanduser().absolute() if home is not None else None)


@contextmanager
def _click_errors() -> Iterator[None]:
    """Raise errors of click as UsageError, with the name of the argument instead of the flag."""
    hint = "The arguments are the options of `micl learn`: see micl learn --help."
    try:
        yield
    except click.BadParameter as error:
        name = key_of(error.param) if isinstance(error.param, click.Option) else "an argument"
        raise UsageError(f"{name} cannot be used: {error.message}", hint) from error
    except click.ClickException as error:
        raise UsageError(error.format_message(), hint) from error


@contextmanager
def _command(words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of the command that ``words`` begin with, whose context is the current one in the block."""
    with micl.make_context("micl", list(words)) as context:
        name, command, rest = micl.resolve_command(context, list(words[words.index(_COMMAND) :]))
        assert name and command  # `learn` is one
        with command.make_context(name, rest, parent=context) as inner:
            yield dict(inner.params)


def _words(home: str | Path | None, config: str | Path | None, arguments: Mapping[str, Any]) -> list[str]:
    """Return arguments as words of the command line. Raises UsageError for an unknown one."""
    command = micl.get_command(click.Context(micl), _COMMAND)
    assert command
    options = by_key(command)
    for name, key in _RENAMED.items():
        options[name] = options.pop(key)
    known = {name: option for name, option in options.items() if option.name not in _OF_THE_COMMAND}
    words = [] if home is None else ["--home", str(home)]
    words.append(_COMMAND)
    for name, value in arguments.items():
        if name not in known:
            raise UsageError(
                f"there is no argument {name!r}", _meant(name, arguments) or nearest(name, known) or _OF_PLUGINS
            )
        words += _option_words(name, known[name], value)
    return [*words, "--", str(config)] if config is not None else words


def _meant(name: str, arguments: Mapping[str, Any]) -> str:
    """Return how to set an option of the strategy, or of the backbone if one is given; empty for any other name."""
    for kind, chosen, table in _TABLES:
        plugin = str(arguments.get(chosen) or "").partition(":")[0]
        if plugin and option_owners(name, kind, [plugin]):
            return f"Write: {table}={{{name!r}: {arguments[name]!r}}}"
    return ""


def _option_words(name: str, option: click.Option, value: Any) -> Iterator[str]:
    """Yield the words that set an option; none for a value that is None."""
    if value is None:
        return
    flag = max(option.opts, key=len)
    if option.is_flag:
        yield from _flag_words(name, option, flag, value)
    elif isinstance(option, PairOption):
        for key, each in _pairs(name, value):
            yield from (flag, f"{key}={_text(name, each)}")
    else:
        each_alone = option.multiple and not isinstance(value, str)
        for each in value if each_alone else [value]:
            yield f"{flag}={_text(name, each)}"


def _flag_words(name: str, option: click.Option, flag: str, value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        raise UsageError(f"{name} cannot be {value!r}", "It must be True or False.")
    if value:
        yield flag
    elif option.secondary_opts:
        yield option.secondary_opts[0]


def _pairs(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} cannot be {value!r}", f'It must be a dict: {name}={{"rank": 8}}.')
    named = {str(key): each for key, each in value.items()}
    yield from plugin_options(Path(name), named).items()


def _text(name: str, value: Any) -> str:
    """Return a value as text of the command line: lists with commas, None as "none". Raises UsageError."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float | Path):
        return str(value)
    if isinstance(value, Sequence):
        return ",".join(_text(name, each) for each in value)
    if hasattr(value, "id"):  # a run
        return str(value.id)
    if hasattr(value, "item"):  # a number of numpy
        return _text(name, value.item())
    raise UsageError(f"{name} cannot be {value!r}", "It must be a text, a number, or a list of these.")
