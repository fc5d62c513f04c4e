"""Responses: chat completions, their chunks, and the list of models."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from micl_cli.session.model import Reply


class Completion:
    """The response to one request, as a whole or in chunks; ``model`` is the name that was asked for."""

    def __init__(self, model: str) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, reply: Reply) -> dict[str, Any]:
        """Return the body of a response that is not streamed. The key ``micl`` holds what ``micl ask --json`` shows."""
        message = {"role": "assistant", "content": reply.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": finish_reason(reply), "logprobs": None}
        return {**self._head, "object": "chat.completion", "choices": [choice], "micl": about(reply)}

    def first(self) -> dict[str, Any]:
        """Return the chunk that begins a streamed response."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> dict[str, Any]:
        """Return the chunk for a piece of the answer."""
        return self._chunk({"content": text})

    def last(self, reply: Reply) -> dict[str, Any]:
        """Return the chunk that ends the answer."""
        return {**self._chunk({}, finish_reason(reply)), "micl": about(reply)}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}


def finish_reason(reply: Reply) -> str:
    """Return "length" if the answer was cut at its maximum length, else "stop"."""
    return "length" if reply.cut else "stop"


def about(reply: Reply) -> dict[str, Any]:
    """Return the facts of an answer besides its text: stage, route, adapters, seconds."""
    return {key: value for key, value in reply.as_json().items() if key != "answer"}


def model_list(names: Sequence[str], created: int) -> dict[str, Any]:
    """Return the body of the list of models."""
    return {"object": "list", "data": [model_entry(name, created) for name in names]}


def model_entry(name: str, created: int) -> dict[str, Any]:
    """Return the description of one model."""
    return {"id": name, "object": "model", "created": created, "owned_by": "micl"}
