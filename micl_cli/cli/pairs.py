"""Options that take a name and a value: ``-o NAME VALUE`` or ``-o NAME=VALUE``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from micl_cli.api.options import Option

WORDS = "micl_cli.words"
"""The entry of a context's ``meta`` with the words before the one that a shell completes."""


class PairOption(click.Option):
    """A repeatable option for pairs, which are given as two words or as one with "="."""

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """Return the pairs in an environment variable, separated by spaces."""
        text = self.resolve_envvar_value(ctx)
        if text is None:
            return None
        words, pairs = deque(text.split()), []
        while words:
            pairs.append(tuple(_next_pair(words)))
        return pairs


def split_pairs(command: click.Command, args: Iterable[str]) -> list[str]:
    """Return the arguments of a command with each pair NAME=VALUE as two words, which is what click parses."""
    flags = {flag: option for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    words, split = deque(args), list[str]()
    while words:
        word = words.popleft()
        if word == "--":
            return [*split, word, *words]
        flag, attached = _flag(word)
        option = flags.get(flag)
        if isinstance(option, PairOption):
            words.extendleft(attached)
            split += [flag, *_next_pair(words)]
        else:
            split += [word, *(words.popleft() for _ in range(_values(flags.get(word))) if words)]
    return split


def _flag(word: str) -> tuple[str, list[str]]:
    """Return the flag of a word, and the value that is attached to it: "--option=a", "-oa"."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, [value] if equals else []
    return word[:2], [word[2:]] if word[2:] else []


def _values(option: click.Parameter | None) -> int:
    """Return the number of words that an option takes."""
    if not isinstance(option, click.Option) or option.is_flag or option.count:
        return 0
    return option.nargs


def _next_pair(words: deque[str]) -> list[str]:
    """Remove the next pair from ``words`` and return it; fewer than two words if it is not complete."""
    name, equals, value = words[0].partition("=") if words else ("", "", "")
    if name and equals:
        words.popleft()
        return [name, value]
    return [words.popleft() for _ in range(2) if words]


def complete_pair(
    ctx: click.Context, param: click.Parameter, incomplete: str, options: Callable[[], Mapping[str, Option]]
) -> list[CompletionItem]:
    """Complete the name or the value of a pair, or what follows a pair that is complete.

    ``options`` returns the options by name. A name may have the position of a task before it: "3:alpha".
    """
    words: list[str] = ctx.meta.get(WORDS, [])
    if words[-1:] and words[-1] in param.opts:
        name, equals, value = incomplete.partition("=")
        if equals:
            return _complete_value(options(), name, value, f"{name}=")
        return _complete_name(options(), name)
    if words[-2:-1] and words[-2] in param.opts and "=" not in words[-1]:
        return _complete_value(options(), words[-1], incomplete)
    return ctx.command.shell_complete(ctx, incomplete)


def _complete_name(options: Mapping[str, Option], text: str) -> list[CompletionItem]:
    position, colon, name = text.partition(":")
    prefix, name = (position + colon, name) if colon and position.isdecimal() else ("", text)
    return [CompletionItem(prefix + each, help=o.help) for each, o in options.items() if each.startswith(name)]


def _complete_value(options: Mapping[str, Option], name: str, text: str, prefix: str = "") -> list[CompletionItem]:
    option = options.get(name.partition(":")[2] if ":" in name else name)
    if option is None:
        return []
    if option.existing_file:
        return [CompletionItem(text, type="file")]
    values = list(map(str, option.choices)) or (["true", "false"] if option.type is bool else [])
    values += ["none"] if option.optional else []
    return [CompletionItem(prefix + value) for value in values if value.startswith(text)]
