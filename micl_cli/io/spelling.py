"""Files whose names differ from a path in case or Unicode form only, for messages about missing files."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath


class Spellings:
    """Finds other spellings of paths below ``root``. Each folder is listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, path: str) -> str:
        """Return an existing path that differs from ``path`` in spelling only, or an empty string."""
        folder = self.root
        for part in PurePosixPath(path).parts:
            name = part if (folder / part).exists() else self._listing(folder).get(_folded(part), "")
            if not name:
                return ""
            folder = folder / name
        return folder.relative_to(self.root).as_posix() if folder.is_file() else ""

    def _listing(self, folder: Path) -> dict[str, str]:
        if folder not in self._names:
            try:
                self._names[folder] = {_folded(path.name): path.name for path in folder.iterdir()}
            except OSError:
                self._names[folder] = {}
        return self._names[folder]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
