"""Messages and progress while tasks are prepared, weights are downloaded and runs are stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from micl_cli.cli.console import escape, note, output
from micl_cli.cli.progress import bar_class, bar_look, counting, has_bars
from micl_cli.errors import Interrupted
from micl_cli.settings import library_messages

if TYPE_CHECKING:
    from tqdm import tqdm


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
    """Hide warnings and log messages of libraries, unless ``--debug`` or ``--verbose`` is given."""
    return library_messages(shown=output.debug or output.verbose)


def stopping_note() -> None:
    """Show that the first Ctrl-C was received."""
    note("stopping: saving what is learnt (press Ctrl-C again to end immediately)")


def size_text(count: int) -> str:
    """Return a number of bytes as text; "-" for none."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count else "-"


class DownloadBars:
    """The display of downloads: a progress bar for each on a terminal, else a line."""

    def __init__(self) -> None:
        self._name = ""
        self._bar: tqdm[Any] | None = None

    def update(self, name: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` bytes of ``name`` are downloaded."""
        if name != self._name:
            self.close()
            self._name = name
            self._open(name, total)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def _open(self, name: str, total: int) -> None:
        if output.quiet or not has_bars(sys.stderr):
            note(f"downloading {name} ({size_text(total)})")
            return
        look = {**bar_look(escape(name)), "unit": "B", "unit_scale": True, "leave": False}
        self._bar = bar_class()(total=total, file=sys.stderr, **look)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
