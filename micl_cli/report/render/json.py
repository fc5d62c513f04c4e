"""Reports as one JSON document. Fields are added, never removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from micl_cli.io.json_text import json_text
from micl_cli.report.data import RunData
from micl_cli.report.differences import differences_of
from micl_cli.report.groups import groups_of, paired_of
from micl_cli.report.quantized import quantized_of

if TYPE_CHECKING:
    from micl_cli.report.summary import Summary


def write(runs: Sequence[RunData], summaries: Sequence[Summary] = (), *, summary_only: bool = False) -> str:
    """Return {"runs": [...]}, ASCII only; numbers that are not finite are null.

    Several runs add "summaries" (one for each set of tasks; see :mod:`micl_cli.report.summary`), "differences" (what
    they differ in, and whether they are comparable all the same), "groups" (means of raw figures over seeds),
    "quantized" (relative to full precision) and "paired" (raw figures of one strategy minus those of another). With
    ``summary_only``, return {"summaries": [...]}.

    A summary has "methods", each with the "settings" in which it differs from others of its strategy, and "figures" by
    name: "relative_final", "relative_bwt" and "relative_learning" in per cent of the final scores of "relative_to";
    "mean_TYPE", the mean final score x100 over tasks of a type;
    "final:TASK" and "relative:TASK"; and "mft", "mfn", "maa" and "bwt", which average over all tasks ("mixed_scales"
    says if they mix scales). A figure has "mean", "low" and "high" (null without an interval), and "n", the number of
    seeds. "comparisons" have "first" minus "second" with "p", "p_adjusted" (Holm), "equivalent" and "verdict";
    "noise" has the standard deviations "over_threads" and "over_seeds" by figure; "notes" say what is left out.
    """
    if summary_only:
        return json_text({"summaries": [each.as_json() for each in summaries]}, indent=2)
    document: dict[str, Any] = {"runs": [_run(run) for run in runs]}
    if len(runs) > 1:
        document["summaries"] = [each.as_json() for each in summaries]
        document["differences"] = [each.as_json() for each in differences_of(runs)]
        document["groups"] = [group.as_json() for group in groups_of(runs)]
        document["quantized"] = [each.as_json() for each in quantized_of(runs)]
        document["paired"] = [pair.as_json() for pair in paired_of(runs)]
    return json_text(document, indent=2)


def _run(run: RunData) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "strategy": run.strategy,
        "backbone": run.backbone,
        "seed": run.seed,
        "status": run.status,
        "tasks": list(run.tasks),
        "split": run.split,
        "weights_bytes": run.weights_bytes,
        "environment": dict(run.environment),
        "scales": {task: scale and list(scale) for task, scale in run.scales.items()},
        "types": dict(run.types),
        "recipe": dict(run.recipe) or None,
        "environments": [asdict(each) for each in run.environments],
        "validations": [asdict(each) for each in run.validations],
        "matrix": run.r.rows(),
        "zero_shot": None if run.zero_shot is None else [run.r[0, i] for i in run.r.tasks],
        "metrics": run.metrics,
        "cost": asdict(run.cost),
        "stages": [asdict(stage) for stage in run.stages],
        "scores": [asdict(score) for score in run.scores],
        "extra": dict(run.extra),
        **({"outside": [task.as_json() for task in run.outside]} if run.outside else {}),
        **({"mixed_rules": run.mixed_rules} if run.mixed_rules else {}),
        **({"forgetting_types": [entry.as_json() for entry in run.forgetting_types]} if run.forgetting_types else {}),
        **({"routing": run.routing.as_json()} if run.routing else {}),
    }
