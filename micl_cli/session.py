"""A session: it runs plans, and tells store, listeners and screen what happens."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from micl_cli import __version__
from micl_cli.api.events import Answered, Event, Notice, RunFinished, RunStarted, Step
from micl_cli.api.options import options_of, parse_options
from micl_cli.api.task import Task
from micl_cli.errors import Interrupted, MiclError, PlanError, UsageError
from micl_cli.flow.prepare import Prepared, open_task, prepare_folder, prepare_source, prepared_tasks
from micl_cli.plan import Evaluation, Plan, Training, check_fit
from micl_cli.registry import Registry
from micl_cli.report.data import RunData, ScoreRow, StageCost, score_matrix
from micl_cli.settings import Settings
from micl_cli.store import NewRun, PluginRecord, RunDetails, Store, TaskRecord

if TYPE_CHECKING:
    from micl_cli.flow.learn import Control
    from micl_cli.flow.parts import Parts

Progress = Callable[[int, int | None], None]
OnError = Literal["fail", "skip"]
STORE_SECONDS = 1.0
"""Steps reach the store together, so that a fast loop does not wait for the disk."""

_HOOKS = {
    "task_started": "micl_task_started",
    "step": "micl_step",
    "task_learned": "micl_task_learned",
    "scored": "micl_scored",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks to be learnt; None leaves a choice to the backbone's preset or the default."""

    strategy: str
    backbone: str
    tasks: tuple[str, ...]
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    stage_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    name: str = ""


@dataclass(frozen=True)
class StageOutlook:
    """A stage to come: what is learnt, from how many examples, in how many steps at most."""

    position: int
    tasks: tuple[str, ...]
    examples: int
    steps: int
    scored: int


@dataclass(frozen=True)
class Outlook:
    """What a plan will take. ``step_seconds`` is from an earlier run, None where there is none."""

    stages: tuple[StageOutlook, ...]
    trainable: int
    step_seconds: float | None
    status: str

    @property
    def steps(self) -> int:
        """All steps, where no task is ended early."""
        return sum(stage.steps for stage in self.stages)

    @property
    def duration(self) -> str:
        """The learning time in words."""
        if self.step_seconds is None:
            return "no earlier run of this strategy and backbone to tell the time from"
        return f"about {self.steps * self.step_seconds:.0f} s of learning, as the latest such run went"

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        known = {"steps": self.steps, "trainable_parameters": self.trainable, "step_seconds": self.step_seconds}
        return {**known, "stages": [asdict(stage) for stage in self.stages]}


class Session:
    """One user's registry, home folder and store, for the length of a command."""

    def __init__(self, settings: Settings, registry: Registry | None = None) -> None:
        self.settings = settings
        self.registry = registry or Registry.discover()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The run store, open. Raises StoreError."""
        with Store.open(self.settings.store_url) as store:
            yield store

    # Tasks

    def prepare(self, what: str, *, on_error: OnError = "fail", progress: Progress | None = None) -> Prepared:
        """Prepare a task by full name, or a folder of the user's own, and register it in the store.

        Raises PlanError, ManifestError, MediaError or PluginError.
        """
        if Path(what).is_dir():
            prepared = prepare_folder(
                Path(what), self.settings.home, self._modality, on_error=on_error, progress=progress
            )
        else:
            prepared = self._prepare_source(what, self.settings.home, on_error, progress)
        with self.store() as store:
            store.record_task(_task_record(prepared))
        return prepared

    def _prepare_source(self, name: str, home: Path, on_error: OnError, progress: Progress | None) -> Prepared:
        source = self.registry.load("tasks", name)()
        return prepare_source(source, name, home, self._modality(source.modality), on_error=on_error, progress=progress)

    def _modality(self, name: str) -> Any:
        return self.registry.load("modalities", name)()

    def open_tasks(
        self, names: Sequence[str], *, dry: bool = False, progress: Callable[[str], Progress | None] = lambda name: None
    ) -> list[Task]:
        """The prepared tasks; embedded ones that are missing are prepared first.

        ``dry`` prepares those in a temporary folder, to know their sha256, and leaves no trace.
        Raises PlanError where a task is not prepared and cannot be, or its data has changed.
        """
        return [self._open(name, dry, progress) for name in names]

    def _open(self, name: str, dry: bool, progress: Callable[[str], Progress | None]) -> Task:
        if name in prepared_tasks(self.settings.home):
            return open_task(name, self.settings.home)
        if not self.registry.load("tasks", name).embedded:
            return open_task(name, self.settings.home)  # which says how to prepare it
        if not dry:
            return self.prepare(name, progress=progress(name)).task
        with tempfile.TemporaryDirectory() as folder:
            return self._prepare_source(name, Path(folder), "fail", None).task

    # Plans

    def plan(self, request: Request, tasks: Sequence[Task]) -> Plan:
        """The plan of a request: every choice made, every option typed, the parts checked to fit.

        Raises PluginError, OptionError, UsageError or PlanError.
        """
        name, _, argument = request.backbone.partition(":")
        backbone = self.registry.load("backbones", name)
        strategy = self.registry.load("strategies", request.strategy)
        owner = f"strategy {request.strategy}"
        stage_options = {
            position: _plain(parse_options(strategy, raw, owner=owner))
            for position, raw in request.stage_options.items()
        }
        defaults = dict(backbone.defaults(argument))
        plan = Plan(
            strategy=request.strategy,
            backbone=request.backbone,
            tasks=request.tasks,
            data={task.name: task.sha256 for task in tasks},
            strategy_options=_resolved(strategy, request.strategy_options, owner),
            stage_options=stage_options,
            backbone_options=_plain(parse_options(backbone, request.backbone_options, owner=f"backbone {name}")),
            seed=request.seed,
            training=_settings(Training, defaults, request.training),
            evaluation=_settings(Evaluation, dict(defaults.get("evaluation", {})), request.evaluation),
            parent=request.parent,
            name=request.name,
        )
        check_fit(plan, tasks, backbone, strategy)
        return plan

    def further_attempt(self, plan: Plan) -> Plan:
        """The same plan as a run of its own: the first attempt that the store does not know."""
        with self.store() as store:
            attempt = 1
            while store.run(plan.again(attempt).id):
                attempt += 1
        return plan.again(attempt)

    def plan_of(self, run_id: str) -> Plan:
        """The plan of a run in the store."""
        with self.store() as store:
            return Plan.from_json(store.details(run_id).run.plan)

    def open_planned(self, plan: Plan) -> list[Task]:
        """The tasks of a plan made earlier. Raises PlanError where their data is not the same now."""
        tasks = self.open_tasks(plan.tasks)
        for task in tasks:
            if task.sha256 != plan.data[task.name]:
                raise PlanError(
                    f"the data of {task.name} is not what run {plan.id} was made with",
                    "Restore the data, or start a new run by naming strategy and tasks again.",
                )
        return tasks

    def outlook(self, plan: Plan, tasks: Sequence[Task], device: str = "auto") -> Outlook:
        """What a plan will take; its parts are loaded to see that they fit, and nothing is written."""
        from micl_cli.flow.parts import assemble
        from micl_cli.flow.work import planned_steps
        from micl_cli.store import check

        parts = assemble(plan, tasks, self.registry, self.settings.features, device)
        stages, seen = [], 0
        for position, stage in enumerate(parts.stages, 1):
            seen += sum(task.counts.get("test", 0) for task in stage)
            examples = sum(task.counts.get("train", 0) for task in stage)
            steps = planned_steps(plan.training, examples, len(stage))
            stages.append(StageOutlook(position, tuple(task.name for task in stage), examples, steps, seen))
        parts.backbone.add_adapter("outlook")
        parts.backbone.activate("outlook")
        trainable = sum(w.numel() for w in parts.backbone.trainable({task.modality for task in tasks}).values())
        known = check(self.settings.store_url).state == "ok"
        seconds, status = self._experience(plan) if known else (None, "")
        return Outlook(tuple(stages), trainable, seconds, status)

    def _experience(self, plan: Plan) -> tuple[float | None, str]:
        """(seconds a step in the latest run of a like plan, status of this plan's own run)."""
        with self.store() as store:
            own = store.run(plan.id)
            for run in store.runs(50):
                other = Plan.from_json(run.plan)
                if (other.strategy, other.backbone) == (plan.strategy, plan.backbone):
                    stages = [s for s in store.details(run.id).stages if s.steps]
                    if stages:
                        seconds = sum(s.seconds for s in stages) / sum(s.steps for s in stages)
                        return seconds, own.status if own else ""
        return None, own.status if own else ""

    # Runs

    def learn(
        self, plan: Plan, tasks: Sequence[Task], control: Control, *, device: str = "auto", threads: int = 0
    ) -> Iterator[Event]:
        """Run a plan, or go on with it; a finished one is only told again.

        Raises Interrupted with everything kept, and whatever a part raises.
        """
        from micl_cli.flow.checkpoint import RunFolder
        from micl_cli.flow.learn import learn, replay
        from micl_cli.flow.lock import only_one
        from micl_cli.flow.parts import assemble

        folder = RunFolder(self.settings.runs / plan.id)
        with only_one(folder.path), self.store() as store:
            known = store.run(plan.id)
            if known and known.status == "finished":
                yield from self._told_again(plan, store, replay)
                return
            threads = threads or _threads_before(known) or self._threads(plan)
            _use_threads(threads)
            parts = assemble(plan, tasks, self.registry, self.settings.features, device)
            environment = _environment(parts, threads)
            for text in _changes(known.environment if known else {}, environment):
                yield Notice(text=text)
            if plan.parent:
                self._inherit(folder, plan)
            store.start_run(self._new_run(plan, environment))
            yield from self._recorded(plan, store, learn(parts, folder, control))

    def _recorded(self, plan: Plan, store: Store, events: Iterator[Event]) -> Iterator[Event]:
        """Pass events on, having told store and listeners; say in the store how the run ended."""
        recorder = Recorder(store, plan.id)
        yield from self._tell("micl_run_started", run=plan.id, plan=plan.as_json())
        status, error = "failed", ""
        try:
            for event in events:
                recorder.take(event)
                if hook := _HOOKS.get(event.name):
                    yield from self._tell(hook, run=plan.id, event=event)
                yield event
            status = "finished"
        except (Interrupted, KeyboardInterrupt, GeneratorExit):
            status = "interrupted"
            raise
        except Exception as problem:
            error = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            raise
        finally:
            recorder.flush()
            store.end_run(plan.id, status, error)
            self.registry.notify("micl_run_finished", run=plan.id, status=status)

    def _tell(self, hook: str, **values: Any) -> Iterator[Event]:
        for warning in self.registry.notify(hook, **values):
            yield Notice(text=warning)

    def _told_again(self, plan: Plan, store: Store, replay: Any) -> Iterator[Event]:
        from micl_cli.flow.checkpoint import RunFolder

        details = store.details(plan.id)
        yield RunStarted(
            run=plan.id, tasks=list(plan.tasks), strategy=plan.strategy, backbone=plan.backbone, seed=plan.seed
        )
        yield from replay(RunFolder(self.settings.runs / plan.id), len(details.stages))
        seconds = sum(stage.seconds for stage in details.stages)
        yield RunFinished(run=plan.id, status="finished", seconds=seconds)

    def _inherit(self, folder: Any, plan: Plan) -> None:
        """Take the finished stages of the run that this one goes on from."""
        import shutil

        from micl_cli.flow.files import whole_folder

        parent = self.settings.runs / str(plan.parent)
        for kind in ("stages", "scores"):
            if (folder.path / kind).exists() or not (parent / kind).exists():
                continue
            with whole_folder(folder.path / kind) as fresh:
                shutil.copytree(parent / kind, fresh, dirs_exist_ok=True)

    def _threads(self, plan: Plan) -> int:
        name, argument = plan.backbone_parts
        return int(self.registry.load("backbones", name).defaults(argument).get("threads", 0))

    def _new_run(self, plan: Plan, environment: Mapping[str, Any]) -> NewRun:
        named = [("strategies", plan.strategy), ("backbones", plan.backbone_parts[0])]
        parts = [self.registry.find(kind, name) for kind, name in named]
        plugins = tuple(
            PluginRecord(kind=p.kind, name=p.name, distribution=p.distribution, version=p.version) for p in parts
        )
        return NewRun(
            id=plan.id,
            plan=plan.as_json(),
            environment=environment,
            name=plan.name,
            parent=plan.parent,
            plugins=plugins,
        )

    def remove(self, run_id: str, *, force: bool = False) -> None:
        """Remove a run's rows and checkpoints. Raises StoreError, or BusyError where it is running."""
        import shutil

        from micl_cli.flow.lock import only_one

        folder = self.settings.runs / run_id
        with only_one(folder), self.store() as store:
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
        device: str = "auto",
    ) -> Iterator[Event]:
        """Score a run's model, as it stood after ``stage`` (its last where None), on any prepared tasks.

        Scores on all examples of a split are kept in the store. Raises UsageError where the
        stage is not learnt, PlanError where a task cannot be taken.
        """
        from micl_cli.flow.checkpoint import RunFolder
        from micl_cli.flow.evaluate import score
        from micl_cli.flow.learn import restore_stage
        from micl_cli.flow.parts import assemble, load_metrics

        plan = self.plan_of(run_id)
        folder = RunFolder(self.settings.runs / run_id)
        own = self.open_planned(plan)
        wanted = self.open_tasks(names) if names else own
        strategy = self.registry.load("strategies", plan.strategy)
        check_fit(plan, wanted, self.registry.load("backbones", plan.backbone_parts[0]), strategy)
        with self.store() as store:
            known = store.run(run_id)
            _use_threads(_threads_before(known) or self._threads(plan))
            limited = replace(plan, evaluation=replace(plan.evaluation, examples=examples)) if examples else plan
            parts = assemble(limited, own, self.registry, self.settings.features, device)
            check_fit(plan, wanted, parts.backbone, strategy)
            parts.metrics = load_metrics(self.registry, wanted)
            position = _stage_to_use(folder, len(parts.stages), stage)
            restore_stage(parts, folder, position)
            for task in wanted:
                events = list(
                    score(parts, task, position, split=split, keep_answers=control.keep_answers, pause=control.pause)
                )
                if not examples:
                    store.write(run_id, events)
                    _keep_answers(store, run_id, events)
                parts.features.flush()
                yield from events

    def report(self, run_id: str, split: str = "test") -> RunData:
        """What a report tells of a run, with the figures that plugins add."""
        with self.store() as store:
            data = run_data(store.details(run_id), split)
        extra: dict[str, float] = {}
        for figures in self.registry.collect("micl_metrics", run=run_id, matrix=data.matrix, tasks=list(data.tasks)):
            extra |= figures
        return replace(data, extra=extra)


class Recorder:
    """Writes a run's events to the store, steps in bundles."""

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.run = store, run
        self._waiting: list[Event] = []
        self._written = time.monotonic()

    def take(self, event: Event) -> None:
        """Take an event in, and write what waits where it is time."""
        if isinstance(event, RunStarted) and event.resumed_from:
            self.store.discard_after(self.run, *event.resumed_from)
        if isinstance(event, Answered):
            _keep_answers(self.store, self.run, [event])
        self._waiting.append(event)
        if not isinstance(event, Step) or time.monotonic() - self._written >= STORE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        self.store.write(self.run, waiting)
        self._written = time.monotonic()


def run_data(details: RunDetails, split: str = "test") -> RunData:
    """A run as a report takes it, from what the store holds."""
    plan = Plan.from_json(details.run.plan)
    costs = [StageCost(**{f.name: getattr(stage, f.name) for f in fields(StageCost)}) for stage in details.stages]
    scores = [ScoreRow(**{f.name: getattr(score, f.name) for f in fields(ScoreRow)}) for score in details.scores]
    matrix, zero_shot = score_matrix(plan.tasks, costs, scores, split)
    return RunData(
        id=details.run.id,
        name=details.run.name,
        strategy=plan.strategy,
        backbone=plan.backbone,
        seed=plan.seed,
        status=details.run.status,
        tasks=plan.tasks,
        matrix=matrix,
        zero_shot=zero_shot,
        stages=costs,
        scores=scores,
        split=split,
    )


def _keep_answers(store: Store, run_id: str, events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, Answered):
            store.write_predictions(run_id, event.after, event.task, event.split, event.rows)


def _task_record(prepared: Prepared) -> TaskRecord:
    task = prepared.task
    return TaskRecord(
        name=task.name,
        modality=task.modality,
        kind=task.kind,
        metric=task.metric,
        sha256=task.sha256,
        counts=task.counts,
        path=str(prepared.folder),
    )


def _resolved(cls: type[Any], raw: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Every option of a part with its value, so that a plan tells all even where defaults change."""
    defaults = {name: option.default for name, option in options_of(cls).items() if not option.required}
    return {**defaults, **_plain(parse_options(cls, raw, owner=owner))}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}


def _settings(cls: type[Any], defaults: Mapping[str, Any], asked: Mapping[str, Any]) -> Any:
    """Training or evaluation settings: what was asked for, else the preset's, else the default."""
    names = {f.name for f in fields(cls)}
    chosen = {**defaults, **{key: value for key, value in asked.items() if value is not None}}
    return cls(**{key: value for key, value in chosen.items() if key in names})


def _stage_to_use(folder: Any, stages: int, wanted: int | None) -> int:
    done = [position for position in range(1, stages + 1) if folder.has_stage(position)]
    if not done:
        raise UsageError(f"run {folder.path.name} has no finished stage yet", "Let it learn a task first.")
    if wanted is not None and wanted not in done:
        raise UsageError(f"stage {wanted} is not learnt", f"Stages with a checkpoint: {', '.join(map(str, done))}.")
    return wanted or done[-1]


def _use_threads(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _threads_before(known: Any) -> int:
    """A resumed run keeps its thread count: another one rounds sums differently."""
    return int(known.environment.get("threads", 0)) if known else 0


def _environment(parts: Parts, threads: int) -> dict[str, Any]:
    """What may explain a difference between two runs of one plan."""
    import torch

    device = parts.accelerator.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    libraries = {name: version(name) for name in ("torch", "transformers", "peft", "accelerate")}
    return {
        "micl": __version__,
        "python": platform.python_version(),
        **libraries,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": gpu or device.type,
        "precision": parts.accelerator.mixed_precision,
        "threads": threads or torch.get_num_threads(),
    }


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each thing that a resumed run finds changed."""
    return [
        f"{key} was {before[key]} when this run began and is {value} now: results may differ slightly"
        for key, value in now.items()
        if key in before and before[key] != value
    ]


def failure_of(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).splitlines()[0] if isinstance(error, MiclError) else type(error).__name__
