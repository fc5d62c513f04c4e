"""Write a manual page for each command of ``micl``, with the options, descriptions and examples of its help.

Usage: python docs/man.py FOLDER

The pages are read by `man`, for example by `man -M FOLDER/.. micl-learn` if the folder is called man1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
from click_man.man import ManPage

from micl_cli import __version__
from micl_cli.cli.main import micl

SECTION = "1"
UNFILLED = "\b"
"""The line that begins a paragraph whose lines click does not join."""


def main(folder: str) -> None:
    """Write the pages into a folder, which is created if necessary."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    contexts = list(commands(click.Context(micl, info_name="micl", **micl.context_settings)))
    for ctx in contexts:
        (target / f"{page_name(ctx)}.{SECTION}").write_text(page(ctx), encoding="utf-8")
    print(f"wrote {len(contexts)} pages to {target}; read them by: man -M {target.resolve().parent} micl-learn")


def commands(ctx: click.Context) -> Iterator[click.Context]:
    """Yield the contexts of a command and of all commands below it, without those of other distributions."""
    yield ctx
    for name, command in below(ctx).items():
        yield from commands(click.Context(command, info_name=name, parent=ctx))


def below(ctx: click.Context) -> dict[str, click.Command]:
    """Return the commands of a group by name; none for a command."""
    if not isinstance(ctx.command, click.Group):
        return {}
    names = getattr(ctx.command, "lazy", ctx.command.commands)
    found = {name: ctx.command.get_command(ctx, name) for name in names}
    return {name: command for name, command in found.items() if command and not command.hidden}


def page_name(ctx: click.Context) -> str:
    """Return the name of a command's page: "micl-runs-show"."""
    return ctx.command_path.replace(" ", "-")


def page(ctx: click.Context) -> str:
    """Return the page of a command in the language of man."""
    command, sheet = ctx.command, ManPage(ctx.command_path)
    sheet.version = f"micl {__version__}"
    sheet.short_help = roff(first_sentence(command.help or ""))
    sheet.synopsis = " ".join(command.collect_usage_pieces(ctx))
    sheet.description = text_of(command.help or "")
    records = [option.get_help_record(ctx) for option in command.get_params(ctx) if isinstance(option, click.Option)]
    sheet.options = [(names, roff(text)) for names, text in filter(None, records)]
    sheet.commands = [(name, roff(first_sentence(inner.help or ""))) for name, inner in below(ctx).items()]
    notes = f".SH NOTES\n{text_of(command.epilog)}\n" if command.epilog else ""
    # The pages of a group's commands are named with "-" throughout.
    body = str(sheet).replace(rf"\fB{ctx.command_path}-", rf"\fB{page_name(ctx)}-")
    return f"{body}{notes}{see_also(ctx)}"


def see_also(ctx: click.Context) -> str:
    """Return the section that refers to the page of the group that a command belongs to."""
    return f".SH SEE ALSO\n.BR {page_name(ctx.parent)} ({SECTION})\n" if ctx.parent else ""


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text on one line, without its full stop."""
    first = " ".join(cleandoc(text).partition("\n\n")[0].split())
    return re.split(r"\.(?= |$)", first)[0]


def text_of(text: str) -> str:
    """Return paragraphs in the language of man; those that begin with UNFILLED keep their lines."""
    paragraphs = []
    for paragraph in cleandoc(text).split("\n\n"):
        lines = [roff(line) for line in paragraph.splitlines()]
        paragraphs.append("\n".join([".nf", *lines[1:], ".fi"] if lines[:1] == [UNFILLED] else lines))
    return "\n.PP\n".join(paragraphs)


def roff(text: str) -> str:
    """Escape what has a meaning in the language of man."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("…", "...")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", escaped)


if __name__ == "__main__":
    main(sys.argv[1])
