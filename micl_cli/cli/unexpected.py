"""The errors for words and options that a command does not have, with what was probably meant."""

from __future__ import annotations

import mimetypes
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from micl_cli.errors import MiclError, UsageError, nearest

MODALITIES = ("image", "audio", "video")
"""The options of ``micl ask`` for media."""
_NAME = re.compile(r"[^,\[]+(?:\[[^\]]*\])?")
"""A name in a comma-separated list, perhaps with options in brackets."""
_RUN = re.compile(r"@\w+")
_TEXT = re.compile(r"[A-Za-z][^\s?]*")
"""A list of names, and neither a number nor a sentence."""


def unexpected_words(ctx: click.Context, words: Sequence[str], values: Mapping[str, Any] | None = None) -> UsageError:
    """Return the error for ``words`` that the command of ``ctx`` does not take, with the options that were meant.

    ``values`` are those of the other parameters by name, as they are on the command line.
    """
    shown, values = " ".join(words), values or {}
    flags = {option.name: option for option in ctx.command.params if isinstance(option, click.Option)}
    takes_run = any(isinstance(each, click.Argument) and each.name in ("run", "runs") for each in ctx.command.params)
    help_hint = f"See `{ctx.command_path} --help`."
    if any(word.startswith("-") for word in words):
        return UsageError(f"unexpected argument {shown!r}", help_hint)
    if set(MODALITIES) <= flags.keys():
        return _unexpected_in_question(shown, words, values)
    if not takes_run and all(map(_RUN.fullmatch, words)):
        resume = f"Continue an unfinished run: {ctx.command_path} --resume {words[0]}"
        hint = f"For its report: micl report {words[0]} --format html -o report.html"
        problem = f"unexpected argument {shown!r}: {ctx.command_path} takes no run"
        return UsageError(problem, resume if "resume" in flags else hint)
    if not all(map(_TEXT.fullmatch, words)):
        return UsageError(f"unexpected argument {shown!r}", help_hint)
    strategies, tasks = _sorted(words) if "strategy" in flags else ([], list(words))
    given = [("strategy", strategies), ("tasks" if "tasks" in flags else "task", tasks)]
    meant = [_with_names(flags[name], names, values.get(name)) for name, names in given if names and name in flags]
    if not meant:
        return UsageError(f"unexpected argument {shown!r}", help_hint)
    kinds = " and ".join(kind for kind, value in (("strategies", strategies), ("tasks", tasks)) if value)
    return UsageError(f"unexpected argument {shown!r}: {kinds} are named by options", f"Write: {' '.join(meant)}")


def unknown_command(ctx: click.Context, name: str, known: Sequence[str]) -> UsageError:
    """Return the error for a command that a group does not have."""
    listing = f"`{ctx.command_path} --help` lists the commands."
    shown = f"Show it: {ctx.command_path} show {shlex.quote(name)}" if "show" in known else listing
    return UsageError(f"no command {name!r}", nearest(name, known) or shown)


def modality_of(path: str) -> str:
    """Return the modality of a media file by its suffix: image, audio or video; empty for any other text."""
    if any(map(str.isspace, path)) and not Path(path).is_file():
        return ""  # a sentence may end in the name of a file
    modality = (mimetypes.guess_type(path, strict=False)[0] or "").partition("/")[0]
    return modality if modality in MODALITIES else ""


def question_command(run: str, words: Iterable[str], given: Iterable[tuple[str, str]] = ()) -> str:
    """Return the command that asks a run, with the media among ``words`` as options, and the others as the question.

    ``given`` are the modalities and files of media that are options already.
    """
    words = list(words)
    media = [*given, *((modality_of(word), word) for word in words if modality_of(word))]
    options = [f"--{modality} {shlex.quote(path)}" for modality, path in media]
    text = " ".join(word for word in words if not modality_of(word)) or "What is it?"
    return " ".join(["micl ask", shlex.quote(run), *options, shlex.quote(text)])


def _unexpected_in_question(shown: str, words: Sequence[str], values: Mapping[str, Any]) -> UsageError:
    given = [(modality, str(path)) for modality in MODALITIES for path in values.get(modality) or ()]
    media = any(map(modality_of, words))
    problem = "media are named by options" if media else "the question is one argument"
    command = question_command(str(values.get("run") or "@last"), words, given)
    return UsageError(f"unexpected argument {shown!r}: {problem}", f"Write: {command}")


def _with_names(option: click.Option, names: Sequence[str], value: Any) -> str:
    """Return an option with names, after those that it has if it takes a list."""
    from micl_cli.cli.command import JoinedOption, ListsOption

    lists = [value] if isinstance(value, str) else list(value or ())
    former = lists if isinstance(option, JoinedOption) else lists[-1:] if isinstance(option, ListsOption) else []
    words = [word for text in former for word in _NAME.findall(str(text)) if word.strip()]
    return f"{option.opts[0]} {shlex.quote(','.join([*words, *names]))}"


def _sorted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that are strategies, and the others, which are probably tasks."""
    from micl_cli.registry import Registry

    try:
        known = {part.name for part in Registry.discover().parts("strategies")}
    except MiclError:
        known = set()
    names = [name for word in words for name in _NAME.findall(word)]
    strategies = [name for name in names if name.partition("[")[0] in known]
    return strategies, [name for name in names if name not in strategies]
