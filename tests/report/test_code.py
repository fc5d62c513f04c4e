"""Rows of different code are marked in the comparison and in means, or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from micl_cli.errors import PlanError
from micl_cli.report.code import check_same_code, code_marks, code_notes
from micl_cli.report.data import RunData
from micl_cli.report.differences import comparable, differences_of
from micl_cli.report.groups import paired_of
from micl_cli.report.render import render

FIRST, SECOND = "a1" * 6, "b2" * 6


def of_codes(run: RunData, codes: Sequence[str]) -> list[RunData]:
    """Runs of two strategies and one seed each, made by the codes in turn; "" is an earlier version of micl."""
    return [
        replace(
            run,
            id=f"{number:012x}",
            strategy="ewc" if number % 2 else "finetune",
            seed=number // 2,
            environment={"micl": "1.0", **({"code": code, "commit": f"c0ffee{number}"} if code else {})},
        )
        for number, code in enumerate(codes)
    ]


def test_runs_of_one_known_code_have_no_marks_and_no_notes(plain: RunData) -> None:
    runs = of_codes(plain, [FIRST, FIRST])
    assert (code_marks(runs), code_notes(runs)) == ({}, [])
    text = render([replace(run, environment={"code": FIRST}) for run in runs], "text")
    assert "[a]" not in text and "different code" not in text
    check_same_code(runs)


def test_rows_of_different_code_are_marked_and_explained(plain: RunData) -> None:
    runs = of_codes(plain, [FIRST, SECOND, FIRST, SECOND])
    text = " ".join(render(runs, "text", width=200).split())
    assert "finetune 00000000 [a]" not in text  # ids that begin alike are longer
    assert "finetune 000000000000 [a]" in text and "ewc 000000000001 [b]" in text
    assert f"[a] code {FIRST} (commit c0ffee0, c0ffee2, micl 1.0, 2 runs); [b] code {SECOND}" in text
    assert "environment.code marked" in text
    assert "finetune [a] 2" in text and "ewc [b] 2" in text, "means are marked too"


def test_a_mean_over_different_code_has_both_marks(plain: RunData) -> None:
    runs = [replace(run, strategy="ewc", seed=number) for number, run in enumerate(of_codes(plain, [FIRST, SECOND]))]
    assert "ewc [a, b] 2" in " ".join(render(runs, "text", width=200).split())


def test_runs_of_unknown_code_are_marked_beside_known_ones(plain: RunData) -> None:
    runs = of_codes(plain, [FIRST, ""])
    assert code_marks(runs) == {FIRST: "a", "unknown": "?"}
    (note,) = code_notes(runs)
    assert "[?] unknown code (micl 1.0, 1 run)" in note
    (difference,) = [each for each in differences_of(runs) if each.name == "environment.code"]
    assert dict(difference.runs) == {FIRST: [runs[0].id], "unknown": [runs[1].id]}


def test_runs_that_all_are_of_unknown_code_are_said_to_be(plain: RunData) -> None:
    runs = of_codes(plain, ["", ""])
    assert code_marks(runs) == {}
    assert code_notes(runs) == ["The code of these runs is unknown: it was not recorded when they started."]


def test_different_code_is_marked_but_not_kept_apart(plain: RunData) -> None:
    runs = of_codes(plain, [FIRST, SECOND, FIRST, SECOND])
    assert comparable(runs[0], runs[1])
    assert [pair.n for pair in paired_of(runs)] == [2]
    (difference,) = [each for each in json.loads(render(runs, "json"))["differences"] if "code" in each["name"]]
    assert [value["value"] for value in difference["values"]] == [FIRST, SECOND]


@pytest.mark.parametrize("codes", [[FIRST, SECOND], [FIRST, ""], ["", ""], [""], [f"{FIRST}, then {SECOND}"]])
def test_different_or_unknown_code_can_be_refused(codes: list[str], plain: RunData) -> None:
    with pytest.raises(PlanError, match="do not come from the same known code") as caught:
        check_same_code(of_codes(plain, codes))
    assert "--strict" in caught.value.hint
    assert "000000000000" in caught.value.message


def test_more_codes_than_letters_have_marks_of_their_own(plain: RunData) -> None:
    runs = of_codes(plain, [f"{number:012x}" for number in range(30)])
    assert len(set(code_marks(runs).values())) == 30
