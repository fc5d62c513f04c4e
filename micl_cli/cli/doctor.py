"""``micl doctor``: check the installation, and say how to fix what is wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from micl_cli.cli.command import Command
from micl_cli.cli.console import echo, echo_json, escape, style, table
from micl_cli.cli.context import current_settings
from micl_cli.cli.status import quiet_libraries
from micl_cli.errors import MiclError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from micl_cli.session.doctor import Finding


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check versions, GPU, bfloat16, 4-bit weights, disk, store, tasks and plugins, and say how to fix what is wrong.

    Nothing is changed. Exits with code 1 if there is a problem; warnings do not count.

    \b
    Examples:
      micl doctor
      micl doctor --json | jq '.findings[] | select(.state != "ok")'
    """
    with quiet_libraries():
        findings = list(_findings(ctx))
    problems = [finding.check for finding in findings if finding.state == "problem"]
    if as_json:
        echo_json({"ok": not problems, "findings": [finding.as_json() for finding in findings]})
    else:
        _show(findings)
    if problems:
        raise MiclError(f"{len(problems)} problem{'s' * (len(problems) > 1)}: {', '.join(dict.fromkeys(problems))}")


def _findings(ctx: click.Context) -> Iterator[Finding]:
    """Yield the error in the configuration files, or else the findings of all checks."""
    from micl_cli.session.doctor import Finding, examine

    try:
        settings = current_settings(ctx)
    except MiclError as error:
        yield Finding("configuration", "problem", error.message, error.hint)
        return
    files = ", ".join(str(file.path) for file in settings.files)
    yield Finding("configuration", "ok", files or "no files; the defaults apply")
    yield from examine(settings)


_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def _show(findings: Sequence[Finding]) -> None:
    """Show the findings as a table, and below it what to do about them."""
    echo(table(["check", "state", "finding"], [[each.check, each.state, each.text] for each in findings]))
    for each in findings:
        if each.hint:
            label = style(f"{each.check}:", sys.stdout, fg=_COLOURS[each.state])
            echo(f"\n{label} {escape(each.hint)}")
