"""micl: a workbench for continual learning of multimodal language models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from micl_cli.session.exported import LoadedExport as LoadedExport
    from micl_cli.session.exported import load_export as load_export

__version__ = "0.1.0"

_HOME = {"LoadedExport": "micl_cli.session.exported", "load_export": "micl_cli.session.exported"}


def __getattr__(name: str) -> Any:
    """Return what is imported on first use (PEP 562), since it imports torch."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'micl_cli' has no attribute {name!r}")
