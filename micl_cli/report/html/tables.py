"""Tables that accompany the plots of a page, so that no number is shown in a plot only."""

from __future__ import annotations

from micl_cli.api.events import UNSURE_MARGIN
from micl_cli.report.blocks import MISSING, Table, labels, number
from micl_cli.report.data import RunData
from micl_cli.report.matrix import minus


def learning_table(run: RunData) -> Table:
    """Return what was learnt of each task, and lost of it until the end. Scores by different rules are not compared."""
    rows = []
    for i, (task, name) in enumerate(zip(run.tasks, labels(run.tasks), strict=True), 1):
        before, learnt, final = run.r[0, i], run.r[i, i], run.r[run.r.size, i]
        metric = run.latest[task].metric if task in run.latest else MISSING
        comparable = task not in run.mixed_rules
        changes = (minus(learnt, before), minus(learnt, final)) if comparable else (None, None)
        rows.append((name, metric, *map(number, (before, learnt, final, *changes))))
    title = "Each task, x100 (learning: after minus before; forgetting: after minus final)"
    columns = ("task", "metric", "before learning", "right after learning", "final", "learning", "forgetting")
    return Table(title, columns, rows)


def routing_table(run: RunData) -> Table:
    """Return the routing accuracy of each task after each stage, with the share of examples of small margin."""
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    records = [record for record in run.routings if record.split == run.split and record.n]
    rows = [
        (
            f"{record.after}",
            names.get(record.task, record.task),
            record.router,
            f"{record.n}",
            number(100 * record.chosen.get(record.task, 0) / record.n),
            number(100 * record.unsure / record.n),
        )
        for record in sorted(records, key=lambda each: each.after)
    ]
    title = f"Routing after each stage, in per cent (unsure: the margin is below {UNSURE_MARGIN})"
    return Table(title, ("after stage", "task", "router", "n", "to its own task", "unsure"), rows)
