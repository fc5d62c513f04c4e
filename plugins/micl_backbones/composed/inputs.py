"""What the composed backbone's language model is given: tokens, media, soft prompts, and how they are packed."""

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
    """Rows of token ids [B, L] with what takes the place of fillers in them.

    ``lengths`` [B] are those of the prompts. ``layout`` tells examples apart that different adapters read, None where
    all are read alike. ``soft`` is the number of soft prompt positions of each row, ``offsets`` where they begin.
    """

    ids: Tensor
    lengths: Tensor
    media: Mapping[str, MediaTokens]
    packing: Packing | None = None
    layout: Layout | None = None
    soft: Sequence[int] = ()
    offsets: Sequence[int] = field(default_factory=list)

    def positions(self) -> tuple[Tensor, Tensor]:
        """Return the example of each position that the language model reads, and whether it is part of a prompt."""
        device = self.ids.device
        prompt = torch.arange(self.ids.shape[1], device=device) < self.lengths.to(device)[:, None]
        if self.packing is None:
            return torch.arange(len(self.ids), device=device)[:, None], prompt
        return self.packing.owner().clamp_min(0), self.packing.pack_marks(prompt)

    def with_soft_prompts(self, embeds: Tensor, prompts: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return embeddings [B, L, size] with each row's soft prompts at its beginning."""
        offsets = self.offsets or [0] * len(self.soft)
        rows = [row for row, count in enumerate(self.soft) for _ in range(count)]
        places = [offsets[row] + place for row, count in enumerate(self.soft) for place in range(count)]
        vectors = torch.cat([vector for own in prompts for vector in own])
        where = torch.tensor(rows, device=embeds.device), torch.tensor(places, device=embeds.device)
        return embeds.index_put(where, vectors.to(embeds.dtype))


def sharing(
    examples: Sequence[Example], prompts: Sequence[Prompt], layout: Layout | None, *, alone: bool
) -> list[tuple[int, int]]:
    """Return for each example the first one that begins alike, and how many positions they share.

    Examples begin alike where they are equal up to the last medium and read by the same adapters; ``alone``: none do.
    """
    first: dict[tuple[object, ...], int] = {}
    found = []
    for row, (example, prompt) in enumerate(zip(examples, prompts, strict=True)):
        media = example.media
        known = not alone and bool(media) and all(medium.digest for medium in media)
        leader = first.setdefault((*_beginning(example), *(layout[row] if layout else ())), row) if known else row
        found.append((leader, 0 if leader == row else prompt.shared))
    return found


def _beginning(example: Example) -> tuple[str, ...]:
    """Return the content up to the last medium, as texts that identify it."""
    last = max(place for place, part in enumerate(example.content) if isinstance(part, Media))
    parts = example.content[: last + 1]
    return tuple(f"\0{part.modality}:{part.digest}" if isinstance(part, Media) else part for part in parts)


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Return [B, L]: rows of numbers, padded at the right."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows])


def left_padded(
    prompts: Sequence[Prompt], gaps: Sequence[int], filler: int, media: Mapping[str, MediaTokens], device: torch.device
) -> tuple[Inputs, Tensor]:
    """Return prompts padded at the left by ``gaps``, as searches of transformers want them, and what is no padding."""
    rows = [[filler] * gap + prompt.ids for gap, prompt in zip(gaps, prompts, strict=True)]
    ids = torch.tensor(rows, device=device)
    mask = torch.arange(ids.shape[1], device=device) >= torch.tensor(gaps, device=device)[:, None]
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    return Inputs(ids, lengths, media, soft=[prompt.soft for prompt in prompts], offsets=gaps), mask
