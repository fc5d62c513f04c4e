"""Soft prompts in transformers checkpoints: placeholders in the rows, and hooks that insert the embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SoftPlaces:
    """The places of the soft prompts in a batch of ``count`` rows of ``width``: [n] rows and [n] positions."""

    rows: Tensor
    positions: Tensor
    count: int
    width: int

    @contextmanager
    def filled(self, words: nn.Module, vectors: Tensor) -> Iterator[None]:
        """Insert ``vectors`` [n, size] in every forward pass over whole rows, also if beam search repeats them."""

        def insert(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            if output.ndim < 3 or output.shape[1] != self.width:
                return output
            beams = output.shape[0] // self.count
            rows = (self.rows[None] * beams + torch.arange(beams, device=output.device)[:, None]).flatten()
            return output.index_put((rows, self.positions.repeat(beams)), vectors.repeat(beams, 1).to(output.dtype))

        hook = words.register_forward_hook(insert)
        try:
            yield
        finally:
            hook.remove()


def make_places(
    tensors: dict[str, Tensor], counts: Sequence[int], *, pad: int, placeholder: int, begin: int | None
) -> tuple[dict[str, Tensor], SoftPlaces]:
    """Lengthen left-padded rows by ``counts`` positions each, at their beginning or after a leading token ``begin``.

    All tensors with the shape of ``input_ids`` are lengthened. ``placeholder`` is the id of an ordinary token.
    """
    ids, mask = tensors["input_ids"], tensors["attention_mask"]
    added, starts = max(counts), (mask.cumsum(1) == 0).sum(1).tolist()
    heads = [start + int(begin is not None and int(ids[row, start]) == begin) for row, start in enumerate(starts)]
    fills = {"input_ids": (pad, placeholder), "attention_mask": (0, 1)}
    longer = {
        name: _lengthened(tensor, starts, heads, counts, added, *fills.get(name, (0, 0)))
        if tensor.shape == ids.shape
        else tensor
        for name, tensor in tensors.items()
    }
    rows = torch.tensor([row for row, count in enumerate(counts) for _ in range(count)], device=ids.device)
    places = [heads[row] + added - count + i for row, count in enumerate(counts) for i in range(count)]
    return longer, SoftPlaces(rows, torch.tensor(places, device=ids.device), len(ids), ids.shape[1] + added)


def _lengthened(
    tensor: Tensor, starts: Sequence[int], heads: Sequence[int], counts: Sequence[int], added: int, pad: int, fill: int
) -> Tensor:
    rows = []
    for row, (start, head, count) in enumerate(zip(starts, heads, counts, strict=True)):
        padding, new = tensor.new_full((added - count,), pad), tensor.new_full((count,), fill)
        rows.append(torch.cat([tensor[row, :start], padding, tensor[row, start:head], new, tensor[row, head:]]))
    return torch.stack(rows)
