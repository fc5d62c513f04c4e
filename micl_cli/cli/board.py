"""``micl board``: a local page that lists runs and sweeps while they are learnt."""

from __future__ import annotations

from pathlib import Path

import click

from micl_cli.cli.command import Command
from micl_cli.cli.console import note
from micl_cli.cli.context import current_settings

EPILOG = """\b
Examples:
  micl board
  micl board --open
  micl board --host 0.0.0.0 --token-file token.txt

\b
The page lists runs and sweeps with their state, step, loss, time left and scores, and updates itself.
It opens the HTML report of a run, and compares chosen runs. It reads the run store and changes nothing:
it can be started and stopped while runs are learnt.
A server that other machines can reach needs a token. If none is given, one is generated, and is part of the
address that is printed."""
_TOKEN_BYTES = 24


@click.command(cls=Command, epilog=EPILOG)
@click.option("--host", default="127.0.0.1", help="The address to listen on; a token is required unless it is local.")
@click.option("--port", default=8100, type=click.IntRange(0, 65535), help="The port to listen on; 0: any free one.")
@click.option("--token", metavar="TOKEN", default="", show_default=False,
              help="The token that browsers must send; the variable or a file hides it from other users.")  # fmt: skip
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Read the token from the first line of a file.")  # fmt: skip
@click.option("--limit", default=200, type=click.IntRange(1, 5000), metavar="N", help="Maximum number of runs to list.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Write the address as a JSON line.")
def board(
    host: str, port: int, token: str, token_file: Path | None, limit: int, open_browser: bool, as_json: bool
) -> None:
    """Show runs and sweeps in a browser while they are learnt, and their reports.

    Ctrl-C stops the server.
    """
    from micl_cli.board.server import serve_board
    from micl_cli.board.watch import WatchingSession
    from micl_cli.session.signals import stop_on_signal

    session = WatchingSession(current_settings())
    given = _given_token(token, token_file)
    token = given or _new_token(host)

    def ready(address: str) -> None:
        _tell(address, as_json, generated=token != given)
        if open_browser:
            _open(address)

    with stop_on_signal(lambda: note("stopping")) as stopped:
        serve_board(session, host=host, port=port, token=token, limit=limit, log=note, stopped=stopped, ready=ready)


def _given_token(token: str, file: Path | None) -> str:
    """Return the token from the first line of a file, or else ``token``. Raises UsageError."""
    from micl_cli.errors import UsageError
    from micl_cli.io.text import TextError, read_text

    if file is None:
        return token
    try:
        lines = read_text(file).splitlines()
    except (OSError, TextError) as error:
        raise UsageError(f"the token cannot be read from {file}: {error}", "Name a text file.") from error
    if not (token := lines[0].strip() if lines else ""):
        raise UsageError(f"{file} has no token in its first line", "Write one there: letters and digits.")
    return token


def _new_token(host: str) -> str:
    """Return a random token if other machines can reach a server on ``host``, else an empty text."""
    import secrets

    from micl_cli.serve.addresses import is_loopback

    return "" if is_loopback(host) else secrets.token_urlsafe(_TOKEN_BYTES)


def _tell(address: str, as_json: bool, *, generated: bool) -> None:
    """Write the address of the board. A token in it is hidden on stderr, except a generated one, which nobody knows."""
    from micl_cli.io.json_lines import write_json_line

    text = f"the board is at {address} (Ctrl-C ends)"
    if as_json:
        write_json_line({"event": "board_started", "url": address})
    if generated and not as_json:
        click.echo(text, err=True)
    else:
        note(text)


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        note("no browser could be opened: open the address yourself")
