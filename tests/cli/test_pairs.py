"""Options of strategies and backbones, as two words and as one with "=", and their completion."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.cli.command import Command, unique_names
from micl_cli.cli.pairs import PairOption, split_pairs
from micl_cli.errors import UsageError

NAMES = st.from_regex(r"\A(?:[1-9]:)?[a-z_]{1,8}\Z")
VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1).filter(
    lambda text: "\0" not in text
)


@click.command(cls=Command)
@click.option("-o", "--option", "options", cls=PairOption, type=(str, str), multiple=True, callback=unique_names)
@click.option("--name", default="")
@click.option("-q", "quiet", is_flag=True)
@click.argument("runs", nargs=-1)
def command(**values: Any) -> None:
    """Do nothing."""


def parsed(*words: str) -> dict[str, Any]:
    return command.make_context("command", list(words)).params


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["-o", "alpha", "0.3"], [("alpha", "0.3")]),
        (["-o", "alpha=0.3"], [("alpha", "0.3")]),
        (["-oalpha=0.3"], [("alpha", "0.3")]),
        (["-oalpha", "0.3"], [("alpha", "0.3")]),
        (["--option", "3:alpha=0.3"], [("3:alpha", "0.3")]),
        (["--option=alpha=0.3"], [("alpha", "0.3")]),
        (["--option=alpha", "0.3"], [("alpha", "0.3")]),
        (["-o", "router_options", "a=1,b=2"], [("router_options", "a=1,b=2")]),
        (["-o", "router_options=a=1,b=2"], [("router_options", "a=1,b=2")]),
        (["-o", "text=", "-o", "path", ""], [("text", ""), ("path", "")]),
        (["-o", "a=1", "-o", "b", "2", "-q"], [("a", "1"), ("b", "2")]),
        (["-o", "a=1", "-o", "a=2"], [("a", "2")]),
    ],
)
def test_a_pair_is_two_words_or_one(words: list[str], options: list[tuple[str, str]]) -> None:
    assert parsed(*words)["options"] == tuple(options)


def test_words_of_others_are_left_as_they_are() -> None:
    values = parsed("--name", "-o", "a=b", "--name=-o", "-q", "--", "-o", "c=d")
    assert (values["name"], values["runs"], values["options"]) == ("-o", ("a=b", "-o", "c=d"), ())


@pytest.mark.parametrize(
    ("words", "message", "form"),
    [
        (["-o"], "-o has no name and value", "-o NAME=VALUE"),
        (["-o", "alpha"], "-o alpha has no value", "-o alpha=VALUE"),
        (["-o", "alpha", "--name", "x"], "-o alpha has no value", "-o alpha=VALUE"),
        (["--option", "--name", "x"], "--option has no name and value", "--option NAME=VALUE"),
        (["--option", "=3"], "--option has no name and value", "--option NAME=VALUE"),
        (["--name"], "--name has no value", "--name TEXT"),
        (["--name", "--option", "a=b"], "--name has no value", "--name TEXT"),
        (["--name", "--option=a=b"], "--name has no value", "--name TEXT"),
    ],
)
def test_an_option_without_its_value_is_refused(words: list[str], message: str, form: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(*words)
    assert (caught.value.message, caught.value.hint) == (message, f"Write: {form}")


def test_a_value_may_look_like_an_option() -> None:
    values = parsed("--name=--option", "-o", "alpha=--name")
    assert (values["name"], values["options"]) == ("--option", (("alpha", "--name"),))


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_both_forms_mean_the_same(pairs: list[tuple[str, str]]) -> None:
    one = [word for name, value in pairs for word in ("-o", f"{name}={value}")]
    two = [word for name, value in pairs for word in ("-o", name, value)]
    assert split_pairs(command, one) == split_pairs(command, two) == two


def test_a_variable_has_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    option = next(each for each in command.params if each.name == "options")
    monkeypatch.setattr(option, "envvar", "PAIRS")
    monkeypatch.setenv("PAIRS", "alpha=0.3 replay 32")
    assert parsed()["options"] == (("alpha", "0.3"), ("replay", "32"))


def test_a_strategy_gets_its_options_in_both_forms(learn: Any, micl: Any) -> None:
    import json

    words = ("--strategy", "moincl", "--dry-run", "--json", "-o", "alpha=0.25", "-o", "2:alpha", "0.75")
    plan = json.loads(learn(*words).out)["plan"]
    assert (plan["strategy_options"]["alpha"], plan["stage_options"]) == (0.25, {"2": {"alpha": 0.75}})
