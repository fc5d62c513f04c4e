"""The choice of some examples out of many."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from hashlib import sha256

from micl_cli.api.task import Example

GROUP = "group"
"""The key of an example's ``meta`` that holds its group: examples that are scored, and so selected, together."""


def subset(examples: Sequence[Example], size: int | None, salt: str = "") -> Sequence[Example]:
    """Return ``size`` of ``examples`` in their order, or all of them if there are no more or ``size`` is None.

    The choice is a pseudorandom one that depends on the content of the examples and on ``salt`` only. It is the same on
    every machine, in every run and for every order of the examples, so that scores on it are comparable. Examples of
    one group (see ``GROUP``) are selected together, so that fewer than ``size`` may be returned.
    """
    if not isinstance(examples, list | tuple):
        examples = list(examples)  # those of a prepared task are parsed on each access
    if size is None or size >= len(examples):
        return examples
    repeated: Counter[str] = Counter()
    ranks = []
    for index, example in enumerate(examples):
        content = _content_key(example)
        # Examples with the same content get different ranks, which do not depend on which of them comes first.
        ranks.append((sha256(f"{salt}\n{repeated[content]}\n{content}".encode()).digest(), index))
        repeated[content] += 1
    order = [index for _, index in sorted(ranks)]
    groups = [example.meta.get(GROUP) for example in examples]
    return [examples[index] for index in first_of(order, groups, size)]


def first_of(order: Sequence[int], groups: Sequence[Hashable], size: int) -> list[int]:
    """Return at most ``size`` of the indices that come first in ``order``, sorted; those of a group together.

    ``groups`` holds the group of each index, or None. The first group is returned whole, however large it is, unless
    ``size`` is 0.
    """
    if not size:
        return []
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index in order:
        members[index if groups[index] is None else (groups[index],)].append(index)
    chosen: list[int] = []
    for indices in members.values():
        if chosen and len(chosen) + len(indices) > size:
            break
        chosen += indices
    return sorted(chosen)


def _content_key(example: Example) -> str:
    content = [item if isinstance(item, str) else [item.modality, item.key] for item in example.content]
    return json.dumps([content, example.references, example.choices])
