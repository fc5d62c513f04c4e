"""Decoding of prompts in one batch: shared prefixes are computed once, and finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, RepetitionPenaltyLogitsProcessor

from micl_backbones.composed.causal import decoder_of, logits_of
from micl_backbones.composed.packing import Branches, Packing, plan_branches
from micl_backbones.streaming import AnswerStream


@dataclass(frozen=True)
class PromptBatch:
    """B prompts for a fully causal language model: ``embeds`` [B, L, size], padded at the right.

    ``lengths`` [B] are without padding. With a ``packing`` the prompts are processed in packed rows. The tokens
    ``context`` precede every prompt. ``locate`` is called before the prompts are processed, ``follow`` before each
    later pass with the index of the prompt that each row continues.
    """

    embeds: Tensor
    lengths: Tensor
    packing: Packing | None
    context: Sequence[int] = ()
    locate: Callable[[], None] = lambda: None
    follow: Callable[[Tensor], None] = lambda prompts: None

    @property
    def length(self) -> int:
        """The length of the longest prompt, with the context."""
        return len(self.context) + self.embeds.shape[1]


def greedy(
    language: Any,
    prompts: PromptBatch,
    *,
    end: int,
    limit: int,
    repetition_penalty: float = 1.0,
    stream: AnswerStream | None = None,
) -> list[list[int]]:
    """Return the greedily decoded tokens after each prompt: at most ``limit``, without the ``end`` token.

    ``stream`` receives those after a single prompt as they are decoded.
    """
    penalise = RepetitionPenaltyLogitsProcessor(float(repetition_penalty))
    cache, states, lengths = _prefill(language, prompts)
    answers: list[list[int]] = [[] for _ in lengths]
    active = torch.arange(len(lengths), device=states.device)
    mask = _filled(cache, lengths)
    for step in range(limit):
        logits = logits_of(language, states)
        if repetition_penalty != 1.0 and step:
            decoded = torch.tensor([answers[row] for row in active.tolist()], device=states.device)
            logits = penalise(decoded, logits.float())
        tokens = logits.argmax(-1)
        unfinished = tokens != end
        if not unfinished.all():
            remaining = unfinished.nonzero()[:, 0]
            active, tokens, mask = active[remaining], tokens[remaining], mask[remaining]
            cache.batch_select_indices(remaining)
        for row, token in zip(active.tolist(), tokens.tolist(), strict=True):
            answers[row].append(token)
            if stream is not None:
                stream.take(token)
        if not len(active) or step + 1 == limit:
            break
        mask = nn.functional.pad(mask, (0, 1), value=True)
        prompts.follow(active)
        states = decoder_of(language)(
            input_ids=tokens[:, None],
            position_ids=(lengths[active] + step)[:, None],
            attention_mask=mask.long(),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
    return answers


def log_likelihoods(language: Any, prompts: PromptBatch, continuations: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Return [B, C]: the log-likelihoods of each prompt's ``continuations``, of at least one token each.

    A prompt is processed once, and all its continuations in one further pass. If a prompt has fewer than C
    continuations, the rest of its row is meaningless.
    """
    cache, states, lengths = _prefill(language, prompts)
    device, rows = states.device, len(lengths)
    branches = [plan_branches([len(text) for text in own]).to(device) for own in continuations]
    width = max(len(each.offset) for each in branches)
    states = states[:, None]
    if width:
        ids = _padded([[token for text in own for token in text[:-1]] for own in continuations], width, device)
        offset = _padded([each.offset.tolist() for each in branches], width, device)
        branch_mask = torch.zeros(rows, width, width, dtype=torch.bool, device=device)
        for row, each in enumerate(branches):
            branch_mask[row, : len(each.mask), : len(each.mask)] = each.mask
        prompt_mask = _filled(cache, lengths)[:, None].expand(-1, width, -1)
        prompts.follow(torch.arange(rows, device=device))
        further = decoder_of(language)(
            input_ids=ids,
            position_ids=lengths[:, None] + offset,
            attention_mask=torch.cat([prompt_mask, branch_mask], dim=2)[:, None],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        states = torch.cat([states, further], dim=1)
    log_probs = torch.log_softmax(logits_of(language, states).float(), -1)
    return _summed(log_probs, branches, continuations)


def _summed(
    log_probs: Tensor, branches: Sequence[Branches], continuations: Sequence[Sequence[Sequence[int]]]
) -> Tensor:
    """Return [B, C]: the log-probabilities of the tokens, out of [B, 1 + M, V], summed by continuation."""
    length, device = max(len(each.previous) for each in branches), log_probs.device
    tokens = _padded([[token for text in own for token in text] for own in continuations], length, device)
    previous = _padded([each.previous.tolist() for each in branches], length, device)
    owner = [[k for k, text in enumerate(own) for _ in text] for own in continuations]
    chosen = log_probs[torch.arange(len(owner), device=device)[:, None], previous, tokens]
    real = torch.arange(length, device=device) < torch.tensor([[len(o)] for o in owner], device=device)
    zeros = log_probs.new_zeros(len(owner), max(map(len, continuations)))
    return zeros.scatter_add(1, _padded(owner, length, device), chosen * real)


def _padded(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> Tensor:
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long, device=device)


def _filled(cache: DynamicCache, lengths: Tensor) -> Tensor:
    """Return [B, cached positions]: which of them are not padding."""
    return torch.arange(cache.get_seq_length(), device=lengths.device) < lengths[:, None]


def _prefill(language: Any, prompts: PromptBatch) -> tuple[DynamicCache, Tensor, Tensor]:
    """Process the prompts.

    Returns the cache, with keys and values [B, heads, context + L, dim] per layer, the last position's hidden state
    [B, size], and the lengths [B] including the context.
    """
    embeds, lengths, packing, context = prompts.embeds, prompts.lengths, prompts.packing, len(prompts.context)
    each = torch.arange(len(lengths), device=embeds.device)
    cache = _context_cache(language, prompts, rows=len(lengths) if packing is None else packing.rows)
    prompts.locate()
    if packing is None:
        hidden = decoder_of(language)(inputs_embeds=embeds, past_key_values=cache, use_cache=True).last_hidden_state
        return cache, hidden[each, lengths - 1], lengths + context
    packed, position, mask = packing.pack(embeds)
    hidden = decoder_of(language)(
        inputs_embeds=packed,
        position_ids=position + context,
        attention_mask=nn.functional.pad(mask, (context, 0), value=True),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    row, column = packing.all_places(embeds.shape[1])
    last = hidden[row[each, lengths - 1], column[each, lengths - 1]]
    first = torch.arange(context, device=embeds.device).expand(len(each), -1)
    row, column = row[:, :1].expand(-1, context + row.shape[1]), torch.cat([first, column + context], dim=1)
    for layer in cache.layers:
        layer.keys = layer.keys[row, :, column].transpose(1, 2)
        layer.values = layer.values[row, :, column].transpose(1, 2)
    return cache, last, lengths + context


def _context_cache(language: Any, prompts: PromptBatch, *, rows: int) -> DynamicCache:
    """Return the keys and values of the context, computed once and repeated for ``rows`` rows."""
    cache = DynamicCache(config=language.config)
    if prompts.context:
        ids = torch.tensor([list(prompts.context)], device=prompts.embeds.device)
        decoder_of(language)(input_ids=ids, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    return cache
