"""Token ids inserted into the rows of a processor's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

NEW = -1
"""The source of a position that stands for none of the processor's."""


def edit_rows(
    tensors: Mapping[str, Tensor],
    begin: Sequence[int],
    texts: Sequence[Mapping[int, Sequence[int]]],
    answers: Sequence[Sequence[int]],
    pad: int,
) -> dict[str, Tensor]:
    """Return left-padded tensors whose rows start with ``begin`` and end with their answer.

    ``texts`` holds for each row the token ids that replace a placeholder, by the placeholder's id. All tensors with the
    shape of ``input_ids`` follow; they are 0 at new positions, the attention mask is 1.
    """
    ids, mask = tensors["input_ids"], tensors["attention_mask"].bool()
    if not (begin or any(texts) or any(answers)):
        return dict(tensors)
    rows = []
    for row, (own, answer) in enumerate(zip(texts, answers, strict=True)):
        places = mask[row].nonzero()[:, 0].tolist()
        old = ids[row, places].tolist()
        first = () if old[: len(begin)] == list(begin) else begin
        new = [(NEW, token) for token in first]
        for place, token in zip(places, old, strict=True):
            new += [(NEW, each) for each in own[token]] if token in own else [(place, token)]
        rows.append([*new, *((NEW, token) for token in answer)])
    width = max(map(len, rows))
    source = torch.tensor([[NEW] * (width - len(row)) + [place for place, _ in row] for row in rows])
    filled = torch.tensor([[pad] * (width - len(row)) + [token for _, token in row] for row in rows])
    real = torch.arange(width) >= width - torch.tensor([[len(row)] for row in rows])
    edited = {name: _moved(value, source) if value.shape == ids.shape else value for name, value in tensors.items()}
    return {**edited, "input_ids": filled, "attention_mask": real.to(tensors["attention_mask"].dtype)}


def _moved(values: Tensor, source: Tensor) -> Tensor:
    """Return the values of the positions ``source`` [B, L] in each row; 0 at new ones."""
    return values.gather(1, source.clamp_min(0)).masked_fill(source == NEW, 0)
