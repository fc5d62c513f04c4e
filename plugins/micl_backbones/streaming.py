"""Streaming: the text of an answer, passed on while its tokens are generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What tokenizers decode bytes to that are no character yet."""


class AnswerStream:
    """Passes the text of a growing answer to ``receive``, as far as further tokens do not change it.

    ``decode`` returns the text of token ids without surrounding whitespace. It is a streamer of transformers too, which
    ``generate`` passes the prompt first.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], receive: Callable[[str], None]) -> None:
        self._decode, self._receive = decode, receive
        self._ids: list[int] = []
        self._sent = ""
        self._has_prompt = False

    def take(self, token: int) -> None:
        """Add a token. White space and incomplete characters at the end wait for what follows."""
        self._ids.append(token)
        self._send(self._decode(self._ids).rstrip(REPLACEMENT).rstrip())

    def finish(self, answer: str) -> None:
        """Pass on the rest of the complete answer."""
        self._send(answer)

    def _send(self, text: str) -> None:
        if len(text) > len(self._sent) and text.startswith(self._sent):
            piece, self._sent = text[len(self._sent) :], text
            self._receive(piece)

    # A streamer of transformers

    def put(self, ids: Tensor) -> None:
        """Take the prompt, which is not passed on, or the next token."""
        if self._has_prompt:
            for token in ids.flatten().tolist():
                self.take(token)
        self._has_prompt = True

    def end(self) -> None:
        """Do nothing: the answer is finished when it is decoded as a whole."""
