"""micl: a workbench for continual learning of multimodal language models."""

from __future__ import annotations

# Nothing is imported here: `python -m micl_cli` runs this before it leaves out the current folder.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from micl_cli.session.exported import LoadedExport as LoadedExport
    from micl_cli.session.exported import load_export as load_export

__version__ = "0.1.0"

_MODULES = {"LoadedExport": "micl_cli.session.exported", "load_export": "micl_cli.session.exported"}


def __getattr__(name: str) -> object:
    """Return what is imported on first use (PEP 562), since it imports torch."""
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'micl_cli' has no attribute {name!r}")
