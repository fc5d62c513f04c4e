from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micl_cli.session import doctor
from micl_cli.session.doctor import Finding


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the checks find."""
    found = [Finding("disk", "ok", "50.0 GB free")]
    monkeypatch.setattr(doctor, "examine", lambda settings: iter(found))
    return found


def test_findings_are_shown_with_what_to_do(finding: list[Finding], micl: Any) -> None:
    finding.append(Finding("store", "warning", "an old \x1b[31mstore", "Upgrade it."))
    code, out, err = micl("doctor")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "check          state    finding",
        "configuration  ok       no files; the defaults apply",
        "disk           ok       50.0 GB free",
        "store          warning  an old \\x1b[31mstore",
        "",
        "store: Upgrade it.",
    ]


def test_a_problem_sets_the_exit_code(finding: list[Finding], micl: Any) -> None:
    finding.append(Finding("plugins", "problem", "one is broken", "Remove it."))
    code, out, err = micl("doctor", "--json")
    assert (code, err) == (1, "error: 1 problem: plugins\n")
    shown = json.loads(out)
    assert shown["ok"] is False
    assert shown["findings"][-1] == {
        "check": "plugins",
        "state": "problem",
        "text": "one is broken",
        "hint": "Remove it.",
    }


def test_an_invalid_configuration_file_is_a_finding(finding: list[Finding], micl: Any, tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_text("[")
    code, out, _ = micl("doctor")
    assert code == 1
    assert "is not TOML" in out and "micl config path" in out
    assert "disk" not in out


def test_this_installation_is_examined(micl: Any) -> None:
    checks = [each["check"] for each in json.loads(micl("doctor", "--json").out)["findings"]]
    assert set(checks) >= {"python", "libraries", "torchvision", "gpu", "bfloat16", "4-bit", "disk", "store", "plugins"}
