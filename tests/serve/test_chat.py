"""Requests for chat completions: what is accepted, and what is refused with the place of the fault."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.serve.chat import MAX_CHARACTERS, MAX_MEDIA, Attachment, parse_chat
from micl_cli.serve.errors import ApiError

PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC"}}


def request(content: Any = "what?", **more: Any) -> dict[str, Any]:
    return {"model": "run", "messages": [{"role": "user", "content": content}], **more}


def part(kind: str, **value: Any) -> list[Any]:
    return [{"type": kind, kind: value}]


def test_texts_and_media_keep_their_order() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAEC", "format": "wav"}}
    clip = {"type": "video_url", "video_url": {"url": "DATA:video/mp4; codecs=x;base64,AAEC"}}
    parsed = parse_chat(request([PNG, {"type": "text", "text": "what?"}, sound, clip]))
    (turn,) = parsed.turns
    assert turn == (
        Attachment("image", b"\0\1\2"),
        "what?",
        Attachment("audio", b"\0\1\2", ".wav"),
        Attachment("video", b"\0\1\2"),
    )
    assert (parsed.model, parsed.stream, parsed.max_new_tokens) == ("run", False, None)


def test_all_turns_are_kept() -> None:
    roles = ("system", "user", "assistant", "user")
    messages = [{"role": role, "content": role} for role in roles]
    assert list(parse_chat({"model": "run", "messages": messages}).turns) == [(role,) for role in roles]


def test_values_that_say_what_is_done_anyway_are_accepted() -> None:
    neutral = {"temperature": 0, "top_p": 1, "n": 1, "stop": None, "seed": 3, "user": "ada", "tools": []}
    parsed = parse_chat(request(stream=True, max_completion_tokens=5, **neutral))
    assert (parsed.stream, parsed.max_new_tokens) == (True, 5)


@pytest.mark.parametrize(
    ("data", "param", "reason"),
    [
        ([], None, "not a JSON object"),
        (request(model=""), "model", "model is missing"),
        (request(stream=1), "stream", "neither true nor false"),
        (request(temperature=0.7), "temperature", "not supported"),
        (request(n=2), "n", "not supported"),
        (request(tools=[{}]), "tools", "not supported"),
        (request(max_tokens=0), "max_tokens", "a number from 1"),
        (request(max_tokens=True), "max_tokens", "a number from 1"),
        (request(tempreature=0), "tempreature", "Did you mean 'temperature'?"),
        ({"model": "run"}, "messages", "not a list"),
        ({"model": "run", "messages": [3]}, "messages[0].role", "no role"),
        ({"model": "run", "messages": [{"role": "tool"}]}, "messages[0].role", "no role"),
        ({"model": "run", "messages": [{"role": "assistant", "content": "x"}]}, "messages", "not the user's"),
        (
            {"model": "run", "messages": [{"role": "system", "content": [PNG]}]},
            "messages[0].content",
            "only messages of",
        ),
        (request(3), "messages[0].content", "neither a text nor a list"),
        (request("  "), "messages", "empty"),
        (request("x" * (MAX_CHARACTERS + 1)), "messages", "characters"),
        (request([PNG] * (MAX_MEDIA + 1)), "messages", "media"),
        (request([{"type": "file"}]), "messages[0].content[0]", "not a complete part"),
        (request([{"type": ["text"]}]), "messages[0].content[0]", "not a complete part"),
        (request(part("image_url", url="https://x/y.png")), "messages[0].content[0].image_url.url", "not fetched"),
        (request(part("image_url", url="file:///etc/passwd")), "messages[0].content[0].image_url.url", "not fetched"),
        (request(part("image_url", url="data:video/mp4;base64,AA==")), "messages[0].content[0].image_url.url", "begin"),
        (request(part("image_url", url="data:image/png,AAEC")), "messages[0].content[0].image_url.url", "begin"),
        (request(part("image_url", url="data:image/png;base64,A!")), "messages[0].content[0].image_url.url", "base64"),
        (request(part("input_audio", data="AA==", format="exe")), "messages[0].content[0].input_audio.format", "wav"),
    ],
)
def test_what_cannot_be_answered_is_refused(data: Any, param: str | None, reason: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_chat(data)
    error = refused.value.as_json()["error"]
    assert (refused.value.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert reason in error["message"]


KEYS = (
    "type",
    "text",
    "image_url",
    "input_audio",
    "url",
    "data",
    "format",
    "role",
    "content",
    "stream",
    "n",
    "messages",
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from([*KEYS, "user", "wav", "data:,"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_document_is_parsed_or_refused(data: Any) -> None:
    for document in (data, {"model": "run", "messages": data}, request(data), request(**{"tools": data, "stop": data})):
        with suppress(ApiError):
            parse_chat(document)
