"""Loading of exports: a model that answers as the run did, without the run store and the tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from micl_cli.api.task import Example, Media, Task
from micl_cli.errors import CheckpointError, PlanError, UsageError, nearest
from micl_cli.io.digest import file_sha256
from micl_cli.io.documents import damage_reported, read_document
from micl_cli.plan import BackboneName, Plan
from micl_cli.session.export import ROUTING, ROUTING_DOCUMENT, VERSION
from micl_cli.session.export_components import load_components, routes_examples, tasks_without_data
from micl_cli.session.export_folder import DOCUMENT
from micl_cli.session.session import Session
from micl_cli.settings import library_messages, load_settings
from micl_cli.store import plan_problem

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents

Files = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class ExportRecord:
    """The document of an export. ``backbone`` replaces that of the plan, if the export has whole weights."""

    form: str
    plan: Plan
    stage: int
    tasks: Sequence[Task]
    adapters: Mapping[str, str]
    active: str
    by_task: Mapping[str, str]
    routed: bool
    backbone: str


def load_export(
    folder: str | Path, *, base: str = "", device: str = "auto", trust_remote_code: bool = False
) -> LoadedExport:
    """Load an export of ``micl export``, from a folder or from the hub ("OWNER/NAME"), to answer with it.

    ``base`` names the backbone, as --backbone does, if the one of the run is elsewhere on this machine; it must have
    the same weights. Only with ``trust_remote_code``, the code of a checkpoint may run. Raises CheckpointError if a
    file is missing or damaged, PlanError if the base model is missing or another one.
    """
    place = _located(folder)
    with _damage_to_mend():
        record = _read(place)
    if record.form == "vllm":
        raise UsageError(
            f"{folder} is for a vLLM server", "Use it as its README.md shows, or export with --format peft."
        )
    session = Session(load_settings(), trusted=trust_remote_code)
    with library_messages(shown=False):
        plan = _usable_plan(place, record, base, session)
        components = load_components(session, plan, record.tasks, device, placed=True)
        adapters = components.backbone.adapters
        components.backbone.load_exported(place, record.adapters)
        adapters.activate(record.active if record.active in adapters.names else None)
        if record.routed:
            with _damage_to_mend():
                _restore_routing(components, place, record.stage)
    components.eval()
    return LoadedExport(components, record.by_task)


# The files of an export


@contextmanager
def _damage_to_mend() -> Iterator[None]:
    """Give a CheckpointError the hint that applies to an export."""
    try:
        yield
    except CheckpointError as error:
        error.hint = "Export the run again, or download the export again."
        raise


def _located(folder: str | Path) -> Path:
    """Return the folder of an export, downloaded if it is a hub id."""
    path = Path(folder).expanduser()
    if path.is_dir() or path.is_absolute() or "/" not in str(folder):
        return path.absolute()
    from micl_cli.session.hub import download_export

    return download_export(str(folder).removeprefix("hf:"))


def _read(folder: Path) -> ExportRecord:
    """Return the document of an export whose files all have their digests. Raises CheckpointError."""
    path = folder / DOCUMENT
    if not path.is_file():
        raise UsageError(f"{folder} holds no export: it has no {DOCUMENT}", "Write one: micl export RUN DIR")
    content = read_document(path)
    with damage_reported(path):
        if content["export"] != VERSION:
            raise ValueError(f"its format {content['export']!r} is not known to this version of micl")
        if problem := plan_problem(content["plan"]):
            raise ValueError(problem)
        for name, digest in content["files"].items():
            _check_file(folder, str(name), digest)
        return ExportRecord(
            form=str(content["export_format"]),
            plan=Plan.from_json(content["plan"]),
            stage=int(content["stage"]),
            tasks=tasks_without_data(content["tasks"]),
            adapters={str(name): _folder_of(content, str(place)) for name, place in content["adapters"].items()},
            active=str(content["active"]),
            by_task={str(task): str(name) for task, name in content["by_task"].items()},
            routed=bool(content["routed"]),
            backbone=str(content["backbone"]),
        )


def _check_file(folder: Path, name: str, digest: str) -> None:
    """Raise CheckpointError or ValueError if a file is not that of the export, or not within its folder."""
    _check_inside(name)
    with damage_reported(folder / name):
        if file_sha256(folder / name) != digest:
            raise ValueError("its content does not match its digest")


def _check_inside(name: str) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError(f"{name!r} is not within the export")


def _folder_of(content: Mapping[str, Any], place: str) -> str:
    """Return the folder of an adapter. Raises ValueError if the checked files of the export are not in it."""
    if place and not any(name.startswith(f"{place}/") for name in content["files"]):
        raise ValueError(f"the export has no folder {place!r}")
    return place


def _usable_plan(folder: Path, record: ExportRecord, base: str, session: Session) -> Plan:
    """Return the plan of the run with the base model to use. Raises PlanError if that is another than the run's."""
    if record.backbone:
        name = BackboneName.parse(record.backbone, session.registry)
        own = name._replace(argument=str((folder / name.argument).resolve()))
        return replace(record.plan, backbone=str(own), backbone_digest="")
    plan = replace(record.plan, backbone=session.resolve_backbone(base)) if base else record.plan
    try:
        session.check_base(plan)
    except PlanError as error:
        hint = f'{error.hint} If it is elsewhere on this machine: load_export(FOLDER, base="hf:FOLDER").'
        raise PlanError(f"the base model of the export: {error.message}", hint.strip()) from error
    return plan


def _restore_routing(components: RunComponents, folder: Path, position: int) -> None:
    """Restore what the strategy needs to route. Raises PlanError if the installed strategy does not route."""
    from micl_cli.training.snapshot import load_modules
    from micl_cli.training.snapshot_files import read_snapshot

    if not routes_examples(type(components.strategy)):
        hint = "Install the version of its plugin that the run was learnt with."
        raise PlanError(f"the strategy {components.plan.strategy!r} of this installation does not route", hint)
    snapshot = read_snapshot(folder / ROUTING, ROUTING_DOCUMENT)
    components.enter(position)
    components.strategy.restore(snapshot.strategy)
    load_modules(components.strategy.modules, snapshot.modules)


class LoadedExport:
    """A model that was exported. ``adapters`` maps tasks to the adapter that answers each, if there are several."""

    def __init__(self, components: RunComponents, adapters: Mapping[str, str]) -> None:
        self._components, self.adapters = components, adapters

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the run's tasks, in the order of learning."""
        return tuple(task.name for task in self._components.tasks)

    def answer(
        self,
        prompt: str,
        *,
        image: Files = (),
        audio: Files = (),
        video: Files = (),
        task: str = "",
        choices: Sequence[str] = (),
    ) -> str:
        """Return the answer to a prompt about media files, which the model reads before it, as the run answers.

        ``task`` names a task of the run, whose own adapter then answers instead of the one that the router selects.
        With ``choices``, the most likely of them is the answer. Raises UsageError for an unknown task or file.
        """
        given = {"image": image, "audio": audio, "video": video}
        media = [_medium(modality, path) for modality, paths in given.items() for path in _paths(paths)]
        return self.answers([Example("0", (*media, prompt), choices=tuple(choices), task=task)])[0]

    def answers(self, examples: Sequence[Example]) -> list[str]:
        """Return the answers to several examples, those with a task by its own adapter.

        Raises UsageError for an unknown task, and for a modality that the model cannot read.
        """
        groups: dict[tuple[str, bool], list[int]] = {}
        for index, example in enumerate(examples):
            self._check(example)
            groups.setdefault((example.task, bool(example.choices)), []).append(index)
        answers = [""] * len(examples)
        for (task, with_choices), indices in groups.items():
            texts = self._answer_group([examples[index] for index in indices], task, with_choices)
            for index, text in zip(indices, texts, strict=True):
                answers[index] = str(text)
        return answers

    def _answer_group(self, examples: Sequence[Example], task: str, with_choices: bool) -> Sequence[str]:
        from micl_cli.training.evaluation import Routing, answer, most_likely

        adapter = self.adapters.get(task)
        ask = most_likely if with_choices else answer
        with self._components.backbone.adapters.using(adapter) if adapter else nullcontext():
            return ask(self._components, examples, routing=None if adapter else Routing())

    def _check(self, example: Example) -> None:
        """Raise UsageError if an example cannot be answered."""
        task, backbone = example.task, self._components.backbone
        if task and task not in self.tasks:
            raise UsageError(f"no task {task!r} in this export", nearest(task, self.tasks) or ", ".join(self.tasks))
        if task and self.adapters and task not in self.adapters:
            raise UsageError(f"task {task} was not learnt when the model was exported", "Export a later stage.")
        if not task and self._components.strategy.knows_task:
            raise UsageError("the run needs the task of each example", f"Pass it as task=: {', '.join(self.adapters)}.")
        if unknown := sorted(example.modalities - backbone.modalities):
            known = ", ".join(sorted(backbone.modalities)) or "text alone"
            raise UsageError(f"the model cannot read {', '.join(unknown)}", f"It reads {known}.")


def _paths(given: Files) -> Sequence[str | Path]:
    return [given] if isinstance(given, str | Path) else given


def _medium(modality: str, path: str | Path) -> Media:
    absolute = Path(path).expanduser().absolute()
    try:
        return Media(modality, absolute, file_sha256(absolute))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", "Give a readable file.") from error
