"""The shipped test kit costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import micl_cli.testing


def test_importing_it_loads_neither_pytest_nor_torch() -> None:
    words = "import sys, micl_cli.testing; print({'pytest', 'torch', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_toy_parts_need_no_pytest() -> None:
    words = "import sys; from micl_cli.testing import ToyBackbone, toy_tasks; print('pytest' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_every_name_it_offers_is_there() -> None:
    for name in micl_cli.testing.__all__:
        assert getattr(micl_cli.testing, name).__doc__, f"{name} is not documented"


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = micl_cli.testing.Nothing  # type: ignore[attr-defined]
