"""The view model of a page: sections of paragraphs, tables, plots and answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from micl_cli.report import run_blocks as blocks_of
from micl_cli.report.blocks import Block, Heading, Paragraph, Table
from micl_cli.report.comparison import comparison
from micl_cli.report.data import RunData
from micl_cli.report.document import document, mini_note
from micl_cli.report.html.answer_tables import AnswerTables, answer_tables
from micl_cli.report.html.answers import MAX_DETAILED, ReportDetails
from micl_cli.report.html.inline import inline_svg
from micl_cli.report.html.tables import learning_table, routing_table
from micl_cli.report.plots.catalogue import run_plots, summary_plots
from micl_cli.report.plots.heat_map import score_matrix_plot
from micl_cli.report.plots.style import Plot
from micl_cli.report.provenance import provenance, validations
from micl_cli.report.scoring import mixture, outside, rules, subscores

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary


MAX_LETTERS = 72
"""The width of a table, in letters, for which half of a page is enough."""
_PADDING = 3
"""The space between two columns, in letters."""


@dataclass(frozen=True)
class Picture:
    """A plot as an ``svg`` element, with its caption."""

    svg: Markup
    title: str
    reading: str


@dataclass(frozen=True)
class Item:
    """An item of a section. ``kind`` is "paragraph", "table", "picture" or "answers", and chooses how it is shown."""

    kind: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section with its anchor; ``folded`` sections are opened by the reader.

    A ``wide`` section has the width of the page, others have half of it. Those that are ``alone``, or have sections of
    their own, wide tables or answers, are never beside another.
    """

    id: str
    title: str
    items: Sequence[Item] = ()
    sections: Sequence[Section] = ()
    folded: bool = False
    alone: bool = False
    wide: bool = True

    @property
    def needs_width(self) -> bool:
        """Whether half of the page is not enough for it."""
        if self.alone or self.sections:
            return True
        tables = [item.value for item in self.items if item.kind == "table"]
        return any(item.kind == "answers" for item in self.items) or any(
            _letters(each) > MAX_LETTERS for each in tables
        )


def side_by_side(sections: Iterable[Section]) -> list[Section]:
    """Return the sections, of which each two consecutive ones that do not need the width are not wide."""
    placed: list[Section] = []
    for section in sections:
        before = placed[-1] if placed else None
        if before and before.wide and not (before.needs_width or section.needs_width):
            placed[-1:] = [replace(before, wide=False), replace(section, wide=False)]
        else:
            placed.append(section)
    return placed


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page with its sections."""

    title: str
    sections: Sequence[Section] = field(default_factory=tuple)


def page_of(
    runs: Sequence[RunData],
    summaries: Sequence[Summary] = (),
    details: ReportDetails | None = None,
    *,
    summary_only: bool = False,
) -> Page:
    """Return the page of a report on one or several runs; with ``summary_only``, without the sections of each run."""
    details = details or ReportDetails()
    if len(runs) == 1 and not summary_only:
        return Page(title=blocks_of.run_title(runs[0]), sections=_run_sections(runs[0], details, "run"))
    sections = [
        _summary(runs, summaries)
        if runs
        else Section(id="summary", title="Runs", items=_items(document(())), alone=True)
    ]
    if runs and not summary_only:
        sections += _several(runs, details)
    return Page(title=f"Report of {len(runs)} run{'s' * (len(runs) != 1)}", sections=sections)


def _summary(runs: Sequence[RunData], summaries: Sequence[Summary]) -> Section:
    from micl_cli.report.summary_blocks import summary_blocks  # imports numpy

    pictures = [_picture(plot, f"summary-{number}") for number, plot in enumerate(summary_plots(summaries), 1)]
    items = [*_items(mini_note(runs)), *pictures, *_items(summary_blocks(summaries))]
    title = f"Summary of {len(runs)} run{'s' * (len(runs) != 1)}"
    return Section(id="summary", title=title, items=items, alone=True)


def _several(runs: Sequence[RunData], details: ReportDetails) -> Iterator[Section]:
    """Yield the sections of several runs: one for each, and their comparison."""
    few = len(runs) <= MAX_DETAILED
    if not few:
        yield _heat_maps(runs, details.notes)
    for number, run in enumerate(runs, 1):
        anchor = f"run-{number}"
        sections = _run_sections(run, details, anchor, plots=few)
        title = f"{blocks_of.run_title(run)} ({run.strategy}, seed {run.seed})"
        yield Section(id=anchor, title=title, sections=sections, folded=not few)
    yield Section(id="comparison", title=f"Comparison of {len(runs)} runs", items=_items(comparison(runs)), alone=True)


def _heat_maps(runs: Sequence[RunData], notes: Sequence[str]) -> Section:
    plots = [(f"{run.strategy} {run.id[:8]}, seed {run.seed}", score_matrix_plot(run)) for run in runs]
    items = [
        Item("picture", Picture(inline_svg(plot, f"map-{number}"), title, ""))
        for number, (title, plot) in enumerate(plots, 1)
        if plot
    ]
    texts = [*notes, *dict.fromkeys(f"{plot.title}. {plot.reading}" for _, plot in plots if plot)]
    return Section(id="scores", title="Scores of each run", items=[*map(_note, texts), *items], alone=True)


def _run_sections(run: RunData, details: ReportDetails, anchor: str, *, plots: bool = True) -> list[Section]:
    """Return the sections of a run that have content. Anchors begin with ``anchor``."""
    drawn = run_plots(run, details.steps.get(run.id, ())) if plots else {}
    pictures = {name: [_picture(plot, f"{anchor}-{name}")] for name, plot in drawn.items()}
    tables: dict[str, tuple[str, Sequence[Block]]] = {
        "overview": ("Overview", [*_facts(run), *mini_note([run]), blocks_of.run_figures(run)]),
        "scores": ("Scores", [blocks_of.scores(run), *mixture(run)]),
        "stages": ("Scores over the stages", []),
        "forgetting": ("Learning and forgetting", [learning_table(run), *blocks_of.forgetting_tables(run)]),
        "curves": ("Loss and validations", [validations(run)]),
        "cost": ("Cost", [blocks_of.costs(run)]),
        "routing": ("Routing", [*blocks_of.routing_blocks(run), routing_table(run)]),
        "answers": ("Answers", list(map(Paragraph, details.notes if plots else ()))),
        "scoring": ("Scoring", _scoring(run)),
        "provenance": ("Provenance", [provenance(run)]),
    }
    answers = _answers(run, details)
    sections = [
        Section(
            id=f"{anchor}-{name}",
            title=title,
            items=[*pictures.get(name, ()), *_items(blocks), *(answers if name == "answers" else ())],
        )
        for name, (title, blocks) in tables.items()
    ]
    return side_by_side(section for section in sections if section.items)


def _facts(run: RunData) -> list[Block]:
    return [Paragraph(blocks_of.run_facts(run)), Paragraph(f"Tasks in order: {blocks_of.task_list(run)}.")]


def _scoring(run: RunData) -> list[Block]:
    tables = (outside, blocks_of.plugin_figures, rules, subscores, blocks_of.cut_answers, blocks_of.other_metrics)
    return [table(run) for table in tables]


def _answers(run: RunData, details: ReportDetails) -> list[Item]:
    answers: AnswerTables = answer_tables(run, details.answers.get(run.id, ()), details.previews)
    return [Item("answers", answers)] if answers.tables else []


def _letters(table: Table) -> int:
    """Return the width of a table in letters; titles of columns may be broken between words."""
    columns = zip(*([max(title.split(), key=len, default="") for title in table.columns], *table.rows), strict=True)
    return sum(_PADDING + max(map(len, column)) for column in columns)


def _picture(plot: Plot, prefix: str) -> Item:
    return Item("picture", Picture(inline_svg(plot, prefix), plot.title, plot.reading))


def _note(text: str) -> Item:
    return Item("paragraph", Paragraph(text))


def _items(blocks: Iterable[Block]) -> list[Item]:
    """Return paragraphs and tables as items, without empty tables."""
    kinds = {Paragraph: "paragraph", Heading: "heading", Table: "table"}
    return [Item(kinds[type(block)], block) for block in blocks if not isinstance(block, Table) or block.rows]
