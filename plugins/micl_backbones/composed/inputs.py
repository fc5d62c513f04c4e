"""Inputs of the composed backbone's language model: token ids, media tokens, soft prompts, and packing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from micl_backbones.composed.media import MediaTokens
from micl_backbones.composed.packing import Packing
from micl_backbones.composed.prompt import Prompt
from micl_cli.api import Example, Media

Layout = list[tuple[float, ...]]


@dataclass(frozen=True)
class Inputs:
    """Rows of token ids [B, L], and the media and soft prompts that replace their placeholders.

    ``lengths`` [B] are those of the prompts. ``layout`` identifies the adapters that process each example; None means
    the same for all. ``soft`` is the number of soft prompt positions of each row, ``offsets`` their first positions.
    """

    ids: Tensor
    lengths: Tensor
    media: Mapping[str, MediaTokens]
    packing: Packing | None = None
    layout: Layout | None = None
    soft: Sequence[int] = ()
    offsets: Sequence[int] = field(default_factory=list)

    def positions(self) -> tuple[Tensor, Tensor]:
        """Return the example of each position that the language model processes, and whether it is in a prompt."""
        device = self.ids.device
        prompt = torch.arange(self.ids.shape[1], device=device) < self.lengths.to(device)[:, None]
        if self.packing is None:
            return torch.arange(len(self.ids), device=device)[:, None], prompt
        return self.packing.owner().clamp_min(0), self.packing.pack_mask(prompt)

    def with_soft_prompts(self, embeds: Tensor, prompts: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the embeddings [B, L, size] with each row's soft prompts inserted at its beginning."""
        offsets = self.offsets or [0] * len(self.soft)
        rows = [row for row, count in enumerate(self.soft) for _ in range(count)]
        places = [offsets[row] + place for row, count in enumerate(self.soft) for place in range(count)]
        vectors = torch.cat([vector for own in prompts for vector in own])
        indices = torch.tensor(rows, device=embeds.device), torch.tensor(places, device=embeds.device)
        return embeds.index_put(indices, vectors.to(embeds.dtype))


def shared_prefixes(
    examples: Sequence[Example], prompts: Sequence[Prompt], layout: Layout | None, *, disabled: bool
) -> list[tuple[int, int]]:
    """Return (leader, length) per example: the first example with the same prefix, and the length of that prefix.

    Examples share a prefix if their content is equal up to the last medium and the same adapters process them. An
    example that shares none is its own leader, with length 0; if ``disabled``, all are.
    """
    first: dict[tuple[object, ...], int] = {}
    shared = []
    for row, (example, prompt) in enumerate(zip(examples, prompts, strict=True)):
        media = example.media
        identified = not disabled and bool(media) and all(medium.digest for medium in media)
        leader = first.setdefault((*_prefix_key(example), *(layout[row] if layout else ())), row) if identified else row
        shared.append((leader, 0 if leader == row else prompt.shared))
    return shared


def _prefix_key(example: Example) -> tuple[str, ...]:
    """Return texts that identify the content up to the last medium."""
    last = max(place for place, part in enumerate(example.content) if isinstance(part, Media))
    parts = example.content[: last + 1]
    return tuple(f"\0{part.modality}:{part.digest}" if isinstance(part, Media) else part for part in parts)


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Return rows of numbers as a tensor [B, L], padded at the right."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows])


def left_padded(
    prompts: Sequence[Prompt], gaps: Sequence[int], filler: int, media: Mapping[str, MediaTokens], device: torch.device
) -> tuple[Inputs, Tensor]:
    """Return prompts padded at the left by ``gaps``, as ``generate`` of transformers expects, and the padding mask."""
    rows = [[filler] * gap + prompt.ids for gap, prompt in zip(gaps, prompts, strict=True)]
    offsets = [gap + prompt.begin for gap, prompt in zip(gaps, prompts, strict=True)]
    ids = torch.tensor(rows, device=device)
    mask = torch.arange(ids.shape[1], device=device) >= torch.tensor(gaps, device=device)[:, None]
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    return Inputs(ids, lengths, media, soft=[prompt.soft for prompt in prompts], offsets=offsets), mask
