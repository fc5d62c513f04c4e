"""The sections of a report about one run: scores, figures, forgetting, routing, costs and other tables."""

from __future__ import annotations

from collections.abc import Iterable

from micl_cli.api.events import UNSURE_MARGIN
from micl_cli.records import ScoreRecord, StageRecord
from micl_cli.report.blocks import PASSES, Block, Code, Heading, Paragraph, Table, labels, number, size
from micl_cli.report.data import Cost, RunData, time_columns
from micl_cli.report.matrix import FIGURES
from micl_cli.report.provenance import provenance, validations
from micl_cli.report.quantized import NONE, bits_of
from micl_cli.report.scales import marked
from micl_cli.report.scoring import mixture, outside, rules, subscores


def run_head(run: RunData) -> list[Block]:
    """Return the title of a run, with strategy, backbone, seed, status and tasks."""
    return [Heading(run_title(run)), Paragraph(run_facts(run)), Paragraph(f"Tasks in order: {task_list(run)}.")]


def run_title(run: RunData) -> str:
    """Return the id of a run, with its name."""
    return f"Run {run.id}: {run.name}" if run.name and run.name != run.id else f"Run {run.id}"


def run_facts(run: RunData) -> str:
    """Return strategy, backbone, seed, status and the size of the frozen weights of a run."""
    facts = f"Strategy {run.strategy}, backbone {run.backbone}, seed {run.seed}; {run.status}."
    if run.weights_bytes:
        bits = "" if bits_of(run) == NONE else f", quantised to {bits_of(run)}"
        facts += f" Frozen weights: {size(run.weights_bytes)}{bits}."
    return facts


def run_blocks(run: RunData) -> list[Block]:
    """Return all tables of a run."""
    tables = (
        outside(run),
        plugin_figures(run),
        costs(run),
        rules(run),
        subscores(run),
        cut_answers(run),
        other_metrics(run),
        validations(run),
        provenance(run),
    )
    found = (table for table in tables if table.rows)
    return [scores(run), *mixture(run), run_figures(run), *forgetting_tables(run), *routing_blocks(run), *found]


def task_list(run: RunData) -> str:
    """Return the tasks in order, each with metric and number of examples if it was scored."""
    mains = {score.task: score for score in run.scores if run.in_matrix(score)}
    scored = {task: f" ({score.metric}, n={score.n})" for task, score in mains.items()}
    return ", ".join(f"{position} {task}{scored.get(task, '')}" for position, task in enumerate(run.tasks, 1))


def scores(run: RunData) -> Block:
    """Return R as a table, or a paragraph if no task has been scored."""
    rows = [(row_label(run, t), row) for t, row in enumerate(run.r.rows(), 1)]
    rows.insert(0, ("before learning", [run.r[0, i] for i in run.r.tasks]))
    measured = [(label, *map(number, row)) for label, row in rows if any(value is not None for value in row)]
    if not measured:
        return Paragraph("No task has been scored yet.")
    split = "" if run.split == "test" else f" ({run.split} split)"
    title = f"R: score x100 on each task (column) after learning each task (row){split}"
    return Table(title, ("", *labels(run.tasks)), measured)


def row_label(run: RunData, t: int) -> str:
    """Return the label of row ``t`` of R: what has been learnt by then."""
    task = run.tasks[t - 1]
    joint = next((len(stage.tasks) for stage in run.stages if task in stage.tasks), 1)
    return f"after {joint} joint tasks" if joint > 1 else f"after {t} {labels(run.tasks)[t - 1]}"


def run_figures(run: RunData) -> Table:
    """Return the continual-learning figures with their formulas."""
    shown = [(FIGURES[name], value) for name, value in run.metrics.items() if name != "fwt" or value is not None]
    rows = [(figure.title, number(value), Code(figure.formula)) for figure, value in shown]
    title = "Figures over T tasks (-: undefined or not measured)"
    return Table(marked(title, [run]), ("figure", "value", "formula"), rows, prose=True)


def forgetting_tables(run: RunData) -> list[Block]:
    """Return superficial and essential forgetting: a row per task, a pair of numbers per stage."""
    if not run.forgetting_types:
        return []
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    stages = sorted({entry.after for entry in run.forgetting_types})
    cells = {(entry.task, entry.after): entry for entry in run.forgetting_types}
    rows = []
    for task in dict.fromkeys(entry.task for entry in run.forgetting_types):
        entries = [cells.get((task, stage)) for stage in stages]
        pairs = [(entry.superficial, entry.essential) if entry else (None, None) for entry in entries]
        rows.append((names[task], *(f"{number(one)} / {number(other)}" for one, other in pairs)))
    title = "Superficial / essential forgetting, x100: lost in the answers but not in the choices / lost in both"
    return [Table(title, ("", *(f"after {stage}" for stage in stages)), rows)]


def routing_blocks(run: RunData) -> list[Block]:
    """Return the confusion of the router after the last task, or nothing without routing."""
    routing = run.routing
    if routing is None:
        return []
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    counts = routing.confusion.items()
    rows = [(names.get(task, task), *(f"{chosen[other]}" for other in run.tasks)) for task, chosen in counts]
    title = f"Routing by {routing.router} after the last task: examples of each task (row) by predicted task (column)"
    facts = (
        f"Routing accuracy {number(routing.accuracy)} %; "
        f"unsure (margin below {UNSURE_MARGIN}) {number(routing.unsure)} %; "
        f"{1000 * routing.seconds_per_query:.2f} ms per query; passes of the language "
        f"model per query, including routing: {1 + routing.passes}."
    )
    if routing.base:
        facts += f" The base model answered {routing.base}, whose modalities no task learnt has."
    return [Table(title, ("", *labels(run.tasks)), rows), Paragraph(facts)]


def plugin_figures(run: RunData) -> Table:
    """Return the figures that plugins add."""
    return Table("Figures from plugins", ("figure", "value"), [(name, number(v)) for name, v in run.extra.items()])


def costs(run: RunData) -> Table:
    """Return the cost of each stage, and of the run."""
    times = time_columns(run.stages)
    columns = ("stage", "status", "steps", "examples", *times, "peak memory", "trainable", "stored")
    rows = [
        (stage_label(run, stage), stage.status, f"{stage.steps}", f"{stage.examples}", *_cost(stage, times.values()))
        for stage in run.stages
    ]
    if len(rows) > 1:
        steps = sum(stage.steps for stage in run.stages)
        rows.append(("run", "", f"{steps}", "", *_cost(run.cost, times.values())))
    title = "Cost (run: sums of steps and seconds, highest peak and trainable, last stored)"
    return Table(title + (PASSES if len(times) > 1 else ""), columns, rows)


def stage_label(run: RunData, stage: StageRecord) -> str:
    """Return the position of a stage with its task, or with the number of its tasks."""
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    tasks = names.get(stage.tasks[0], stage.tasks[0]) if len(stage.tasks) == 1 else f"({len(stage.tasks)} tasks)"
    return f"{stage.position} {tasks}"


def _cost(cost: StageRecord | Cost, times: Iterable[str]) -> tuple[str, ...]:
    seconds = [f"{getattr(cost, name):.1f}" for name in times]
    return (*seconds, size(cost.peak_bytes), f"{cost.trainable_parameters:,}", size(cost.stored_bytes))


def cut_answers(run: RunData) -> Table:
    """Return the share of answers that were cut, for tasks of which any was."""
    cells = {(score.task, score.after): score.cut_share for score in run.scores if run.in_matrix(score)}
    tasks = [task for task in run.tasks if any(share for (name, _), share in cells.items() if name == task)]
    stages = sorted({after for task, after in cells if task in tasks})
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    rows = [(names[task], *(number(cells.get((task, after))) for after in stages)) for task in tasks]
    limit = run.settings.get("evaluation.max_new_tokens", "")
    title = f"Answers cut at the maximum length (--max-new-tokens {limit}), in per cent, after each stage".replace(
        " )", ")"
    )
    return Table(title, ("", *(f"after {after}" if after else "before" for after in stages)), rows)


def other_metrics(run: RunData) -> Table:
    """Return the scores that do not belong to R: by other metrics, or on other splits."""
    others = [score for score in run.scores if not run.is_main(score)]
    stages = sorted({score.after for score in others})
    cells = {(_metric_label(run, score), score.after): score.value for score in others}
    names = dict.fromkeys(name for name, _ in cells)
    rows = [(name, *(number(cells.get((name, after))) for after in stages)) for name in names]
    columns = ("", *(f"after {after}" if after else "before" for after in stages))
    return Table("Other metrics, x100, after each stage", columns, rows)


def _metric_label(run: RunData, score: ScoreRecord) -> str:
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    name = f"{names.get(score.task, score.task)} {score.metric}"
    return name if score.split == run.split else f"{name} ({score.split})"
