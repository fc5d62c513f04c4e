"""Training of the tiny language model on text alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, pi
from pathlib import Path
from typing import NamedTuple

import text
import torch
from numpy.random import Generator, default_rng
from text import END, PAD, START, Ask, Sample
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from micl_tasks.mini.language import FIELDS, draw
from micl_tasks.mini.scenes import pick

Draw = Callable[[str, Generator], Sample]
"""Draws a training sample of a split."""
IGNORE_INDEX = -100
PROMPT_WEIGHT = 0.05
STEPS = 2400


def new_model(tokenizer: Tokenizer, seed: int) -> LlamaForCausalLM:
    """Return a new Llama-architecture decoder of about 0.9 million weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=tokenizer.token_to_id(PAD),
        bos_token_id=tokenizer.token_to_id(START),
        eos_token_id=tokenizer.token_to_id(END),
    )
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        # Distinct word embeddings and blocks with small outputs speed up learning to look words up.
        if "embed_tokens" in name:
            torch.nn.init.normal_(weight, std=0.1)
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.normal_(weight, std=0.02)
    return model


class Texts(NamedTuple):
    """Samples as tensors [B, L], the attention ``mask`` [B, 1, L, L], and ``slots``.

    A sample's asks are concatenated in one row, each with the position ids that it would have right after the context.
    ``slots`` holds (row, position, word ids) for each of a medium's tokens.
    """

    ids: Tensor
    labels: Tensor
    weights: Tensor
    positions: Tensor
    mask: Tensor
    slots: list[tuple[int, int, list[int]]]


class Collator:
    """Convert samples to tensors."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.pad, self.end = tokenizer.token_to_id(PAD), tokenizer.token_to_id(END)

    def ids(self, words: str) -> list[int]:
        """Return the token ids of a text."""
        return list(self.tokenizer.encode(words).ids)

    def context(self, sample: Sample) -> list[int]:
        """Return the token ids of a sample's context, with padding in place of slots."""
        return (
            self.ids(sample.head) + [self.pad] * len(sample.bags)
            if sample.bags
            else self.ids(sample.head + sample.scene)
        )

    def __call__(self, samples: Sequence[Sample]) -> Texts:
        rows = [self._row(sample) for sample in samples]
        length = max(len(row) for row in rows)
        blank = (self.pad, IGNORE_INDEX, 0.0, 0, -1)
        columns = list(zip(*(zip(*(row + [blank] * (length - len(row))), strict=True) for row in rows), strict=True))
        ids, labels, weights, positions, asks = (torch.tensor(column) for column in columns)
        same = (asks[:, None, :] == 0) | (asks[:, None, :] == asks[:, :, None])
        mask = (same & torch.ones(length, length, dtype=torch.bool).tril())[:, None]
        slots = [
            (row, len(self.ids(sample.head)) + place, self.ids("".join(f" {word}" for word in bag)))
            for row, sample in enumerate(samples)
            for place, bag in enumerate(sample.bags)
        ]
        return Texts(ids, labels, weights, positions, mask, slots)

    def _row(self, sample: Sample) -> list[tuple[int, int, float, int, int]]:
        """Return (id, label, weight, position, ask) of each token; its label is the next token."""
        context = self.context(sample)
        row = [(token, IGNORE_INDEX, 0.0, place, 0) for place, token in enumerate(context)]
        for number, ask in enumerate(sample.asks, 1):
            prompt, answer = self.ids(f"{ask.prompt}\n"), [*self.ids(ask.answer), self.end]
            tokens = prompt + answer
            for place, token in enumerate(tokens):
                label = tokens[place + 1] if place + 1 < len(tokens) else IGNORE_INDEX
                weight = ask.weight if place + 1 >= len(prompt) else PROMPT_WEIGHT
                row.append((token, label, weight, len(context) + place, number))
        return row


def embed(model: LlamaForCausalLM, ids: Tensor, bags: list[tuple[int, int, list[int]]]) -> Tensor:
    """Return word embeddings [B, L, size]; a slot is the noisy sum of its words, scaled to one word."""
    table = model.get_input_embeddings().weight
    embeds = F.embedding(ids, table)
    if not bags:
        return embeds
    words = torch.tensor([w for _, _, bag in bags for w in bag], dtype=torch.long)
    starts = torch.tensor([0, *(len(bag) for _, _, bag in bags)][:-1]).cumsum(0)
    spread = table.detach().std()
    sums = F.embedding_bag(words, table, starts, mode="sum") + 0.02 * spread * torch.randn(len(bags), table.shape[1])
    blends = F.layer_norm(sums, sums.shape[-1:]) * spread
    blends = blends + torch.rand(len(bags), 1) * 0.4 * spread * torch.randn_like(blends)
    row, place = torch.tensor([bag[0] for bag in bags]), torch.tensor([bag[1] for bag in bags])
    return embeds.index_put((row, place), blends)


def train(
    tokenizer: Tokenizer, steps: int, batch_size: int, rate: float, seed: int, draw_sample: Draw = text.sample
) -> LlamaForCausalLM:
    """Train a new model on samples; by default to describe, answer and ask about scenes in words and in slots."""
    model, collate, rng = new_model(tokenizer, seed), Collator(tokenizer), default_rng([seed, 1])
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * (1 + cos(pi * step / steps)) / 2)
        texts = collate([draw_sample("train", rng) for _ in range(batch_size)])
        logits, labels, weights = forward(model, texts)
        losses = F.cross_entropy(logits, labels, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            right = (logits.argmax(-1) == labels)[weights == 1].float().mean()
            print(f"language step {step} loss {loss.item():.4f} answers {right.item():.3f}", flush=True)
    return model.eval()


def forward(model: LlamaForCausalLM, texts: Texts) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits [N, V], labels [N] and their weights [N] at all positions with a label."""
    mask = torch.zeros(texts.mask.shape).masked_fill(~texts.mask, torch.finfo(torch.float32).min)
    embeds = embed(model, texts.ids, texts.slots)
    out = model.model(inputs_embeds=embeds, attention_mask=mask, position_ids=texts.positions, use_cache=False)
    labelled = texts.labels != IGNORE_INDEX
    return model.lm_head(out.last_hidden_state[labelled]), texts.labels[labelled], texts.weights[labelled]


@torch.no_grad()
def complete(model: LlamaForCausalLM, tokenizer: Tokenizer, samples: Sequence[Sample]) -> list[str]:
    """Return one greedy answer per sample."""
    collate = Collator(tokenizer)
    prompts = [collate.context(s) + collate.ids(f"{s.asks[0].prompt}\n") for s in samples]
    length = max(map(len, prompts))
    ids = torch.tensor([[collate.pad] * (length - len(p)) + p for p in prompts])
    mask = (torch.arange(length) >= torch.tensor([length - len(p) for p in prompts])[:, None]).long()
    out = model.generate(ids, attention_mask=mask, max_new_tokens=60, do_sample=False)
    return [tokenizer.decode(row.tolist(), skip_special_tokens=True) for row in out[:, length:]]


def held_out_scores(model: LlamaForCausalLM, tokenizer: Tokenizer, count: int, seed: int) -> dict[str, float]:
    """Return the shares of correct descriptions, answers and question-answer pairs on scenes of the test split."""
    rng, scores = default_rng([seed, 2]), {}
    for world in FIELDS.values():
        asked = [text.answer(world, "test", rng) for _ in range(count)]
        written = complete(model, tokenizer, asked)
        scores[f"answer {world.modality}"] = (
            sum(w == s.asks[0].answer for w, s in zip(written, asked, strict=True)) / count
        )
        scores[f"describe {world.modality}"] = _described(model, tokenizer, world.modality, count, rng)
        scores[f"ask {world.modality}"] = _asked(model, tokenizer, world.modality, count, rng)
    return scores


def _described(model: LlamaForCausalLM, tokenizer: Tokenizer, modality: str, count: int, rng: Generator) -> float:
    world = FIELDS[modality]
    scenes = [draw(world, "test", rng) for _ in range(count)]
    samples = [Sample(f" {modality}: ", scene.words, [Ask(f"\n{world.instruction}", "")]) for scene in scenes]
    written = complete(model, tokenizer, samples)
    return sum(w in world.captions(scene) for w, scene in zip(written, scenes, strict=True)) / count


def _asked(model: LlamaForCausalLM, tokenizer: Tokenizer, modality: str, count: int, rng: Generator) -> float:
    """Return the share of generated question-answer pairs that mini itself could have asked about the scene."""
    world = FIELDS[modality]
    scenes = [draw(world, "test", rng) for _ in range(count)]
    prompts = [text.QUESTION_PROMPT.format(caption=pick(rng, world.captions(scene))) for scene in scenes]
    written = complete(model, tokenizer, [Sample(prompt, "", [Ask("", "")]) for prompt in prompts])
    right = 0
    for line, scene in zip(written, scenes, strict=True):
        possible = {f"{q.text} {q.answer}" for k in world.questions.values() for _ in range(60) if (q := k(scene, rng))}
        right += line in possible
    print(f"asked of {modality}: {len({line.split('?')[0] for line in written})} different questions", flush=True)
    return right / count


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Save model and tokenizer as a transformers checkpoint."""
    model.generation_config = GenerationConfig(
        pad_token_id=model.config.pad_token_id,
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
    )
    model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, bos_token=START, eos_token=END)
    fast.save_pretrained(folder)
