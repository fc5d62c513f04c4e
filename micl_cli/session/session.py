"""The session: settings, plugins, tasks and the run store of one command."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from micl_cli.api.resources import Resources
from micl_cli.api.task import Task
from micl_cli.data.prepared import task_folder
from micl_cli.data.record import read_record
from micl_cli.errors import PlanError, UsageError
from micl_cli.plan import BackboneName, Plan
from micl_cli.registry import Registry
from micl_cli.report.data import RunData
from micl_cli.report.provenance import plain
from micl_cli.session.base import check_base, check_trust, resolve_backbone, silent, with_earlier_digest
from micl_cli.session.estimate import RunEstimate, estimate_run, step_seconds
from micl_cli.session.lease import is_busy
from micl_cli.session.library import TaskLibrary, Watch, unwatched
from micl_cli.session.option_files import check_option_files
from micl_cli.session.recorder import run_data
from micl_cli.session.removal import remove_run
from micl_cli.session.report_data import with_example_scores, with_task_facts
from micl_cli.session.request import Request, make_plan
from micl_cli.settings import Settings
from micl_cli.store import DAMAGED, RunDetails, RunRecord, Store, check, damaged_run, exists, plan_problem

if TYPE_CHECKING:
    from micl_cli.api.presets import FetchProgress
    from micl_cli.training.components import RunComponents


_log = logging.getLogger(__name__)


class Session:
    """The context of a command: it makes plans, reads the records of runs, and loads the components of a plan.

    ``tasks`` is the library of prepared tasks. :func:`micl_cli.session.learning.learn` carries out a plan,
    :func:`micl_cli.session.evaluation.evaluate` scores a run again.

    ``progress`` receives the progress of downloads. ``trusted`` means that the user of this command allows the code of
    checkpoints to run.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry | None = None,
        *,
        progress: FetchProgress = silent,
        trusted: bool = False,
    ) -> None:
        self.settings, self.progress, self.trusted = settings, progress, trusted
        self.registry = registry or Registry.discover()
        self.resources = Resources(settings.home, self.registry.load, settings.judge_model)
        self.tasks = TaskLibrary(settings, self.registry)

    def store(self) -> Store:
        """Return the open run store, a context manager that closes it. Raises StoreError."""
        return Store.open(self.settings.store_url)

    def store_to_read(self) -> Store:
        """Return the existing run store, open for reading, for which nothing needs to be written. Raises StoreError."""
        return Store.open_to_read(self.settings.store_url)

    # Plans

    def plan(self, request: Request, tasks: Sequence[Task]) -> Plan:
        """Return the plan of a request. Raises PluginError, OptionError, UsageError or PlanError."""
        return make_plan(request, tasks, self.registry, self.resources, self.progress)

    def resolve_backbone(self, text: str) -> str:
        """Return a backbone as it is recorded in plans, after downloading what is missing of it."""
        return resolve_backbone(text, self.registry, self.resources, self.progress)

    def with_earlier_digest(self, plans: Sequence[Plan], *, dry: bool = False) -> list[Plan]:
        """Return plans, in the form of earlier runs of them (see :func:`micl_cli.session.base.with_earlier_digest`).

        With ``dry``, a store that would be upgraded is not opened. Raises PlanError if the base model has changed since
        a plan was carried out.
        """
        if not exists(self.settings.store_url) or (dry and check(self.settings.store_url).state != "ok"):
            return list(plans)
        with self.store_to_read() as store:
            runs = store.runs()
        return [with_earlier_digest(plan, runs, self.registry, self.resources) for plan in plans]

    def check_base(self, plan: Plan) -> list[str]:
        """Raise PlanError if the base model is not the plan's, and download what is missing of it. Returns notices."""
        self.resolve_backbone(plan.backbone)
        return check_base(plan, self.registry, self.resources)

    def check_option_files(self, plan: Plan) -> None:
        """Raise PlanError if a file named by an option has changed since the plan was made."""
        check_option_files(plan)

    def further_attempt(self, plan: Plan) -> Plan:
        """Return the plan with the first attempt number that is not in the store, for a separate run."""
        if not exists(self.settings.store_url):
            return plan
        attempt = 0
        with self.store_to_read() as store:
            while store.run(plan.again(attempt).id):
                attempt += 1
        return plan.again(attempt)

    def open_planned(self, run_id: str, plan: Plan, *, dry: bool = False, watch: Watch = unwatched) -> list[Task]:
        """Return the tasks of run ``run_id``. Raises PlanError if their data has changed since it started."""
        tasks = self.tasks.open_tasks(plan.tasks, dry=dry, watch=watch)
        for task in tasks:
            if task.sha256 != plan.data[task.name]:
                raise PlanError(
                    f"the data of {task.name} has changed since run {run_id} started", self._change(run_id, task)
                )
        return tasks

    def _change(self, run_id: str, task: Task) -> str:
        """Return how a task was prepared for a run and how it is now, as far as is known, and what to do."""
        with self.store_to_read() as store:
            scores = [score for score in store.details(run_id).scores if score.task == task.name and score.main]
        then = {"prompts": scores[-1].prompts, "scorer": scores[-1].scorer} if scores else {}
        differing = [f"{what} {value!r}" for what, value in then.items() if value != getattr(task, what)]
        known = f"It was prepared with {' and '.join(differing)} then. " if differing else ""
        record = read_record(task_folder(task.name, self.settings.home))
        now = f"It is prepared now by: {record.command(task.name)}. " if record and record.source else ""
        return (
            f"{known}{now}Restore its data and prepare it as it was, or start a new run by naming strategy and tasks."
        )

    def components(self, plan: Plan, tasks: Sequence[Task], device: str = "auto") -> RunComponents:
        """Load the components of a plan and check that they fit. Raises PluginError, OptionError or PlanError."""
        from micl_cli.training.answer_lengths import answer_notes
        from micl_cli.training.components import assemble
        from micl_cli.training.evaluation import metric_notes
        from micl_cli.training.feature_cache import Features

        check_trust(plan, self.trusted)
        of_base = self.check_base(plan)
        _log.info("loading backbone %s", plan.backbone)
        started = time.perf_counter()
        features = Features(self.settings.features, self.settings.cache_limit)
        components = assemble(plan, tasks, self.registry, features, device, resources=self.resources)
        precision = plain("precision", components.accelerator.mixed_precision)
        where = components.accelerator.device, precision
        _log.info("loaded in %.1f s: device %s, precision %s", time.perf_counter() - started, *where)
        blind = metric_notes(components, tasks, plan.evaluation.split)
        components.notes = [*of_base, *components.notes, *answer_notes(components), *blind]
        return components

    def estimate(self, plan: Plan, tasks: Sequence[Task], device: str = "auto") -> RunEstimate:
        """Return the estimate of a plan. Its components are loaded to check that they fit; nothing is written."""
        estimate = estimate_run(self.components(plan, tasks, device))
        if not check(self.settings.store_url).has_runs:
            return estimate
        with self.store_to_read() as store:
            run = store.run(plan.id)
            return replace(estimate, step_seconds=step_seconds(plan, store), status=run.status if run else "")

    def preferred_threads(self, plan: Plan) -> int:
        """Return the number of CPU threads that the plan's backbone prefers; 0 if it has no preference."""
        name = BackboneName.parse(plan.backbone, self.registry)
        backbone = self.registry.load("backbones", name.name)
        return int(backbone.defaults(name.argument, self.resources).get("threads", 0))

    # Records of runs

    def resolve(self, text: str) -> str:
        """Return the id of the run that ``text`` names (see Store.resolve). A missing store is not created."""
        if not exists(self.settings.store_url):
            hint = "Start one: micl learn --strategy moincl --tasks img_cap,aud_qa"
            raise UsageError(f"no run {text!r}: there are no runs yet", hint)
        with self.store_to_read() as store:
            return store.resolve(text)

    def runs(self) -> list[RunRecord]:
        """Return all runs, the most recently started first."""
        if not exists(self.settings.store_url):
            return []
        with self.store_to_read() as store:
            return [self.with_real_status(run, store) for run in map(with_damage, store.runs())]

    def record(self, run_id: str) -> tuple[RunRecord, Plan]:
        """Return a run and its plan. Raises StoreError."""
        with self.store_to_read() as store:
            run = store.details(run_id).run
        return run, stored_plan(run)

    def details(self, run_id: str) -> RunDetails:
        """Return a run with its stages and scores. Raises StoreError."""
        with self.store_to_read() as store:
            details = store.details(run_id)
            stored_plan(details.run)
            return replace(details, run=self.with_real_status(details.run, store))

    def with_real_status(self, run: RunRecord, store: Store) -> RunRecord:
        """Return the run, with status "interrupted" if its process was killed while "running"."""
        if run.status != "running" or is_busy(run.id, store, self.settings):
            return run
        return replace(run, status="interrupted")

    def report(self, run_id: str, split: str | None = None, *, examples: bool = False) -> RunData:
        """Return the report data of a run on ``split`` (None: its own), with the figures of plugins.

        With ``examples``, it holds the scores of single examples of which answers are stored.
        """
        with self.store_to_read() as store:
            details = store.details(run_id)
            stored_plan(details.run)
            data = run_data(details, split)
            data = with_task_facts(data, store, self.registry)
            if examples:
                data = with_example_scores(data, store)
        extra: dict[str, float] = {}
        for figures in self.registry.collect("micl_metrics", run=run_id, matrix=data.matrix, tasks=list(data.tasks)):
            extra |= figures
        return replace(data, extra=extra)

    def remove(self, run_id: str, *, force: bool = False) -> None:
        """Remove a run's checkpoints and records (see :func:`micl_cli.session.removal.remove_run`)."""
        remove_run(self, run_id, force=force)


def stored_plan(run: RunRecord) -> Plan:
    """Return the plan of a stored run. Raises StoreError if it is damaged."""
    if problem := plan_problem(run.plan):
        raise damaged_run(run.id, problem)
    return Plan.from_json(run.plan)


def with_damage(run: RunRecord) -> RunRecord:
    """Return the run, with status "damaged" if it has no complete plan."""
    problem = "" if run.status == DAMAGED else plan_problem(run.plan)
    return replace(run, status=DAMAGED, error=problem, plan={}) if problem else run
