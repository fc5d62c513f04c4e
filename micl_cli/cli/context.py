"""The settings of a ``micl`` invocation, loaded once."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from micl_cli.settings import Settings, load_settings

_SETTINGS = "micl_cli.settings"


def current_settings(ctx: click.Context | None = None) -> Settings:
    """Return the settings of this invocation, including ``--home``. Raises UsageError."""
    ctx = ctx or click.get_current_context()
    if _SETTINGS not in ctx.meta:
        ctx.meta[_SETTINGS] = load_settings(flagged_home(ctx))
    settings: Settings = ctx.meta[_SETTINGS]
    return settings


def flagged_home(ctx: click.Context) -> Path | None:
    """Return the home folder given by ``--home``, or None."""
    root = ctx.find_root()
    if root.get_parameter_source("home") is not ParameterSource.COMMANDLINE:
        return None
    home: Path = root.params["home"]
    return home.expanduser().absolute()
