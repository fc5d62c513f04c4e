"""Loading of exports: a model that answers as the run did, without the run store and the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from micl_cli.api.task import Example, Media
from micl_cli.errors import CheckpointError, PlanError, UsageError, nearest
from micl_cli.io.digest import file_sha256
from micl_cli.io.documents import damage_reported, read_document
from micl_cli.plan import BackboneName, Plan
from micl_cli.session.export import ROUTER, ROUTER_DOCUMENT, VERSION
from micl_cli.session.export_folder import DOCUMENT
from micl_cli.session.run_model import load_model, routes_examples, tasks_without_data
from micl_cli.session.session import Session
from micl_cli.settings import load_settings
from micl_cli.store import plan_problem

if TYPE_CHECKING:
    from micl_cli.training.components import RunComponents

Files = str | Path | Sequence[str | Path]
_AGAIN = "Export the run again, or download the export again."


def load_export(
    folder: str | Path, *, base: str = "", device: str = "auto", trust_remote_code: bool = False
) -> LoadedExport:
    """Load an export of ``micl export``, from a folder or from the hub ("OWNER/NAME"), to answer with it.

    ``base`` names the backbone, as --backbone does, if the one of the run is elsewhere on this machine; it must have
    the same weights. Only with ``trust_remote_code``, the code of a checkpoint may run. Raises CheckpointError if a
    file is missing or damaged, PlanError if the base model is missing or another one.
    """
    place = _located(folder)
    content = _read(place)
    with damage_reported(place / DOCUMENT):
        return _load(place, content, base, device, trusted=trust_remote_code)


def _located(folder: str | Path) -> Path:
    """Return the folder of an export, downloaded if it is a hub id."""
    path = Path(folder).expanduser()
    if path.is_dir() or "/" not in str(folder) or path.is_absolute():
        return path.absolute()
    from micl_cli.session.hub import download_export

    return download_export(str(folder).removeprefix("hf:"))


def _read(folder: Path) -> dict[str, Any]:
    """Return the document of an export whose files all have their digests. Raises CheckpointError."""
    path = folder / DOCUMENT
    if not path.is_file():
        raise UsageError(f"{folder} holds no export: it has no {DOCUMENT}", "Write one: micl export RUN DIR")
    try:
        content = read_document(path)
        with damage_reported(path):
            if content["export"] != VERSION:
                raise ValueError(f"its format {content['export']!r} is not known to this version of micl")
            if plan_problem(content["plan"]):
                raise ValueError(plan_problem(content["plan"]))
            for name, digest in content["files"].items():
                _check_file(folder, name, digest)
    except CheckpointError as error:
        raise CheckpointError(error.message, _AGAIN) from error
    return content


def _check_file(folder: Path, name: str, digest: str) -> None:
    """Raise CheckpointError or ValueError if a file is not that of the export, or not within its folder."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{name!r} is not within the export")
    with damage_reported(folder / name):
        if file_sha256(folder / name) != digest:
            raise ValueError("its content does not match its digest")


def _load(folder: Path, content: Mapping[str, Any], base: str, device: str, *, trusted: bool) -> LoadedExport:
    if content["export_format"] == "vllm":
        raise UsageError(
            f"{folder} is for a vLLM server", "Its README.md shows how; or export the run with --format peft."
        )
    session = Session(load_settings(), trusted=trusted)
    plan = _plan(folder, content, base, session)
    components = load_model(session, plan, tasks_without_data(content["tasks"]), device, placed=True)
    adapters: dict[str, str] = {str(name): _within(content, str(place)) for name, place in content["adapters"].items()}
    components.backbone.load_exported(folder, adapters)
    present = components.backbone.adapters.names
    active = content["active"] if content["active"] in present else None
    components.backbone.adapters.activate(active)
    if content["routed"]:
        _restore_router(components, folder, content["stage"])
    components.eval()
    return LoadedExport(components, dict(content["by_task"]))


def _within(content: Mapping[str, Any], place: str) -> str:
    """Return the folder of an adapter. Raises ValueError if the checked files of the export are not in it."""
    if place and not any(name.startswith(f"{place}/") for name in content["files"]):
        raise ValueError(f"the export has no folder {place!r}")
    return place


def _plan(folder: Path, content: Mapping[str, Any], base: str, session: Session) -> Plan:
    """Return the plan of the run with the base model to use. Raises PlanError if that is another than the run's."""
    plan = Plan.from_json(content["plan"])
    if content["backbone"]:
        name = BackboneName.parse(content["backbone"], session.registry)
        _check_inside(name.argument)
        own = name._replace(argument=str((folder / name.argument).resolve()))
        return replace(plan, backbone=str(own), backbone_digest="")
    if base:
        plan = replace(plan, backbone=session.resolve_backbone(base))
    try:
        session.check_base(plan)
    except PlanError as error:
        hint = f'{error.hint} If it is elsewhere on this machine: load_export(FOLDER, base="hf:FOLDER").'
        raise PlanError(f"the base model of the export: {error.message}", hint.strip()) from error
    return plan


def _check_inside(path: str) -> None:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} is not within the export")


def _restore_router(components: RunComponents, folder: Path, position: int) -> None:
    from micl_cli.training.snapshot import load_modules
    from micl_cli.training.snapshot_files import read_snapshot

    if not routes_examples(type(components.strategy)):
        raise ValueError(f"the strategy {components.plan.strategy!r} of this installation does not route")
    snapshot = read_snapshot(folder / ROUTER, ROUTER_DOCUMENT)
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
        """Return the answers to several examples, those with a task by its own adapter."""
        from micl_cli.training.evaluation import Routing, answer, most_likely

        if self._components.strategy.knows_task and not all(example.task for example in examples):
            raise UsageError("the run was told the task of each example", f"Name it: {', '.join(self.tasks)}.")
        answers: dict[int, str] = {}
        for name, with_choices in sorted({(example.task, bool(example.choices)) for example in examples}):
            group = [i for i, e in enumerate(examples) if (e.task, bool(e.choices)) == (name, with_choices)]
            own = [examples[index] for index in group]
            adapter = self._adapter(name)
            with self._components.backbone.adapters.using(adapter) if adapter else nullcontext():
                routing = None if adapter else Routing()
                ask = most_likely if with_choices else answer
                texts = ask(self._components, own, routing=routing)
            answers |= dict(zip(group, map(str, texts), strict=True))
        return [answers[index] for index in range(len(examples))]

    def _adapter(self, task: str) -> str | None:
        """Return the adapter of a task; None if all tasks have one, or if the router is to select it."""
        if task and task not in self.tasks:
            raise UsageError(f"no task {task!r} in this export", nearest(task, self.tasks) or ", ".join(self.tasks))
        if task and self.adapters and task not in self.adapters:
            raise UsageError(f"task {task} was not learnt when the model was exported", "Export a later stage.")
        return self.adapters.get(task)


def _paths(given: Files) -> Sequence[str | Path]:
    return [given] if isinstance(given, str | Path) else given


def _medium(modality: str, path: str | Path) -> Media:
    absolute = Path(path).expanduser().absolute()
    try:
        return Media(modality, absolute, file_sha256(absolute))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", "Name a file.") from error
