"""The entry point of ``python -m micl_cli``, which is the same as ``micl``."""

import os
import sys


def leave_out_current_folder() -> None:
    """Remove the current folder, which ``python -m`` puts first, from the import path, as in ``micl``.

    It stays if this package itself is in it.
    """
    # Not pathlib: it would be imported from the current folder.
    current, own = os.getcwd(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH109, PTH120
    if not getattr(sys.flags, "safe_path", False) and sys.path[0] in ("", current) and current != own:
        del sys.path[0]


if __name__ == "__main__":
    leave_out_current_folder()
    from micl_cli.cli.main import main

    main()
