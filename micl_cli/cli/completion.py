"""``micl completion``: the script by which a shell completes micl's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from micl_cli.cli.console import echo
from micl_cli.errors import MiclError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    Commands, options, strategies, tasks, backbones and runs are completed.

    \b
    Examples:
      micl completion bash >> ~/.bashrc
      micl completion zsh >> ~/.zshrc
      micl completion fish > ~/.config/fish/completions/micl.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise MiclError(f"this version of click has no completion for {shell}", "Upgrade it: pip install -U click")
    echo(found(ctx.find_root().command, {}, "micl", "_MICL_COMPLETE").source())
