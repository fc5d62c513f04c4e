from __future__ import annotations

import pytest

from micl_cli.io.json_lines import write_json_line


def test_each_value_is_a_line_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    write_json_line({"a": "é"})
    write_json_line({"a": 2})
    assert capsys.readouterr().out == '{"a": "\\u00e9"}\n{"a": 2}\n'


def test_numbers_that_are_not_finite_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    write_json_line({"a": float("nan"), "b": [float("inf"), 1.0]})
    assert capsys.readouterr().out == '{"a": null, "b": [null, 1.0]}\n'
