"""Sampling of a data set: a share for validation, and a limited number of examples per split.

Both depend on the examples' ids and media only, so that they are the same on every machine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from micl_cli.api.reader import SourceRow
from micl_cli.api.sampling import GROUP, first_of
from micl_cli.api.task import SPLITS, Row
from micl_cli.data.manifest import relative_path


def count_splits(rows: Sequence[SourceRow]) -> dict[str, int]:
    """Return the number of examples by split."""
    counts = Counter(row.split for row, _ in rows)
    return {split: counts[split] for split in SPLITS}


def limit_splits(rows: Sequence[SourceRow], limit: int) -> list[SourceRow]:
    """Return at most ``limit`` pseudorandom examples of each split, in their order.

    Examples of one group are selected together.
    """
    indices: dict[str, list[int]] = defaultdict(list)
    for index, (row, _) in enumerate(rows):
        indices[row.split].append(index)
    groups = [row.meta.get(GROUP) for row, _ in rows]
    chosen: list[int] = []
    for of_split in indices.values():
        order = sorted(of_split, key=lambda index: _rank("limit", rows[index].row.id))
        chosen += first_of(order, groups, limit)
    return [rows[index] for index in sorted(chosen)]


def set_aside(rows: Sequence[SourceRow], size: int) -> list[SourceRow]:
    """Return ``rows``, with at least ``size`` pseudorandom training examples moved to validation.

    Examples that share a medium are moved together, so that no medium is in both splits.
    """
    groups = linked_groups([row for row, _ in rows if row.split == "train"])
    chosen: set[str] = set()
    for ids in sorted(groups, key=lambda ids: _rank("val", min(ids))):
        if len(chosen) >= size:
            break
        chosen.update(ids)
    return [SourceRow(_moved(row, chosen), where) for row, where in rows]


def _moved(row: Row, chosen: set[str]) -> Row:
    return replace(row, split="val") if row.split == "train" and row.id in chosen else row


def linked_groups(rows: Sequence[Row], groups: Mapping[str, str] = {}) -> list[list[str]]:
    """Return the sets of examples, as ids, that are linked by shared media, or by the group of an id in ``groups``.

    An example without either forms a set of its own.
    """
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for row in rows:
        links = [f"medium {relative_path(medium)}" for medium in row.media]
        links += [f"group {groups[row.id]}"] if groups.get(row.id) else []
        for link in links:
            leader[find(link)] = find(f"id {row.id}")
    linked: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        linked[find(f"id {row.id}")].append(row.id)
    return list(linked.values())


def _rank(purpose: str, name: str) -> bytes:
    return sha256(f"micl {purpose}\n{name}".encode()).digest()
