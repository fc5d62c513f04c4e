"""Choices among the examples of a data set: a part for validation, and a limited number of each split.

Both depend on the examples' ids and media only, so that every machine chooses the same ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from micl_cli.api.reader import SourceRow
from micl_cli.api.task import SPLITS, Row
from micl_cli.data.manifest import relative_path


def count_splits(rows: Sequence[SourceRow]) -> dict[str, int]:
    """Return the number of examples by split."""
    counts = Counter(row.split for row, _ in rows)
    return {split: counts[split] for split in SPLITS}


def limit_splits(rows: Sequence[SourceRow], limit: int) -> list[SourceRow]:
    """Return at most ``limit`` pseudorandom examples of each split, in their order."""
    indices: dict[str, list[int]] = defaultdict(list)
    for index, (row, _) in enumerate(rows):
        indices[row.split].append(index)
    chosen: list[int] = []
    for group in indices.values():
        chosen += sorted(group, key=lambda index: _rank("limit", rows[index].row.id))[:limit]
    return [rows[index] for index in sorted(chosen)]


def set_aside(rows: Sequence[SourceRow], size: int) -> list[SourceRow]:
    """Return ``rows`` with at least ``size`` pseudorandom training examples as validation examples.

    Examples that share a medium stay together, so that no medium is both learnt from and validated on.
    """
    groups = _groups([row for row, _ in rows if row.split == "train"])
    chosen: set[str] = set()
    for ids in sorted(groups, key=lambda ids: _rank("val", min(ids))):
        if len(chosen) >= size:
            break
        chosen.update(ids)
    return [SourceRow(_moved(row, chosen), where) for row, where in rows]


def _moved(row: Row, chosen: set[str]) -> Row:
    return replace(row, split="val") if row.split == "train" and row.id in chosen else row


def _groups(rows: Sequence[Row]) -> list[list[str]]:
    """Return the ids of examples, grouped by shared media; one without media is its own group."""
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for row in rows:
        for medium in row.media:
            leader[find(f"medium {relative_path(medium)}")] = find(f"id {row.id}")
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        groups[find(f"id {row.id}")].append(row.id)
    return list(groups.values())


def _rank(purpose: str, name: str) -> bytes:
    return sha256(f"micl {purpose}\n{name}".encode()).digest()
