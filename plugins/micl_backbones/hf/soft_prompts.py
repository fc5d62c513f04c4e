"""Soft prompts in checkpoints of transformers: places for them in the rows, and embeddings put there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SoftPlaces:
    """Where the soft prompts of a batch of rows stand: [n] rows and [n] positions, in rows of ``width``."""

    rows: Tensor
    positions: Tensor
    count: int
    width: int

    @contextmanager
    def filled(self, words: nn.Module, vectors: Tensor) -> Iterator[None]:
        """Let ``vectors`` [n, size] stand there in every pass that reads whole rows; beams repeat rows."""

        def put(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
            if output.ndim < 3 or output.shape[1] != self.width:
                return output
            beams = output.shape[0] // self.count
            rows = (self.rows[None] * beams + torch.arange(beams, device=output.device)[:, None]).flatten()
            return output.index_put((rows, self.positions.repeat(beams)), vectors.repeat(beams, 1).to(output.dtype))

        hook = words.register_forward_hook(put)
        try:
            yield
        finally:
            hook.remove()


def make_places(
    tensors: dict[str, Tensor], counts: Sequence[int], *, pad: int, filler: int, begin: int | None
) -> tuple[dict[str, Tensor], SoftPlaces]:
    """Return rows, padded left, with ``counts`` further positions each, behind a token ``begin`` where one begins them.

    Whatever has the shape of ``input_ids`` is lengthened with it; ``filler`` is an ordinary token.
    """
    ids, mask = tensors["input_ids"], tensors["attention_mask"]
    more, starts = max(counts), (mask.cumsum(1) == 0).sum(1).tolist()
    heads = [start + int(begin is not None and int(ids[row, start]) == begin) for row, start in enumerate(starts)]
    fillers = {"input_ids": (pad, filler), "attention_mask": (0, 1)}
    longer = {
        name: _lengthened(tensor, starts, heads, counts, more, *fillers.get(name, (0, 0)))
        if tensor.shape == ids.shape
        else tensor
        for name, tensor in tensors.items()
    }
    rows = torch.tensor([row for row, count in enumerate(counts) for _ in range(count)], device=ids.device)
    places = [heads[row] + more - count + at for row, count in enumerate(counts) for at in range(count)]
    return longer, SoftPlaces(rows, torch.tensor(places, device=ids.device), len(ids), ids.shape[1] + more)


def _lengthened(
    tensor: Tensor, starts: Sequence[int], heads: Sequence[int], counts: Sequence[int], more: int, pad: int, filler: int
) -> Tensor:
    rows = []
    for row, (start, head, count) in enumerate(zip(starts, heads, counts, strict=True)):
        padding, new = tensor.new_full((more - count,), pad), tensor.new_full((count,), filler)
        rows.append(torch.cat([tensor[row, :start], padding, tensor[row, start:head], new, tensor[row, head:]]))
    return torch.stack(rows)
