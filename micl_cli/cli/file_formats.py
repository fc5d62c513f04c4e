"""The format of a file that a command writes, from its options or the suffix of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from click.core import ParameterSource

from micl_cli.errors import UsageError

TEXT = "text"
_PLAIN = ("", ".txt", ".text", ".log", ".out")
"""The suffixes of files that hold text."""
_EXPLICIT = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def chosen_format(ctx: click.Context, style: str, file: Path | None, by_suffix: Mapping[str, str]) -> str:
    """Return the format in which a command writes: that of ``--format``, or else that of the suffix of the file.

    The suffix takes precedence over a format in a configuration file. Raises UsageError for a suffix that stands for
    no format, so that no file holds something else than its name says.
    """
    if file is None or ctx.get_parameter_source("style") in _EXPLICIT:
        return style
    suffix = file.suffix.lower()
    if suffix in by_suffix:
        return by_suffix[suffix]
    if suffix in _PLAIN:
        return style
    known = ", ".join(by_suffix)
    hint = f"Name a file with one of {known}, .txt, or the format with --format."
    raise UsageError(f"the suffix {file.suffix} of {file.name} stands for no format", hint)
