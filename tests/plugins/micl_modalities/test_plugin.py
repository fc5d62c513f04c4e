"""What is announced exists, and announcing it costs no import."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

from micl_cli.api import Modality
from micl_modalities import plugin


def announced() -> dict[str, str]:
    parts: dict[str, str] = {}
    plugin.micl_register_modalities(lambda name, target, summary="": parts.update({name: target}))
    return parts


def test_announces_what_exists() -> None:
    assert sorted(announced()) == ["audio", "image", "video"]
    for name, target in announced().items():
        module, _, attribute = target.partition(":")
        part = getattr(import_module(module), attribute)
        assert issubclass(part, Modality)
        assert part.name == name


def test_announcing_imports_no_decoder() -> None:
    code = "import sys, micl_modalities.plugin; print(*{'PIL', 'av', 'soundfile', 'torch', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
