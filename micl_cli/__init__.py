"""micl: a workbench for continual learning of multimodal language models."""

from __future__ import annotations

# Nothing is imported here: `python -m micl_cli` runs this before it leaves out the current folder.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from micl_cli.notebook.learn import learn as learn
    from micl_cli.notebook.learn import learning as learning
    from micl_cli.notebook.learning import Learning as Learning
    from micl_cli.notebook.run import Run as Run
    from micl_cli.notebook.runs import compare as compare
    from micl_cli.notebook.runs import list_runs as list_runs
    from micl_cli.notebook.runs import load_run as load_run
    from micl_cli.session.exported import LoadedExport as LoadedExport
    from micl_cli.session.exported import load_export as load_export

__version__ = "0.1.0"

__all__ = [
    "Learning",
    "LoadedExport",
    "Run",
    "compare",
    "learn",
    "learning",
    "list_runs",
    "load_export",
    "load_run",
]

_MODULES = {
    "Learning": "micl_cli.notebook.learning",
    "LoadedExport": "micl_cli.session.exported",
    "Run": "micl_cli.notebook.run",
    "compare": "micl_cli.notebook.runs",
    "learn": "micl_cli.notebook.learn",
    "learning": "micl_cli.notebook.learn",
    "list_runs": "micl_cli.notebook.runs",
    "load_export": "micl_cli.session.exported",
    "load_run": "micl_cli.notebook.runs",
}


def __getattr__(name: str) -> object:
    """Return what is imported on first use (PEP 562), since it imports torch."""
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'micl_cli' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of the module, with those that are imported on first use."""
    return sorted({*globals(), *__all__})
