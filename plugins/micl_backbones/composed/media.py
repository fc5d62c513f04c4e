"""What frozen encoders make of media, and where it stands in the language model's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from micl_backbones.language import uncast
from micl_cli.api import Encoder, Media, MediaReader


@dataclass(frozen=True)
class MediaTokens:
    """Encoder outputs ``tokens`` [n, T, width] of one modality, each with its row and first position."""

    rows: list[int]
    starts: list[int]
    tokens: Tensor

    def places(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return row and position [n, count] of each token."""
        rows = torch.tensor(self.rows, device=device)[:, None].expand(-1, count)
        return rows, torch.tensor(self.starts, device=device)[:, None] + torch.arange(count, device=device)


def media_tokens(
    places: Sequence[tuple[int, int, Media]], encode: Callable[[str, Sequence[Media]], Tensor]
) -> dict[str, MediaTokens]:
    """Return the encoder outputs of media by modality; each of ``places`` is (row, first position, medium)."""
    found = {}
    for modality in sorted({medium.modality for _, _, medium in places}):
        own = [place for place in places if place[2].modality == modality]
        tokens = encode(modality, [medium for _, _, medium in own])
        found[modality] = MediaTokens([row for row, _, _ in own], [start for _, start, _ in own], tokens)
    return found


def encode_each(encoder: Encoder, read: MediaReader, device: torch.device, media: Sequence[Media]) -> Tensor:
    """Return [n, tokens, width], one medium at a time: in a batch the last bits differ, and a resumed run with it."""
    prepared = (encoder.prepare(read(medium, encoder.options)) for medium in media)
    with uncast(device):
        return torch.cat([encoder(medium[None].to(device)) for medium in prepared])


def mean_tokens(media: MediaTokens | None, count: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return each example's mean token [count, width] of one modality, and whether it has a medium of it [count, 1]."""
    sums, counts = torch.zeros(count, width, device=device), torch.zeros(count, 1, device=device)
    if media is not None:
        rows = torch.tensor(media.rows, device=device)
        sums = sums.index_add(0, rows, media.tokens.float().mean(1))
        counts = counts.index_add(0, rows, torch.ones(len(rows), 1, device=device))
    return sums / counts.clamp_min(1), counts.clamp_max(1)
