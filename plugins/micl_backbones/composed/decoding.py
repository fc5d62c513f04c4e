"""Greedy decoding and likelihoods for a batch of prompts: shared prefixes are read once, finished rows leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from micl_backbones.composed.packing import Branches, Packing, plan_branches


@dataclass(frozen=True)
class Prompts:
    """B prompts for a language model with plain attention: ``embeds`` [B, L, size], padded at the right.

    ``lengths`` [B] are without padding; ``packing`` is how they are packed, None: not at all. The tokens ``context``
    precede each. ``locate`` is called before they are read, ``follow`` before each later pass with
    the prompt that each of its rows continues.
    """

    embeds: Tensor
    lengths: Tensor
    packing: Packing | None
    context: Sequence[int] = ()
    locate: Callable[[], None] = lambda: None
    follow: Callable[[Tensor], None] = lambda prompts: None


def attends_plainly(config: Any) -> bool:
    """Whether every layer attends to all earlier positions, so that a mask suffices to separate sequences.

    Layers with a recurrent state or a sliding window do not.
    """
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def greedy(language: Any, prompts: Prompts, *, end: int, limit: int) -> list[list[int]]:
    """Return the greedy continuation of each prompt: at most ``limit`` tokens, without ``end``."""
    cache, states, lengths = _read(language, prompts)
    answers: list[list[int]] = [[] for _ in lengths]
    going = torch.arange(len(lengths), device=states.device)
    seen = _filled(cache, lengths)
    for step in range(limit):
        tokens = language.lm_head(states).argmax(-1)
        goes_on = tokens != end
        if not goes_on.all():
            stay = goes_on.nonzero()[:, 0]
            going, tokens, seen = going[stay], tokens[stay], seen[stay]
            cache.batch_select_indices(stay)
        for row, token in zip(going.tolist(), tokens.tolist(), strict=True):
            answers[row].append(token)
        if not len(going) or step + 1 == limit:
            break
        seen = nn.functional.pad(seen, (0, 1), value=True)
        prompts.follow(going)
        states = language.model(
            input_ids=tokens[:, None],
            position_ids=(lengths[going] + step)[:, None],
            attention_mask=seen.long(),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
    return answers


def likelihoods(language: Any, prompts: Prompts, ends: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Return [B, C]: the log-likelihoods of each prompt's continuations ``ends``, of at least one token each.

    Each prompt is read once, and all its continuations in one further pass. Where a prompt has fewer than C
    continuations, the rest of its row has no meaning.
    """
    cache, states, lengths = _read(language, prompts)
    device, rows = states.device, len(lengths)
    branches = [plan_branches([len(end) for end in own]).to(device) for own in ends]
    width = max(len(each.place) for each in branches)
    states = states[:, None]
    if width:
        read = _padded([[token for end in own for token in end[:-1]] for own in ends], width, device)
        place = _padded([each.place.tolist() for each in branches], width, device)
        own = torch.zeros(rows, width, width, dtype=torch.bool, device=device)
        for row, each in enumerate(branches):
            own[row, : len(each.mask), : len(each.mask)] = each.mask
        behind = _filled(cache, lengths)[:, None].expand(-1, width, -1)
        prompts.follow(torch.arange(rows, device=device))
        followed = language.model(
            input_ids=read,
            position_ids=lengths[:, None] + place,
            attention_mask=torch.cat([behind, own], dim=2)[:, None],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        states = torch.cat([states, followed], dim=1)
    logits = torch.log_softmax(language.lm_head(states).float(), -1)
    return _summed(logits, branches, ends)


def _summed(logits: Tensor, branches: Sequence[Branches], ends: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Return [B, C]: the log-probabilities [B, 1 + M, V] of the continuations' tokens, summed by continuation."""
    length = max(len(each.before) for each in branches)
    tokens = _padded([[token for end in own for token in end] for own in ends], length, logits.device)
    before = _padded([each.before.tolist() for each in branches], length, logits.device)
    owner = [[k for k, end in enumerate(own) for _ in end] for own in ends]
    chosen = logits[torch.arange(len(ends), device=logits.device)[:, None], before, tokens]
    real = torch.arange(length, device=logits.device) < torch.tensor([[len(o)] for o in owner], device=logits.device)
    empty = logits.new_zeros(len(ends), max(map(len, ends)))
    return empty.scatter_add(1, _padded(owner, length, logits.device), chosen * real)


def _padded(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> Tensor:
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long, device=device)


def _filled(cache: DynamicCache, lengths: Tensor) -> Tensor:
    """Return [B, cached positions]: which are no padding."""
    return torch.arange(cache.get_seq_length(), device=lengths.device) < lengths[:, None]


def _read(language: Any, prompts: Prompts) -> tuple[DynamicCache, Tensor, Tensor]:
    """Read the prompts; return (keys and values of B rows, last states [B, size], lengths with the context)."""
    embeds, lengths, packing, before = prompts.embeds, prompts.lengths, prompts.packing, len(prompts.context)
    each = torch.arange(len(lengths), device=embeds.device)
    cache = _context(language, prompts, rows=len(lengths) if packing is None else packing.rows)
    prompts.locate()
    if packing is None:
        hidden = language.model(inputs_embeds=embeds, past_key_values=cache, use_cache=True).last_hidden_state
        return cache, hidden[each, lengths - 1], lengths + before
    packed, position, mask = packing.pack(embeds)
    hidden = language.model(
        inputs_embeds=packed,
        position_ids=position + before,
        attention_mask=nn.functional.pad(mask, (before, 0), value=True),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    row, column = packing.whole(embeds.shape[1])
    last = hidden[row[each, lengths - 1], column[each, lengths - 1]]
    first = torch.arange(before, device=embeds.device).expand(len(each), -1)
    row, column = row[:, :1].expand(-1, before + row.shape[1]), torch.cat([first, column + before], dim=1)
    for layer in cache.layers:
        layer.keys = layer.keys[row, :, column].transpose(1, 2)
        layer.values = layer.values[row, :, column].transpose(1, 2)
    return cache, last, lengths + before


def _context(language: Any, prompts: Prompts, *, rows: int) -> DynamicCache:
    """Return keys and values of the text before the prompts, read once, for a number of rows."""
    cache = DynamicCache(config=language.config)
    if prompts.context:
        ids = torch.tensor([list(prompts.context)], device=prompts.embeds.device)
        language.model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    return cache
