"""Options that take a name and a value: ``-o NAME VALUE`` or ``-o NAME=VALUE``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from micl_cli.errors import UsageError

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


def split_pairs(command: click.Command, args: Iterable[str], ctx: click.Context | None = None) -> list[str]:
    """Return the arguments of a command with each pair NAME=VALUE as two words, which is what click parses.

    With the context ``ctx``, raises UsageError for an option that is followed by another one instead of its value.
    """
    options = {flag: option for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    flags = frozenset(flag for flag in options if flag.startswith("--")) if ctx else frozenset()
    words, split = deque(args), list[str]()
    while words:
        word = words.popleft()
        if word == "--":
            return [*split, word, *words]
        flag, attached = _flag(word)
        option = options.get(flag)
        if isinstance(option, PairOption):
            words.extendleft(attached)
            pair = _next_pair(words, flags)
            _check_values(option, flag, pair, 2, ctx)
            split += [flag, *pair]
        else:
            count = _values(options.get(word))
            values = _next_words(words, count, flags)
            _check_values(option, word, values, count, ctx)
            split += [word, *values]
    return split


def _check_values(
    option: click.Parameter | None, flag: str, values: Sequence[str], count: int, ctx: click.Context | None
) -> None:
    """Raise UsageError, with the form of the option, if it has fewer values than it takes."""
    if ctx is None or option is None or len(values) == count:
        return
    if isinstance(option, PairOption):
        name = values[0] if values and not values[0].startswith("=") else ""
        lacking = f"{flag} {name} has no value" if name else f"{flag} has no name and value"
        raise UsageError(lacking, f"Write: {flag} {name or 'NAME'}=VALUE")
    raise UsageError(f"{flag} has no value", f"Write: {flag} {option.make_metavar(ctx)}")


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


def _next_pair(words: deque[str], flags: Container[str] = ()) -> list[str]:
    """Remove the next pair from ``words`` and return it; fewer than two words if it is not complete."""
    name, equals, value = words[0].partition("=") if words else ("", "", "")
    if name and equals and name not in flags:
        words.popleft()
        return [name, value]
    return _next_words(words, 2, flags)


def _next_words(words: deque[str], count: int, flags: Container[str]) -> list[str]:
    """Remove up to ``count`` words from ``words``, which end before an option among ``flags``, and return them."""
    taken: list[str] = []
    while words and len(taken) < count and words[0].partition("=")[0] not in flags:
        taken.append(words.popleft())
    return taken


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
