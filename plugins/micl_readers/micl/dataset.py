"""The base class of MICL's data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from micl_cli.api import Fault, ManifestError, Media, ReaderTask, Row, Source, SourceRow, SourceRows

FindMedium = Callable[..., str]
"""Returns the path, below the media root, of the first of several file names that exists, or of the first name."""

_PICKLES = ("*.npy", "data/*.npy", "dataset/*.npy", "data/*/*.npy", "dataset/*/*.npy")


class DataSet(ABC):
    """A data set with one task.

    ``folders`` are the possible folders of the data set below a root: the root itself, or those of MICL's layout.
    ``annotations`` holds the possible names of each annotation file by role; all are in the same folder. ``media`` are
    the possible folders of media below it, with ``{split}`` for the split. ``references`` is the published
    number of references of an example in each split.
    """

    title: ClassVar[str]
    modality: ClassVar[str]
    task: ClassVar[ReaderTask]
    folders: ClassVar[tuple[str, ...]]
    annotations: ClassVar[Mapping[str, tuple[str, ...]]]
    media: ClassVar[tuple[str, ...]]
    references: ClassVar[Mapping[str, int]] = {}

    def locate(self, source: Source) -> dict[str, Path]:
        """Return the annotation files by role. Raises ManifestError if one is missing."""
        first, *others = self.annotations
        try:
            found = source.find(*_joined(self.folders, self.annotations[first]))
        except ManifestError as error:
            hints = [error.hint, self._renamed(source), self._pickles(source)]
            raise ManifestError(self._missing(source), " ".join(filter(None, hints))) from error
        folder = found.parent.relative_to(source.root).as_posix()
        return {first: found, **{role: source.find(*_joined((folder,), self.annotations[role])) for role in others}}

    def is_in(self, source: Source) -> bool:
        """Return whether the root holds the data set."""
        try:
            return bool(self.locate(source))
        except ManifestError:
            return False

    @abstractmethod
    def rows(self, files: Mapping[str, Path], source: Source) -> SourceRows:
        """Yield a row for each example, or a fault. Raises ManifestError for a malformed file."""

    def media_finder(self, source: Source, split: str = "") -> FindMedium:
        """Return a function that locates media of a split in the existing folders."""
        names = [name.format(split=split) for name in self.media]
        candidates = [_join(folder, name) for name in names for folder in self.folders]
        folders = [path for path in dict.fromkeys(candidates) if (source.media_root / path).is_dir()]
        named = next((path for path in folders if path not in self.folders), names[0])

        def find(*files: str) -> str:
            paths = [_join(folder, file) for folder in folders for file in files]
            return next((path for path in paths if source.has_medium(path)), _join(named, files[0]))

        return find

    def row(self, id: str, split: str, path: str, prompt: str, references: Iterable[str]) -> Row:
        """Return an example with one medium. Ids of training and validation examples begin with their split.

        Raises ManifestError if the prompt is empty.
        """
        if not prompt.strip():
            raise ManifestError("the question is empty")
        name = id if split == "test" else f"{split}-{id}"
        texts = tuple(text.strip() for text in references)
        return Row(name, split, (Media(self.modality, Path(path)), prompt.strip()), texts)

    def counted(self, rows: Iterable[SourceRow | Fault], source: Source) -> Iterator[SourceRow | Fault]:
        """Yield ``rows``, then add a note on examples whose number of references differs from the published one."""
        others: dict[str, int] = {}
        for item in rows:
            if isinstance(item, SourceRow):
                wanted = self.references.get(item.row.split)
                if wanted and len(item.row.references) != wanted:
                    others[item.row.split] = others.get(item.row.split, 0) + 1
            yield item
        for split, count in others.items():
            have = "1 example has" if count == 1 else f"{count:,} examples have"
            source.notes.append(f"{split}: {have} another number of references than {self.references[split]}")

    def _missing(self, source: Source) -> str:
        names = " or ".join(next(iter(self.annotations.values())))
        below = " or ".join(folder for folder in self.folders if folder)
        return f"{source.root} has no {names} ({self.title}), itself or in {below}"

    def _renamed(self, source: Source) -> str:
        """Return a hint that names another folder with the annotations, or an empty string."""
        for name in next(iter(self.annotations.values())):
            for pattern in (f"*/{name}", f"*/*/{name}"):
                if found := next(source.root.glob(pattern), None):
                    return f"There is {found}: name its folder with --root."
        return ""

    def _pickles(self, source: Source) -> str:
        """Return a hint if the root holds annotations as pickled arrays, which are never read."""
        if not any(next(source.root.glob(pattern), None) for pattern in _PICKLES):
            return ""
        names = ", ".join(names[0] for names in self.annotations.values())
        return f"The .npy files are pickles, which can run code and are never read: download {names} of {self.title}."


def in_split_order(rows: Iterable[SourceRow | Fault]) -> Iterator[SourceRow | Fault]:
    """Yield the faults, then the rows of training, validation and test, each in their order."""
    order = {"train": 1, "val": 2, "test": 3}
    yield from sorted(rows, key=lambda item: order.get(item.row.split, 0) if isinstance(item, SourceRow) else 0)


def _joined(folders: Iterable[str], names: Iterable[str]) -> list[str]:
    names = list(names)
    return [_join(folder, name) for folder in folders for name in names]


def _join(folder: str, name: str) -> str:
    return "/".join(part for part in (folder, name) if part not in ("", "."))
