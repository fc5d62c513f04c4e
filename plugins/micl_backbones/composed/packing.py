"""Packing: several sequences in one row, so that little is computed twice, or for padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

import torch
from torch import Tensor

WORTH_IT = 0.85
"""Where sequences fill more than this share of their padded rows, padding costs less than a mask."""
LOOKING_BACK = 1500
"""In rows of this width, attention to what stands before doubles the cost of a position (of smol on a CPU)."""


@dataclass(frozen=True)
class Packing:
    """Where B sequences of ``lengths`` lie in rows of ``width``: ``row`` and ``start``, each [B].

    A sequence whose first ``skip`` positions are those of its ``leader`` too has only the rest at its place, and
    sees the leader's; ``skip`` is 0 where it leads itself.
    """

    lengths: Tensor
    row: Tensor
    start: Tensor
    skip: Tensor
    leader: Tensor
    rows: int
    width: int

    def to(self, device: torch.device) -> Packing:
        """The same on another device."""
        lengths, row, start = self.lengths.to(device), self.row.to(device), self.start.to(device)
        return Packing(lengths, row, start, self.skip.to(device), self.leader.to(device), self.rows, self.width)

    def places(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """(own [B, length], row and column in the packed rows of each position that is the sequence's own)."""
        steps = torch.arange(length, device=self.lengths.device)
        own = (steps >= self.skip[:, None]) & (steps < self.lengths[:, None])
        row = self.row[:, None].expand(-1, length)[own]
        column = ((self.start - self.skip)[:, None] + steps)[own]
        return own, row, column

    def pack(self, padded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Padded [B, L, D] as packed [rows, width, D], position ids [rows, width], mask [rows, 1, width, width].

        Each position sees those before it in its own sequence.
        """
        own, row, column = self.places(padded.shape[1])
        packed = padded.new_zeros(self.rows, self.width, padded.shape[2]).index_put((row, column), padded[own])
        position = self.lengths.new_zeros(self.rows, self.width)
        position[row, column] = own.nonzero()[:, 1]
        causal = torch.ones(self.width, self.width, dtype=torch.bool, device=row.device).tril()
        return packed, position, (self._seen(self.owner(), position) & causal)[:, None]

    def pack_marks(self, marks: Tensor) -> Tensor:
        """Return marks [B, L] of positions as [rows, width]; False where no sequence stands."""
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
        """Row and column [B, length] of each position, the shared ones too; some place beyond a sequence's end."""
        steps = torch.arange(length, device=self.lengths.device).minimum(self.lengths[:, None] - 1)
        own = (self.start - self.skip)[:, None] + steps
        column = torch.where(steps < self.skip[:, None], self.start[self.leader][:, None] + steps, own)
        return self.row[:, None].expand(-1, length), column

    def _seen(self, owner: Tensor, position: Tensor) -> Tensor:
        """[rows, width, width]: whether a column (the last) is of the same sequence, or of what that shares."""
        same = owner[:, :, None] == owner[:, None, :]
        if not self.skip.any():
            return same
        of = owner.clamp_min(0)
        led = self.leader[of][:, :, None] == owner[:, None, :]
        return same | (led & (position[:, None, :] < self.skip[of][:, :, None]))

    def unpack(self, packed: Tensor, length: int) -> Tensor:
        """Packed [rows, width, D] as padded [B, length, D], zeros where a position is not the sequence's own."""
        own, row, column = self.places(length)
        padded = packed.new_zeros(len(self.lengths), length, packed.shape[2])
        return padded.masked_scatter(own[:, :, None], packed[row, column])


def plan_packing(lengths: Sequence[int], shared: Sequence[tuple[int, int]] = ()) -> Packing | None:
    """Sequences put together in as many rows as cost least; None where padding is as good.

    The longest first, each where most room is. ``shared`` tells of each sequence (its leader, so many first
    positions that both share); those stand together with the leader.
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
    """(row and start of each sequence, rows, width): units of sequences, of so many positions of their own each."""
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
    """Several continuations behind one prompt, in one row, none of which sees another.

    A continuation's last token is scored and never read. ``place`` [M] counts, for each of the M tokens that are
    read, from the prompt's end; ``mask`` [M, M] tells which sees which. ``before`` [N] gives, for each of the N
    continuation tokens, the one that it stands behind: 0 is the prompt's last, 1 to M are those read.
    """

    place: Tensor
    mask: Tensor
    before: Tensor

    def to(self, device: torch.device) -> Branches:
        """The same on another device."""
        return Branches(self.place.to(device), self.mask.to(device), self.before.to(device))


def plan_branches(ends: Sequence[int]) -> Branches:
    """Where continuations of ``ends`` tokens each (at least one) stand behind their prompt."""
    place = torch.tensor([at for length in ends for at in range(length - 1)], dtype=torch.long)
    branch = torch.tensor([k for k, length in enumerate(ends) for _ in range(length - 1)], dtype=torch.long)
    mask = (branch[:, None] == branch) & (place[:, None] >= place)
    first = [sum(ends[:k]) - k for k in range(len(ends))]
    before = [0 if at == 0 else first[k] + at for k, length in enumerate(ends) for at in range(length)]
    return Branches(place, mask, torch.tensor(before))
