"""The space of a study: the options of a strategy and the settings of training that are tuned."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

from micl_cli.api.options import Option, options_of
from micl_cli.api.search import Search
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import Plan, Training, declared_settings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from micl_cli.registry import Registry

_EDGE = 0.05
"""The share of an interval at either end that counts as its edge."""
_DIGITS = 3
"""The significant digits of a sampled number, for readable options; more would make no difference."""
_INTERVAL = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(?P<log>:log)?", re.DOTALL)
_EXAMPLE = "Write NAME=LOW..HIGH, NAME=LOW..HIGH:log, NAME=A|B|C, or NAME=VALUE to fix it."


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A tuned option of the strategy or, with ``training``, a setting of training.

    ``space`` is absolute. ``whole`` is whether the numbers of an interval are integers. ``lowest`` and ``highest`` are
    the ends of the range of valid values, if it has any.
    """

    name: str
    default: Any
    space: Search
    training: bool = False
    whole: bool = False
    lowest: float | None = None
    highest: float | None = None

    def __post_init__(self) -> None:
        if self.space.problem or self.space.relative:
            raise ValueError(f"the space of {self.name} is not valid: {self.space.problem or 'it is relative'}")

    def __str__(self) -> str:
        return str(self.space)

    @property
    def _ends(self) -> tuple[float, float]:
        return self.space.low or 0.0, self.space.high or 0.0

    def distribution(self) -> BaseDistribution:
        """Return the distribution from which optuna samples."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.space.choices:
            return CategoricalDistribution(self.space.choices)
        low, high = self._ends
        if self.whole:
            return IntDistribution(round(low), round(high), log=self.space.log)
        return FloatDistribution(low, high, log=self.space.log)

    def contains(self, value: Any) -> bool:
        """Return whether a value is in the space."""
        if self.space.choices:
            return any(type(value) is type(choice) and value == choice for choice in self.space.choices)
        low, high = self._ends
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and low <= value <= high and (not self.whole or value == int(value))

    def rounded(self, value: Any) -> Any:
        """Return a sampled value with few digits, within the space."""
        if self.space.choices or self.whole:
            return value
        low, high = self._ends
        return min(max(float(f"{value:.{_DIGITS}g}"), low), high)

    def edge(self, value: Any) -> str:
        """Return the edge of the interval ("lower", "upper") that a value is close to, or an empty text.

        An edge beyond which no value is valid does not count.
        """
        if self.space.choices or not self.contains(value):
            return ""
        low, high = (self._scaled(end) for end in self._ends)
        share = (self._scaled(value) - low) / (high - low)
        if share <= _EDGE and self.space.low != self.lowest:
            return "lower"
        return "upper" if share >= 1 - _EDGE and self.space.high != self.highest else ""

    def _scaled(self, value: float) -> float:
        return log(value) if self.space.log else value


@dataclass(frozen=True)
class SpaceChange:
    """A change of the space by the user: the name of an option or setting, and the text of its space or fixed value.

    It applies to ``strategy``, or, if that is empty, to every strategy that has the option.
    """

    name: str
    text: str
    strategy: str = ""

    @property
    def interval(self) -> re.Match[str] | None:
        """The ends of an interval, or None."""
        return _INTERVAL.fullmatch(self.text)

    @property
    def fixes(self) -> bool:
        """Whether the text is a single value."""
        return not self.interval and "|" not in self.text


def parse_space(texts: Sequence[str]) -> list[SpaceChange]:
    """Return the changes that texts like "NAME=LOW..HIGH:log", "STRATEGY:NAME=A|B" and "NAME=VALUE" describe.

    Raises UsageError.
    """
    changes = [_change(text) for text in texts]
    keys = [(change.strategy, change.name) for change in changes]
    for key, change in zip(keys, changes, strict=True):
        if keys.count(key) > 1:
            raise UsageError(f"--space {change.name} is given twice", "Give it once.")
    return changes


def _change(text: str) -> SpaceChange:
    left, equals, right = (part.strip() for part in text.partition("="))
    strategy, _, name = left.rpartition(":")
    if not equals or not name or not right:
        raise UsageError(f"--space {text!r} is not NAME=SPACE", _EXAMPLE)
    if strategy.isdecimal():
        raise UsageError(f"--space {text!r}: options of single tasks cannot be tuned", "Tune the option of all tasks.")
    declared = declared_settings(Training)
    flags = {flag.removeprefix("--"): setting for setting, known in declared.items() for flag in known.flags}
    return SpaceChange(flags.get(name, name), right, strategy)


def check_space(changes: Sequence[SpaceChange], strategies: Collection[str], registry: Registry) -> None:
    """Raise UsageError for a change that applies to none of the strategies."""
    for change in changes:
        if change.strategy and change.strategy not in strategies:
            hint = nearest(change.strategy, strategies) or f"Tuned strategies: {', '.join(strategies)}."
            raise UsageError(f"--space: strategy {change.strategy!r} is not tuned", hint)
        of = [change.strategy] if change.strategy else strategies
        known = {name for strategy in of for name in tunable(strategy, registry)}
        if change.name not in known:
            raise UsageError(f"--space: {' or '.join(of)} has no option {change.name!r}", nearest(change.name, known))


def changes_for(changes: Sequence[SpaceChange], strategy: str, registry: Registry) -> dict[str, SpaceChange]:
    """Return the changes that apply to a strategy, by option; one that names the strategy takes precedence."""
    known = tunable(strategy, registry)
    applying = [change for change in changes if change.strategy in ("", strategy) and change.name in known]
    return {change.name: change for change in sorted(applying, key=lambda change: bool(change.strategy))}


def tunable(strategy: str, registry: Registry) -> dict[str, Option]:
    """Return the options that can be tuned, by name: those of the strategy, and the settings of training."""
    own = options_of(registry.load("strategies", strategy))
    return own | {name: option for name, option in options_of(Training).items() if name not in own}


def space_of(
    plan: Plan, changes: Mapping[str, SpaceChange], fixed: Collection[str], registry: Registry
) -> tuple[Dimension, ...]:
    """Return the space of a strategy: what its options and the settings of training declare, with the ``changes``.

    ``plan`` has the defaults; names in ``fixed`` are not tuned. Raises UsageError for a space that is not valid.
    """
    own = options_of(registry.load("strategies", plan.strategy))
    dimensions = []
    for name, option in tunable(plan.strategy, registry).items():
        change = changes.get(name)
        if name in fixed or (change and change.fixes):
            continue
        default = plan.strategy_options.get(name, option.default) if name in own else getattr(plan.training, name)
        if space := _given(option, change) if change else _declared(option, default):
            dimensions.append(_dimension(option, space, default, training=name not in own))
    return tuple(dimensions)


def _dimension(option: Option, space: Search, default: Any, *, training: bool) -> Dimension:
    bounds = option.range
    return Dimension(
        name=option.name,
        default=default,
        space=space,
        training=training,
        whole=option.type is int and not space.choices,
        lowest=bounds.low if bounds else None,
        highest=bounds.high if bounds else None,
    )


def _declared(option: Option, default: Any) -> Search | None:
    """Return the space that an option declares, in absolute numbers; None if it declares none."""
    search = option.search
    if search is None or not search.relative:
        return search
    ends = (search.low, search.high)
    low, high = (float(f"{(end or 0) * (default or 0):.{_DIGITS}g}") for end in ends)
    if option.type is int:
        low, high = round(low), round(high)
    space = Search(low, high, search.log)
    if space.problem:
        hint = f"Give it a space (--space {option.name}=LOW..HIGH), or fix it (--space {option.name}=VALUE)."
        raise UsageError(f"the space of {option.name}, {search}, is empty with the default {default}", hint)
    return space


def _given(option: Option, change: SpaceChange) -> Search:
    """Return the space that the user gave."""
    try:
        space = _interval(option, change.interval) if change.interval else _choices(option, change.text)
    except (ValueError, OverflowError) as error:
        problem = f"--space {change.name}={change.text}: {option.name} expects {option.expected}"
        raise UsageError(problem, _EXAMPLE) from error
    if space.problem:
        raise UsageError(f"--space {change.name}={change.text}: {space.problem}", _EXAMPLE)
    return space


def _interval(option: Option, match: re.Match[str]) -> Search:
    if option.choices or option.type not in (int, float):
        raise ValueError("not a number")
    return Search(option.parse(match["low"].strip()), option.parse(match["high"].strip()), bool(match["log"]))


def _choices(option: Option, text: str) -> Search:
    values = [option.parse(word.strip()) for word in text.split("|")]
    plain = [value if isinstance(value, (bool, int, float, str)) or value is None else str(value) for value in values]
    return Search(choices=tuple(dict.fromkeys(plain)))
