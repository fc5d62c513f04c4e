"""The files of user data, and the format that reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from micl_cli.api.format import Format, Match
from micl_cli.api.options import parse_options
from micl_cli.data.layouts import recognise
from micl_cli.data.own.request import Input
from micl_cli.data.own.splits import split_in
from micl_cli.errors import ManifestError, PlanError, PluginError, UsageError, nearest
from micl_cli.io.text import TextError
from micl_cli.registry import Registry


@dataclass(frozen=True)
class DataFile:
    """A file or folder of a data set, or the name of a remote one as a relative path, with its split if it is given."""

    path: Path
    split: str = ""

    @cached_property
    def folder(self) -> Path:
        """The folder itself, or that of the file."""
        return self.path if self.path.is_dir() else self.path.parent


def find_files(inputs: Sequence[Input], cls: type[Format] | None) -> list[DataFile]:
    """Return the absolute paths of the inputs' files. A folder stands for its files that are named after splits.

    ``cls`` is the format, if it is given. Raises PlanError for a path that does not exist.
    """
    return [file for each in inputs for file in _files(each, cls)]


def _files(given: Input, cls: type[Format] | None) -> Iterator[DataFile]:
    path = Path(given.text).expanduser()
    if cls and cls.remote and not path.exists():
        yield DataFile(Path(given.text), given.split)
        return
    if not path.exists():
        raise PlanError(f"no file or folder {given.text}", _missing_hint(path))
    path = path.resolve()
    if not path.is_file() and not path.is_dir():
        raise PlanError(f"{path}: it is not a regular file", "Name a file or a folder with --from.")
    files = [] if given.split or path.is_file() else split_files(path)
    if not files or (cls and not cls.suffixes):
        yield DataFile(path, given.split)
        return
    suffixes = sorted({file.path.suffix for file in files})
    if len(suffixes) > 1:
        hint = f"Name the files of one format: --from train={files[0].path.name} ..."
        raise ManifestError(f"{path} has files of the splits in several formats: {', '.join(suffixes)}", hint)
    yield from files


def split_files(folder: Path) -> list[DataFile]:
    """Return the tables and JSON files in a folder, or in its folder "data", that are named after splits."""
    suffixes = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
    for place in (folder, folder / "data"):
        found = sorted(place.iterdir()) if place.is_dir() else []
        files = [DataFile(path, split_in(path.stem)) for path in found if path.suffix.lower() in suffixes]
        if named := [file for file in files if file.split and file.path.is_file()]:
            return named
    return []


def _missing_hint(path: Path) -> str:
    if re.match(r"[A-Za-z][\w+.-]+:/", str(path)):
        return "Nothing is downloaded from a URL: save the file, and name the local path."
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        names = []
    guess = nearest(path.name, names)
    return f"{guess} For a data set of the hub, add --format datasets.".strip()


def find_format(files: Sequence[DataFile], registry: Registry) -> type[Format]:
    """Return the format that matches all files with the highest confidence.

    Raises ManifestError if none matches, UsageError if several match equally.
    """
    sure = {file.path: _matches(file.path, registry) for file in files}
    best = {path: max(found.values(), default=Match.NONE) for path, found in sure.items()}
    for path, match in best.items():
        if match is Match.NONE:
            raise ManifestError(f"{path}: no format reads it", _unknown_hint(path, registry))
    common = [name for name in sure[files[0].path] if all(sure[path].get(name) == best[path] for path in sure)]
    if len(common) != 1:
        names = sorted({name for path, found in sure.items() for name in found if found[name] == best[path]})
        raise UsageError(
            f"{', '.join(path.name for path in sure)}: the format is unclear", f"Name it: --format {' or '.join(names)}"
        )
    return load_format(common[0], registry)


def load_format(name: str, registry: Registry) -> type[Format]:
    """Return the class of a format. Raises PluginError."""
    found: type[Format] = registry.load("formats", name)
    return found


def make_format(cls: type[Format], options: Mapping[str, Any]) -> Format:
    """Return a format with its options. Raises OptionError."""
    return cls(**parse_options(cls, options, owner=f"format {cls.name}"))


def absolute_options(cls: type[Format], options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as text, with absolute paths of files. Raises OptionError."""
    return {name: str(value) for name, value in parse_options(cls, options, owner=f"format {cls.name}").items()}


def _matches(path: Path, registry: Registry) -> dict[str, Match]:
    """Return the match of each format that can read a path. Raises ManifestError."""
    found = {}
    for part in registry.parts("formats"):
        try:
            match = load_format(part.name, registry).match(path)
        except PluginError:
            continue  # `micl plugins` reports it
        except TextError as error:
            raise ManifestError(f"{path}: {error}", "Download the file again, or repair it.") from error
        except OSError as error:
            raise ManifestError(f"{path}: {error.strerror or error}", "Make the file readable.") from error
        if match:
            found[part.name] = match
    return found


def _unknown_hint(path: Path, registry: Registry) -> str:
    readers = {part.name: registry.load("readers", part.name) for part in registry.parts("readers")}
    marks = {f"{reader.title} ({name})": reader.marks for name, reader in readers.items()}
    likeness = recognise(path, marks) if path.is_dir() else ""
    names = ", ".join(part.name for part in registry.parts("formats"))
    return f"{likeness} Name a file of it, or the format with --format: {names}.".strip()


def root_of(paths: Sequence[Path]) -> Path:
    """Return the common folder of all files and folders. Raises UsageError if there is none."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    try:
        root = Path(os.path.commonpath(folders))
    except ValueError:  # several drives
        root = Path(folders[0].anchor)
    if root == Path(root.anchor) and len(set(folders)) > 1:
        raise UsageError("the files of --from have no folder in common", "Copy them into one folder.")
    return root
