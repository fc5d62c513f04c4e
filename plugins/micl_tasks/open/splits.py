"""Splits by identity: no task of the benchmark trains on the identities of the test split."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

SHARES = {"test": 0.25, "val": 0.1}
"""The shares of the identities of a group; the rest is for training."""


def split_identities(groups: Mapping[str, Sequence[Collection[str]]]) -> dict[str, str]:
    """Return the split of each identity. Each group is divided; the identities of one set stay together.

    ``groups`` holds by label the sets of identities. Sets are ordered by a digest of their labels, independently of the
    input order. Every group with three sets or more has one in each split; an identity of several groups keeps its
    first split.
    """
    splits: dict[str, str] = {}
    for label, sets in groups.items():
        left = [identities for identities in sets if not any(identity in splits for identity in identities)]
        ordered = sorted(left, key=lambda identities: _digest(f"{label}/{min(identities)}"))
        for position, identities in enumerate(ordered):
            splits |= dict.fromkeys(identities, _split(position, len(ordered)))
    return splits


def _split(position: int, count: int) -> str:
    test = max(1, round(count * SHARES["test"])) if count > 1 else 0
    val = max(1, round(count * SHARES["val"])) if count > 2 else 0
    return "test" if position < test else "val" if position < test + val else "train"


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def connected(items: Mapping[str, Collection[T]]) -> list[frozenset[str]]:
    """Return the connected components of items that share a value, in order of appearance."""
    sets: list[tuple[set[str], set[T]]] = []
    for name, has in items.items():
        joined, shared = {name}, set(has)
        apart = []
        for names, things in sets:
            if things & shared:
                joined |= names
                shared |= things
            else:
                apart.append((names, things))
        sets = [*apart, (joined, shared)]
    return [frozenset(names) for names, _ in sets]


def of_split(splits: Mapping[str, str], split: str, identities: Iterable[str]) -> tuple[str, ...]:
    """Return those of ``identities`` that belong to ``split``, in their order."""
    return tuple(identity for identity in identities if splits[identity] == split)
