"""The base model of a plan: resolved, downloaded where it is missing, and compared with what a run was planned with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from micl_cli.api.resources import Resources
from micl_cli.errors import PlanError, UsageError
from micl_cli.plan import BackboneName, Plan, without_added_defaults
from micl_cli.records import RunRecord
from micl_cli.registry import Registry
from micl_cli.settings import TRUST

if TYPE_CHECKING:
    from micl_cli.api.presets import FetchProgress

_NOT_COMPARED = ("backbone_digest", "name", "attempt")
_WAY_OUT = "Restore its files (a relative path is looked up in the current folder), or start a new run"


def silent(name: str, done: int, total: int) -> None:
    """Show no progress of a download."""


def resolve_backbone(text: str, registry: Registry, resources: Resources, progress: FetchProgress = silent) -> str:
    """Return a backbone as it is recorded in plans, after downloading what is missing of it. Raises PlanError."""
    name = BackboneName.parse(text, registry)
    cls = registry.load("backbones", name.name)
    cls.download_missing(name.argument, progress, resources)
    return str(name._replace(argument=cls.resolve(name.argument, resources)))


def base_digest(text: str, registry: Registry, resources: Resources) -> str:
    """Return the digest of a backbone's weights and components. Raises PlanError."""
    name = BackboneName.parse(text, registry)
    return str(registry.load("backbones", name.name).digest(name.argument, resources))


def check_base(plan: Plan, registry: Registry, resources: Resources) -> list[str]:
    """Raise PlanError if the base model is not the one that the plan was made with.

    Returns a notice if an earlier version of micl recorded less than is compared today.
    """
    recorded, present = plan.backbone_digest, base_digest(plan.backbone, registry, resources)
    if recorded == present:
        return []
    if not (recorded and present) or recorded in _former_digests(plan, registry, resources):
        return [f"the base model {plan.backbone} was recorded in an earlier form: it is not compared completely"]
    raise PlanError(
        f"the base model {plan.backbone} is not the one that run {plan.id} was planned with: it has changed",
        f"{_WAY_OUT} by naming strategy and tasks.",
    )


def _former_digests(plan: Plan, registry: Registry, resources: Resources) -> list[str]:
    name = BackboneName.parse(plan.backbone, registry)
    return list(registry.load("backbones", name.name).former_digests(name.argument, resources))


def with_earlier_digest(plan: Plan, runs: Iterable[RunRecord], registry: Registry, resources: Resources) -> Plan:
    """Return the plan of an earlier run that differs by the form of its digests only, or else ``plan`` itself.

    Earlier versions recorded no digests of the files that options name.

    Raises PlanError if the same plan was carried out on another state of the base model.
    """
    wanted, others = _compared(plan.as_json()), []
    without_files = replace(plan, option_files={})
    for run in runs:
        if run.id in (plan.id, without_files.id):
            return plan if run.id == plan.id else without_files
        if isinstance(run.plan, Mapping) and _compared(run.plan) == wanted:
            others.append(run)
    if not others:
        return plan
    former = _former_digests(plan, registry, resources)
    for run in others:
        digest = str(run.plan.get("backbone_digest", ""))
        if not digest or digest in former:
            return replace(plan, backbone_digest=digest)
    raise PlanError(
        f"the base model {plan.backbone} has changed since run {others[0].id} was planned",
        "Restore its files, or add --again to `micl learn` to start a run on the changed base model.",
    )


def _compared(plan: Mapping[str, Any]) -> dict[str, Any]:
    compared = {k: v for k, v in without_added_defaults(plan).items() if k not in _NOT_COMPARED}
    content: dict[str, Any] = json.loads(json.dumps(compared))
    return content


def check_trust(plan: Plan, trusted: bool) -> None:
    """Raise UsageError if a plan runs code of its checkpoint and the user of this command has not allowed it.

    Stores and recipes may come from others, so that the plan itself is no permission.
    """
    if plan.backbone_options.get(TRUST, False) is not False and not trusted:
        raise UsageError(
            f"the backbone {plan.backbone} of run {plan.id} runs Python code that its checkpoint contains",
            "If you trust that code, allow it with --trust-remote-code.",
        )
