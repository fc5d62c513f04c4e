"""Loading of finished runs into the benchmark's process."""

from __future__ import annotations

import json
from pathlib import Path

from common import micl

from micl_cli.api import Resources
from micl_cli.data.preparation import open_task
from micl_cli.plan import Plan
from micl_cli.registry import Registry
from micl_cli.training.checkpoint import RunFolder
from micl_cli.training.components import RunComponents, assemble
from micl_cli.training.feature_cache import Features
from micl_cli.training.loop import restore_stage


def load_run(run: str, home: Path, device: str = "auto") -> RunComponents:
    """Return the components of a finished run with its final weights."""
    shown = json.loads(micl(["runs", "show", run, "--json"], home).stdout)
    registry, plan = Registry.discover(), Plan.from_json(shown["plan"])
    tasks, resources = [open_task(name, home) for name in plan.tasks], Resources(home, registry.load)
    components = assemble(plan, tasks, registry, Features(home / "features"), device, resources=resources)
    restore_stage(components, RunFolder(Path(shown["folder"])), len(components.stages))
    return components
