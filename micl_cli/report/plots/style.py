"""The style of all plots, and their writing: the same plot gives the same bytes."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from micl_cli.io.characters import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PlotFormat = Literal["svg", "pdf", "png"]

INK, MUTED, RULE, SURFACE = "#1b1b20", "#5b5b66", "#d8d8e0", "#fefefe"
SERIES = ("#0067a5", "#c24a00", "#00785a", "#8f3f8a", "#7a6200", "#b3203c", "#4a5fc1", "#4d6b1f")
"""Colours with a contrast of at least 4.5 on white; an HTML report replaces them by lighter ones in dark mode."""
MARKERS = "osD^vPX*"
LINES = ("-", "--", ":", "-.")
DOTS_PER_INCH = 200
MAX_LABEL = 26
_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.facecolor": SURFACE,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Arial", "Helvetica"],
    "font.size": 8.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "micl",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot: a name for its file, a title, a sentence on how to read it, its size in inches, and its function."""

    name: str
    title: str
    reading: str
    size: tuple[float, float]
    draw: Callable[[Figure], None]
    constrained: bool = True
    """Whether matplotlib makes room for the labels, which takes most of the time; otherwise ``draw`` does."""

    def image(self, format: PlotFormat, *, transparent: bool = False) -> bytes:
        """Return the plot as an image. Equal plots have equal bytes, by one version of matplotlib."""
        with _styled():
            from matplotlib.figure import Figure

            figure = Figure(figsize=self.size, layout="constrained" if self.constrained else None)
            self.draw(figure)
            stream = io.BytesIO()
            figure.savefig(
                stream, format=format, dpi=DOTS_PER_INCH, transparent=transparent, metadata=_METADATA[format]
            )
        image = stream.getvalue()
        return _stable_ids(image) if format == "svg" else image


def _stable_ids(svg: bytes) -> bytes:
    """Replace the ids that matplotlib derives from coordinates, whose last bits depend on the order of the layout.

    The new ones derive from all else in the image, so that several images in one page have different ids.
    """
    ids = list(dict.fromkeys(re.findall(rb'\bid="([A-Za-z]*[0-9a-f]{10})"', svg)))
    marked = svg
    for number, each in enumerate(ids):
        marked = re.sub(rb'(id="|#)' + each + rb'(?=[")])', rb"\g<1>@%d@" % number, marked)
    digest = sha256(marked).hexdigest()[:10].encode()
    return re.sub(rb'(id="|#)@(\d+)@', rb"\g<1>m" + digest + rb"-\g<2>", marked)


@contextmanager
def _styled() -> Iterator[None]:
    """Apply the style in place of the user's, without warnings about fonts and characters that are not installed."""
    logger = logging.getLogger("matplotlib")
    former = logger.level
    logger.setLevel(logging.ERROR)
    import matplotlib

    try:
        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matplotlib.rcdefaults()
            parameters: Any = matplotlib.rcParams
            parameters.update(_STYLE)
            yield
    finally:
        logger.setLevel(former)


def label(text: str, limit: int = MAX_LABEL) -> str:
    """Return ``text`` for a plot: without control characters and others that XML excludes, truncated in the middle."""
    text = _NOT_XML.sub("\ufffd", escape(text))
    return text if len(text) <= limit else f"{text[: limit - 10]}…{text[-9:]}"


def series(number: int) -> dict[str, Any]:
    """Return colour, marker and line style of the series ``number``, from 0; no two of the first 32 are equal."""
    return {
        "color": SERIES[number % len(SERIES)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": LINES[number // len(SERIES) % len(LINES)],
    }


def legend(axes: Axes) -> None:
    """Draw the legend to the right of the axes."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0)


def plain(axes: Axes) -> None:
    """Remove grid, spines and tick marks of axes whose cells are labelled."""
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
