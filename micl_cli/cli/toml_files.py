"""TOML files of the user, such as recipes and run files: reading, errors that name the file, and options of plugins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import normal_name
from micl_cli.errors import MiclError, UsageError
from micl_cli.io.text import decode, parse_toml, read_bytes

if TYPE_CHECKING:
    from micl_cli.settings import Settings

SUFFIX = ".toml"


def read_table(path: Path, title: str) -> tuple[dict[str, Any], str]:
    """Return the content and the sha256 of a TOML file. ``title`` says what it should be. Raises UsageError."""
    try:
        content = read_bytes(path)
        return parse_toml(decode(content).replace("\r\n", "\n").replace("\r", "\n")), sha256(content).hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = f"A {title} is a TOML file with options, for example a strategy and tasks."
        raise UsageError(f"{path} is not a {title}: {reason}", hint) from error


@contextmanager
def in_file(path: Path | str) -> Iterator[None]:
    """Name a file in errors of the block."""
    try:
        yield
    except click.UsageError as error:
        raise UsageError(f"{path}: {error.message}", "") from error
    except MiclError as error:
        if error.message.startswith(f"{path}: "):
            raise
        raise type(error)(f"{path}: {error.message}", error.hint) from error


# Options of plugins


def plugin_options(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a plugin by name; those in a table ``3``, for the third task, are named ``3:name``.

    Raises UsageError for one that is set twice, as by ``[options.3] alpha`` and ``"3:alpha"``.
    """
    options: dict[str, Any] = {}
    for key, value in table.items():
        values = {f"{key}:{name}": each for name, each in value.items()} if isinstance(value, Mapping) else {key: value}
        for name, each in values.items():
            normal = normal_name(name)
            if isinstance(each, Mapping):
                raise UsageError(
                    f"{path}: option {normal} is a table", "[options.3] has the options of the third task."
                )
            if normal in options:
                raise UsageError(f"{path}: option {normal} is set twice", "Keep one of its keys.")
            options[normal] = each
    return options


def checked_options(
    options: Mapping[str, Any],
    classes: Sequence[tuple[str, type[Any]]],
    path: Path | str,
    *,
    known_only: bool = False,
) -> dict[str, Any]:
    """Return options of a file, each checked against those plugins that have it, with absolute paths.

    ``classes`` holds the plugins that receive the options, with what they are called in messages. Options that none
    has are left out if ``known_only``. Raises OptionError for them otherwise, and for an invalid value.
    """
    from micl_cli.api.options import options_of, parse_options

    located = {}
    for name, value in options.items():
        bare = name.rpartition(":")[2]
        having = [(owner, cls) for owner, cls in classes if bare in options_of(cls)]
        if known_only and not having:
            continue
        for owner, cls in having or classes[:1]:
            option = options_of(cls).get(bare)
            if option and (option.existing_file or option.type is Path) and isinstance(value, str) and value:
                value = beside(value, Path(path).parent.absolute())
            with in_file(path):
                parse_options(cls, {bare: value}, owner=owner, partial=True)
        located[name] = value
    return located


def configured_options(
    settings: Settings, commands: Sequence[str], classes: Sequence[tuple[str, type[Any]]], *, known_only: bool = False
) -> dict[str, Any]:
    """Return the strategy options that configuration files set for commands, checked and with absolute paths.

    Later commands take precedence. Options that no class has are left out if ``known_only``. Raises OptionError.
    """
    options: dict[str, Any] = {}
    for command in commands:
        for file in settings.files:
            of_file = replace(settings, files=(file,)).options(command)
            options |= checked_options(of_file, classes, file.path, known_only=known_only)
    return options


def beside(text: str, folder: Path) -> str:
    """Return a path that is relative to ``folder``, or absolute."""
    return str(folder / Path(text).expanduser())
