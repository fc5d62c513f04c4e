"""The provenance of a run: code, machine, versions, data, changes of the environment, and validations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from micl_cli.records import EnvironmentRecord, ValidationRecord
from micl_cli.report.blocks import MISSING, Table, labels, number
from micl_cli.report.data import UNKNOWN, RunData
from micl_cli.report.facts import DIGEST

_MACHINE = ("device", "cuda", "matmul_precision", "precision", "threads", "cores", "cpu", "cpu_capability", "platform")
_CODE = ("micl", "commit", "code")
_SIZE = "weights_bytes"
_PLAIN = {("precision", "no"): "fp32"}
"""Values of an environment that are shown by another name: accelerate calls full precision "no" (mixed precision)."""
WITHOUT_EFFECT = frozenset({"commit", "cores"})
"""Entries of an environment that change no score by themselves; the digest of the code shows if a commit matters."""


def provenance(run: RunData) -> Table:
    """Return a table of the code, machine, versions, base model, data and recipe of a run, and changes on the way."""
    first = run.environments[0].environment if run.environments else run.environment
    rows = [
        ("code", _code(first)),
        ("computed on", _listed(first, _MACHINE)),
        ("versions", _listed(first, [name for name in first if name not in (*_MACHINE, *_CODE, _SIZE)])),
        ("backbone", run.settings.get("backbone.digest", "")[:DIGEST]),
        ("data", ", ".join(f"{task} {digest[:DIGEST]}" for task, digest in run.data.items())),
        ("recipe", ", ".join(f"{name} {_shortened(value)}" for name, value in run.recipe.items() if value)),
        *later_environments(run.environments),
    ]
    shown = [(name, text) for name, text in rows if text]
    return Table("Provenance", ("what", "value"), shown if run.environment or run.data else [], prose=True)


def _code(environment: Mapping[str, Any]) -> str:
    facts = {name: environment.get(name) for name in _CODE}
    facts["code"] = facts["code"] or UNKNOWN
    return _listed(facts, _CODE)


def _listed(environment: Mapping[str, Any], names: Sequence[str]) -> str:
    given = {name: environment[name] for name in names if environment.get(name) not in (None, "")}
    return ", ".join(f"{name} {plain(name, value)}" for name, value in given.items())


def plain(name: str, value: Any) -> Any:
    """Return the value of an entry of an environment as it is shown."""
    return _PLAIN.get((name, str(value)), value)


def _shortened(value: str) -> str:
    is_digest = len(value) == 64 and set(value) <= set("0123456789abcdef")
    return value[:DIGEST] if is_digest else value


def later_environments(environments: Sequence[EnvironmentRecord]) -> Iterator[tuple[str, str]]:
    """Yield, as text, each place where the environment of a run changed, with the entries that changed."""
    for before, now in pairwise(environments):
        changed = environment_changes(before.environment, now.environment)
        yield beginning(now), ", ".join(f"{name} {new} (before: {old})" for name, (old, new) in changed.items())


def beginning(record: EnvironmentRecord) -> str:
    """Return the stage and step from which a run was learnt, or scored again, in an environment."""
    if record.purpose == "scoring":
        return f"scored again from stage {record.position} on"
    return f"from stage {record.position}{f', step {record.step}' if record.step else ''} on"


def environment_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the entries in which two environments differ, as pairs of text; what is not recorded is UNKNOWN."""
    names = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name) and name != _SIZE]
    return {name: (_text(name, before.get(name)), _text(name, now.get(name))) for name in names}


def _text(name: str, value: Any) -> str:
    return UNKNOWN if value in (None, "") else f"{plain(name, value)}"


def validations(run: RunData) -> Table:
    """Return a table of the number of validations of each stage, their criterion, the best and the final value."""
    tasks = {stage.position: ", ".join(_short(run, stage.tasks)) for stage in run.stages}
    rows = []
    for position in sorted({each.position for each in run.validations}):
        own = [each for each in run.validations if each.position == position]
        label = f"{position} {tasks.get(position, '')}".strip()
        rows.append((label, f"{len(own)}", ", ".join(dict.fromkeys(each.criterion for each in own)), *_best(own)))
    title = "Validations of each stage (score: x100; loss: nats; final: of what the strategy made of the best weights)"
    return Table(title, ("stage", "count", "criterion", "best step", "best", "final"), rows)


def _short(run: RunData, tasks: Sequence[str]) -> list[str]:
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    return [names.get(task, task) for task in tasks]


def _best(own: Sequence[ValidationRecord]) -> tuple[str, str, str]:
    """Return the step and value of the best validation (the last marked as best), and the value of the final one."""
    best = [each for each in own if each.best]
    final = [each for each in own if each.final]
    return (
        f"{best[-1].step}" if best else MISSING,
        number(best[-1].value) if best else MISSING,
        number(final[-1].value) if final else MISSING,
    )
