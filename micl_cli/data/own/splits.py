"""The split of each example: by a name in the data, or by a seeded division."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from micl_cli.api.reader import SourceRow
from micl_cli.data.own.request import Shares
from micl_cli.data.sampling import linked_groups

NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
}
"""The splits by their common names in data sets."""
NONE = "none"
"""The split name of items to leave out."""


def split_named(name: str, mapped: Mapping[str, str]) -> str:
    """Return the split with a common or mapped name, or the name itself if it is unknown."""
    plain = name.strip()
    return mapped.get(plain) or NAMES.get(plain.lower(), plain)


def split_in(name: str) -> str:
    """Return the split that a file or folder is named after, as in "train-00000-of-00002", or an empty string."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {NAMES[word] for word in words if word in NAMES}
    return found.pop() if len(found) == 1 else ""


def divide(rows: Sequence[SourceRow], groups: Mapping[str, str], shares: Shares, seed: int) -> list[SourceRow]:
    """Return ``rows`` divided into splits. Examples that share a medium or a group are in the same split.

    ``groups`` holds the group of examples by id. The division is the same on every machine.
    """
    linked = linked_groups([row for row, _ in rows], groups)
    total = len(rows)
    splits: dict[str, str] = {}
    wanted = {split: max(1.0, share * total) for split, share in zip(("test", "val"), shares[:0:-1], strict=True)}
    wanted = {split: count for split, count in wanted.items() if split == "test" or shares[1]}
    counts = dict.fromkeys(wanted, 0)
    for ids in sorted(linked, key=lambda ids: _rank(seed, min(ids))):
        fitting = (name for name in wanted if counts[name] + len(ids) / 2 <= wanted[name] or not counts[name])
        split = next(fitting, "train")
        if split != "train":
            counts[split] += len(ids)
        splits |= dict.fromkeys(ids, split)
    return [SourceRow(replace(row, split=splits[row.id]), where) for row, where in rows]


def _rank(seed: int, name: str) -> bytes:
    return sha256(f"micl split {seed}\n{name}".encode()).digest()
