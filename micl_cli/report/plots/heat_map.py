"""Heat maps with the number in each cell: the score matrix, and the confusion of a router."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from micl_cli.report.blocks import labels
from micl_cli.report.data import RunData
from micl_cli.report.matrix import Row, Rows
from micl_cli.report.plots.style import SURFACE, Plot, label, plain
from micl_cli.report.routing import Routing
from micl_cli.report.run_blocks import row_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = (0.78, 0.36)
"""The width and height of a cell in inches."""
_LETTER, _SPACE = 0.07, 0.12
"""The mean width of a letter, and the space around labels, in inches."""
_SLOPE = (0.87, 0.5)
"""How far labels of columns reach to the right and up, for each unit of their length."""
_LIGHT, _DARK = "#ffffff", "#10101a"
_COLOURS = "cividis"


def score_matrix_plot(run: RunData) -> Plot | None:
    """Return R as a heat map, each column in relation to its best score; None if no task has been scored."""
    rows = [("before learning", [run.r[0, i] for i in run.r.tasks])]
    rows += [(row_label(run, t), row) for t, row in enumerate(run.r.rows(), 1)]
    scored = [(name, row) for name, row in rows if any(value is not None for value in row)]
    if not scored:
        return None
    names, values = [name for name, _ in scored], [row for _, row in scored]
    texts = [["" if value is None else f"{value:.1f}" for value in row] for row in values]
    return Plot(
        name="scores",
        title="Scores R: on each task (column) after learning each task (row), x100",
        reading="The brighter a cell, the closer its score is to the best score of its column.",
        size=_Room(names, labels(run.tasks)).size,
        draw=partial(_draw, shares=_shares_of_columns(values), texts=texts, rows=names, columns=labels(run.tasks)),
        constrained=False,
    )


def routing_plot(run: RunData) -> Plot | None:
    """Return the confusion of the router after the last task; None without routing."""
    routing = run.routing
    if routing is None:
        return None
    names = dict(zip(run.tasks, labels(run.tasks), strict=True))
    counts = [[chosen[task] for task in run.tasks] for chosen in routing.confusion.values()]
    rows = [names.get(task, task) for task in routing.confusion]
    return Plot(
        name="routing",
        title=f"Routing by {routing.router} after the last task: examples by true (row) and predicted task (column)",
        reading="The brighter a cell, the larger its share of the examples of its row.",
        size=_Room(rows, labels(run.tasks)).size,
        draw=partial(
            _draw,
            shares=_shares_of_rows(routing, run),
            texts=[[f"{count}" for count in row] for row in counts],
            rows=rows,
            columns=labels(run.tasks),
        ),
        constrained=False,
    )


class _Room:
    """The space for the labels of rows and columns, and the size of the plot with it, in inches."""

    def __init__(self, rows: Sequence[str], columns: Sequence[str]) -> None:
        self.cells = _CELL[0] * len(columns), _CELL[1] * len(rows)
        longest, last = max(map(_length, columns)), _length(columns[-1])
        self.left = max(map(_length, rows)) + _SPACE
        self.top = _SLOPE[1] * longest + 2 * _SPACE if len(columns) > 1 else 3 * _SPACE
        self.right = max(_SPACE, _SLOPE[0] * last - _CELL[0] / 2 + _SPACE)

    @property
    def size(self) -> tuple[float, float]:
        """The width and height of the plot."""
        return self.left + self.cells[0] + self.right, self.top + self.cells[1] + _SPACE

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of the cells as parts of the plot."""
        width, height = self.size
        return self.left / width, _SPACE / height, self.cells[0] / width, self.cells[1] / height


def _length(text: str) -> float:
    return _LETTER * len(label(text)) + _SPACE


def _shares_of_columns(rows: Rows) -> list[list[float | None]]:
    """Return each value as a share of the largest in its column; 0 if that is not positive."""
    best = [max((value for value in column if value is not None), default=0.0) for column in zip(*rows, strict=True)]
    return [[_share(value, highest) for value, highest in zip(row, best, strict=True)] for row in rows]


def _shares_of_rows(routing: Routing, run: RunData) -> list[list[float | None]]:
    totals = {record.task: record.n for record in run.routings}
    return [
        [_share(float(chosen[task]), float(totals.get(own, 0))) for task in run.tasks]
        for own, chosen in routing.confusion.items()
    ]


def _share(value: float | None, whole: float) -> float | None:
    if value is None:
        return None
    return min(max(value / whole, 0.0), 1.0) if whole > 0 else 0.0


def _draw(
    figure: Figure, shares: Sequence[Row], texts: Sequence[Sequence[str]], rows: Sequence[str], columns: Sequence[str]
) -> None:
    import matplotlib

    axes = figure.add_axes(_Room(rows, columns).box)
    plain(axes)
    colours = matplotlib.colormaps[_COLOURS]
    for y, (line, names) in enumerate(zip(shares, texts, strict=True)):
        for x, (share, text) in enumerate(zip(line, names, strict=True)):
            if share is not None:
                _cell(axes, x, y, colours(0.15 + 0.85 * share), text)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    turned: dict[str, Any] = {"rotation": 30, "ha": "left", "rotation_mode": "anchor"} if len(columns) > 1 else {}
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(columns)), [label(name) for name in columns], **turned)
    axes.set_yticks(range(len(rows)), [label(name) for name in rows])


def _cell(axes: Axes, x: int, y: int, colour: tuple[float, float, float, float], text: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor=SURFACE, linewidth=1.5))
    red, green, blue, _ = colour
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    axes.text(x, y, text, ha="center", va="center", color=_DARK if bright else _LIGHT)
