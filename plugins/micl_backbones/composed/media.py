"""Encoder outputs of media, and their places in the language model's input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from micl_backbones.language import without_autocast
from micl_cli.api import Encoder, InspectedMedium, Media, MediaReader, MediumFault

_ROUNDING = 0.002
"""The error of a recorded length in seconds."""


@dataclass(frozen=True)
class MediaTokens:
    """Encoder outputs ``tokens`` [n, T, width] of one modality, with the row and the first position of each."""

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
    by_modality = {}
    for modality in sorted({medium.modality for _, _, medium in places}):
        own = [place for place in places if place[2].modality == modality]
        tokens = encode(modality, [medium for _, _, medium in own])
        by_modality[modality] = MediaTokens([row for row, _, _ in own], [start for _, start, _ in own], tokens)
    return by_modality


@dataclass(frozen=True)
class EncodeOneByOne:
    """Encodes one medium at a time: in a batch, results would depend on the other media."""

    encoder: Encoder
    read: MediaReader
    device: torch.device
    concurrent = True
    """Encoders are frozen and have no state, so that media may be encoded in threads."""

    def __call__(self, media: Sequence[Media]) -> Tensor:
        """Return [n, tokens, width]."""
        prepared = (self.encoder.prepare(self.read(medium, self.encoder.options)) for medium in media)
        with without_autocast(self.device):
            return torch.cat([self.encoder(medium[None].to(self.device)) for medium in prepared])


def faulty_media(media: Sequence[InspectedMedium], encoders: Mapping[str, Encoder]) -> Iterator[MediumFault]:
    """Yield the media that their encoder refuses, and those of which it reads only the beginning."""
    for medium, facts in media:
        encoder = encoders[medium.modality]
        if reason := encoder.check(facts):
            yield MediumFault(medium, reason)
        seconds, whole = encoder.options.get("seconds"), facts.get("seconds")
        if isinstance(seconds, float | int) and isinstance(whole, float | int) and whole > seconds + _ROUNDING:
            yield MediumFault(medium, f"the encoder reads the first {seconds:g} s", partial=True)


def mean_tokens(media: MediaTokens | None, count: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return per example the mean token of one modality [count, width], and whether it has such a medium [count, 1]."""
    sums, counts = torch.zeros(count, width, device=device), torch.zeros(count, 1, device=device)
    if media is not None:
        rows = torch.tensor(media.rows, device=device)
        sums = sums.index_add(0, rows, media.tokens.float().mean(1))
        counts = counts.index_add(0, rows, torch.ones(len(rows), 1, device=device))
    return sums / counts.clamp_min(1), counts.clamp_max(1)
