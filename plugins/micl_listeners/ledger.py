"""A record of what a tracker has of a run, so that a resumed run neither repeats nor omits anything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


class Ledger:
    """Remembers the last place of each series of a run that was sent to ``destination``.

    It begins anew if the file is missing, damaged, or about another destination.
    """

    def __init__(self, path: Path, destination: str) -> None:
        self.path, self.destination = path, destination
        self._last = self._read()

    def is_new(self, name: str, at: int) -> bool:
        """Return whether the value of a series at a step or stage was not sent yet."""
        return at > self._last.get(name, -1)

    def add(self, names: Iterable[str], at: int) -> None:
        """Remember that values were sent; :meth:`save` makes that last."""
        self._last.update(dict.fromkeys(names, at))

    def save(self) -> None:
        """Write the file, as a whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"destination": self.destination, "last": self._last}), encoding="utf-8")
        new.replace(self.path)

    def _read(self) -> dict[str, int]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            same = data["destination"] == self.destination
            return {str(name): int(at) for name, at in data["last"].items()} if same else {}
        except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
            return {}
