"""Answers behind prompts that are read together: what they share once, and whoever has answered leaves the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from micl_backbones.composed.packing import Packing, plan_branches


@dataclass(frozen=True)
class Prompts:
    """B prompts for a language model that attends plainly: ``embeds`` [B, L, size], padded at the right.

    ``lengths`` [B] are without padding; ``packing`` tells how they are read, None: as they stand. The tokens
    ``context`` stand before each. ``computing`` is told before each pass which prompt each row [rows], or each
    position [rows, width], of it belongs to.
    """

    embeds: Tensor
    lengths: Tensor
    packing: Packing | None
    context: Sequence[int] = ()
    computing: Callable[[Tensor], None] = lambda owner: None


def attends_plainly(config: Any) -> bool:
    """Whether every layer attends to all that stands before, so that a mask alone can keep sequences apart.

    It is not so where a layer keeps a running state or sees a window only.
    """
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def greedy(language: Any, prompts: Prompts, *, end: int, limit: int) -> list[list[int]]:
    """The likeliest tokens, one after another, behind each prompt: at most ``limit``, without the ``end``."""
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
        prompts.computing(going)
        states = language.model(
            input_ids=tokens[:, None],
            position_ids=(lengths[going] + step)[:, None],
            attention_mask=seen.long(),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
    return answers


def likelihoods(language: Any, prompts: Prompts, ends: Sequence[Sequence[int]]) -> Tensor:
    """[B, C]: the log-likelihoods of C continuations, of at least one token each, behind each prompt.

    A prompt is read once, and all its continuations in one further pass.
    """
    cache, states, lengths = _read(language, prompts)
    device, rows = states.device, len(lengths)
    branches = plan_branches([len(end) for end in ends]).to(device)
    states = states[:, None]
    if len(branches.place):
        read = torch.tensor([token for end in ends for token in end[:-1]], device=device)
        behind = _filled(cache, lengths)[:, None].expand(-1, len(read), -1)
        mask = torch.cat([behind, branches.mask.expand(rows, -1, -1)], dim=2)
        prompts.computing(torch.arange(rows, device=device))
        followed = language.model(
            input_ids=read.expand(rows, -1),
            position_ids=lengths[:, None] + branches.place,
            attention_mask=mask[:, None],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        states = torch.cat([states, followed], dim=1)
    told = torch.log_softmax(language.lm_head(states).float(), -1)
    tokens = torch.tensor([token for end in ends for token in end], device=device)
    owner = torch.tensor([k for k, end in enumerate(ends) for _ in end], device=device)
    return told.new_zeros(rows, len(ends)).index_add(1, owner, told[:, branches.before, tokens])


def _filled(cache: DynamicCache, lengths: Tensor) -> Tensor:
    """[B, kept positions]: where something stands and no padding."""
    return torch.arange(cache.get_seq_length(), device=lengths.device) < lengths[:, None]


def _read(language: Any, prompts: Prompts) -> tuple[DynamicCache, Tensor, Tensor]:
    """(keys and values [B, heads, context + L, dim] a layer, the last states [B, size], lengths with the context)."""
    embeds, lengths, packing, before = prompts.embeds, prompts.lengths, prompts.packing, len(prompts.context)
    each = torch.arange(len(lengths), device=embeds.device)
    cache = _context(language, prompts, rows=len(lengths) if packing is None else packing.rows)
    if packing is None:
        prompts.computing(each)
        hidden = language.model(inputs_embeds=embeds, past_key_values=cache, use_cache=True).last_hidden_state
        return cache, hidden[each, lengths - 1], lengths + before
    packed, position, mask = packing.pack(embeds)
    prompts.computing(packing.owner().clamp_min(0))
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
    """Keys and values of the text before the prompts, read once, for so many rows."""
    cache = DynamicCache(config=language.config)
    if prompts.context:
        ids = torch.tensor([list(prompts.context)], device=prompts.embeds.device)
        language.model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    return cache
