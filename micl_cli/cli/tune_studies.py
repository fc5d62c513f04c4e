"""``micl tune show``, ``ls`` and ``freeze``: results of studies, and recipes made from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micl_cli.cli.command import Command
from micl_cli.cli.completers import complete_studies
from micl_cli.cli.console import echo, echo_json, escape, note, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.recipe import FOLDER, set_member
from micl_cli.errors import MiclError, StoreError, UsageError

if TYPE_CHECKING:
    from micl_cli.settings import Settings
    from micl_cli.tune.records import StudyState
    from micl_cli.tune.storage import TuneStorage

storage_option = click.option(
    "--storage", default="", envvar="MICL_TUNE_STORAGE", metavar="URL",
    help="The SQLAlchemy URL of the database of studies; by default the file tune.db in the home folder.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command(cls=Command)
@click.argument("study", shell_complete=complete_studies)
@storage_option
@json_option
def show(study: str, storage: str, as_json: bool) -> None:
    """Show the trials of STUDY: options, objective for each seed, state and runs, and the best trial.

    \b
    Example: micl tune show tuned
    """
    from micl_cli.cli.tune_display import show_study, study_json

    states = _states(study, storage)
    if as_json:
        echo_json(study_json(states))
    else:
        show_study(states)


@click.command(cls=Command)
@storage_option
@json_option
def ls(storage: str, as_json: bool) -> None:
    """List the studies.

    \b
    Example: micl tune ls
    """
    kept = existing_storage(current_settings(), storage)
    rows = [row for name in (kept.names() if kept else ()) for row in _listed(kept, name)]
    if as_json:
        echo_json(rows)
        return
    if not rows:
        note("no studies; start one: micl tune --strategy ewc --tasks img_cap,aud_qa")
        return
    columns = ["study", "strategy", "trials", "failed", "open", "best", "since"]
    echo(table(columns, [[_cell(row[column]) for column in columns] for row in rows]))


def _listed(storage: TuneStorage | None, name: str) -> list[dict[str, Any]]:
    """Return a row for each strategy of a study, or a single row with the ``error`` if it cannot be read."""
    assert storage
    try:
        states = storage.states(name)
    except StoreError as error:
        empty = dict.fromkeys(("strategy", "trials", "failed", "open", "best"))
        return [{"study": name, **empty, "since": "damaged", "error": error.message}]
    return [
        {
            "study": name,
            "strategy": state.study.strategy,
            "trials": len(state.trials),
            "failed": sum(trial.state == "failed" for trial in state.trials),
            "open": len(state.open),
            "best": state.best.value if state.best else None,
            "since": state.study.created,
        }
        for state in states
    ]


def _cell(value: Any) -> Any:
    return "-" if value is None else f"{100 * value:.2f}" if isinstance(value, float) else value


@click.command(cls=Command)
@click.argument("study", shell_complete=complete_studies)
@click.option("--as", "name", required=True, metavar="NAME", help="The recipe set: each recipe is NAME-STRATEGY.")
@click.option("-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="The folder for the recipes; by default `recipes` in the home folder.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace recipes of the same name.")
@storage_option
def freeze(study: str, name: str, folder: Path | None, force: bool, storage: str) -> None:
    """Write the best options of each strategy of STUDY as a recipe, NAME-STRATEGY, that cites the study.

    The paths of the files are written to stdout. All strategies must have the same number of
    trials, all of which have ended.

    \b
    Example: micl tune freeze tuned --as tuned
    """
    from micl_cli.io.files import write_text
    from micl_cli.session import Session
    from micl_cli.tune.recipes import recipe_texts
    from micl_cli.tune.records import edge_notes
    from micl_cli.tune.tuning import now

    check_study_name(name, "--as")
    states = _states(study, storage)
    session = Session(current_settings())
    target = folder or session.settings.recipes
    paths = {state.study.strategy: target / f"{set_member(name, state.study.strategy)}.toml" for state in states}
    _refuse_existing(list(paths.values()), force)
    texts = recipe_texts(session, states, now())
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MiclError(f"the folder {target} cannot be created: {error.strerror}", "Name another with -o.") from error
    for strategy, text in texts.items():
        write_text(paths[strategy], text)
        echo(escape(str(paths[strategy])))
    for text in [text for state in states for text in edge_notes(state)]:
        note(f"note: {text}")


def _refuse_existing(paths: Sequence[Path], force: bool) -> None:
    for path in paths:
        if (FOLDER / path.name).exists():
            raise UsageError(f"the recipe {path.stem} comes with micl", "Choose another name with --as.")
        if path.exists() and not force:
            raise UsageError(f"{path} exists", "Choose another name with --as, or replace it with --force.")


def _states(study: str, storage: str) -> list[StudyState]:
    """Return the state of a study for each of its strategies. Raises UsageError if there is no such study."""
    kept = existing_storage(current_settings(), storage)
    if kept is None:
        hint = "Start one: micl tune --strategy ewc --tasks img_cap,aud_qa"
        raise UsageError(f"no study {study!r}: there are no studies yet", hint)
    return kept.states(study)


def check_study_name(name: str, flag: str = "--name") -> None:
    """Raise UsageError if a study or recipe cannot have a name; an empty text stands for none."""
    from micl_cli.tune.records import NAME_HINT, is_study_name

    if name and not is_study_name(name):
        raise UsageError(f"{flag} {name!r} is not a valid name", NAME_HINT)


def existing_storage(settings: Settings, storage: str) -> TuneStorage | None:
    """Return the storage of studies, or None if its file does not exist."""
    from micl_cli.tune.storage import TuneStorage

    return TuneStorage.open_existing(settings, storage)
