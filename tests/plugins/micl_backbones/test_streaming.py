"""The pieces of a growing answer: joined, they are the answer, whatever its tokens are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st

from micl_backbones.streaming import AnswerStream


def decode(ids: Sequence[int]) -> str:
    """Decode bytes as byte-level tokenizers do: incomplete characters become replacement characters."""
    return bytes(ids).decode("utf-8", errors="replace").strip()


def streamed(tokens: Sequence[int]) -> list[str]:
    pieces: list[str] = []
    stream = AnswerStream(decode, pieces.append)
    for token in tokens:
        stream.take(token)
    stream.finish(decode(tokens))
    return pieces


@given(st.text())
def test_the_pieces_of_any_text_are_the_text(text: str) -> None:
    assert "".join(streamed(text.encode())) == text.strip()


@given(st.binary(max_size=30))
def test_the_pieces_of_any_bytes_are_what_they_decode_to(data: bytes) -> None:
    assert "".join(streamed(data)) == decode(data)


def test_a_character_is_passed_on_when_it_is_complete() -> None:
    assert streamed("ab €!".encode()) == ["a", "b", " €", "!"]


def test_the_prompt_of_a_streamer_is_not_passed_on() -> None:
    pieces: list[str] = []
    stream = AnswerStream(decode, pieces.append)
    for ids in ([[104, 105]], [111], [107]):
        stream.put(torch.tensor(ids))
    stream.end()
    assert pieces == ["o", "k"]
