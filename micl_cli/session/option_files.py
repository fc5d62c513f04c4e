"""Files named by options. Their digests are part of a plan, and compared when its run is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from micl_cli.api.options import options_of
from micl_cli.errors import PlanError
from micl_cli.io.digest import file_sha256
from micl_cli.plan import Plan


def file_digests(cls: type[Any], *tables: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests by path of the files and folders named by the options in ``tables``. Raises PlanError."""
    marked = [name for name, option in options_of(cls).items() if option.existing_file]
    paths = {str(table[name]) for table in tables for name in marked if table.get(name)}
    return {path: _digest(Path(path)) for path in sorted(paths)}


def check_option_files(plan: Plan) -> None:
    """Raise PlanError if a file named by an option has changed since the plan was made."""
    for path, digest in plan.option_files.items():
        if _digest(Path(path)) != digest:
            raise PlanError(
                f"{path} has changed since run {plan.id} was planned",
                "Restore it, or start a new run by naming strategy and tasks.",
            )


def _digest(path: Path) -> str:
    """Return the sha256 of a file, or of the names and digests of the files in a folder."""
    try:
        if not path.is_dir():
            return file_sha256(path)
        files = sorted(each for each in path.iterdir() if each.is_file())
        return sha256("".join(f"{each.name}\0{file_sha256(each)}\n" for each in files).encode()).hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise PlanError(f"cannot read {path}: {reason}", "Restore the file that the option names.") from error
