"""The choice of some examples out of many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from micl_cli.api.task import Example


def subset(examples: Sequence[Example], size: int | None, salt: str = "") -> Sequence[Example]:
    """Return ``size`` of ``examples`` in their order, or all of them if there are no more or ``size`` is None.

    The choice is a pseudorandom one that depends on the content of the examples and on ``salt`` only. It is the same on
    every machine, in every run and for every order of the examples, so that scores on it are comparable.
    """
    if size is None or size >= len(examples):
        return examples
    repeated: Counter[str] = Counter()
    ranks = []
    for index, example in enumerate(examples):
        content = _content_key(example)
        # Examples with the same content get different ranks, which do not depend on which of them comes first.
        ranks.append((sha256(f"{salt}\n{repeated[content]}\n{content}".encode()).digest(), index))
        repeated[content] += 1
    return [examples[index] for index in sorted(index for _, index in sorted(ranks)[:size])]


def _content_key(example: Example) -> str:
    content = [item if isinstance(item, str) else [item.modality, item.key] for item in example.content]
    return json.dumps([content, example.references, example.choices])
