"""Scales of metrics: a mean of scores on different scales never stands first, and is marked wherever it is shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from micl_cli.report.blocks import number
from micl_cli.report.data import RunData, Scale

UNKNOWN = "unknown"
MIXED = "*"
"""The mark of a mean over tasks in a list of runs, where there is no room for the scales that it mixes."""


def scale_text(scale: Scale | None) -> str:
    """Return a scale as reports show it, x100: "0..1000"."""
    return UNKNOWN if scale is None else "..".join(f"{100 * bound:g}" for bound in scale)


def scales_by_metric(runs: Iterable[RunData], tasks: Collection[str] | None = None) -> dict[str, Scale | None]:
    """Return the scale of each metric that scored one of ``tasks`` (None: all tasks of the runs)."""
    return {
        score.metric: run.scales.get(task)
        for run in runs
        for task, score in run.latest.items()
        if task in run.tasks and (tasks is None or task in tasks)
    }


def mixed_scales(scales: Mapping[str, Scale | None]) -> str:
    """Return a mark for means over several scales, "mixes scales (cider 0..1000, accuracy 0..100)", or an empty text.

    Several metrics of which one has an unknown scale are marked "may mix scales".
    """
    if len(scales) < 2 or (len(set(scales.values())) == 1 and None not in scales.values()):
        return ""
    known = {scale for scale in scales.values() if scale is not None}
    each = ", ".join(f"{metric} {scale_text(scale)}" for metric, scale in scales.items())
    return f"{'mixes' if len(known) > 1 else 'may mix'} scales ({each})"


def mixture_of(run: RunData) -> str:
    """Return the mark for the means over all tasks of a run, which is empty if they are on one scale."""
    return mixed_scales(scales_by_metric([run]))


def marked_number(value: float | None, mixture: str, missing: str = "") -> str:
    """Return a mean over tasks with two decimals, and with MIXED if it mixes scales: "156.94*"."""
    return missing if value is None else f"{number(value)}{MIXED if mixture else ''}"


def mixture_note(mixtures: Iterable[str]) -> str:
    """Return the note that explains MIXED in a list of runs with these mixtures, or an empty text."""
    found = list(dict.fromkeys(filter(None, mixtures)))
    if not found:
        return ""
    return f"{MIXED} {'; '.join(found)}: compare it with other runs of the same tasks only"


def marked(title: str, runs: Iterable[RunData]) -> str:
    """Return the title of a table of means over tasks, marked if the means mix scales."""
    mixture = mixed_scales(scales_by_metric(runs))
    return f"{title}: {mixture}" if mixture else title
