from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.errors import UsageError
from micl_cli.plan import Plan
from micl_cli.sweep.grid import Cell, parse_seeds, parse_variants, sweep_name

NAMES = st.from_regex(r"[a-z][a-z0-9_:-]{0,8}", fullmatch=True)
VALUES = st.text("abc012.,=- ", max_size=8).map(str.strip)


def written(options: dict[str, str]) -> str:
    pairs = ",".join(f"{name}=[{value}]" if "," in value else f"{name}={value}" for name, value in options.items())
    return f"[{pairs}]" if pairs else ""


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=3)), min_size=1, max_size=4))
def test_what_is_written_is_read(variants: list[tuple[str, dict[str, str]]]) -> None:
    text = ", ".join(name + written(options) for name, options in variants)
    if any(variants.count(variant) > 1 for variant in variants):
        with pytest.raises(UsageError, match="twice"):
            parse_variants(text)
        return
    found = parse_variants(text)
    assert [(variant.strategy, variant.options) for variant in found] == variants
    again = parse_variants(",".join(variant.label for variant in found))
    assert again == found


@given(st.text("ab[]=, 0.", max_size=20))
def test_any_text_is_read_or_refused_with_a_way_out(text: str) -> None:
    with suppress(UsageError):
        assert parse_variants(text)
    with suppress(UsageError):
        assert parse_seeds(text)


def test_values_with_commas_stand_in_brackets_of_their_own() -> None:
    one, two = parse_variants("router[router=mllm,router_options=[samples=5,epochs=9]],finetune")
    assert one.options == {"router": "mllm", "router_options": "samples=5,epochs=9"}
    assert (one.label, two.label) == ("router[router=mllm,router_options=[samples=5,epochs=9]]", "finetune")


@pytest.mark.parametrize(
    "text", ["", " , ", "a]", "a[b=1", "a[b]", "a[=1]", "a[b=1]c", "a[b=1][c=2]", "[b=1]", "a[b=1,b=2]", "a,a"]
)
def test_malformed_strategies_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_variants(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("5", [5]), ("0..2", [0, 1, 2]), ("0,3,7", [0, 3, 7]), ("7, 1..2", [7, 1, 2]), ("4..4", [4])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1..", "..2", "-1", "2..0", "0..99999999", "1,1", "0..2,1", "1.5"])
def test_malformed_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_seeds(text)
    assert caught.value.hint


def test_a_sweep_has_the_name_of_its_file_or_one_that_the_same_cells_share() -> None:
    plans = [Plan(strategy="finetune", backbone="toy", tasks=("a",), seed=seed) for seed in range(3)]
    cells = [Cell("finetune", "a", plan.seed, plan, ()) for plan in plans]
    assert sweep_name("grids/paper.toml", cells) == "paper"
    name = sweep_name(None, cells)
    assert name.startswith("sweep-")
    assert sweep_name(None, cells[::-1]) == name != sweep_name(None, cells[:2])
