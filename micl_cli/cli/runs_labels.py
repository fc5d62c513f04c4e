"""``micl runs rename`` and ``micl runs tag``: names and tags of runs, which do not affect their results."""

from __future__ import annotations

import click

from micl_cli.cli.command import LONGEST_NAME, Command, name_problem
from micl_cli.cli.completers import complete_runs, complete_tags
from micl_cli.cli.console import note
from micl_cli.cli.context import current_settings
from micl_cli.errors import UsageError
from micl_cli.io.characters import has_control


@click.command(cls=Command)
@click.argument("run", shell_complete=complete_runs)
@click.argument("name")
def rename(run: str, name: str) -> None:
    """Rename RUN to NAME; an empty NAME removes its name. The id of a run never changes.

    \b
    Examples:
      micl runs rename @last baseline
      micl runs rename baseline ""
    """
    from micl_cli.session import Session

    if name and (problem := name_problem(name)):
        raise UsageError(f"a run cannot have the name {name!r}: {problem}", "Choose another name.")
    session = Session(current_settings())
    run_id = session.resolve(run)
    with session.store() as store:
        others = [other for other in store.named(name) if other != run_id] if name else []
        store.rename_run(run_id, name)
    note(f"{run_id} is named {name!r}" if name else f"{run_id} has no name")
    if others:
        note(f"note: {', '.join(others)} also {'have' if others[1:] else 'has'} this name: refer to them by id")


@click.command(cls=Command)
@click.argument("run", shell_complete=complete_runs)
@click.argument("tags", nargs=-1, required=True, metavar="TAG...", shell_complete=complete_tags)
@click.option("--remove", is_flag=True, help="Remove the tags from the run instead.")
def tag(run: str, tags: tuple[str, ...], remove: bool) -> None:
    """Give RUN one or more tags, by which `micl runs --tag` lists it.

    \b
    Examples:
      micl runs tag @last paper baseline
      micl runs tag 3f2a baseline --remove
    """
    from micl_cli.session import Session

    for word in () if remove else tags:
        if problem := tag_problem(word):
            raise UsageError(f"a run cannot have the tag {word!r}: {problem}", "Choose another tag.")
    session = Session(current_settings())
    run_id = session.resolve(run)
    with session.store() as store:
        store.tag_run(run_id, **{"remove" if remove else "add": tags})
        record = store.run(run_id)
    note(f"{run_id} has the tags {', '.join(record.tags)}" if record and record.tags else f"{run_id} has no tags")


def tag_problem(word: str) -> str:
    """Return why a run cannot have a tag, or an empty text."""
    if not word:
        return "it is empty"
    if has_control(word) or any(character.isspace() or character == "," for character in word):
        return "it has a space, a comma or a control character"
    return f"it is longer than {LONGEST_NAME} characters" if len(word) > LONGEST_NAME else ""
