"""Splits by identity: what is shown in tests is not learnt from in any task of the benchmark."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

SHARES = {"test": 0.25, "val": 0.1}
"""The shares of the identities of a group; the rest is for training."""


def split_identities(groups: Mapping[str, Sequence[Collection[str]]]) -> dict[str, str]:
    """Return the split of each identity. Each group is divided, and identities that stand together stay together.

    ``groups`` holds by label the sets of identities. The order is that of a digest, so that it depends on nothing else.
    Every group with three sets or more has one in each split; an identity of several groups keeps its first split.
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
    """Return the items in sets whose members share something, directly or through others, in order of appearance."""
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
