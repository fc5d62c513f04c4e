"""``micl completion``: print a shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from micl_cli.cli.command import Command
from micl_cli.cli.console import echo
from micl_cli.errors import MiclError

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    It completes commands, flags, the options of strategies and backbones with their values, recipes,
    strategies, tasks, backbones, listeners, runs with their names and tags, and studies.

    \b
    Examples:
      micl completion bash >> ~/.bashrc
      micl completion zsh >> ~/.zshrc
      micl completion fish > ~/.config/fish/completions/micl.fish
    """
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise MiclError(f"this version of click has no completion for {shell}", "Upgrade it: pip install -U click")
    echo(completion_class(ctx.find_root().command, {}, "micl", "_MICL_COMPLETE").source())
