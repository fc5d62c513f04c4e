"""Parquet files, read by pyarrow. They may contain images and sounds as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from micl_cli.api import Format, Item, Items, ManifestError, Match, PlanError, Source

EXTRA = 'pip install "micl-cli[datasets]"'
_BATCH = 64


class Parquet(Format):
    """A Parquet file. Class numbers are replaced by the class names that the datasets library stored in the file."""

    name = "parquet"
    suffixes = (".parquet", ".pq")

    @classmethod
    def match(cls, path: Path) -> Match:
        """Match the suffix."""
        return Match.NAME if path.is_file() and path.suffix.lower() in cls.suffixes else Match.NONE

    def items(self, path: Path, source: Source) -> Items:
        """Yield an item for each row."""
        for where, values in parquet_rows(path, source):
            yield Item(where, values)


def parquet_rows(path: Path, source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the location and values of each row. Raises ManifestError; PlanError if pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet as pq
    except ImportError as error:
        raise PlanError(
            f"{path}: Parquet files need pyarrow, which is not installed", f"Install it: {EXTRA}"
        ) from error
    try:
        with pq.ParquetFile(path) as file:
            classes = class_names(file.schema_arrow.metadata or {})
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield f"{source.where(path)}: row {number}", with_class_names(values, classes)
    except (pyarrow.ArrowException, OSError) as error:
        reason = f"cannot be read as Parquet: {error}"
        raise ManifestError(f"{source.where(path)}: {reason}", "Download the file again, or repair it.") from error


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return the class names by column, from the metadata that the datasets library writes."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {name: each["names"] for name, each in features.items() if each.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def with_class_names(values: dict[str, Any], classes: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the values of a row, with class numbers replaced by names."""
    for column, names in classes.items():
        number = values.get(column)
        if isinstance(number, int) and 0 <= number < len(names):
            values[column] = names[number]
    return values
