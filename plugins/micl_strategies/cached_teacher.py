"""A teacher that is constant during a task: its states at answer positions are computed once and cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from micl_cli.api import Backbone, Batch, Example, Progress, Stage
from micl_strategies.single_adapter import TEACHER
from micl_strategies.writer import chunks

CACHE_BYTES = 512 * 10**6
"""Limit for cached teacher states of texts and pseudo samples: about 20,000 captions at a width of 576."""


class CachedTeacher:
    """The logits of the adapter ``TEACHER``, from ``states`` cached by example id where there are any."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.states: dict[str, Tensor] = {}

    def clear(self) -> None:
        """Clear the cache, because the teacher or its samples have changed."""
        self.states = {}

    def fill(self, samples: Sequence[Example], stage: Stage) -> Iterator[Progress]:
        """Cache the states at the answer positions of ``samples``, in order, up to CACHE_BYTES."""
        self.clear()
        if "states" not in self.backbone.provides:
            return
        size = 0
        for chunk in chunks(samples, stage.batch_size):
            with self.backbone.adapters.using(TEACHER), stage.autocast():
                batch = self.backbone.batch(chunk)
                states = self.backbone.answer_states(batch)[0].cpu()
            size += states.nbytes
            if size > CACHE_BYTES:
                break
            split = torch.split(states, answer_lengths(batch))
            self.states |= {example.id: own for example, own in zip(chunk, split, strict=True)}
            yield Progress(len(self.states), len(samples), "teacher states")

    def logits(self, examples: Sequence[Example]) -> Tensor:
        """Return the teacher's logits at the answer positions of ``examples``, in their order."""
        cached = {i: own for i, e in enumerate(examples) if (own := self.states.get(e.id)) is not None}
        uncached = [i for i in range(len(examples)) if i not in cached]
        logits: dict[int, Tensor] = {}
        with self.backbone.adapters.using(TEACHER):
            if uncached:
                batch = self.backbone.batch([examples[i] for i in uncached])
                split = torch.split(self.backbone.answer_logits(batch)[0], answer_lengths(batch))
                logits |= zip(uncached, split, strict=True)
            if cached:
                projected = self.backbone.project(torch.cat(list(cached.values())).to(self.backbone.device))
                logits |= zip(cached, torch.split(projected, [len(own) for own in cached.values()]), strict=True)
        return torch.cat([logits[i] for i in range(len(examples))])


def answer_lengths(batch: Batch) -> list[int]:
    """Return the number of answer positions of each example."""
    counts: list[int] = batch.example_index.bincount(minlength=len(batch)).tolist()
    return counts
