"""``micl plugins``: list and show installed plugins, and create plugin packages."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from micl_cli.api.deviations import deviations_of
from micl_cli.api.options import Option, options_of
from micl_cli.cli.completers import complete_kinds, complete_parts
from micl_cli.cli.console import echo, echo_json, escape, note, table
from micl_cli.cli.groups import DefaultGroup
from micl_cli.registry import KINDS, Part, Registry, command_entry_points, kind_name
from micl_cli.scaffold import SCAFFOLDS, create

_SET_BY = {
    "strategies": " (-o NAME VALUE)",
    "backbones": " (-b NAME VALUE)",
    "routers": " (-o router_options NAME=VALUE,...)",
    "listeners": " ([listen.NAME] in micl.toml)",
}
"""The way to set options, by plugin kind."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(cls=DefaultGroup)
def plugins() -> None:
    """List, show and create plugins. The default command is list.

    \b
    Examples:
      micl plugins --kind strategies
      micl plugins show strategy moincl
      micl plugins new strategy my-method
    """


@plugins.command("list")
@click.option(
    "--kind", metavar="KIND", shell_complete=complete_kinds, help=f"One of {', '.join(KINDS)}; by default all."
)
@as_json
def list_(kind: str | None, as_json: bool) -> None:
    """List installed plugins with kind, name, distribution, version and state.

    A plugin that cannot be loaded is listed with its error.

    \b
    Example: micl plugins --kind strategies
    """
    parts = Registry.discover().parts(kind and kind_name(kind))
    commands = [] if kind else _commands()
    if as_json:
        echo_json([asdict(part) for part in [*parts, *commands]])
        return
    rows = [_row(part) for part in [*parts, *commands]]
    echo(table(["kind", "name", "distribution", "version", "state", "summary"], rows))


@plugins.command()
@click.argument("kind", shell_complete=complete_kinds)
@click.argument("name", shell_complete=complete_parts)
@as_json
def show(kind: str, name: str, as_json: bool) -> None:
    """Show the description of the plugin NAME of KIND, its deviations from its paper, and its options.

    NAME may be DISTRIBUTION:NAME.

    \b
    Example: micl plugins show strategy moincl
    """
    registry = Registry.discover()
    part = registry.find(kind, name)
    cls = registry.load(kind, name)
    text, deviations, options = inspect.getdoc(cls) or "", deviations_of(cls), options_of(cls)
    if as_json:
        shown = {"doc": text, "deviations": " ".join(deviations.split())}
        echo_json({**asdict(part), **shown, "options": [option.as_json() for option in options.values()]})
        return
    echo(_description(part, text, deviations, options))


@plugins.command()
@click.argument("kind", type=click.Choice(list(SCAFFOLDS)))
@click.argument("name")
@click.option(
    "--dir",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder in which to create the package.",
)
def new(kind: str, name: str, parent: Path) -> None:
    """Create an installable package for a plugin NAME, with a contract test.

    \b
    Example: micl plugins new strategy my-method --dir ~/src
    """
    taken = [part.name for part in Registry.discover().parts(kind)]
    folder = create(kind, name, parent, taken)
    echo(escape(str(folder)))
    note(f"Next:\n  pip install -e {folder}\n  pytest {folder}\n  micl plugins show {kind} {name.lower()}")


def _commands() -> list[Part]:
    """Return the commands of other distributions as entries of the list, without importing them."""
    commands = []
    for name, point in sorted(command_entry_points().items()):
        distribution, version = (point.dist.metadata["Name"], point.dist.version) if point.dist else ("", "")
        commands.append(Part("command", name, point.value, f"micl {name}", distribution, version))
    return commands


def _row(part: Part) -> list[Any]:
    return [part.kind, part.name, part.distribution, part.version, part.state, part.error or part.summary]


def _description(part: Part, text: str, deviations: str, options: Mapping[str, Option]) -> str:
    origin = f"from {part.distribution} {part.version} ({part.target})"
    blocks = [
        escape(f"{KINDS[part.kind][0]} {part.name}: {part.summary}\n{origin}", keep="\n"),
        escape(text, keep="\n"),
        escape(deviations, keep="\n"),
    ]
    if options:
        rows = [[option.name, option.type_name, _default(option), _help(option)] for option in options.values()]
        blocks.append(f"Options{_SET_BY.get(part.kind, '')}:\n" + table(["name", "type", "default", "help"], rows))
    else:
        blocks.append("No options.")
    return "\n\n".join(filter(None, blocks))


def _help(option: Option) -> str:
    space = f"search space {option.search}" if option.search else ""
    facts = "; ".join(filter(None, (str(option.range or ""), space)))
    return f"{option.help} ({facts})" if facts else option.help


def _default(option: Option) -> str:
    if option.required:
        return "required"
    if option.default is None:
        return "none"
    return str(option.default).lower() if isinstance(option.default, bool) else str(option.default) or '""'
