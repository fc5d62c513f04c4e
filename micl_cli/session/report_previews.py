"""Previews of the media of prepared tasks, made in several threads and limited in size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.api.task import Media, Task
from micl_cli.data.prepared import is_prepared, open_with_record
from micl_cli.data.record import FileRecord
from micl_cli.errors import PlanError, PluginError
from micl_cli.report.html.answers import AnsweredExample
from micl_cli.report.html.previews import Preview, preview

if TYPE_CHECKING:
    from micl_cli.session.session import Session

MAX_BYTES = 3_000_000
"""The size of all previews of a report together; media that do not fit are left out."""
_THREADS = 4


class Gallery:
    """Opens prepared tasks, and makes previews of their media."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._tasks: dict[str, tuple[Task | None, str]] = {}
        self._files: dict[str, FileRecord] = {}
        self._readers: dict[str, Any] = {}

    def opened(self, name: str) -> tuple[Task | None, str]:
        """Return a prepared task, or None and the reason if it cannot be opened."""
        if name not in self._tasks:
            self._tasks[name] = self._open(name)
        return self._tasks[name]

    def _open(self, name: str) -> tuple[Task | None, str]:
        home = self.session.settings.home
        try:
            if not is_prepared(name, home):
                return None, f"{name} is not prepared on this machine: its prompts and media are not shown."
            task, record = open_with_record(name, home, verify=False)
        except PlanError as error:
            return None, f"Prompts and media are not shown: {error.message}."
        self._files |= {file.sha256: file for file in record.media.values()}
        return task, ""

    def previews(self, examples: Iterable[AnsweredExample]) -> tuple[dict[str, Preview], list[str]]:
        """Return the previews of the media of ``examples`` by key, and a note if some are left out."""
        shown = [medium for example in examples for medium in example.media]
        media = {medium.key: medium for medium in shown}
        with ThreadPoolExecutor(_THREADS) as threads:
            made = dict(zip(media, threads.map(self._made, media.values()), strict=True))
        return _fitting(made, Counter(medium.key for medium in shown))

    def _made(self, medium: Media) -> Preview:
        record = self._files.get(medium.digest)
        try:
            if medium.path is None or record is None or not record.same_file(medium.path):
                return Preview(f"{medium.modality}: the file has changed")
            return preview(self._read(medium.modality, medium.path), medium.modality)
        except PluginError:
            return Preview(f"{medium.modality}: its plugin is not installed")
        except Exception:  # the decoder of a plugin may raise anything, and a report needs no preview
            return Preview(f"{medium.modality}: the file cannot be read")

    def _read(self, modality: str, path: Path) -> Any:
        if modality not in self._readers:
            self._readers[modality] = self.session.registry.load("modalities", modality)()
        return self._readers[modality].read(path)


def _fitting(made: Mapping[str, Preview], uses: Mapping[str, int]) -> tuple[dict[str, Preview], list[str]]:
    """Return the previews that fit into MAX_BYTES with all their uses, and of the others the text."""
    fitting: dict[str, Preview] = {}
    size = left_out = 0
    for key, each in made.items():
        if size + each.size * uses[key] > MAX_BYTES:
            left_out += 1
            fitting[key] = Preview(f"{each.text} (left out)")
            continue
        size += each.size * uses[key]
        fitting[key] = each
    notes = [f"{left_out:,} of {len(made):,} media are left out, to keep the report small."] if left_out else []
    return fitting, notes
