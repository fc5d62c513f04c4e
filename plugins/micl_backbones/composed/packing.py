"""Packing of several sequences into one row, which saves padding and the repeated computation of shared prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace

import torch
from torch import Tensor

MAX_FILL = 0.85
"""If sequences fill more than this share of their padded rows, padding costs less than the mask of packed rows."""
DOUBLING_WIDTH = 1500
"""Width of rows in which attention doubles the cost of a position (smol on a CPU)."""


@dataclass(frozen=True)
class Packing:
    """The places of B sequences of ``lengths`` [B] in packed rows of ``width``: ``row`` [B] and ``start`` [B].

    A sequence shares its first ``skip`` positions with its ``leader``: only the rest is stored at its place, and
    attends to the leader's positions. A sequence without a shared prefix is its own leader, with ``skip`` 0.
    """

    lengths: Tensor
    row: Tensor
    start: Tensor
    skip: Tensor
    leader: Tensor
    rows: int
    width: int

    def to(self, device: torch.device) -> Packing:
        """Return a copy on another device."""
        lengths, row, start = self.lengths.to(device), self.row.to(device), self.start.to(device)
        return Packing(lengths, row, start, self.skip.to(device), self.leader.to(device), self.rows, self.width)

    def places(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return which positions [B, length] are stored for their own sequence, and their rows and columns [n]."""
        steps = torch.arange(length, device=self.lengths.device)
        own = (steps >= self.skip[:, None]) & (steps < self.lengths[:, None])
        row = self.row[:, None].expand(-1, length)[own]
        column = ((self.start - self.skip)[:, None] + steps)[own]
        return own, row, column

    def pack(self, padded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pack padded [B, L, D] into [rows, width, D]; also return position ids [rows, width] and an attention mask.

        The mask [rows, 1, width, width] lets each position attend to the earlier ones of its own sequence.
        """
        own, row, column = self.places(padded.shape[1])
        packed = padded.new_zeros(self.rows, self.width, padded.shape[2]).index_put((row, column), padded[own])
        position = self.lengths.new_zeros(self.rows, self.width)
        position[row, column] = own.nonzero()[:, 1]
        causal = torch.ones(self.width, self.width, dtype=torch.bool, device=row.device).tril()
        return packed, position, (self._same_sequence(self.owner(), position) & causal)[:, None]

    def pack_mask(self, marks: Tensor) -> Tensor:
        """Pack a boolean mask [B, L] into [rows, width]; False at unused positions."""
        own, row, column = self.places(marks.shape[1])
        packed = marks.new_zeros(self.rows, self.width)
        packed[row, column] = marks[own]
        return packed

    def owner(self) -> Tensor:
        """Return [rows, width]: the sequence stored at each position; -1 for none."""
        own, row, column = self.places(int(self.lengths.max()))
        owner = self.lengths.new_full((self.rows, self.width), -1)
        owner[row, column] = own.nonzero()[:, 0]
        return owner

    def all_places(self, length: int) -> tuple[Tensor, Tensor]:
        """Return row and column [B, length] of each position, shared ones too; arbitrary beyond a sequence's end."""
        steps = torch.arange(length, device=self.lengths.device).minimum(self.lengths[:, None] - 1)
        own = (self.start - self.skip)[:, None] + steps
        column = torch.where(steps < self.skip[:, None], self.start[self.leader][:, None] + steps, own)
        return self.row[:, None].expand(-1, length), column

    def _same_sequence(self, owner: Tensor, position: Tensor) -> Tensor:
        """Return [rows, width, width]: whether a key (last dimension) is in the query's sequence or shared prefix."""
        same = owner[:, :, None] == owner[:, None, :]
        if not self.skip.any():
            return same
        sequence = owner.clamp_min(0)
        led = self.leader[sequence][:, :, None] == owner[:, None, :]
        return same | (led & (position[:, None, :] < self.skip[sequence][:, :, None]))

    def unpack(self, packed: Tensor, length: int) -> Tensor:
        """Unpack [rows, width, D] into padded [B, length, D], with zeros at positions shared with a leader."""
        own, row, column = self.places(length)
        padded = packed.new_zeros(len(self.lengths), length, packed.shape[2])
        return padded.masked_scatter(own[:, :, None], packed[row, column])


def plan_packing(lengths: Sequence[int], shared: Sequence[tuple[int, int]] = ()) -> Packing | None:
    """Pack sequences into the number of rows with the least cost; None if padding costs no more.

    The longest are placed first, each in the emptiest row. ``shared`` holds (leader, length of the shared prefix) of
    each sequence; sequences with the same leader are placed together.
    """
    shared = list(shared) or [(i, 0) for i in range(len(lengths))]
    padded = max(lengths) * len(lengths)
    if sum(lengths) - sum(skip for _, skip in shared) > MAX_FILL * padded:
        return None
    units: dict[int, list[int]] = {}
    for i, (leader, _) in enumerate(shared):
        units.setdefault(leader, []).append(i)
    own = [length - skip for length, (_, skip) in zip(lengths, shared, strict=True)]
    candidates = [_balanced(own, list(units.values()), rows) for rows in range(1, len(units) + 1)]
    row, start, rows, width = min(candidates, key=lambda fit: fit[2] * fit[3] * (1 + fit[3] / DOUBLING_WIDTH))
    if rows * width > MAX_FILL * padded:
        return None
    leaders, skips = torch.tensor([each[0] for each in shared]), torch.tensor([each[1] for each in shared])
    return Packing(torch.tensor(lengths), torch.tensor(row), torch.tensor(start), skips, leaders, rows, width)


def _balanced(own: Sequence[int], units: Sequence[Sequence[int]], rows: int) -> tuple[list[int], list[int], int, int]:
    """Distribute units of sequences, with ``own[i]`` positions each, over ``rows`` rows.

    Returns row and start of each sequence, the number of rows, and their width.
    """
    filled = [(0, row) for row in range(rows)]  # a heap: the emptiest row comes first
    row, start = [0] * len(own), [0] * len(own)
    sizes = [sum(own[i] for i in unit) for unit in units]
    for unit in sorted(range(len(units)), key=lambda unit: -sizes[unit]):
        used, emptiest = filled[0]
        for i in units[unit]:
            row[i], start[i] = emptiest, used
            used += own[i]
        heapreplace(filled, (used, emptiest))
    return row, start, rows, max(filled)[0]


@dataclass(frozen=True)
class Branches:
    """Alternative continuations of one prompt, packed into one row without attention between them.

    A continuation's last token is scored but is no input, which leaves M input tokens out of N. ``offset`` [M] is the
    position of each input token after the prompt; ``mask`` [M, M] is the attention mask. ``previous`` [N] holds, for
    each token of a continuation, the index of the state that predicts it: 0 is the prompt's last, 1 to M those of the
    inputs.
    """

    offset: Tensor
    mask: Tensor
    previous: Tensor

    def to(self, device: torch.device) -> Branches:
        """Return a copy on another device."""
        return Branches(self.offset.to(device), self.mask.to(device), self.previous.to(device))


def plan_branches(lengths: Sequence[int]) -> Branches:
    """Pack continuations of ``lengths`` tokens each (at least one)."""
    offset = torch.tensor([i for length in lengths for i in range(length - 1)], dtype=torch.long)
    branch = torch.tensor([k for k, length in enumerate(lengths) for _ in range(length - 1)], dtype=torch.long)
    mask = (branch[:, None] == branch) & (offset[:, None] >= offset)
    first = [sum(lengths[:k]) - k for k in range(len(lengths))]
    previous = [0 if i == 0 else first[k] + i for k, length in enumerate(lengths) for i in range(length)]
    return Branches(offset, mask, torch.tensor(previous))
