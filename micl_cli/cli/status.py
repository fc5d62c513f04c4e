"""Messages and progress while tasks are prepared and runs are stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from micl_cli.cli.console import counting, note, output
from micl_cli.errors import Interrupted
from micl_cli.settings import library_messages


@contextmanager
def preparing(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a message and a progress bar while a task is prepared."""
    note(f"preparing {name}")
    try:
        with counting(f"preparing {name}", "example") as progress:
            yield progress
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {name} was not prepared", "Run the same command again.") from None


def quiet_libraries() -> AbstractContextManager[None]:
    """Hide warnings and log messages of libraries, unless ``--debug`` is given."""
    return library_messages(shown=output.debug)


def stopping_note() -> None:
    """Show that the first Ctrl-C was received."""
    note("stopping: saving what is learnt (press Ctrl-C again to end immediately)")
