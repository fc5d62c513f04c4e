"""Pages of commands, from click: usage, description, arguments, options and examples."""

from __future__ import annotations

from collections.abc import Iterator

import click
from man import commands, first_sentence

from generator.markdown import code, escaped, page, prose, table
from micl_cli.cli.groups import key_of
from micl_cli.cli.main import micl

FOLDER = "reference/commands"


def pages() -> dict[str, str]:
    """Return the pages by path: one for each command, with the commands below it, and a list of all."""
    contexts = list(commands(click.Context(micl, info_name="micl", **micl.context_settings)))
    top = [ctx for ctx in contexts if ctx.parent and not ctx.parent.parent]
    found = {f"{FOLDER}/{ctx.info_name}.md": command_page(ctx, contexts) for ctx in top}
    return {f"{FOLDER}/index.md": index(contexts[0], top), **found}


def index(root: click.Context, top: list[click.Context]) -> str:
    """Return the page that lists the commands, with what holds for all of them."""
    rows = [(f"[`micl {ctx.info_name}`]({ctx.info_name}.md)", first_sentence(ctx.command.help or "")) for ctx in top]
    return page("Commands", table(["command", "what it does"], rows), "## micl", *body(root))


def command_page(ctx: click.Context, contexts: list[click.Context]) -> str:
    """Return the page of a command; its subcommands are sections."""
    path = ctx.command_path
    below = [each for each in contexts if each.command_path.startswith(f"{path} ")]
    sections = [text for each in below for text in (f"## {each.command_path}", *body(each))]
    return page(path, *body(ctx), *sections)


def body(ctx: click.Context) -> Iterator[str]:
    """Yield the usage of a command, its description, its options and its examples."""
    command = ctx.command
    yield f"```text\n{' '.join([ctx.command_path, *command.collect_usage_pieces(ctx)])}\n```"
    yield prose(command.help or "")
    yield table(["option", "description", "key in files"], options(ctx))
    yield "\n\n".join(prose(each) for each in (command.epilog or "").split("\n\n"))


def options(ctx: click.Context) -> Iterator[tuple[str, str, str]]:
    """Yield the flags of each option, its description and its key in configuration files."""
    for option in ctx.command.get_params(ctx):
        record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
        if record:
            key = key_of(option) if option.expose_value and not option.is_eager else ""
            yield code(record[0]), escaped(record[1]), code(key)
