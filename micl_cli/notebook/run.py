"""A run: its scores, its answers, and its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.cli.console import note
from micl_cli.cli.status import preparing, quiet_libraries
from micl_cli.errors import PluginError, UsageError, nearest
from micl_cli.notebook.arguments import plan_learning
from micl_cli.notebook.display import run_html
from micl_cli.notebook.learning import carry_out, progress_shown
from micl_cli.notebook.torch_state import TorchState
from micl_cli.plan import split_tasks
from micl_cli.report.data import RunData
from micl_cli.report.options import ReportOptions
from micl_cli.session.session import Session

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from micl_cli.api.export import ExportFormat
    from micl_cli.notebook.asking import AskedModel, Prompt, Question
    from micl_cli.plan import Plan
    from micl_cli.records import RunRecord
    from micl_cli.session.evaluation import StageRange
    from micl_cli.session.model import Reply

Stages = int | Iterable[int] | None


class Run:
    """A run of the run store, from :func:`micl_cli.learn`, :func:`micl_cli.load_run` or :func:`micl_cli.list_runs`.

    What it returns is read from the store when it is asked for, so that a run which is being learnt shows what there is
    so far. Lists of dicts become tables by ``pandas.DataFrame(...)``.
    """

    def __init__(self, session: Session, run_id: str, home: str | Path | None = None) -> None:
        self.id = run_id
        self._session, self._home = session, home
        self._asked: AskedModel | None = None

    def __repr__(self) -> str:
        """Return its id, strategy, tasks and status."""
        return f"<Run {self.id}: {self.strategy} on {', '.join(self.tasks)}, {self.status}>"

    def _repr_html_(self) -> str:
        """Return R and the figures as HTML, with all names escaped; notebooks show it."""
        return run_html(self.data())

    # Its records

    def _record(self) -> tuple[RunRecord, Plan]:
        return self._session.record(self.id)

    def data(self, split: str | None = None) -> RunData:
        """Return all that reports are made from; ``split`` is by default the run's."""
        return self._session.report(self.id, split)

    @property
    def plan(self) -> dict[str, Any]:
        """The plan as JSON-ready data: strategy, backbone, tasks, options, seed, settings."""
        return self._record()[1].as_json()

    @property
    def name(self) -> str:
        """The name, or an empty text."""
        return self._record()[0].name

    @property
    def status(self) -> str:
        """The status: "running", "finished", "interrupted" or "failed"."""
        return self._session.details(self.id).run.status

    @property
    def strategy(self) -> str:
        """The name of the strategy."""
        return self._record()[1].strategy

    @property
    def backbone(self) -> str:
        """The backbone."""
        return self._record()[1].backbone

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the T tasks, in the order of learning."""
        return self._record()[1].tasks

    @property
    def matrix(self) -> NDArray[np.float64]:
        """R as an array [T, T] of scores x100: row t is after learning task t + 1. NaN was not measured."""
        import numpy as np

        return np.array(self.data().r.rows(), dtype=np.float64)

    @property
    def metrics(self) -> dict[str, float | None]:
        """The figures of the report by name ("mft", "mfn", "maa", "bwt", ...); None if undefined or not measured."""
        data = self.data()
        return {**data.extra, **data.metrics}

    def scores(self, split: str | None = None) -> list[dict[str, Any]]:
        """Return all scores on a split (by default the run's) in the order in which they were stored.

        Each has "after" (the stage), "task", "metric", "value" (x100), "n", "split", "main" (by the metric of the
        task) and further fields.
        """
        data = self.data(split)
        return [asdict(score) for score in data.scores if score.split == data.split]

    def to_frame(self) -> pandas.DataFrame:
        """Return R as a data frame: a row for each learnt task, a column for each scored task.

        Raises PluginError if pandas is not installed; :attr:`matrix` works without it.
        """
        try:
            import pandas
        except ImportError as error:
            raise PluginError(
                "pandas is not installed", "Install it: pip install pandas. Or use run.matrix."
            ) from error
        index = pandas.Index(list(self.tasks), name="after learning")
        return pandas.DataFrame(self.matrix, index=index, columns=list(self.tasks))

    def losses(self) -> list[dict[str, Any]]:
        """Return the optimiser steps: "position", "step", "epoch", "loss", "lr", "seconds" and "terms" of the loss."""
        with self._session.store_to_read() as store:
            return [asdict(step) for step in store.steps(self.id)]

    def validations(self) -> list[dict[str, Any]]:
        """Return the validations: "position", "step", "epoch", "value", "best", "criterion" and "final"."""
        return [asdict(each) for each in self.data().validations]

    def predictions(
        self, task: str | None = None, stage: int | None = None, split: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the stored answers after a stage, by default the last one with answers, to one task or all.

        Each has "stage", "task", "split", "example", "prompt" (empty if the task is not prepared here), "answer",
        "references", "score" (x100) and "missing". Raises StoreError if no answers are stored, UsageError if none are
        for the task, stage or split.
        """
        from micl_cli.session.predictions import stored_answers

        sets = stored_answers(self._session, self.id, task=task, stage=stage, split=split)
        return [
            {"stage": each.stage, "task": each.task, "split": each.split, "prompt": one.prompt, **one.record._asdict()}
            for each in sets
            for one in each.examples
        ]

    def report(self, format: str = "text", path: str | Path | None = None, *, others: Sequence[Run] = ()) -> str:
        """Return the report, or write it to ``path`` and return the path.

        ``format`` is "text", "md", "csv", "json", "latex" or "html". ``others`` are further runs in the same report,
        which then begins with a summary. Raises UsageError for an unknown format.
        """
        from micl_cli.io.files import write_text

        text = report_text([self, *others], format)
        if path is None:
            return text
        write_text(Path(path).expanduser(), text + "\n")
        return str(path)

    # Its model

    def resume(self, *, progress: bool = True, **arguments: Any) -> Run:
        """Learn what is left of an interrupted run, and return it. A finished run stays as it is.

        ``arguments`` are those of :func:`micl_cli.learn` that are no part of a plan, such as ``device`` and ``listen``.
        Raises PlanError if data, base model or options have changed since.
        """
        self.release()
        with progress_shown(progress) as shown:
            trust = {"trust_remote_code": True} if self._session.trusted else {}
            carry_out(self, plan_learning(self._home, None, {"resume": self.id, **trust, **arguments}), shown)
        return self

    def evaluate(
        self,
        tasks: str | Sequence[str] | None = None,
        stage: Stages = None,
        *,
        split: str = "test",
        benchmark: str = "mini",
        examples: int | None = None,
        score: str | None = None,
        decoding: dict[str, Any] | None = None,
        predictions: int | None = 2000,
        device: str = "auto",
        progress: bool = True,
    ) -> list[dict[str, Any]]:
        """Score the model after one stage or several, by default the last, on tasks, by default its own.

        Arguments are those of ``micl eval``; ``decoding`` holds its settings for answers, such as ``num_beams``, and
        ``predictions`` the maximum number of answers to store (None: all). Scores are stored, unless ``examples``
        limits the examples or the decoding differs from the run's. Returns them as :meth:`scores` does. Raises
        UsageError if a stage is not learnt, CheckpointError if it is gone, PlanError if a task does not fit.
        """
        from micl_cli.api.events import Notice, Scored
        from micl_cli.session.evaluation import evaluate
        from micl_cli.training.control import Control

        named = tasks if isinstance(tasks, str) or tasks is None else ",".join(tasks)
        names = split_tasks(named, benchmark, self._session.registry) if named else ()
        options: dict[str, Any] = {"stages": _ranges(stage), "examples": examples, "scoring": score, "device": device}
        scored: list[dict[str, Any]] = []
        with progress_shown(progress) as shown, closing(shown), quiet_libraries(), TorchState().in_use():
            control = Control(max_answers=predictions, answering=shown.answering)
            options |= {"decoding": decoding, "watch": preparing}
            for event in evaluate(self._session, self.id, names, split, control, **options):
                shown.close()
                if isinstance(event, Notice):
                    note(f"note: {event.text}")
                elif isinstance(event, Scored):
                    scored.append({name: value for name, value in event.as_json().items() if name != "event"})
        return scored

    def export(
        self, folder: str | Path, *, stage: int | None = None, format: ExportFormat = "peft", force: bool = False
    ) -> Path:
        """Write the model to a folder, as ``micl export`` does, and return its path.

        ``format`` is "peft", "merged" or "vllm"; ``force`` replaces an earlier export. Raises UsageError if the folder
        holds other files, PlanError if the format cannot hold the model.
        """
        from micl_cli.session.export import export_run

        with quiet_libraries(), TorchState().in_use():
            done = export_run(self._session, self.id, Path(folder), format, stage=stage, force=force)
        for text in done.notes:
            note(f"note: {text}")
        return done.path

    def load(self, device: str = "auto") -> None:
        """Load the model on a device ("auto", "cpu" or "cuda"), which the first question does otherwise.

        Raises UsageError if no stage is learnt yet, CheckpointError if it is gone, PlanError if the base model is
        missing or has changed.
        """
        from micl_cli.notebook.asking import AskedModel

        self.release()
        self._asked = AskedModel(self._session, self.id, device)

    def release(self) -> None:
        """Free the memory of the model, if it is loaded."""
        if self._asked is None:
            return
        import gc

        import torch

        self._asked = None
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()

    def answer(self, prompt: Prompt, **question: Unpack[Question]) -> str:
        """Return the answer to a question, as ``micl ask`` gives it.

        ``prompt`` is a text, or a list of texts and media in order: ``["Is ", ("image", "a.png"), " a cat?"]``. The
        others are those of :class:`Question`. Raises UsageError for an unknown stage, adapter or task, MediaError for
        a file that cannot be used, PlanError if the model cannot process the content.

        >>> run.answer("What is it?", image="cat.png")
        """
        return self.ask(prompt, **question).text

    def ask(self, prompt: Prompt, **question: Unpack[Question]) -> Reply:
        """Return the answer with its origin: "text", "stage", "adapters", "route" with its margin, "seconds"."""
        return self._model().ask(prompt, question)

    def stream(self, prompt: Prompt, **question: Unpack[Question]) -> Iterator[str]:
        """Yield the pieces of the answer while it is generated; leaving the loop ends it."""
        return self._model().stream(prompt, question)

    def _model(self) -> AskedModel:
        if self._asked is None:
            self.load()
        assert self._asked
        return self._asked


def report_text(runs: Sequence[Run], format: str) -> str:
    """Return the report of several runs, without a final newline. Raises UsageError for an unknown format."""
    from micl_cli.report.render import FORMATS, render, summaries_for

    unique = list({run.id: run for run in runs}.values())
    data = [run.data() for run in unique]
    if format != "html":
        if format not in FORMATS:
            known = [*FORMATS, "html"]
            raise UsageError(
                f"unknown report format {format!r}", nearest(format, known) or f"Formats: {', '.join(known)}."
            )
        return render(data, format).rstrip("\n")
    from micl_cli.report.html.render import html_report
    from micl_cli.session.report_details import report_details

    details = report_details(unique[0]._session, data, answers=100)
    return html_report(data, summaries_for(data, ReportOptions()), details)


def _ranges(stage: Stages) -> list[StageRange]:
    stages: Iterable[int | None] = [stage] if stage is None or isinstance(stage, int) else stage
    return [(each, each) for each in stages]
