"""What runs differ in besides strategy, its options and seed, and whether they can be compared all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from micl_cli.report.code import code_of
from micl_cli.report.data import RunData
from micl_cli.report.facts import DIGEST
from micl_cli.report.provenance import plain
from micl_cli.report.rules import rule_of

_EVALUATION = ("max_new_tokens", "num_beams", "repetition_penalty", "length_penalty", "split", "examples")
_LENGTH = ("training.epochs", "training.max_steps", "training.examples_per_step")
_DECIDING = frozenset(
    ("backbone", "backbone.digest", "split", "environment.micl", "environment.precision", *_LENGTH)
) | {f"evaluation.{name}" for name in _EVALUATION}


@dataclass(frozen=True)
class Difference:
    """A fact in which runs differ: the ids of the runs by value.

    Runs that are not ``comparable`` because of it are neither paired nor averaged.
    """

    name: str
    comparable: bool
    runs: Mapping[str, Sequence[str]]

    def as_json(self) -> dict[str, object]:
        """Return JSON-ready fields."""
        values = [{"value": value, "runs": list(ids)} for value, ids in self.runs.items()]
        return {"name": self.name, "comparable": self.comparable, "values": values}


def conditions(run: RunData) -> dict[str, str]:
    """Return what must be equal for the scores of two runs to be comparable, by dotted name.

    These are backbone and data, how long is learnt, how answers are generated and scored, number format and version of
    micl. What is not known of a run is left out.
    """
    return {
        name: value for name, value in _facts(run).items() if name in _DECIDING or name.startswith(("data.", "scored."))
    }


def comparable(run: RunData, other: RunData, *, except_for: Sequence[str] = ()) -> bool:
    """Return whether two runs have equal conditions, as far as both are known, ``except_for`` the named ones."""
    ours, theirs = conditions(run), conditions(other)
    return all(ours[name] == theirs[name] for name in ours.keys() & theirs.keys() - set(except_for))


def differences_of(runs: Sequence[RunData]) -> list[Difference]:
    """Return the facts in which runs differ, in order of appearance; those of a task only where it is learnt."""
    every = [(run.id, _facts(run)) for run in runs]
    deciding = {name for run in runs for name in conditions(run)}
    found = []
    for name in dict.fromkeys(name for _, facts in every for name in facts):
        values: dict[str, list[str]] = {}
        for run, facts in every:
            if (value := facts.get(name)) is not None:
                values.setdefault(value, []).append(run)
        if len(values) > 1:
            found.append(Difference(name, name not in deciding, values))
    return found


def _facts(run: RunData) -> dict[str, str]:
    """Return all known facts of a run but strategy, its options, seed and names, by dotted name."""
    sections = ("backbone.", "training.", "evaluation.")
    settings = {name: value for name, value in run.settings.items() if name.startswith(sections)}
    if digest := settings.pop("backbone.digest", ""):
        settings["backbone.digest"] = digest[:DIGEST]
    return {
        "backbone": run.backbone,
        "split": run.split,
        **{f"data.{task}": digest[:DIGEST] for task, digest in run.data.items()},
        **{f"scored.{task}": text for task, text in _scored(run).items()},
        **settings,
        **_examples_per_step(run.settings),
        **{f"environment.{name}": plain(name, value) for name, value in run.environment.items()},
        "environment.code": code_of(run),
    }


def _scored(run: RunData) -> dict[str, str]:
    """Return the rule and the number of examples of each task's latest score."""
    return {task: f"{rule_of(score)}, n={score.n}" for task, score in run.latest.items() if task in run.tasks}


def _examples_per_step(settings: Mapping[str, str]) -> dict[str, str]:
    size, passes = settings.get("training.batch_size", ""), settings.get("training.accumulation", "1")
    return {"training.examples_per_step": f"{int(size) * int(passes)}"} if size.isdigit() and passes.isdigit() else {}
