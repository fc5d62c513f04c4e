"""Export of a run's model after a stage: adapters, connectors, router and model card in one folder.

DIR/README.md     the model card
DIR/micl.json     how ``micl_cli.load_export`` puts the model together, with the digests of all other files
DIR/routing/      the state of the strategy that routes, if one does

All other files are the backbone's: adapters in the layout of peft, connectors, merged weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli import __version__
from micl_cli.api.export import ExportFormat, ExportRequest, ExportSummary
from micl_cli.api.selection import Selection
from micl_cli.api.strategy import Strategy
from micl_cli.api.task import Example, Media
from micl_cli.data.prepared import is_prepared, open_task
from micl_cli.errors import PlanError
from micl_cli.io.digest import file_sha256
from micl_cli.io.documents import write_document
from micl_cli.io.files import atomic_folder
from micl_cli.plan import BackboneName, Plan
from micl_cli.session.evaluation import StageRange, learnt_positions
from micl_cli.session.export_components import TASK_FIELDS, load_components, routes_examples, tasks_without_data
from micl_cli.session.export_folder import CARD, DOCUMENT, check_target
from micl_cli.session.model_card import CardFacts, model_card
from micl_cli.session.portable import portable
from micl_cli.session.session import Session

if TYPE_CHECKING:
    from micl_cli.training.checkpoint import RunFolder
    from micl_cli.training.components import RunComponents
    from micl_cli.training.snapshot import Snapshot

VERSION = 1
"""The version of the format of exports."""
ROUTING = "routing"
ROUTING_DOCUMENT = "routing.json"
_WITHOUT_ADAPTERS = "Use the run itself (micl ask, micl serve, micl eval), or export a run of another strategy."
_QUESTION = "What is it?"
_EXTENSIONS = {"image": "png", "audio": "wav", "video": "mp4"}


@dataclass(frozen=True)
class Export:
    """A written export: its folder, the stage, the names of its adapters, and notes for the user."""

    path: Path
    position: int
    adapters: Sequence[str]
    notes: Sequence[str] = field(default_factory=list)


def export_run(
    session: Session,
    run_id: str,
    target: Path,
    form: ExportFormat,
    *,
    stage: int | None = None,
    force: bool = False,
    published_as: str = "",
) -> Export:
    """Write the model of a run after ``stage`` (None: the last learnt one) to the folder ``target``, atomically.

    With ``published_as``, a hub id, the files name no folder of this machine. Raises UsageError if the folder holds
    other files, or if the stage is not learnt; CheckpointError if its checkpoint is gone or damaged; PlanError, with
    the reason, if the format cannot hold the model.
    """
    from micl_cli.training.checkpoint import RunFolder

    target = check_target(target, force=force)
    run, plan = session.record(run_id)
    folder = RunFolder(session.settings.runs / run_id)
    bounds: StageRange = (stage, stage)
    (position,) = learnt_positions(session, folder, run, [bounds])
    if not position:
        raise PlanError("there is nothing to export before learning", "Name a learnt stage: --stage 1 or later.")
    facts = _task_facts(session, plan)
    model = _LearntModel(session, plan, folder, position, facts)
    request = model.request(form, published_as)
    with atomic_folder(target) as fresh:
        summary = model.components.backbone.export(fresh, request)
        if model.routes and form != "vllm":
            model.write_routing(fresh / ROUTING)
        content = model.document(request, summary, facts)
        card = CardFacts(
            data=session.report(run_id),
            position=position,
            request=request,
            summary=summary,
            tasks=facts,
            plan=content["plan"],
            routed=model.routes,
        )
        (fresh / CARD).write_text(model_card(card), encoding="utf-8")
        write_document(fresh / DOCUMENT, {**content, "files": _digests(fresh)})
    return Export(target, position, list(request.adapters), model.notes)


class _LearntModel:
    """The model of a run with the adapters of a stage. Raises PlanError if it does not answer by adapters."""

    def __init__(
        self, session: Session, plan: Plan, folder: RunFolder, position: int, facts: Sequence[Mapping[str, Any]]
    ) -> None:
        self.session, self.plan, self.position = session, plan, position
        cls: type[Strategy] = session.registry.load("strategies", plan.strategy)
        if cls.answers is not Strategy.answers:
            problem = f"strategy {plan.strategy!r} cannot be exported: it answers without the backbone"
            raise PlanError(problem, _WITHOUT_ADAPTERS)
        self.notes = session.check_base(plan)
        self.routes = routes_examples(cls)
        self.components: RunComponents = load_components(session, plan, tasks_without_data(facts), "auto", placed=False)
        self._restore(folder.load_stage(position))
        self.adapters = self._adapters()

    def _restore(self, snapshot: Snapshot) -> None:
        from micl_cli.training.snapshot import load_adapters, restore_snapshot

        strategy = self.components.strategy
        if self.routes:
            self.components.enter(self.position)
            restore_snapshot(strategy, snapshot)
        else:
            load_adapters(strategy.backbone.adapters, snapshot.adapters, snapshot.data.get("adapters"))
            strategy.backbone.adapters.activate(snapshot.data["active"])

    @property
    def active(self) -> str:
        """The adapter that answers all examples; empty if the strategy routes."""
        return "" if self.routes else only_adapter(self.components.backbone.adapters.active)

    @property
    def by_task(self) -> Mapping[str, str]:
        """The adapter of each task, if the strategy routes."""
        return self.components.strategy.task_adapters if self.routes else {}

    def _adapters(self) -> list[str]:
        """Return the adapters to export, those that answer first. Raises PlanError if several answer together."""
        if self.active:
            return [self.active]
        if not self.by_task:
            how = "answers by none, or by a sum, of its adapters"
            if self.routes:
                how = "selects or weighs adapters for each example"
            raise PlanError(
                f"strategy {self.plan.strategy!r} cannot be exported: it {how}, which no format of adapters holds",
                _WITHOUT_ADAPTERS,
            )
        return list(dict.fromkeys([*self.by_task.values(), *self.components.backbone.adapters.names]))

    def request(self, form: ExportFormat, published_as: str) -> ExportRequest:
        """Return what the backbone is to export."""
        answering = list(dict.fromkeys(self.by_task.values())) or [self.active]
        names = answering if form == "vllm" else self.adapters
        name = BackboneName.parse(self.plan.backbone, self.session.registry)
        base = name.argument or name.name
        return ExportRequest(
            format=form,
            adapters={each: "" if len(names) == 1 and not self.routes else each for each in names},
            answering=answering,
            by_task=self.by_task,
            active=self.active,
            base=portable(base) if published_as else base,
            place=published_as or ".",
            example=self._example(),
            decoding=self.plan.evaluation.decoding,
        )

    def _example(self) -> Example:
        """Return an example of the first task for the model card: its own instruction, or a general question."""
        task = self.components.tasks[0]
        prompt = _QUESTION
        if is_prepared(task.name, self.session.settings.home):
            with suppress(PlanError):  # a damaged task hides its instruction
                prompt = open_task(task.name, self.session.settings.home, verify=False).instruction or prompt
        media = [Media(each, Path(f"{each}.{_EXTENSIONS.get(each, 'bin')}")) for each in sorted(task.modalities)]
        needs_task = self.components.strategy.knows_task
        return Example("example", (*media, prompt), task=task.name if needs_task else "")

    def write_routing(self, folder: Path) -> None:
        """Write the state of the strategy that ``route`` needs."""
        from micl_cli.training.snapshot import Snapshot, module_weights
        from micl_cli.training.snapshot_files import write_snapshot

        strategy = self.components.strategy
        folder.mkdir(exist_ok=True)
        snapshot = Snapshot({}, strategy.routing_state(), modules=module_weights(strategy.modules))
        write_snapshot(folder, ROUTING_DOCUMENT, snapshot)

    def document(
        self, request: ExportRequest, summary: ExportSummary, facts: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return the content of micl.json but for the digests of files."""
        plan = self.plan.as_json()
        return {
            "export": VERSION,
            "micl": __version__,
            "run": self.plan.id,
            "stage": self.position,
            "export_format": request.format,
            "plan": portable(plan) if request.place != "." else plan,
            "backbone": summary.backbone,
            "tasks": list(facts),
            "adapters": dict(request.adapters),
            "active": request.active,
            "by_task": dict(request.by_task),
            "routed": self.routes,
        }


def only_adapter(selection: Selection) -> str:
    """Return the adapter that a selection consists of, or an empty text if it is none or several."""
    if isinstance(selection, str):
        return selection
    if isinstance(selection, Mapping):
        return next(iter(selection)) if list(selection.values()) == [1.0] else ""
    names = list(selection) if isinstance(selection, Sequence) else []
    return names[0] if len(names) == 1 and isinstance(names[0], str) else ""


def _task_facts(session: Session, plan: Plan) -> list[dict[str, Any]]:
    """Return the ``TASK_FIELDS`` of the tasks of a plan. Raises PlanError if the store does not know one."""
    with session.store_to_read() as store:
        records = {record.name: record for record in store.tasks() if record.name in plan.tasks}
    if unknown := [name for name in plan.tasks if name not in records]:
        raise PlanError(f"the store has no record of the task {unknown[0]}", f"Prepare it: micl prepare {unknown[0]}")
    return [
        {**{name: getattr(records[task], name) for name in TASK_FIELDS}, "modalities": list(records[task].modalities)}
        for task in plan.tasks
    ]


def _digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of all files in a folder but the model card, which people edit, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths if path != folder / CARD}
