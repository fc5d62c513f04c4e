"""Sections of a report about scoring: rules, further figures, and tasks outside the sequence."""

from __future__ import annotations

from micl_cli.report.blocks import Block, Paragraph, Table, labels, number
from micl_cli.report.data import RunData
from micl_cli.report.rules import is_plain, version_of


def mixture(run: RunData) -> list[Block]:
    """Return a paragraph for each task with scores by different rules."""
    paragraphs: list[Block] = []
    for task, by_rule in run.mixed_rules.items():
        each = "; ".join(f"{rule} after stage {', '.join(map(str, stages))}" for rule, stages in by_rule.items())
        text = f"Scores of {task} were made by different rules ({each}): no figure is computed from them."
        first = min(stage for stages in by_rule.values() for stage in stages)
        paragraphs.append(Paragraph(f"{text} Score all stages again: micl eval {run.id} --stage {first}..last"))
    return paragraphs


def outside(run: RunData) -> Table:
    """Return the scores of tasks outside the sequence after each evaluated stage, and their change."""
    stages = sorted({stage for task in run.outside for stage in task.scores})
    rows = [
        (each.task, each.rule, f"{each.n}", *(number(each.scores.get(stage)) for stage in stages), number(each.change))
        for each in run.outside
    ]
    columns = ("", "metric", "n", *(f"after {stage}" if stage else "before" for stage in stages), "change")
    return Table("Tasks outside the sequence, x100 (change: last evaluated stage minus first)", columns, rows)


def rules(run: RunData) -> Table:
    """Return the rule of each task's latest score; empty if metrics alone describe all of them."""
    rows = [
        (label, s.metric, f"{version_of(s)}", s.prompts or "-", s.scorer or "-", f"{s.missing}")
        for label, s in zip(_labels(run), run.latest.values(), strict=True)
    ]
    columns = ("", "metric", "version", "prompts", "scorer", "missing")
    shown = not all(map(is_plain, run.latest.values()))
    return Table(
        "How the latest scores were made (missing: examples without an answer)", columns, rows if shown else []
    )


def subscores(run: RunData) -> Table:
    """Return the further figures of the latest scores, such as those of categories."""
    rows = [
        (label, name, number(value))
        for label, score in zip(_labels(run), run.latest.values(), strict=True)
        for name, value in score.figures.items()
    ]
    return Table("Further figures of the latest scores, x100", ("", "figure", "score"), rows)


def _labels(run: RunData) -> list[str]:
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    return [names.get(task, task) for task in run.latest]
