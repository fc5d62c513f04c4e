"""Conversations, messages and instructions: turns, media at their marks, groups that stay together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import json_head

SHARES = ("--split", "50/50")


def contents(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {row["id"]: row.get("content", [{"image": row.get("image")}, row.get("prompt")]) for row in rows}


def test_conversations_of_llava(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("a.png", "b.png", "c.png")
    talk = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A cat."},
        {"from": "human", "value": "Which colour?"},
        {"from": "gpt", "value": "Red."},
    ]
    items = [
        {"id": "t", "image": "a.png", "conversations": talk},
        {
            "id": "u",
            "image": ["b.png", "c.png"],
            "conversations": [{"from": "human", "value": "<image> or <image>?"}, talk[1]],
        },
        {"id": "v", "conversations": [{"from": "human", "value": "Hello?"}, talk[1]]},
    ]
    rows = rows_of("--from", data_folder.write("llava.json", items), *SHARES)
    found = contents(rows)
    assert found["t/1"] == [{"image": "a.png"}, "What is it?"]
    assert found["t/2"] == [{"image": "a.png"}, "What is it?\nA cat.\nWhich colour?"]
    assert found["u"] == [{"image": "b.png"}, "or", {"image": "c.png"}, "?"]
    assert found["v"] == ["Hello?"]
    splits = {row["id"]: row["split"] for row in rows}
    assert splits["t/1"] == splits["t/2"]


def test_messages_with_parts(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("a.png", "b.png")
    part = {"type": "image_url", "image_url": {"url": "b.png"}}
    items = [
        {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi <image>"},
                      {"role": "assistant", "content": "Ho"}], "images": ["a.png"]},
        {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]},
                      {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]}]},
    ]  # fmt: skip
    found = contents(rows_of("--from", data_folder.write("chat.jsonl", items), *SHARES))
    assert found["1"] == ["Be short.\nHi", {"image": "a.png"}]
    assert found["2"] == [{"image": "b.png"}, "What?"]


@pytest.mark.parametrize("keys", [("instruction", "output"), ("query", "response")])
def test_instructions(data_folder: Any, rows_of: Any, keys: tuple[str, str]) -> None:
    asked, answer = keys
    items = [
        {asked: "Translate.", "input": "Katze", answer: "cat", "history": [["Hi", "Ho"]]},
        {asked: "Add.", "input": "", answer: "2"},
    ]
    rows = rows_of("--from", data_folder.write("alpaca.json", items), *SHARES)
    assert contents(rows) == {"1": ["Hi\nHo\nTranslate.\nKatze"], "2": ["Add."]}
    assert {row["references"][0] for row in rows} == {"cat", "2"}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"conversations": [{"from": "gpt", "value": "x"}]}, "the turns are assistant, not user, assistant, ..."),
        ({"conversations": [{"from": "human", "value": "x"}]}, "the turns are user, not"),
        ({"conversations": [{"from": "dog", "value": "x"}]}, "unknown speaker 'dog'"),
        ({"conversations": []}, "conversations is not a list of turns"),
        ({"conversations": [{"from": "human"}]}, "the key 'value' is missing"),
        (
            {
                "image": "a.png",
                "conversations": [{"from": "human", "value": "<image><image>"}, {"from": "gpt", "value": "x"}],
            },
            "the text has 2 marks <image>, and 1 are given",
        ),
        (
            {"conversations": [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "x"}]},
            "the text has 1 marks <image>, and 0 are given",
        ),
    ],
)
def test_dialogues_that_are_malformed(data_folder: Any, micl: Any, item: Any, reason: str) -> None:
    good = {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "x"}]}
    path = data_folder.write("talk.jsonl", [good, item, good])
    failed = micl("prepare", "--from", path, "--as", "x", *SHARES)
    assert failed.code == 4
    assert f"talk.jsonl:2: {reason}" in failed.err
    assert micl("prepare", "--from", path, "--as", "x", *SHARES, "--on-error", "skip").code == 0


def test_a_modality_that_occurs_late_is_named(data_folder: Any, rows_of: Any, micl: Any) -> None:
    data_folder.pictures("a.png")
    plain = {"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "x"}]}
    late = {"image": "a.png", **plain}
    path = data_folder.write("talk.jsonl", [*[plain] * 120, late])
    failed = micl("prepare", "--from", path, "--as", "own/x", *SHARES)
    assert failed.code == 4
    assert "talk.jsonl:121: 'image' is not a modality of the task" in failed.err
    rows_of("--from", path, *SHARES, "--modality", "image")
    assert rows_of.task["modalities"] == ["image"]


def test_the_shape_of_a_large_file_is_seen_without_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for start in range(3):  # a limit of bytes falls within a character of some of them
        items = [{"conversations": "x" * start + "語" * 30_000}]
        path.write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")
        assert json_head(path) == ("list", frozenset({"conversations"}))
