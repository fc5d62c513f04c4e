"""The cache of verdicts on disk: each answer is judged once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from json import dumps
from pathlib import Path

from micl_metrics.judge.prompt import Question, Verdict

_WAIT = 30  # seconds, for another process that writes
_TABLE = "CREATE TABLE IF NOT EXISTS verdicts (question TEXT PRIMARY KEY, yes REAL NOT NULL, score INTEGER NOT NULL)"


class Verdicts:
    """The verdicts of one model and one version of the prompt, in an SQLite file that processes may share.

    Without access to the file, nothing is cached; a damaged file is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, questions: Iterable[Question]) -> dict[Question, Verdict]:
        """Return the cached verdicts on questions."""
        wanted = {_key(question): question for question in questions}
        found: dict[Question, Verdict] = {}
        with suppress(OSError, sqlite3.Error), self._open() as database:
            for key, question in wanted.items():
                row = database.execute("SELECT yes, score FROM verdicts WHERE question = ?", (key,)).fetchone()
                if row and isinstance(row[0], float) and row[1] in range(6):
                    found[question] = Verdict(*row)
        return found

    def keep(self, verdicts: Mapping[Question, Verdict]) -> None:
        """Add verdicts to the cache."""
        rows = [(_key(question), *verdict) for question, verdict in verdicts.items()]
        with suppress(OSError, sqlite3.Error), self._open() as database, database:
            database.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_WAIT)) as database:
            try:
                database.execute(_TABLE)
            except sqlite3.OperationalError:  # read-only, or in use for too long
                raise
            except sqlite3.DatabaseError:
                self.path.unlink()
                raise
            yield database


def _key(question: Question) -> str:
    return sha256(dumps(question).encode()).hexdigest()
