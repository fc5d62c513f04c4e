"""Errors that a user can act on, each with an exit code and a hint."""

from __future__ import annotations

from collections.abc import Iterable

from micl_cli.redaction import redact

_CUTOFF, _LONGER = 0.5, 3
"""The least similarity of names that may be confused, and how many times longer one can then be than the other."""


class MiclError(Exception):
    """An error that a user can act on: ``message`` describes the problem, ``hint`` the solution.

    The command line prints both and exits with ``exit_code``. A traceback is only shown with ``--debug``. Secrets in
    the texts are hidden, since errors are also stored, delivered to listeners, and pasted into bug reports.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(redact(message))
        self.message = redact(message)
        self.hint = redact(hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(MiclError):
    """The arguments of a command are invalid or contradict each other."""

    exit_code = 2


class OptionError(UsageError):
    """An option of a plugin is unknown, or its value has the wrong type or is out of range."""


class PluginError(MiclError):
    """A plugin is unknown, ambiguous or broken."""

    exit_code = 3


class PlanError(MiclError):
    """The plan cannot be carried out: its components do not fit together, or data is not prepared or has changed."""

    exit_code = 4


class MediaError(PlanError):
    """A media file cannot be decoded."""


class ManifestError(PlanError):
    """A manifest or task description is malformed; the message names the file and line."""


class StoreError(MiclError):
    """The run store cannot be opened, is newer than this program, or refuses a write."""


class CheckpointError(MiclError):
    """A checkpoint cannot be written or read. Finished stages are not affected."""


class BusyError(MiclError):
    """Another process works on the same run."""


class Interrupted(MiclError):
    """The user or the system requested a stop. What was learnt is saved."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'X'?" for the known name closest to ``name`` in any case, or an empty string."""
    folded = {each.casefold(): each for each in sorted(known, reverse=True)}
    if len(name.casefold()) > _LONGER * max(map(len, folded), default=0):
        return ""  # without a comparison, whose memory is many times that of the name
    from difflib import get_close_matches  # not at start-up: only errors need it

    matches = get_close_matches(name.casefold(), sorted(folded), n=1, cutoff=_CUTOFF)
    return f"Did you mean {folded[matches[0]]!r}?" if matches else ""
