"""Packing: several sequences in one row, which saves padding and shares common prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

import torch
from torch import Tensor

WORTH_IT = 0.85
"""The share of padded rows filled by sequences above which padding costs less than a mask."""
LOOKING_BACK = 1500
"""The row width at which attention doubles the cost of a position (smol on a CPU)."""


@dataclass(frozen=True)
class Packing:
    """The places of B sequences of ``lengths`` in rows of ``width``: ``row`` and ``start``, each [B].

    A sequence that shares its first ``skip`` positions with its ``leader`` stores only the rest, and attends to the
    leader's; ``skip`` is 0 for a sequence that leads itself.
    """

    lengths: Tensor
    row: Tensor
    start: Tensor
    skip: Tensor
    leader: Tensor
    rows: int
    width: int

    def to(self, device: torch.device) -> Packing:
        """Return a copy on a device."""
        lengths, row, start = self.lengths.to(device), self.row.to(device), self.start.to(device)
        return Packing(lengths, row, start, self.skip.to(device), self.leader.to(device), self.rows, self.width)

    def places(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return (own [B, length], row, column): which positions a sequence stores itself, and where."""
        steps = torch.arange(length, device=self.lengths.device)
        own = (steps >= self.skip[:, None]) & (steps < self.lengths[:, None])
        row = self.row[:, None].expand(-1, length)[own]
        column = ((self.start - self.skip)[:, None] + steps)[own]
        return own, row, column

    def pack(self, padded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return packed vectors [rows, width, D], position ids [rows, width] and mask [rows, 1, width, width].

        ``padded`` is [B, L, D]. Each position attends to those before it in its own sequence.
        """
        own, row, column = self.places(padded.shape[1])
        packed = padded.new_zeros(self.rows, self.width, padded.shape[2]).index_put((row, column), padded[own])
        position = self.lengths.new_zeros(self.rows, self.width)
        position[row, column] = own.nonzero()[:, 1]
        causal = torch.ones(self.width, self.width, dtype=torch.bool, device=row.device).tril()
        return packed, position, (self._seen(self.owner(), position) & causal)[:, None]

    def pack_marks(self, marks: Tensor) -> Tensor:
        """Return marks [B, L] of positions as [rows, width]; False where there is no sequence."""
        own, row, column = self.places(marks.shape[1])
        packed = marks.new_zeros(self.rows, self.width)
        packed[row, column] = marks[own]
        return packed

    def owner(self) -> Tensor:
        """Return [rows, width]: the sequence that has its own position there; -1 for none."""
        own, row, column = self.places(int(self.lengths.max()))
        owner = self.lengths.new_full((self.rows, self.width), -1)
        owner[row, column] = own.nonzero()[:, 0]
        return owner

    def whole(self, length: int) -> tuple[Tensor, Tensor]:
        """Return row and column [B, length] of each position, also shared ones; arbitrary beyond a sequence's end."""
        steps = torch.arange(length, device=self.lengths.device).minimum(self.lengths[:, None] - 1)
        own = (self.start - self.skip)[:, None] + steps
        column = torch.where(steps < self.skip[:, None], self.start[self.leader][:, None] + steps, own)
        return self.row[:, None].expand(-1, length), column

    def _seen(self, owner: Tensor, position: Tensor) -> Tensor:
        """Return [rows, width, width]: whether the last is of the same sequence, or of its shared prefix."""
        same = owner[:, :, None] == owner[:, None, :]
        if not self.skip.any():
            return same
        of = owner.clamp_min(0)
        led = self.leader[of][:, :, None] == owner[:, None, :]
        return same | (led & (position[:, None, :] < self.skip[of][:, :, None]))

    def unpack(self, packed: Tensor, length: int) -> Tensor:
        """Return packed [rows, width, D] as padded [B, length, D], zero where a sequence does not store a position."""
        own, row, column = self.places(length)
        padded = packed.new_zeros(len(self.lengths), length, packed.shape[2])
        return padded.masked_scatter(own[:, :, None], packed[row, column])


def plan_packing(lengths: Sequence[int], shared: Sequence[tuple[int, int]] = ()) -> Packing | None:
    """Return the packing into the number of rows that costs least; None where padding is as good.

    The longest sequences are placed first, each in the emptiest row. ``shared`` holds for each sequence its leader
    and the number of first positions that it shares with it; they are placed in the same row.
    """
    leading = list(shared) or [(i, 0) for i in range(len(lengths))]
    padded = max(lengths) * len(lengths)
    if sum(lengths) - sum(skip for _, skip in leading) > WORTH_IT * padded:
        return None
    units: dict[int, list[int]] = {}
    for i, (leader, _) in enumerate(leading):
        units.setdefault(leader, []).append(i)
    own = [length - skip for length, (_, skip) in zip(lengths, leading, strict=True)]
    tried = [_balanced(own, list(units.values()), rows) for rows in range(1, len(units) + 1)]
    row, start, rows, width = min(tried, key=lambda fit: fit[2] * fit[3] * (1 + fit[3] / LOOKING_BACK))
    if rows * width > WORTH_IT * padded:
        return None
    leaders, skips = torch.tensor([each[0] for each in leading]), torch.tensor([each[1] for each in leading])
    return Packing(torch.tensor(lengths), torch.tensor(row), torch.tensor(start), skips, leaders, rows, width)


def _balanced(own: Sequence[int], units: Sequence[Sequence[int]], rows: int) -> tuple[list[int], list[int], int, int]:
    """Return (row and start of each sequence, rows, width); ``own`` counts positions, ``units`` stay together."""
    filled = [(0, row) for row in range(rows)]  # a heap: the emptiest row comes first
    row, start = [0] * len(own), [0] * len(own)
    sizes = [sum(own[i] for i in unit) for unit in units]
    for at in sorted(range(len(units)), key=lambda at: -sizes[at]):
        used, emptiest = filled[0]
        for i in units[at]:
            row[i], start[i] = emptiest, used
            used += own[i]
        heapreplace(filled, (used, emptiest))
    return row, start, rows, max(filled)[0]


@dataclass(frozen=True)
class Branches:
    """Several continuations of one prompt in one row, none of which attends to another.

    A continuation's last token is scored and never read. ``place`` [M] is the distance of each of the M tokens that
    are read from the prompt's end; ``mask`` [M, M] is who attends to whom. ``before`` [N] is, for each of the N
    continuation tokens, the token before it: 0 is the prompt's last, 1 to M are those read.
    """

    place: Tensor
    mask: Tensor
    before: Tensor

    def to(self, device: torch.device) -> Branches:
        """Return a copy on a device."""
        return Branches(self.place.to(device), self.mask.to(device), self.before.to(device))


def plan_branches(ends: Sequence[int]) -> Branches:
    """Return the branches of continuations with ``ends`` tokens each, at least one."""
    place = torch.tensor([at for length in ends for at in range(length - 1)], dtype=torch.long)
    branch = torch.tensor([k for k, length in enumerate(ends) for _ in range(length - 1)], dtype=torch.long)
    mask = (branch[:, None] == branch) & (place[:, None] >= place)
    first = [sum(ends[:k]) - k for k in range(len(ends))]
    before = [0 if at == 0 else first[k] + at for k, length in enumerate(ends) for at in range(length)]
    return Branches(place, mask, torch.tensor(before))
