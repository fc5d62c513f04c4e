"""Requests for chat completions: parsed from JSON, with every limit and type checked."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from micl_cli.errors import nearest
from micl_cli.serve.errors import ApiError

MAX_MESSAGES = 256
MAX_MEDIA = 32
MAX_CHARACTERS = 100_000
"""The limit on the length of all texts of a request together."""
MAX_NEW_TOKENS = 8192

_ROLES = ("system", "developer", "user", "assistant")
_AUDIO_FORMATS = ("wav", "mp3", "flac", "ogg")
_URL_PARTS = {"image_url": "image", "video_url": "video", "audio_url": "audio"}
_IGNORED = frozenset(
    {"user", "seed", "metadata", "store", "service_tier", "stream_options", "safety_identifier", "prompt_cache_key"}
)
"""Parameters without influence on an answer that is decoded greedily."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "temperature": (0,),
    "top_p": (1,),
    "n": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "logit_bias": ({},),
    "stop": ([],),
    "tools": ([],),
    "tool_choice": ("none",),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}
"""Parameters that are accepted with these values only, which change nothing."""
_KNOWN = frozenset({"model", "messages", "stream", "max_tokens", "max_completion_tokens", *_IGNORED, *_NEUTRAL})


@dataclass(frozen=True)
class Attachment:
    """A medium in a request: its modality, its bytes, and the suffix of its format if the request names one."""

    modality: str
    data: bytes = field(repr=False)
    suffix: str = ""


Turn = tuple[str | Attachment, ...]


@dataclass(frozen=True)
class ChatRequest:
    """A request for a chat completion. ``max_new_tokens`` of None stands for the run's setting."""

    model: str
    turns: Sequence[Turn]
    stream: bool = False
    max_new_tokens: int | None = None

    @property
    def attachments(self) -> list[Attachment]:
        """The media of all turns, in order."""
        return [item for turn in self.turns for item in turn if isinstance(item, Attachment)]


def parse_chat(data: Any) -> ChatRequest:
    """Return the request that a JSON document describes. Raises ApiError."""
    if not isinstance(data, dict):
        raise ApiError(400, "the body is not a JSON object")
    _check_parameters(data)
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "model is missing: name the run; GET /v1/models lists the names", param="model")
    stream = data.get("stream") or False
    if not isinstance(stream, bool):
        raise ApiError(400, "stream is neither true nor false", param="stream")
    request = ChatRequest(model, list(_turns(data.get("messages"))), stream, _max_new_tokens(data))
    _check_amount(request)
    return request


def _check_parameters(data: Mapping[str, Any]) -> None:
    for name, value in data.items():
        if name not in _KNOWN:
            hint = nearest(name, _KNOWN) or "Leave it out."
            raise ApiError(400, f"unknown parameter {name!r}. {hint}", code="unknown_parameter", param=name)
        if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
            text = f"{name} is not supported: answers are decoded as the run is evaluated. Leave it out"
            raise ApiError(400, text, code="unsupported_value", param=name)


def _max_new_tokens(data: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = data.get(name)
        if value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_NEW_TOKENS:
                raise ApiError(400, f"{name} is not a number from 1 to {MAX_NEW_TOKENS}", param=name)
            return value
    return None


def _check_amount(request: ChatRequest) -> None:
    """Raise ApiError for more media or text than a request may have."""
    if len(request.attachments) > MAX_MEDIA:
        raise ApiError(400, f"the messages have more than {MAX_MEDIA} media", param="messages")
    texts = [item for turn in request.turns for item in turn if isinstance(item, str)]
    if sum(map(len, texts)) > MAX_CHARACTERS:
        text = f"the messages have more than {MAX_CHARACTERS:,} characters"
        raise ApiError(400, text, code="context_length_exceeded", param="messages")
    if not (request.attachments or any(text.strip() for text in texts)):
        raise ApiError(400, "the messages are empty", param="messages")


# Messages


def _turns(messages: Any) -> Iterator[Turn]:
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise ApiError(400, f"messages is not a list of 1 to {MAX_MESSAGES} messages", param="messages")
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise ApiError(400, f"{where} has no role out of {', '.join(_ROLES)}", param=f"{where}.role")
        yield _turn(message, f"{where}.content")
    if messages[-1]["role"] != "user":
        raise ApiError(400, "the last message is not the user's", param="messages")


def _turn(message: Mapping[str, Any], where: str) -> Turn:
    content = message.get("content")
    if isinstance(content, str):
        return (content,)
    if not isinstance(content, list):
        raise ApiError(400, f"{where} is neither a text nor a list of parts", param=where)
    parts = tuple(_part(part, f"{where}[{number}]") for number, part in enumerate(content))
    if message["role"] != "user" and any(isinstance(part, Attachment) for part in parts):
        raise ApiError(400, f"{where} has media, which only messages of the user can have", param=where)
    return parts


def _part(part: Any, where: str) -> str | Attachment:
    given = part if isinstance(part, dict) else {}
    kind = str(given.get("type"))
    value = given.get(kind)
    if kind == "text" and isinstance(value, str):
        return value
    if kind in _URL_PARTS and isinstance(value, dict) and isinstance(value.get("url"), str):
        return _from_data_url(value["url"], _URL_PARTS[kind], f"{where}.{kind}.url")
    if kind == "input_audio" and isinstance(value, dict) and isinstance(value.get("data"), str):
        return _sound(value, f"{where}.{kind}")
    known = ", ".join(["text", *_URL_PARTS, "input_audio"])
    raise ApiError(400, f"{where} is not a complete part of type {known}", param=where)


def _from_data_url(url: str, modality: str, where: str) -> Attachment:
    head, comma, data = url.partition(",")
    scheme, _, kind = head.partition(":")
    if scheme.lower() != "data" or not comma:
        text = f"{where}: URLs are not fetched; send the medium itself: data:{modality}/...;base64,..."
        raise ApiError(400, text, code="invalid_url", param=where)
    main, *parameters = kind.lower().split(";")
    if not main.startswith(f"{modality}/") or "base64" not in (each.strip() for each in parameters):
        raise ApiError(400, f"{where} does not begin with data:{modality}/...;base64,", param=where)
    return Attachment(modality, _decoded(data, where))


def _sound(value: Mapping[str, Any], where: str) -> Attachment:
    if value.get("format") not in _AUDIO_FORMATS:
        raise ApiError(400, f"{where}.format is not one of {', '.join(_AUDIO_FORMATS)}", param=f"{where}.format")
    return Attachment("audio", _decoded(value["data"], f"{where}.data"), f".{value['format']}")


def _decoded(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"{where} is not base64: {error}", param=where) from error
