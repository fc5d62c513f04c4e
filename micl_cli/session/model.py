"""The model of a run, loaded once to answer many questions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from micl_cli.api.answer import Answer
from micl_cli.api.events import BASE
from micl_cli.api.strategy import Route, Strategy
from micl_cli.api.task import Content, Example, Task
from micl_cli.data.prepared import is_prepared, open_task
from micl_cli.errors import PlanError, UsageError, nearest
from micl_cli.plan import Plan, check_penalties
from micl_cli.records import RunRecord
from micl_cli.session.base import check_trust
from micl_cli.session.evaluation import LAST_STAGE, StageRange, learnt_positions, other_decoding
from micl_cli.session.learning import use_threads
from micl_cli.session.question import check_media, check_text
from micl_cli.session.session import Session

if TYPE_CHECKING:
    from micl_cli.api.backbone import InspectedMedium
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.components import RunComponents

ASKED = "asked"
"""The id of the example that holds a user's question."""
Receive = Callable[[str], None]
"""Called with each piece of an answer; may raise an exception to end it."""


def _discard(piece: str) -> None:
    """Ignore a piece of the answer."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer of a run's model after ``stage``, the last of which learnt ``tasks``.

    ``route`` is the strategy's, or None where nothing was routed; ``adapters`` are those that answered. ``cut`` is
    whether the answer ended at its maximum length, or None if the backbone does not report that.
    """

    text: str
    stage: int
    tasks: tuple[str, ...]
    adapters: tuple[str, ...]
    route: Route | None = None
    router: str = ""
    cut: bool | None = None
    seconds: float = 0.0

    @property
    def origin(self) -> str:
        """The origin of the answer in one line: the stage, the adapters, the choice of the router."""
        stage = f"stage {self.stage}" if self.stage else "before learning"
        by = " + ".join(self.adapters) or "no adapter"
        route = self.route
        routed = f", chosen by {self.router} for {route.task} with margin {route.margin:.2f}" if route else ""
        return f"{stage}: {by}{routed}; {self.seconds:.1f} s{'; cut at its maximum length' if self.cut else ''}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields of ``--json``."""
        route = None if self.route is None else {"task": self.route.task, "margin": self.route.margin}
        return {
            "stage": self.stage,
            "tasks": list(self.tasks),
            "answer": self.text,
            "cut": self.cut,
            "route": route and {**route, "router": self.router},
            "adapters": list(self.adapters),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """Options of an answer.

    ``adapter`` answers in place of the adapters that the strategy selects ("base": the base model alone). ``task`` is
    for strategies that know the task of an example. ``decoding`` replaces settings of the run; None stands for the
    run's.
    """

    adapter: str | None = None
    task: str = ""
    decoding: Mapping[str, Any] = field(default_factory=dict)


class RunModel:
    """Answers questions with the model of a run, after any of its stages.

    The components are loaded once; the weights of a stage are read when it is first asked for, and whenever another one
    was asked in between. Neither the data of the run's tasks nor their metrics are needed, and nothing is written.
    Only one thread at a time may use it. ``stages`` are the learnt stages, and 0.
    """

    def __init__(
        self, run: RunRecord, plan: Plan, components: RunComponents, folder: RunFolder, stages: Sequence[int]
    ) -> None:
        self.run, self.plan, self.components, self.folder = run, plan, components, folder
        self.stages = tuple(stages)
        self._loaded: int | None = None

    @property
    def last(self) -> int:
        """The last learnt stage."""
        return self.stages[-1]

    @property
    def knows_task(self) -> bool:
        """Whether the run's method selects an adapter by the task that it is told, and so needs one with a question.

        A method that predicts no task may know it from the example itself.
        """
        strategy = self.components.strategy
        return strategy.knows_task and type(strategy).task_adapters is not Strategy.task_adapters

    def check_media(self, media: Sequence[InspectedMedium], stage: int | None = None) -> list[str]:
        """Return notes about media of modalities that are not learnt, or of which the model reads only a part.

        Raises PlanError if it cannot read one.
        """
        stage = self.last if stage is None else stage
        notes = check_media(media, self.components.backbone)
        new = sorted({each.medium.modality for each in media} - self.learnt_modalities(stage))
        if new and stage:
            notes.append(f"no task with {' and '.join(new)} is learnt by stage {stage}: do not rely on the answer")
        return notes

    def learnt_modalities(self, stage: int) -> frozenset[str]:
        """Return the modalities of the tasks learnt up to a stage."""
        learnt = self.components.stages[:stage]
        return frozenset(modality for tasks in learnt for task in tasks for modality in task.modalities)

    def tasks(self, stage: int) -> tuple[str, ...]:
        """Return the names of the tasks that were learnt in a stage; none before learning."""
        return tuple(task.name for task in self.components.stages[stage - 1]) if stage else ()

    def adapters(self, stage: int | None = None) -> tuple[str, ...]:
        """Return the names of the adapters of a stage (by default the last), whose weights are loaded."""
        self._enter(self.last if stage is None else stage)
        return self.components.backbone.adapters.names

    def answer(
        self,
        content: Content,
        receive: Receive = _discard,
        *,
        stage: int | None = None,
        options: AnswerOptions = AnswerOptions(),
    ) -> Reply:
        """Return the answer to a content after ``stage`` (by default the last), as an evaluation would give it.

        ``receive`` gets the pieces of the answer while it is generated. Raises UsageError for an unknown stage or
        adapter, PlanError if the model cannot process the content.
        """
        from micl_cli.training.evaluation import Routing, stream_answer

        check_text(content)
        stage = self.last if stage is None else stage
        settings = self.decoding(options.decoding)
        started = time.perf_counter()
        example = Example(ASKED, content, task=self._task_named(options.task))
        with self._state(stage):
            routing, strategy = Routing(self._named_route(stage, options.adapter)), self.components.strategy
            named = bool(routing.routes)
            self.components.backbone.check([example])
            text = stream_answer(self.components, example, receive, routing, **settings)
            route = routing.routes.get(0)
            acting = self._acting(route)
        return Reply(
            text=str(text),
            stage=stage,
            tasks=self.tasks(stage),
            adapters=acting,
            route=None if named else route,
            router="" if named or route is None else strategy.routed_by[0] or self.plan.strategy,
            cut=text.cut if isinstance(text, Answer) else None,
            seconds=time.perf_counter() - started,
        )

    def decoding(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of ``Backbone.stream``: the run's settings with those of ``changed`` that are not None.

        Raises OptionError or PlanError for a setting that is not valid, or that the backbone does not support.
        """
        evaluation = replace(self.plan.evaluation, **other_decoding(self.plan, changed))
        check_penalties(replace(self.plan, evaluation=evaluation), self.components.backbone)
        return evaluation.decoding

    def _task_named(self, name: str) -> str:
        """Return the full name of a task of the run, given with or without its benchmark. Raises UsageError."""
        named = [task for task in self.plan.tasks if name in (task, task.rpartition("/")[2])]
        if name and not named:
            hint = f"{nearest(name, self.plan.tasks)} Its tasks: {', '.join(self.plan.tasks)}.".strip()
            raise UsageError(f"run {self.run.id} has no task {name!r}", hint)
        return named[0] if name else ""

    @contextmanager
    def _state(self, stage: int) -> Iterator[None]:
        """Use the weights after a stage during the block; stage 0 is before learning."""
        from micl_cli.training.loop import zero_shot

        self._enter(stage)
        rng = random.Random(f"{self.plan.seed}/{stage}/{ASKED}")
        self.components.strategy.stage = replace(self.components.stage(stage), rng=rng)
        with nullcontext() if stage else zero_shot(self.components):
            yield

    def _enter(self, stage: int) -> None:
        """Load the weights after a stage, unless they are in memory. Raises UsageError, CheckpointError."""
        from micl_cli.training.loop import restore_stage

        if stage not in self.stages:
            known = ", ".join(map(str, self.stages))
            raise UsageError(f"stage {stage} of run {self.run.id} is not learnt", f"Its stages: {known}.")
        if self._loaded == stage:
            return
        self._loaded = None  # unknown, if what follows fails
        self.components.backbone.reset_calibration()  # what later stages set is not known in earlier ones
        if stage:
            try:
                restore_stage(self.components, self.folder, stage)
            except LookupError as error:  # examples of a task that has changed, or is no longer there
                text = f"run {self.run.id} needs examples of its tasks, which are missing: {error}"
                raise PlanError(text, f"Prepare the same data again: {', '.join(self.plan.tasks)}") from error
        self._loaded = stage

    def _named_route(self, stage: int, adapter: str | None) -> dict[int, Route]:
        """Return the route to the adapter that the user names, if any. Raises UsageError if there is no such adapter.

        Before learning, nothing is routed, whatever the strategy has learnt in later stages.
        """
        from micl_cli.training.loop import ZERO_SHOT

        if adapter is None:
            return {} if stage else {0: Route(ZERO_SHOT, 1.0, ZERO_SHOT)}
        names = [*(self.components.backbone.adapters.names if stage else (ZERO_SHOT,)), BASE]
        if adapter not in names:
            hint = f"{nearest(adapter, names)} Its adapters: {', '.join(names)}.".strip()
            raise UsageError(f"stage {stage} of run {self.run.id} has no adapter {adapter!r}", hint)
        return {0: Route(adapter, 1.0, None if adapter == BASE else adapter)}

    def _acting(self, route: Route | None) -> tuple[str, ...]:
        """Return the names of the adapters that answer by a route, or else those of the active selection."""
        from micl_cli.api.selection import as_mixtures

        adapters = self.components.backbone.adapters
        selection = adapters.active if route is None else route.selection
        return tuple(dict.fromkeys(name for mixture in as_mixtures(selection) for name in mixture.names))


def asked_stages(session: Session, run_id: str, ranges: Sequence[StageRange]) -> list[int]:
    """Return the stages in ``ranges``, in order. Raises UsageError if one is not learnt, CheckpointError if it is gone.

    No model is loaded.
    """
    from micl_cli.training.checkpoint import RunFolder

    run, _ = session.record(run_id)
    return learnt_positions(session, RunFolder(session.settings.runs / run_id), run, ranges)


def load_model(session: Session, run_id: str, device: str = "auto") -> tuple[RunModel, list[str]]:
    """Return the model of a run, and notices about it.

    Raises UsageError if no stage is learnt yet, CheckpointError if the last one is gone, PlanError if the base model is
    missing or has changed.
    """
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.components import assemble
    from micl_cli.training.feature_cache import Features

    run, plan = session.record(run_id)
    folder = RunFolder(session.settings.runs / run_id)
    asked_stages(session, run_id, [LAST_STAGE])  # raises if the last stage is gone
    stages = [0, *(number for number in range(1, len(plan.tasks) + 1) if folder.has_stage(number))]
    check_trust(plan, session.trusted)
    notices = session.check_base(plan)
    use_threads(session, plan, run)
    features = Features(session.settings.features, 0)  # reads what is stored, and stores nothing
    tasks = [_recorded_task(session, name) for name in plan.tasks]
    components = assemble(
        plan, tasks, session.registry, features, device, resources=session.resources, only_answers=True
    )
    return RunModel(run, plan, components, folder, stages), notices


def _recorded_task(session: Session, name: str) -> Task:
    """Return a task of a run, whose data may have changed since; without examples if it is not prepared."""
    if is_prepared(name, session.settings.home):
        return open_task(name, session.settings.home, verify=False)
    with session.store_to_read() as store:
        record = store.task(name)
    if record is None:
        hint = f"Prepare it again: micl prepare {name}"
        raise PlanError(f"task {name} is not prepared, and the store has no record of it", hint)
    return Task(name, frozenset(record.modalities), record.type, record.metric, sha256=record.sha256)
