from __future__ import annotations

import pytest

from micl_cli.io.json_lines import write_json_line


def test_each_value_is_a_line_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    write_json_line({"a": "é"})
    write_json_line({"a": 2})
    assert capsys.readouterr().out == '{"a": "\\u00e9"}\n{"a": 2}\n'


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json_line({"a": float("nan")})
