"""What the commands that compute have in common: what is shown while tasks are prepared and libraries work."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from micl_cli.cli.console import counting, manner, note
from micl_cli.errors import Interrupted


@contextmanager
def preparing(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Tell that a task is being prepared, and how far it is."""
    note(f"preparing {name}")
    try:
        with counting(f"preparing {name}", "example") as progress:
            yield progress
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; nothing of {name} was prepared", "Give the same command again.") from None


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what libraries tell developers off the user's screen; ``--debug`` shows it."""
    if manner.debug:
        yield
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # read when it is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
