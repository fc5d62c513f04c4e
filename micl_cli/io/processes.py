"""Commands of Python processes that do not import from the current folder."""

from __future__ import annotations

import sys

RUN_MODULE = (
    "import sys; sys.path[:] = filter(None, sys.path); del sys.argv[0]; "
    "import runpy; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
"""The program that does what ``-P -m`` does, for Python 3.10. The current folder is an empty entry of the path."""


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module as a program, as ``python -m`` does.

    ``python -m`` would import ``queue.py`` or ``torch.py`` of the current folder in place of the libraries.
    """
    if sys.version_info >= (3, 11):
        return [sys.executable, "-P", "-m", module, *arguments]
    return [sys.executable, "-c", RUN_MODULE, module, *arguments]
