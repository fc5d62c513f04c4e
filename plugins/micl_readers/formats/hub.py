"""Data sets of the ``datasets`` library: saved to disk, in a local folder, or on the Hugging Face hub.

Media are read as bytes, so that no decoder of the library is needed, and extracted into the prepared task. A data set
of the hub is pinned to the current commit of its revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from micl_cli.api import Format, Item, Items, ManifestError, Match, PlanError, Source
from micl_readers.formats.parquet import EXTRA, with_class_names

_SAVED = ("state.json", "dataset_dict.json")
_BUILDERS = frozenset({"arrow", "audiofolder", "csv", "imagefolder", "json", "parquet", "text", "videofolder"})
"""Builders of the library that do not read pickles."""
_BATCH = 64
_OLDEST = 4  # older versions run scripts of data sets


class Datasets(Format):
    """A data set of the `datasets` library: saved to disk, a folder of files, or the name of one on the hub."""

    name = "datasets"
    remote = True

    def __init__(
        self,
        *,
        config: Annotated[str | None, "the configuration (subset) of the data set"] = None,
        revision: Annotated[str | None, "the branch, tag or commit on the hub; it is pinned to the commit"] = None,
    ) -> None:
        self.config = config
        self.revision = revision

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match folders that the library saved."""
        return Match.CONTENT if any((path / name).is_file() for name in _SAVED) else Match.NONE

    def files(self, path: Path) -> Mapping[str, Path]:
        """Return the files in which the library describes what it saved."""
        names = (*_SAVED, "dataset_info.json", "*/state.json")
        found = sorted({file for name in names for file in path.glob(name)}) if path.is_absolute() else []
        return {file.relative_to(path).as_posix(): file for file in found}

    def pinned(self, path: Path) -> Mapping[str, str]:
        """Return the commit of a data set on the hub. Raises PlanError if it cannot be found."""
        if path.is_absolute():
            return {}
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        try:
            commit = HfApi().dataset_info(path.as_posix(), revision=self.revision).sha
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise _unavailable(path, error) from error
        return {"revision": commit} if commit else {}

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each row of each split."""
        for split, dataset in _opened(path, self.config, self.revision).items():
            classes = _class_names(dataset.features or {})
            for number, values in enumerate(_rows(dataset, path), 1):
                place = f"{path.name}, {split}: row {number}" if split else f"{path.name}: row {number}"
                local = path if path.is_absolute() else None
                read = {name: _with_bytes(value, local) for name, value in values.items()}
                yield Item(place, with_class_names(read, classes), split)


def _opened(path: Path, config: str | None, revision: str | None) -> dict[str, Any]:
    """Return data sets by split; the name is empty if there are no splits. Raises PlanError, ManifestError."""
    library = _library(path)
    try:
        if any((path / name).is_file() for name in _SAVED):
            found = library.load_from_disk(str(path))
        else:
            builder = library.load_dataset_builder(
                str(path) if path.is_absolute() else path.as_posix(), config, revision=revision
            )
            _check_builder(builder, path)
            found = builder.as_streaming_dataset()
    except PlanError:
        raise
    except Exception as error:  # the library and its file systems raise anything
        raise _unavailable(path, error) from error
    return dict(found) if isinstance(found, dict) else {"": found}


def _library(path: Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        what = f"{path}: this needs the `datasets` library, which is not installed"
        raise PlanError(what, f"Install it: {EXTRA}") from error
    if int(datasets.__version__.partition(".")[0]) < _OLDEST:
        raise PlanError(f"`datasets` {datasets.__version__} is too old", f"Install version {_OLDEST} or newer: {EXTRA}")
    datasets.disable_progress_bars()
    return datasets


def _check_builder(builder: Any, path: Path) -> None:
    """Raise PlanError for a builder that may read pickles, or run code of the data set."""
    prefix = "datasets.packaged_modules."
    modules = [cls.__module__ for cls in type(builder).__mro__]
    names = [module.removeprefix(prefix).partition(".")[0] for module in modules if module.startswith(prefix)]
    if not names or names[0] not in _BUILDERS:
        what = f"{path}: its files are read by the builder {names[0] if names else type(builder).__name__!r}"
        raise PlanError(what, f"These are supported: {', '.join(sorted(_BUILDERS))}. Save the data as Parquet.")


def _rows(dataset: Any, path: Path) -> Iterator[dict[str, Any]]:
    """Yield rows as they are stored, with media that are not decoded. Raises ManifestError."""
    try:
        for table in dataset.with_format("arrow").iter(batch_size=_BATCH):
            yield from table.to_pylist()
    except Exception as error:  # the library and its file systems raise anything
        raise ManifestError(f"{path}: cannot be read: {_reason(error)}", "Download the data set again.") from error


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: list(each.names) for name, each in features.items() if type(each).__name__ == "ClassLabel"}


def _with_bytes(value: Any, folder: Path | None) -> Any:
    """Return a medium with its bytes, if it is stored as the path of a file on the hub or in the data set's folder."""
    if isinstance(value, list):
        return [_with_bytes(each, folder) for each in value]
    if not isinstance(value, dict) or set(value) != {"bytes", "path"} or value["bytes"] is not None:
        return value
    location = str(value["path"] or "")
    if location.startswith("hf://"):
        from huggingface_hub import HfFileSystem

        return {"bytes": HfFileSystem().read_bytes(location), "path": location}
    if folder and location and Path(location).resolve().is_relative_to(folder) and Path(location).is_file():
        return {"bytes": Path(location).read_bytes(), "path": location}
    return value


def _unavailable(path: Path, error: Exception) -> PlanError:
    where = "folder" if path.is_absolute() else "data set of the hub"
    hint = "Check the name, -o config and -o revision, and that there is a network." if not path.is_absolute() else ""
    return PlanError(f"{where} {path} cannot be opened: {_reason(error)}", hint or "Is it a data set of the library?")


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
