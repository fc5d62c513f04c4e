"""Reports as one JSON document. Fields are added, never removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from micl_cli.io.json_text import json_text
from micl_cli.report.data import RunData
from micl_cli.report.differences import differences_of
from micl_cli.report.groups import groups_of, paired_of
from micl_cli.report.quantized import quantized_of


def write(runs: Sequence[RunData]) -> str:
    """Return {"runs": [...]}, ASCII only; numbers that are not finite are null.

    Several runs add "differences" (what they differ in, and whether they are comparable all the same), "groups" (means
    over seeds), "quantized" (relative to full precision) and "paired" (one strategy
    minus another).
    """
    document: dict[str, Any] = {"runs": [_run(run) for run in runs]}
    if len(runs) > 1:
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
