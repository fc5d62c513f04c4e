from __future__ import annotations

import pytest

from micl_cli.serve.errors import ApiError
from micl_cli.serve.names import ModelNames, Target

NAMES = ModelNames(["3f2a", "my@1:run", "", "3f2a"], (0, 1, 2), ("expert1", "base"))


def test_a_run_its_stages_and_adapters_are_listed() -> None:
    assert NAMES.listed == ["3f2a", "3f2a@0", "3f2a@1", "3f2a@2", "3f2a:expert1", "3f2a:base"]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("3f2a", Target()),
        ("3f2a@1", Target(1)),
        ("3f2a:expert1", Target(None, "expert1")),
        ("3f2a@1:other", Target(1, "other")),
        ("my@1:run", Target()),
        ("my@1:run@2", Target(2)),
        *((name, Target(int(name[5:]))) for name in NAMES.listed[1:4]),
    ],
)
def test_a_name_says_what_answers(name: str, target: Target) -> None:
    assert NAMES.target(name) == target


@pytest.mark.parametrize("name", ["3f2", "3f2a@3", "3f2a@", "3f2a@x", "3f2a:", "3f2a:none", "3f2ab", "", "gpt-4"])
def test_unknown_names_are_not_found(name: str) -> None:
    with pytest.raises(ApiError) as refused:
        NAMES.target(name)
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")
