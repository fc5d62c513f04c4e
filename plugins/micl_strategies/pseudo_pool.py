"""The pseudo samples of a task, from which each step draws some."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from micl_cli.api import Example


class PseudoPool(list[Example]):
    """Pseudo samples in the order of their creation; the pool only grows."""

    _indexed = 0
    _indices: Mapping[tuple[str, ...], Sequence[int]] = {}

    def draw(self, count: int, examples: Sequence[Example], rng: random.Random) -> list[Example]:
        """Draw ``count`` samples, or all if there are fewer: first those on the media of ``examples``, then others.

        Media shared within a batch are read once. A sample is drawn as often as the examples on its media.
        """
        media = {example.media_key for example in examples if example.media}
        same_media = sorted(i for key in media for i in self._by_media().get(key, ()))
        drawn = rng.sample(same_media, min(count, len(same_media)))
        if missing := count - len(drawn):
            excluded = set(same_media)
            others = [i for i in range(len(self)) if i not in excluded]
            drawn += rng.sample(others, min(missing, len(others)))
        return [self[i] for i in drawn]

    def _by_media(self) -> Mapping[tuple[str, ...], Sequence[int]]:
        """Return the indices of the samples with the same media, by the key of the media."""
        if self._indexed != len(self):
            indices = defaultdict[tuple[str, ...], list[int]](list)
            for index, sample in enumerate(self):
                indices[sample.media_key].append(index)
            self._indexed, self._indices = len(self), indices
        return self._indices
