"""The code that produced runs: rows of a table that come from different code are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from micl_cli.errors import PlanError
from micl_cli.report.data import THEN, UNKNOWN, RunData


def code_of(run: RunData) -> str:
    """Return the digest of the code of a run (several if the code changed), or UNKNOWN if it was not recorded."""
    return run.environment.get("code") or UNKNOWN


def code_marks(runs: Sequence[RunData]) -> dict[str, str]:
    """Return the mark of each code, such as "a", or "?" if it is unknown; none if all runs have the same code."""
    codes = list(dict.fromkeys(map(code_of, runs)))
    if len(codes) < 2:
        return {}
    known = [code for code in codes if code != UNKNOWN]
    marks = {code: _mark(number) for number, code in enumerate(known)}
    return {code: marks.get(code, "?") for code in codes}


def marks_of(runs: Sequence[RunData], marks: Mapping[str, str]) -> str:
    """Return the marks of the code of ``runs`` as the suffix of a label: " [a]", " [a, b]", or an empty text."""
    found = dict.fromkeys(marks[code] for run in runs if (code := code_of(run)) in marks)
    return f" [{', '.join(found)}]" if found else ""


def code_notes(runs: Sequence[RunData]) -> list[str]:
    """Return the legend of the marks, or a warning if the code of all runs is unknown or changed while they ran."""
    marks = code_marks(runs)
    if marks:
        each = [f"[{mark}] {_described(code, runs)}" for code, mark in marks.items()]
        return [f"Rows come from different code, which may explain their differences: {'; '.join(each)}."]
    code = code_of(runs[0]) if runs else ""
    if code == UNKNOWN:
        return ["The code of these runs is unknown: it was not recorded when they started."]
    return [f"The code changed while these runs were learnt or scored: {code}."] if THEN in code else []


def check_same_code(runs: Sequence[RunData]) -> None:
    """Raise PlanError unless all of ``runs`` come from the same, known code."""
    codes: dict[str, list[str]] = {code_of(run): [] for run in runs}
    for run in runs:
        codes[code_of(run)].append(run.id)
    if len(codes) == 1 and not any(code == UNKNOWN or THEN in code for code in codes):
        return
    each = [f"{code} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})" for code, ids in codes.items()]
    raise PlanError(
        f"the runs do not come from the same known code: {'; '.join(each)}",
        "Learn them again with one version of the code (--again), or leave out --strict: their rows are marked then.",
    )


def _mark(number: int) -> str:
    return ascii_lowercase[number] if number < len(ascii_lowercase) else f"{number + 1}"


def _described(code: str, runs: Sequence[RunData]) -> str:
    """Return a digest with the recorded commits and versions, and the number of runs that it produced."""
    own = [run for run in runs if code_of(run) == code]
    facts = [
        f"{name} {', '.join(values)}"
        for name in ("commit", "micl")
        if (values := list(dict.fromkeys(run.environment[name] for run in own if run.environment.get(name))))
    ]
    name = "unknown code" if code == UNKNOWN else f"code {code}"
    return f"{name} ({', '.join([*facts, '1 run' if len(own) == 1 else f'{len(own)} runs'])})"
