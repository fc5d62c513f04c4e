"""Values for other machines name no folder of this one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micl_cli.session.portable import portable


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hf:/models/llava", "hf:llava"),
        ("composed:/home/me/small.toml", "composed:small.toml"),
        ("micl-x:composed:/home/me/small.toml", "micl-x:composed:small.toml"),
        ("~/notes.txt", "notes.txt"),
        ("/~:a/", "~:a/"),
        ("yes / no", "yes / no"),
        ("hf:me/llava@abc", "hf:me/llava@abc"),
        ("tiny", "tiny"),
        ("own/img_cap", "own/img_cap"),
        ("descriptions=/home/me/d.toml,samples=3", "descriptions=d.toml,samples=3"),
        ({"option_files": {"/home/me/texts.txt": "abc"}}, {"option_files": {"texts.txt": "abc"}}),
        ([1, None, True, 0.5], [1, None, True, 0.5]),
    ],
)
def test_folders_are_left_out(value: Any, expected: Any) -> None:
    assert portable(value) == expected


@settings(max_examples=50)
@given(st.recursive(st.text("/~:=,. ab"), lambda inner: st.lists(inner) | st.dictionaries(st.text("/:ab"), inner)))
def test_no_absolute_path_remains(value: Any) -> None:
    once = portable(value)
    assert portable(once) == once
    assert "/ab/" not in json.dumps(portable({"key": "/ab/ab", "list": ["x:/ab/b"]}))
