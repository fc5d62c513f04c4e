"""One command's registry, home folder and store, and what is done with them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from micl_cli.api.events import Event, Notice, RunFinished, RunStarted
from micl_cli.api.task import Task
from micl_cli.errors import BusyError, Interrupted, PlanError, StoreError, UsageError
from micl_cli.plan import Plan, backbone_parts, check_fit
from micl_cli.report.data import RunData
from micl_cli.session.estimate import RunEstimate, estimate_run, step_seconds
from micl_cli.session.lease import is_busy, leased
from micl_cli.session.library import TaskLibrary, Watch, unwatched
from micl_cli.session.recorder import Recorder, changes, environment_of, new_run, run_data
from micl_cli.session.request import Request, make_plan
from micl_cli.store import RunDetails, RunRecord, Store, check, exists

if TYPE_CHECKING:
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.components import RunComponents
    from micl_cli.training.feature_cache import Features
    from micl_cli.training.loop import Control

_HOOKS = {
    "task_started": "micl_task_started",
    "step": "micl_step",
    "task_learned": "micl_task_learned",
    "scored": "micl_scored",
}


class Session(TaskLibrary):
    """One user's registry, home folder and store, for the length of a command."""

    def resolve(self, text: str) -> str:
        """The id of the run that ``text`` means (see Store.resolve); looking for it makes no store."""
        if not exists(self.settings.store_url):
            hint = "Start one: micl learn --strategy moincl --tasks img_cap,aud_qa"
            raise UsageError(f"no run {text!r}: there are no runs yet", hint)
        with self.store() as store:
            return store.resolve(text)

    def runs(self) -> list[RunRecord]:
        """The runs, the most recently started first."""
        if not exists(self.settings.store_url):
            return []
        with self.store() as store:
            return [self._truly(run) for run in store.runs()]

    def details(self, run_id: str) -> RunDetails:
        """A run with its stages and scores. Raises StoreError."""
        with self.store() as store:
            details = store.details(run_id)
        return replace(details, run=self._truly(details.run))

    def _truly(self, run: RunRecord) -> RunRecord:
        """The run as it is: one whose process was killed could not say so in the store."""
        if run.status != "running":
            return run
        with self.store() as store:
            return run if is_busy(run.id, store, self.settings) else replace(run, status="interrupted")

    # Plans

    def plan(self, request: Request, tasks: Sequence[Task]) -> Plan:
        """The plan of a request, whole. Raises PluginError, OptionError, UsageError or PlanError."""
        return make_plan(request, tasks, self.registry)

    def further_attempt(self, plan: Plan) -> Plan:
        """The same plan as a run of its own: the first attempt that the store does not know."""
        if not exists(self.settings.store_url):
            return plan
        attempt = 0
        with self.store() as store:
            while store.run(plan.again(attempt).id):
                attempt += 1
        return plan.again(attempt)

    def record(self, run_id: str) -> tuple[RunRecord, Plan]:
        """A run in the store, and its plan."""
        with self.store() as store:
            run = store.details(run_id).run
        return run, Plan.from_json(run.plan)

    def open_planned(self, run_id: str, plan: Plan, *, dry: bool = False, watch: Watch = unwatched) -> list[Task]:
        """The tasks of the run ``run_id``. Raises PlanError where their data is not the same now."""
        tasks = self.open_tasks(plan.tasks, dry=dry, watch=watch)
        for task in tasks:
            if task.sha256 != plan.data[task.name]:
                raise PlanError(
                    f"the data of {task.name} is not what run {run_id} was made with",
                    "Restore the data and prepare it again, or start a new run by naming strategy and tasks.",
                )
        return tasks

    def estimate(self, plan: Plan, tasks: Sequence[Task], device: str = "auto") -> RunEstimate:
        """What a plan will take; its parts are loaded to see that they fit, and nothing is written."""
        from micl_cli.training.components import assemble

        estimate = estimate_run(assemble(plan, tasks, self.registry, self._features(), device))
        if check(self.settings.store_url).state != "ok":
            return estimate
        with self.store() as store:
            own = store.run(plan.id)
            return replace(estimate, step_seconds=step_seconds(plan, store), status=own.status if own else "")

    # Runs

    def learn(
        self,
        plan: Plan,
        tasks: Sequence[Task],
        control: Control,
        *,
        device: str = "auto",
        threads: int = 0,
        anywhere: bool = False,
    ) -> Generator[Event, None, None]:
        """Run a plan, or go on with it; a finished one is only told again.

        With ``anywhere`` one that another machine of this store has finished is left as it is.
        Raises BusyError where somebody else works on it, Interrupted with everything kept, and whatever a part raises.
        """
        from micl_cli.io.lock import only_one
        from micl_cli.training.checkpoint import RunFolder
        from micl_cli.training.components import assemble
        from micl_cli.training.loop import learn

        folder = RunFolder(self.settings.runs / plan.id)
        with only_one(folder.path), self.store() as store:
            folder.tidy()
            known = store.run(plan.id)
            if known and known.status == "finished" and folder.has_stages(len(store.details(plan.id).stages)):
                yield from self._told_again(plan, store, folder)
                return
            with leased(plan.id, store, self.settings) as claim:
                known = store.run(plan.id)  # again: until the claim another machine could learn it
                if anywhere and known and known.status == "finished" and not folder.begun:
                    return
                self._use_threads(plan, known, threads)
                parts = assemble(plan, tasks, self.registry, self._features(), device)
                if plan.parent:
                    folder.inherit(RunFolder(self.settings.runs / plan.parent), parts.stages)
                environment = environment_of(parts)
                store.start_run(new_run(plan, environment, self.registry))
                for text in changes(known.environment if known else {}, environment):
                    yield Notice(text=text)
                yield from self._recorded(plan, store, claim.checked(learn(parts, folder, control)))

    def _recorded(self, plan: Plan, store: Store, events: Iterator[Event]) -> Iterator[Event]:
        """Pass events on, having told store and listeners; say in the store how the run ended."""
        recorder = Recorder(store, plan.id)
        try:
            yield from self._tell("micl_run_started", run=plan.id, plan=plan.as_json())
            for event in events:
                recorder.take(event)
                if isinstance(event, RunFinished):
                    yield from self._tell("micl_run_finished", run=plan.id, status=event.status)
                elif hook := _HOOKS.get(event.name):
                    yield from self._tell(hook, run=plan.id, event=event)
                yield event
        except (Interrupted, KeyboardInterrupt, GeneratorExit) as stop:
            if isinstance(stop, Interrupted):
                stop.hint = f"Go on with the same command, or: micl learn --resume {plan.id}"
            self._break_off(recorder, "interrupted")
            raise
        except BusyError:
            raise  # another machine has the run now, and says how it ends
        except Exception as problem:
            from micl_cli.training.memory import explained

            told = explained(problem)
            self._break_off(recorder, "failed", _first_line(told))
            if told is not problem:
                raise told from problem
            raise

    def _break_off(self, recorder: Recorder, status: str, error: str = "") -> None:
        if recorder.ended:
            return
        with suppress(StoreError):  # a full disk stops the store too: what stopped the run is to be read
            recorder.end(status, error)
        self.registry.notify("micl_run_finished", run=recorder.run, status=status)

    def _tell(self, hook: str, **values: Any) -> Iterator[Event]:
        for warning in self.registry.notify(hook, **values):
            yield Notice(text=warning)

    def _told_again(self, plan: Plan, store: Store, folder: RunFolder) -> Iterator[Event]:
        from micl_cli.training.loop import replay

        stages = store.details(plan.id).stages
        names = list(plan.tasks)
        yield RunStarted(run=plan.id, tasks=names, strategy=plan.strategy, backbone=plan.backbone, seed=plan.seed)
        yield from replay(folder, len(stages))
        yield Notice(text="this run was finished already; --again makes a further one")
        yield RunFinished(run=plan.id, status="finished", seconds=sum(stage.seconds for stage in stages))

    def _use_threads(self, plan: Plan, known: RunRecord | None, asked: int = 0) -> None:
        """Compute with as many threads as asked for, else as before, else as suits the backbone.

        A resumed run keeps its number: another one rounds sums differently.
        """
        import torch

        before = int(known.environment.get("threads", 0)) if known else 0
        if threads := asked or before or self.suiting_threads(plan):
            torch.set_num_threads(threads)

    def _features(self) -> Features:
        from micl_cli.training.feature_cache import Features

        return Features(self.settings.features, self.settings.cache_limit)

    def suiting_threads(self, plan: Plan) -> int:
        """The number of CPU threads that suits the plan's backbone; 0 where it does not say."""
        name, argument = backbone_parts(plan.backbone, self.registry)
        return int(self.registry.load("backbones", name).defaults(argument).get("threads", 0))

    def remove(self, run_id: str, *, force: bool = False) -> None:
        """Remove a run's rows and checkpoints. Raises StoreError, or BusyError where it is running."""
        import shutil

        from micl_cli.io.lock import only_one

        folder = self.settings.runs / run_id
        with only_one(folder), self.store() as store, leased(run_id, store, self.settings):
            store.delete_run(run_id, force=force)
            shutil.rmtree(folder, ignore_errors=True)

    # Evaluation and reports

    def evaluate(
        self,
        run_id: str,
        names: Sequence[str],
        split: str,
        control: Control,
        *,
        stage: int | None = None,
        examples: int | None = None,
        scoring: str | None = None,
        device: str = "auto",
        watch: Watch = unwatched,
    ) -> Iterator[Event]:
        """Score a run's model, as it stood after ``stage`` (its last where None), on any prepared tasks.

        Scores are kept in the store, but for those on fewer ``examples`` than the run's own. Raises
        UsageError where the stage is not learnt, PlanError where a task cannot be taken.
        """
        from micl_cli.training.checkpoint import RunFolder
        from micl_cli.training.evaluation import score
        from micl_cli.training.loop import restore_stage

        known, plan = self.record(run_id)
        folder = RunFolder(self.settings.runs / run_id)
        own = self.open_planned(run_id, plan, watch=watch)
        wanted = self.open_tasks(names, watch=watch) if names else own
        self._use_threads(plan, known)
        asked: dict[str, Any] = {"examples": examples, "score": scoring}
        asked = {name: value for name, value in asked.items() if value}
        plan = replace(plan, evaluation=replace(plan.evaluation, **asked))
        parts = self._able(plan, own, wanted, device)
        position = _stage_to_use(folder, len(parts.stages), stage)
        restore_stage(parts, folder, position)
        keep, pause = control.keep_answers, control.pause
        with self.store() as store:
            for task in wanted:
                events = list(score(parts, task, position, split=split, keep_answers=keep, pause=pause))
                if not examples:
                    store.write(run_id, events)
                parts.features.flush()
                yield from events

    def _able(self, plan: Plan, own: Sequence[Task], wanted: Sequence[Task], device: str) -> RunComponents:
        """The parts of a run, fit to answer other tasks than its own too."""
        from micl_cli.training.components import assemble, load_metrics

        strategy = self.registry.load("strategies", plan.strategy)
        parts = assemble(plan, own, self.registry, self._features(), device)
        check_fit(plan, wanted, parts.backbone, strategy)
        parts.metrics = load_metrics(self.registry, wanted)
        return parts

    def report(self, run_id: str, split: str | None = None) -> RunData:
        """What a report tells of a run on ``split`` (its own where None), with the figures that plugins add."""
        with self.store() as store:
            data = run_data(store.details(run_id), split)
        extra: dict[str, float] = {}
        for figures in self.registry.collect("micl_metrics", run=run_id, matrix=data.matrix, tasks=list(data.tasks)):
            extra |= figures
        return replace(data, extra=extra)


def _stage_to_use(folder: RunFolder, stages: int, wanted: int | None) -> int:
    done = [position for position in range(1, stages + 1) if folder.has_stage(position)]
    if not done:
        raise UsageError(f"run {folder.path.name} has no finished stage yet", "Let it learn a task first.")
    if wanted is not None and wanted not in done:
        raise UsageError(f"stage {wanted} is not learnt", f"Stages with a checkpoint: {', '.join(map(str, done))}.")
    return wanted or done[-1]


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
