"""The chat of ``micl ask -i``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from micl_cli.cli.ask import MAX_PROMPT_BYTES
from micl_cli.cli.console import fail, note
from micl_cli.errors import PlanError, UsageError, nearest

if TYPE_CHECKING:
    from micl_cli.api.backbone import InspectedMedium
    from micl_cli.api.task import Content
    from micl_cli.cli.ask import Asker
    from micl_cli.registry import Registry

HELP = "/image FILE, /audio FILE and /video FILE add media, /clear starts over, /exit or Ctrl-D ends the chat"
_MEDIA = ("image", "audio", "video")
_COMMANDS = (*(f"/{modality}" for modality in _MEDIA), "/clear", "/help", "/exit")


def chat(asker: Asker, registry: Registry, media: Sequence[InspectedMedium], text: str) -> None:
    """Answer each line of stdin as the next question of a dialogue, until stdin ends.

    ``media`` and ``text`` are those of the first question; without ``text``, it is the first line.
    """
    note(HELP)
    conversation = Conversation(asker, registry, media)
    if text:
        conversation.take(text)
    while (line := _read_line()) is not None and line.strip() not in ("/exit", "/quit"):
        if line.strip():
            conversation.take(line)


class Conversation:
    """The dialogue of a chat, and the media of the next question."""

    def __init__(self, asker: Asker, registry: Registry, media: Sequence[InspectedMedium]) -> None:
        self.asker, self.registry = asker, registry
        self.media = list(media)
        self.turns: list[Content] = []

    def take(self, line: str) -> None:
        """Carry out a line: a command that begins with "/", or a question. Errors are shown and do not end the chat."""
        try:
            if line.startswith("/") and not line.startswith("//"):
                self._carry_out(*line.strip().partition(" ")[::2])
            else:
                self.ask(line)
        except (PlanError, UsageError) as error:
            fail(error.message, error.hint)
        except KeyboardInterrupt:
            note("stopped; this question and its answer are left out of the chat")

    def ask(self, text: str) -> None:
        """Ask a question, and add it and its answer to the dialogue."""
        from micl_cli.session.question import dialogue

        self.turns += self.asker.show(text, self.media, dialogue(self.turns))
        self.media = []

    def _carry_out(self, command: str, argument: str) -> None:
        modality = command.removeprefix("/")
        if modality in _MEDIA:
            from micl_cli.session.question import inspect

            medium = inspect(modality, Path(argument.strip()).expanduser(), self.registry)
            self.asker.model.check_media([medium])  # raises if the model cannot read it
            note(f"the next question is about {argument.strip()}")
            self.media.append(medium)
        elif command == "/clear":
            self.media, self.turns = [], []
            note("the chat starts over")
        elif command == "/help":
            note(HELP)
        else:
            raise UsageError(f"no command {command!r}", f"{nearest(command, _COMMANDS)} {HELP}.".strip())


def _read_line() -> str | None:
    """Return the next line of stdin, or None at its end. On a terminal, lines can be edited. Raises UsageError."""
    try:
        return _line()
    except UnicodeDecodeError as error:
        raise UsageError(f"stdin is not UTF-8: {error.reason}", "Write the questions in UTF-8.") from error


def _line() -> str | None:
    if sys.stdin.isatty() and sys.stdout.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  (its import makes `input` edit lines)
        with suppress(EOFError):
            return input("> ")
        return None
    line = sys.stdin.readline(MAX_PROMPT_BYTES)
    return line.rstrip("\r\n") if line else None
