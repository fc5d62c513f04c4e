"""The formats of chat data: the same example in each of them, media and marks, and damaged items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_cli.api import ManifestError, Media, Source, json_values
from micl_readers.chat_formats import chat_turns

TURNS = [("Who?", "Ann."), ("Where?", "Here.")]
FORMATS = {
    "messages": {
        "messages": [
            {"role": role, "content": text}
            for turn in TURNS
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
    },
    "parts": {
        "messages": [
            {"role": role, "content": [{"type": "text", "text": text}]}
            for turn in TURNS
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
    },
    "sharegpt": {
        "conversations": [
            {"from": role, "value": text} for turn in TURNS for role, text in zip(("human", "gpt"), turn, strict=True)
        ]
    },
    "pairs": {"conversation": [{"human": asked, "assistant": reply} for asked, reply in TURNS]},
    "query": {"query": "Where?", "response": "Here.", "history": [["Who?", "Ann."]]},
}


def place(modality: str, path: str) -> str:
    return f"{modality}s/{path}"


def turns(item: Any) -> list[Any]:
    return chat_turns(item, "file:1", place)


@pytest.mark.parametrize("name", FORMATS)
def test_all_formats_have_the_same_turns(name: str) -> None:
    assert turns(FORMATS[name]) == [(("Who?",), "Ann."), (("Who?\nAnn.\nWhere?",), "Here.")]
    (first, _) = turns({**FORMATS[name], "system": "Be brief."})
    assert first.content == ("Be brief.\nWho?",)


def test_alpaca_has_an_instruction_and_perhaps_an_input() -> None:
    assert turns({"instruction": "Add.", "input": "1 + 1", "output": "2"}) == [(("Add.\n1 + 1",), "2")]
    assert turns({"instruction": "Add.", "input": "", "output": "2"}) == [(("Add.",), "2")]


def test_media_stand_where_their_marks_are() -> None:
    item = {"query": "<image>Left <image> or right?", "response": "Left.", "images": ["a.png", {"path": "b.png"}]}
    a, b = (Media("image", Path(f"images/{name}.png")) for name in "ab")
    assert turns(item)[0].content == (a, "Left", b, "or right?")
    assert turns({**item, "query": "Left or right?"})[0].content == (a, b, "Left or right?")
    sound = {"query": "What?<audio>", "response": "x", "audio": "s.wav", "image": "a.png"}
    assert turns(sound)[0].content == (a, "What?", Media("audio", Path("audios/s.wav")))


def test_an_earlier_turn_does_not_show_later_media() -> None:
    item = {"query": "<image>Now?", "response": "b", "history": [["<image>First?", "a"]], "images": ["1.png", "2.png"]}
    first, second = turns(item)
    assert [len([part for part in turn.content if isinstance(part, Media)]) for turn in (first, second)] == [1, 2]


def test_media_may_be_parts_of_messages() -> None:
    content = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Which?"}]
    item = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "That."}]}
    assert turns(item)[0].content == (Media("image", Path("images/a.png")), "Which?")


def test_a_mark_in_a_reply_is_text() -> None:
    assert turns({"query": "Tag?", "response": "<image>"}) == [(("Tag?",), "<image>")]
    item = {"query": "And?", "response": "x", "history": [["<image>Tag?", "<image>"]], "images": ["a.png"]}
    assert turns(item)[1].content == (Media("image", Path("images/a.png")), "Tag?\n<image>\nAnd?")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ([], "it is not an object"),
        ({"text": "x"}, "no keys of a known format (text)"),
        ({"messages": "x"}, "messages is not a list"),
        ({"messages": []}, "the turns are missing"),
        ({"messages": [{"role": "user", "content": "x"}]}, "the turns are user, not user, assistant"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role is 'robot'"),
        ({"messages": [{"role": "user"}]}, "the key 'content' is missing"),
        ({"messages": [{"role": "user", "content": [{"type": "table"}]}]}, "the unknown type 'table'"),
        ({"conversations": [{"from": "human", "value": 1.5}, {"from": "gpt"}]}, "the key 'value' is missing"),
        ({"query": "x", "response": None}, "is not a text"),
        ({"query": "x", "response": "y", "history": [["a"]]}, "is not a text"),
        ({"query": "<image>", "response": "y"}, "refer to 1 image files, and 0 are given"),
        ({"query": "<image>", "response": "y", "images": ["a", "b"]}, "refer to 1 image files, and 2 are given"),
        ({"query": "x", "response": "y", "images": [{"bytes": "..."}]}, "images is not a path"),
        ({"query": "x", "response": "y", "images": ["a"], "image": "a"}, "both image and images are given"),
    ],
)
def test_damaged_items_are_refused(item: Any, message: str) -> None:
    with pytest.raises(ManifestError) as error:
        turns(item)
    assert error.value.message.startswith("file:1: ")
    assert message in error.value.message


KEYS = [*FORMATS["query"], "messages", "conversations", "conversation", "role", "content", "from", "value"]
KEYS += ["images", "instruction", "output", "system", "human", "assistant"]
SCALARS = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "user", "human", "gpt", "<image>"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner), max_leaves=9
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_item_has_turns_or_is_refused(item: Any) -> None:
    try:
        assert all(isinstance(turn.reply, str) for turn in turns(item))
    except ManifestError as error:
        assert error.message.startswith("file:1: ")


def test_json_and_json_lines_are_told_by_their_content(tmp_path: Path) -> None:
    source = Source(tmp_path, tmp_path, tmp_path)
    for name, text in (
        ("a.json", json.dumps([{"n": 1}, {"n": 2}])),
        ("b.jsonl", '{"n": 1}\n{"n": 2}\n'),
        ("c.json", '\ufeff{"n": 1}\n{"n": 2}\n'),
    ):
        (tmp_path / name).write_text(text)
        assert [item for _, item in json_values(tmp_path / name, source)] == [{"n": 1}, {"n": 2}]
