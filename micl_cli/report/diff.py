"""The differences of two runs field by field, and whether they explain different ids and scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from micl_cli.report.blocks import Block, Paragraph, Table, number
from micl_cli.report.code import code_of
from micl_cli.report.data import UNKNOWN, RunData
from micl_cli.report.provenance import WITHOUT_EFFECT, beginning, environment_changes, plain
from micl_cli.report.rules import rule_of

NONE = "none"
_SECTIONS = {
    "strategy_options": "options",
    "stage_options": "stage",
    "backbone_options": "backbone",
    "option_files": "file",
}
"""Short names of mappings within a plan."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of two runs with its values as text, None where a run has none.

    ``decides`` is whether a difference may change scores; ``in_id`` is whether it changes the id of the run.
    """

    section: str
    name: str
    first: str | None
    second: str | None
    decides: bool = False
    in_id: bool = False

    @property
    def differs(self) -> bool:
        """Whether the values differ."""
        return self.first != self.second

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {**asdict(self), "differs": self.differs}


@dataclass(frozen=True)
class RunDiff:
    """Two runs with all their fields, and conclusions from the fields in which they differ.

    ``equal`` is whether they are equal in everything that decides scores. ``explains_id`` names the fields that
    make their ids differ.
    """

    runs: tuple[str, str]
    fields: Sequence[Field]
    equal: bool
    explains_id: Sequence[str]
    warnings: Sequence[str]

    def as_json(self, *, everything: bool) -> dict[str, Any]:
        """Return JSON-ready data, with the fields that differ, or with all."""
        return {
            "runs": list(self.runs),
            "equal": self.equal,
            "explains_id": list(self.explains_id),
            "warnings": list(self.warnings),
            "fields": [field.as_json() for field in self.fields if everything or field.differs],
        }


def diff(first: RunData, second: RunData) -> RunDiff:
    """Return the differences of two runs in plan, environment, recipe, scores, figures and cost."""
    fields = [*_plan(first, second), *_environment(first, second), *_recipe(first, second), *_results(first, second)]
    same_run, unknown = first.id == second.id, any(UNKNOWN in code_of(run) for run in (first, second))
    changed = [field for field in fields if field.differs]
    return RunDiff(
        runs=(first.id, second.id),
        fields=fields,
        equal=same_run or not (unknown or any(field.decides for field in changed)),
        explains_id=[f"{field.section} {field.name}" for field in changed if field.in_id and not same_run],
        warnings=[] if same_run else list(_warnings(changed, unknown)),
    )


def _warnings(changed: Sequence[Field], unknown: bool) -> Iterator[str]:
    if unknown:
        yield "The code of at least one run was not recorded, so the two may come from different code."
    scores = [field for field in changed if field.section == "scores" and None not in (field.first, field.second)]
    if scores and not any(field.in_id and field.decides for field in changed):
        reasons = [f"{field.section} {field.name}" for field in changed if field.decides]
        reason = f"Possible reasons: {', '.join(reasons)}" if reasons else "Nothing that is recorded explains it"
        yield f"The same plan gave {len(scores)} different score{'s' * (len(scores) > 1)}. {reason}."


def _plan(first: RunData, second: RunData) -> Iterator[Field]:
    """Yield the fields of the plan. The attempt only distinguishes runs of one plan; it decides no score."""
    for name, ours, theirs in _paired(_flat(first.plan), _flat(second.plan)):
        if name != "name":
            yield Field(section="plan", name=name, first=ours, second=theirs, decides=name != "attempt", in_id=True)
    yield Field(section="run", name="name", first=first.name, second=second.name)
    yield Field(section="run", name="status", first=first.status, second=second.status)


def _flat(plan: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the fields of a plan as text by name: "training.epochs", "options.alpha", "data.own/birds"."""
    flat: dict[str, str] = {}
    for name, value in plan.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{_SECTIONS.get(name, name)}.")
        else:
            flat[f"{prefix}{name}"] = _text(value)
    return flat


def _environment(first: RunData, second: RunData) -> Iterator[Field]:
    ours, theirs = ({"code": code_of(run), **run.environment} for run in (first, second))
    for name, one, other in _paired(ours, theirs):
        decides = name not in WITHOUT_EFFECT
        yield Field(
            section="environment", name=name, first=plain(name, one), second=plain(name, other), decides=decides
        )
    yield Field(section="environment", name="changes", first=_changes(first), second=_changes(second), decides=True)


def _changes(run: RunData) -> str | None:
    """Return where the environment changed in a way that may change scores, and in which entries."""
    changes = [
        f"{', '.join(sorted(names))} {beginning(now)}"
        for before, now in pairwise(run.environments)
        if (names := environment_changes(before.environment, now.environment).keys() - WITHOUT_EFFECT)
    ]
    return "; ".join(changes) or None


def _recipe(first: RunData, second: RunData) -> Iterator[Field]:
    for name, one, other in _paired(first.recipe, second.recipe):
        yield Field(section="recipe", name=name, first=one, second=other)


def _results(first: RunData, second: RunData) -> Iterator[Field]:
    sections = {
        "scores": (_scores(first), _scores(second)),
        "figures": (first.metrics, second.metrics),
        "cost": (asdict(first.cost), asdict(second.cost)),
    }
    for section, values in sections.items():
        for name, one, other in _paired(*values):
            texts = _number(one), _number(other)
            if texts[0] == texts[1] and one != other:  # all digits, as they would look the same
                texts = repr(one), repr(other)
            yield Field(section=section, name=name, first=texts[0], second=texts[1])


def _scores(run: RunData) -> dict[str, float | None]:
    return {f"{each.task} {rule_of(each)} ({each.split}) after stage {each.after}": each.value for each in run.scores}


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value}" if isinstance(value, int) else number(value)


def _paired(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*first, *second)):
        yield name, first.get(name), second.get(name)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def diff_blocks(found: RunDiff, *, everything: bool = False) -> list[Block]:
    """Return the conclusions, then a table for each section with the fields that differ, or with all."""
    blocks: list[Block] = [Paragraph(_summary(found)), *map(Paragraph, found.warnings)]
    shown = [field for field in found.fields if everything or field.differs]
    for section in dict.fromkeys(field.section for field in shown):
        rows = [(each.name, _shown(each.first), _shown(each.second)) for each in shown if each.section == section]
        blocks.append(Table(section.capitalize(), ("", *found.runs), rows, prose=True))
    return blocks


def _summary(found: RunDiff) -> str:
    first, second = found.runs
    if first == second:
        return f"Both arguments are run {first}: there is nothing to compare."
    equal = "equal in everything that decides scores" if found.equal else "not equal in everything that decides scores"
    ids = (
        f"Their ids differ because of: {', '.join(found.explains_id)}."
        if found.explains_id
        else "Their plans are equal in all fields; the ids were computed from different stored forms of the plan."
    )
    return f"{first} and {second} are {equal}. {ids}"


def _shown(value: str | None) -> str:
    return NONE if value in (None, "") else str(value)
