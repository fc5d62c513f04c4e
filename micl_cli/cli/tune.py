"""``micl tune``: search for the options of strategies on validation data, and freeze the best into recipes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.cell_requests import CellCommand, shared_options
from micl_cli.cli.command import JoinedOption
from micl_cli.cli.completers import complete_strategy_list, complete_studies, complete_tasks
from micl_cli.cli.console import echo, echo_json, note, output
from micl_cli.cli.context import current_settings
from micl_cli.cli.groups import DefaultGroup
from micl_cli.cli.learn_request import allows_code
from micl_cli.cli.predictions_options import max_answers
from micl_cli.cli.status import DownloadBars, quiet_libraries, stopping_note
from micl_cli.cli.tune_request import PlannedStudy, StudyArguments, plan_studies
from micl_cli.cli.tune_studies import check_study_name, existing_storage, freeze, ls, show, storage_option
from micl_cli.errors import Interrupted, MiclError
from micl_cli.io.json_lines import write_json_line

if TYPE_CHECKING:
    from micl_cli.api.task import Task
    from micl_cli.session import Session
    from micl_cli.sweep.scheduler import CellOptions
    from micl_cli.tune.records import StudyState
    from micl_cli.tune.storage import TuneStorage
    from micl_cli.tune.tuning import StrategyTuning

EPILOG = """\b
Examples:
  micl tune --strategy moincl,ewc,lwf --tasks mini-tuning --for mini --name tuned
  micl tune --strategy ewc --tasks aud_cap,img_qa --space lambda_ewc=0.01..10:log --jobs 2
  micl tune show tuned
  micl tune freeze tuned --as tuned
  micl sweep --strategy moincl,ewc,lwf --recipe-set tuned --order order-1 --seed 0..2

\b
Trials are scored on validation data. The first trial of each strategy uses the defaults. The same
command again continues with the missing trials; a larger --trials adds trials. The name of the
study is written to stdout (with --json: cells, trials and the study as JSON lines).
--space takes NAME=LOW..HIGH, NAME=LOW..HIGH:log, NAME=A|B, or NAME=VALUE to fix an option;
STRATEGY:NAME=... applies to one strategy. Values set by -o or a flag such as --lr are fixed, too.
Exit codes: 0 ok, 1 failed or busy, 4 the study cannot work (such as tasks that --for reserves), 130
interrupted."""


@click.group(cls=DefaultGroup)
def tune() -> None:
    """Tune strategies on validation data, with the same number of trials and seeds for each.

    The default command is run.

    \b
    Examples:
      micl tune --strategy moincl,ewc --tasks mini-tuning --for mini --name tuned
      micl tune show tuned
      micl tune freeze tuned --as tuned
    """


@tune.command(cls=CellCommand, epilog=EPILOG)
@click.option(
    "--strategy", cls=JoinedOption, shell_complete=complete_strategy_list, metavar="A,B[OPTION=VALUE,...]",
    help="The strategies to tune; options in brackets are fixed.",
)  # fmt: skip
@click.option("--tasks", cls=JoinedOption, shell_complete=complete_tasks, metavar="TASK,...",
              help="The tasks to tune on, in order; not those on which results are reported.")  # fmt: skip
@click.option("--trials", default=8, type=click.IntRange(1), help="Number of trials of each strategy.")
@click.option("--seed", cls=JoinedOption, default="0..1", metavar="SEEDS",
              help="Seeds of each trial: 0..1 (ends included), 0,3,7 or 5.")  # fmt: skip
@click.option("--objective", default="final", type=click.Choice(["final", "stages"]),
              help="Maximise the mean score after the last task, or the mean over the stages.")  # fmt: skip
@click.option("--space", multiple=True, metavar="NAME=LOW..HIGH[:log]",
              help="Add, change or fix (NAME=VALUE) an option of the search space; may be repeated.")  # fmt: skip
@click.option("--name", default="", metavar="STUDY", shell_complete=complete_studies,
              help="Name of the study; by default derived from its settings.")  # fmt: skip
@click.option("--for", "reserved", default="", metavar="TASKS|RECIPE",
              help="The tasks on which results will be reported; tuning on any of them is refused.")  # fmt: skip
@click.option("--allow-overlap", is_flag=True, help="Tune on tasks that --for reserves; their scores will be biased.")
@click.option("--jobs", default=1, type=click.IntRange(1), help="Number of parallel runs; they share the CPU threads.")
@storage_option
@click.option("--dry-run", is_flag=True, help="Check and show the study with an estimate; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write cells, trials and the study as JSON lines.")
def run(trials: int, jobs: int, storage: str, dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Run the trials of a study, or continue with those that are missing.

    A trial is one ordinary run for each seed. Ctrl-C saves what is learnt.
    """
    from micl_cli.session import Session, configured_listeners
    from micl_cli.sweep.scheduler import CellOptions

    names = ("strategy", "tasks", "seed", "objective", "space", "name", "reserved", "allow_overlap")
    given = {name: flags.pop(name) for name in names}
    arguments = StudyArguments(**{**given, "strategy": given["strategy"] or "", "tasks": given["tasks"] or ""})
    check_study_name(arguments.name)
    trusted = allows_code(flags["trust_remote_code"], flags["backbone_options"])
    session = Session(current_settings(), progress=DownloadBars().update, trusted=trusted)
    shared = {name: flags.pop(name) for name in ("device", "threads", "save_seconds", "listeners")}
    kept = max_answers(flags.pop("predictions"), flags.pop("save_predictions"))
    options = CellOptions(jobs=jobs, debug=output.debug, max_answers=kept, **shared)
    configured_listeners(options.listeners, session.settings, session.registry)  # reports invalid ones
    with quiet_libraries():
        studies, tasks = plan_studies(session, arguments, flags, dry_run)
        if dry_run:
            _show_plan(session, studies, tasks, trials, storage, options, as_json)
        else:
            _run(session, studies, tasks, trials, storage, options, as_json)


run.params += shared_options(without=["eval_split"])


def _run(
    session: Session,
    studies: Sequence[PlannedStudy],
    tasks: Sequence[Task],
    trials: int,
    storage: str,
    options: CellOptions,
    as_json: bool,
) -> None:
    """Run the trials and show them. Raises Interrupted, or MiclError if trials are missing at the end."""
    from micl_cli.cli.tune_display import TuneDisplay, study_json
    from micl_cli.io.lock import locked_folder
    from micl_cli.session.signals import stop_on_signal
    from micl_cli.tune.storage import TuneStorage
    from micl_cli.tune.tuning import StrategyTuning, tune

    name = studies[0].record.name
    with ExitStack() as stack:
        folder = session.settings.home / "tune" / name
        stack.enter_context(locked_folder(folder, f"study {name}", "Wait for it, or stop it."))
        kept = TuneStorage.open(session.settings, storage)
        tunings = [
            StrategyTuning(session, kept, _opened(kept, study, trials), study.request, tasks, trials)
            for study in studies
        ]
        missing = sum(trials - len(tuning.state.trials) for tuning in tunings) * len(studies[0].record.seeds)
        display = TuneDisplay(session, (), as_json, missing, missing * len(tasks))
        stop = stack.enter_context(stop_on_signal(stopping_note))
        with closing(tune(tunings, replace(options, group=name), stop)) as messages, closing(display):
            for message in messages:
                display.consume(message)
        interrupted = stop()
    _raise_unfinished(tunings, interrupted)
    states = [tuning.state for tuning in tunings]
    _note_best(states)
    if as_json:
        write_json_line({"event": "study", **study_json(states)})
    else:
        echo(name)


def _opened(storage: TuneStorage, study: PlannedStudy, trials: int) -> StudyState:
    """Return the study of a strategy in the storage, in which it is created if it is new."""
    from micl_cli.tune.definition import begun

    states = storage.existing_states(study.record.name)
    return begun(states, study.record, trials) or storage.create(study.record)


def _raise_unfinished(tunings: Sequence[StrategyTuning], interrupted: bool) -> None:
    """Raise Interrupted or MiclError if the trials of a strategy are not complete."""
    if interrupted:
        raise Interrupted("interrupted; what is learnt is saved", "Continue with the same command.")
    problems = [f"{tuning.strategy}: {tuning.problem}" for tuning in tunings if tuning.problem]
    if problems:
        raise MiclError("\n".join(problems), "Continue with the same command; finished runs are not learnt again.")


def _note_best(states: Sequence[StudyState]) -> None:
    from micl_cli.cli.tune_display import percent, values_text
    from micl_cli.tune.records import edge_notes

    for state in states:
        if best := state.best:
            options = values_text(best.values)
            note(f"best of {state.study.strategy}: trial {best.number}, {percent(best.value)}  {options}")
        for text in edge_notes(state):
            note(f"note: {text}")
        if failed := sum(trial.state == "failed" for trial in state.trials):
            again = "to repeat them, fix the cause and start a study with another --name"
            note(f"note: {failed} trials of {state.study.strategy} failed and stay recorded as failed; {again}")


def _show_plan(
    session: Session,
    studies: Sequence[PlannedStudy],
    tasks: Sequence[Task],
    trials: int,
    storage: str,
    options: CellOptions,
    as_json: bool,
) -> None:
    """Show the space of each strategy, the runs of its first trial, and an estimate."""
    from micl_cli.cli.tune_plan import planned_json, planned_lines, planned_strategies

    kept = existing_storage(session.settings, storage)
    planned = planned_strategies(session, kept, studies, tasks, trials, options)
    if as_json:
        echo_json(planned_json(planned, trials, options.jobs))
        return
    for line in planned_lines(planned, trials, options.jobs):
        echo(line)


for command in (show, ls, freeze):
    tune.add_command(command)
