"""Options of ``micl prepare --from``: a data set of the user, and the task to make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from micl_cli.cli.command import unique_names
from micl_cli.cli.completers import complete_format_options
from micl_cli.cli.pairs import PairOption
from micl_cli.errors import UsageError

if TYPE_CHECKING:
    from micl_cli.data.own.request import Input, OwnRequest

_C = TypeVar("_C", bound=Callable[..., Any])

NAMES = (
    *("inputs", "name", "format_name", "columns", "prompt", "type_name", "metric", "modality"),
    *("split", "split_seed", "separator", "merge", "options"),
)
"""The parameter names of the options."""

_OPTIONS = (
    click.option("--from", "inputs", multiple=True, metavar="[SPLIT=]PATH",
                 help="A file or folder of your own data; repeat it for the files of several splits."),
    click.option("--as", "name", metavar="NAME", help="The name of the new task: own/NAME."),
    click.option("--format", "format_name", metavar="NAME",
                 help="The format of --from, if it is not recognised (list: `micl plugins --kind formats`)."),
    click.option("-o", "--option", "options", cls=PairOption, type=(str, str), multiple=True, metavar="NAME VALUE",
                 callback=unique_names, shell_complete=complete_format_options,
                 help="An option of the format, also as NAME=VALUE; repeatable."),
    click.option("--column", "columns", multiple=True, metavar="ROLE=COLUMN",
                 help="The column of a role: image, audio, video, prompt, answer, choices, id, split, category, group "
                      "or meta; repeatable."),
    click.option("--prompt", metavar="TEXT", help="The prompt of all examples, instead of a column."),
    click.option("--type", "type_name", metavar="TYPE", help="captioning, qa, choice or another; guessed by default."),
    click.option("--metric", metavar="NAME", help="The metric; by default that of the type."),
    click.option("--modality", metavar="NAME", help="A modality that the columns and the first items do not show."),
    click.option("--split", multiple=True, metavar="A/B/C|VALUE=SPLIT",
                 help="Divide the examples, as in 80/10/10, or map a name in the data to a split, as in dev=val."),
    click.option("--split-seed", type=click.IntRange(0), help="The seed of --split A/B/C."),
    click.option("--separator", metavar="TEXT", help="The separator between several answers in one value."),
    click.option("--merge", is_flag=True, default=None,
                 help="Merge examples with the same media and prompt into one with all their answers."),
)  # fmt: skip


def own_options(command: _C) -> _C:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse_without_inputs(given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that needs --from."""
    flags = {"format_name": "--format", "type_name": "--type", "columns": "--column", "options": "-o", "name": "--as"}
    for name, value in given.items():
        if value not in (None, ()):
            flag = flags.get(name, f"--{name.replace('_', '-')}")
            raise UsageError(f"{flag} is for data of your own, and --from is missing", "Name a file: --from FILE")


def own_request(given: Mapping[str, Any], reading: Mapping[str, Any]) -> OwnRequest:
    """Return the request that the options describe. Raises UsageError."""
    from micl_cli.data.own.request import OwnRequest

    for name in ("root", "prompts", "scorer"):
        if reading[name] is not None:
            hint = "Leave it out: paths of media are relative to the file, or to --media-root."
            raise UsageError(f"--{name} is for published benchmarks, and cannot be used with --from", hint)
    shares = [text for text in given["split"] if "=" not in text]
    named = dict(_split_name(text) for text in given["split"] if "=" in text)
    if len(shares) > 1 or (shares and named):
        raise UsageError("--split both divides the examples and names splits", "Leave one of them out.")
    return OwnRequest(
        inputs=tuple(map(_input, given["inputs"])),
        name=_full_name(given["name"]),
        format=given["format_name"],
        options=dict(given["options"]),
        columns=_columns(given["columns"]),
        prompt=given["prompt"] or "",
        type=given["type_name"],
        metric=given["metric"],
        modality=given["modality"],
        separator=given["separator"] or "",
        merge=bool(given["merge"]),
        splits=named,
        shares=_shares(shares),
        split_seed=given["split_seed"] or 0,
        media_root=reading["media_root"],
        limit=reading["limit"],
        val=reading["val"],
    )


def _input(text: str) -> Input:
    from micl_cli.data.own.request import Input
    from micl_cli.data.own.splits import NAMES as SPLIT_NAMES

    split, equals, path = text.partition("=")
    if equals and split.lower() in SPLIT_NAMES and not Path(text).exists():
        return Input(path, SPLIT_NAMES[split.lower()])
    return Input(text)


def _full_name(name: str | None) -> str:
    from micl_cli.data.description import OWN, is_full_name

    if not name:
        raise UsageError("--as is missing: --from needs the name of the task", "Name it: --as own/NAME")
    full = name if "/" in name else f"{OWN}/{name}"
    if not is_full_name(full):
        hint = "Use lowercase letters, digits, _ and -, as in own/birds."
        raise UsageError(f"--as {name!r} is not a valid task name", hint)
    return full


def _columns(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    from micl_cli.data.own.columns import ALIASES, SINGLE

    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        role, equals, column = word.partition("=")
        if not equals or not role or not column:
            raise UsageError(f"--column {word!r} is not ROLE=COLUMN", "Write a role and a column: --column image=path")
        role = ALIASES.get(role, role)
        if role in SINGLE and role in found:
            raise UsageError(f"--column: the role {role} has two columns", "It can only have one.")
        found[role] = (*found.get(role, ()), column)
    return found


def _split_name(text: str) -> tuple[str, str]:
    from micl_cli.data.own.splits import NAMES as SPLIT_NAMES
    from micl_cli.data.own.splits import NONE

    value, _, split = text.rpartition("=")
    if split != NONE and split not in SPLIT_NAMES:
        raise UsageError(f"--split {text!r}: unknown split {split!r}", "A name stands for train, val, test or none.")
    return value, NONE if split == NONE else SPLIT_NAMES[split]


def _shares(texts: Sequence[str]) -> tuple[float, float, float] | None:
    from micl_cli.data.own.request import parse_shares

    return parse_shares(texts[0]) if texts else None
