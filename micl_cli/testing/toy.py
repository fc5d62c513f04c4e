"""A backbone to test with: whole, but so small that it learns in milliseconds, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Annotated, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micl_cli.api.backbone import IGNORE_INDEX, Backbone, Batch
from micl_cli.api.task import Example

END, PAD = 256, 257  # after the 256 bytes
TOKENS, MEDIUM = 2, 8  # a medium is read as so many vectors of so many numbers
LORA_SCALE = 2.0
LOUDNESS = 3.0  # of the logits: enough to be sure of a byte
_Beam = tuple[float, list[int]]  # log-probability, tokens
_MODALITIES = ("audio", "image", "video")
_INSTRUCTIONS = (
    "Name a colour. red",
    "Name a shape. ring",
    "What is one and one? two",
    "Say hello. hello",
    "Write the first letter. a",
    "Is water wet? yes",
    "Count to three. one two three",
    "Name an animal. dog",
)


class ToyBackbone(Backbone):
    """One causal attention block over bytes, frozen as it was drawn, with low-rank adapters.

    A medium is its digest: 16 of its bytes are what the frozen encoder gives, so no file is
    read. Questions are written by a rule. All else is what a large backbone does.
    """

    provides = frozenset({"adapters", "text", "generate", "choose", "features", "questions"})
    modalities = frozenset(_MODALITIES)

    def __init__(
        self,
        *,
        width: Annotated[int, "numbers a position"] = 32,
        rank: Annotated[int, "rank of the LoRA matrices"] = 4,
        dropout: Annotated[float, "dropout before the LoRA matrices"] = 0.0,
    ) -> None:
        self.width, self.rank, self.dropout = width, rank, dropout
        self._shapes = dict.fromkeys(("query", "key", "value", "mix"), (width, width))
        self._shapes |= {"widen": (4 * width, width), "narrow": (width, 4 * width)}
        self._active: str | None = None
        drawn = torch.Generator().manual_seed(0)
        base = {name: _draw(shape, drawn) for name, shape in self._shapes.items()}
        base["embedding"] = torch.randn(PAD + 1, width, generator=drawn)
        self._base = nn.ParameterDict(base).requires_grad_(False)
        self._adapters = nn.ModuleDict()
        self._module = nn.ModuleDict({"base": self._base, "adapters": self._adapters}).eval()

    @property
    def module(self) -> nn.Module:
        return self._module

    # Batches

    def batch(self, examples: Sequence[Example]) -> Batch:
        prompts = [_prompt(example) for example in examples]
        answers = [[*example.target.encode(), END] for example in examples]
        length = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
        ids = torch.full((len(examples), length), PAD)
        labels = torch.full((len(examples), length), IGNORE_INDEX)
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor(prompt + answer)
            labels[row, len(prompt) : end] = torch.tensor(answer)
        return Batch(examples, labels.to(self.device), {"ids": ids.to(self.device)})

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        hidden = self._read(batch.inputs["ids"], batch.examples)
        wanted = batch.labels[:, 1:] != IGNORE_INDEX
        return self._words(hidden[:, :-1][wanted]), batch.labels[:, 1:][wanted]

    # The model: padding stands at the right, where no earlier position can attend to it

    def _read(self, ids: Tensor, examples: Sequence[Example]) -> Tensor:
        """[B, L] ids -> [B, L, width]: what each position knows of itself and those before it."""
        x: Tensor = self._base["embedding"][ids]
        for modality in sorted({example.modality for example in examples if example.modality}):
            rows = [row for row, example in enumerate(examples) if example.modality == modality]
            seen = self._seen(modality, [examples[row] for row in rows])
            x = x.index_put((torch.tensor(rows)[:, None], torch.arange(1, TOKENS + 1)), seen.to(x.dtype))
        x = x + _positions(ids.shape[1], self.width).to(x)
        q, k, v = (self._linear(name, _norm(x)) for name in ("query", "key", "value"))
        x = x + self._linear("mix", F.scaled_dot_product_attention(q, k, v, is_causal=True))
        told = self._linear("narrow", F.gelu(self._linear("widen", _norm(x))))
        return x + told

    def _words(self, hidden: Tensor) -> Tensor:
        logits: Tensor = _norm(hidden) @ self._base["embedding"].T
        return logits * LOUDNESS / math.sqrt(self.width)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        y: Tensor = x @ self._base[name].T
        if self._active is None:
            return y
        weights = self._weights(self._active)
        x = F.dropout(x, self.dropout, self._module.training)
        added: Tensor = x @ weights[f"lora-{name}-down"].T @ weights[f"lora-{name}-up"].T
        return y + LORA_SCALE * added

    def _seen(self, modality: str, examples: Sequence[Example]) -> Tensor:
        """[B, TOKENS, width]: media of one modality through the active adapter's connector."""
        if self._active is None:
            raise ValueError("the base model alone has no connectors: activate an adapter")
        weights = self._weights(self._active)
        media = torch.stack([_encode(example) for example in examples]).to(self.device)
        seen: Tensor = media @ weights[f"{modality}-weight"].T + weights[f"{modality}-bias"]
        return seen

    # Answers

    @contextmanager
    def _calm(self) -> Iterator[None]:
        """Without gradients and dropout."""
        training = self._module.training
        self._module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self._module.train(training)

    def generate(
        self,
        examples: Sequence[Example],
        *,
        adapters: Sequence[str] | None = None,
        max_new_tokens: int = 32,
        num_beams: int = 1,
    ) -> list[str]:
        names = [self._active] * len(examples) if adapters is None else list(adapters)
        answers = [""] * len(examples)
        for name in dict.fromkeys(names):
            rows = [row for row, of in enumerate(names) if of == name]
            with self._calm(), self.using(name):
                found = self._search([examples[row] for row in rows], max_new_tokens, num_beams)
            for row, written in zip(rows, found, strict=True):
                answers[row] = bytes(written).decode(errors="replace").strip()
        return answers

    def _search(self, examples: Sequence[Example], most: int, width: int) -> list[list[int]]:
        """Beam search for all examples at once; a beam of one is greedy. Returns bytes."""
        beams: list[list[_Beam]] = [[(0.0, [])] for _ in examples]
        for _ in range(most):
            going = [(i, beam) for i, kept in enumerate(beams) for beam in kept if END not in beam[1]]
            if not going:
                break
            grown: list[list[_Beam]] = [[beam for beam in kept if END in beam[1]] for kept in beams]
            scores, tokens = self._next([(examples[i], written) for i, (_, written) in going]).topk(width, dim=-1)
            for (i, (total, written)), gains, added in zip(going, scores.tolist(), tokens.tolist(), strict=True):
                grown[i] += [(total + gain, [*written, token]) for gain, token in zip(gains, added, strict=True)]
            beams = [sorted(kept, key=lambda beam: -beam[0])[:width] for kept in grown]
        return [[token for token in kept[0][1] if token < END] for kept in beams]

    def _next(self, written: Sequence[tuple[Example, list[int]]]) -> Tensor:
        """[B, V] log-probabilities of what follows each prompt and what is written so far."""
        rows = [_prompt(example) + ids for example, ids in written]
        length = max(map(len, rows))
        ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows], device=self.device)
        hidden = self._read(ids, [example for example, _ in written])
        last = hidden[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]
        return torch.log_softmax(self._words(last).float(), dim=-1)

    def choose(self, examples: Sequence[Example], choices: Sequence[str]) -> Tensor:
        with self._calm():
            batch = self.batch([example.with_answer(choice) for example in examples for choice in choices])
            logits, labels = self.answer_logits(batch)
            token = -F.cross_entropy(logits.float(), labels, reduction="none")
            total = torch.zeros(len(batch), device=token.device).index_add(0, batch.example_index, token)
            return torch.log_softmax(total.view(len(examples), len(choices)), dim=-1)

    def features(self, examples: Sequence[Example]) -> Tensor:
        media = torch.zeros(len(examples), len(_MODALITIES), TOKENS * MEDIUM)
        for row, example in enumerate(examples):
            if example.modality:
                media[row, _MODALITIES.index(example.modality)] = _encode(example).flatten()
        words = [self._base["embedding"][[END, *example.prompt.encode()]].mean(0) for example in examples]
        return torch.cat([media.flatten(1).to(self.device), torch.stack(words)], dim=1)

    def ask(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        split = [caption.split() for caption in captions]
        return [(f"what follows {words[-2]}?", words[-1].strip(".")) if len(words) > 1 else None for words in split]

    def instructions(self) -> Sequence[str]:
        return _INSTRUCTIONS

    # Adapters

    @property
    def adapters(self) -> Sequence[str]:
        return tuple(self._adapters)

    @property
    def active(self) -> str | None:
        return self._active

    def add_adapter(self, name: str, *, seed: int = 0) -> None:
        if name in self._adapters:
            raise ValueError(f"there is an adapter {name!r} already")
        drawn = torch.Generator().manual_seed(seed)
        weights: dict[str, Tensor] = {}
        for layer, (outputs, inputs) in self._shapes.items():
            weights[f"lora-{layer}-down"] = _draw((self.rank, inputs), drawn)
            weights[f"lora-{layer}-up"] = torch.zeros(outputs, self.rank)
        for modality in _MODALITIES:
            weights[f"{modality}-weight"] = _draw((self.width, MEDIUM), drawn)
            weights[f"{modality}-bias"] = torch.zeros(self.width)
        self._adapters[name] = nn.ParameterDict(weights).to(self.device)
        self._module.train(self._module.training)
        self.activate(self._active)

    def activate(self, name: str | None) -> None:
        if name is not None and name not in self._adapters:
            raise KeyError(f"no adapter {name!r}; there are {', '.join(self.adapters) or 'none'}")
        self._active = name
        for adapter, weights in self._adapters.items():
            weights.requires_grad_(adapter == name)

    def drop_adapter(self, name: str) -> None:
        if name not in self._adapters:
            raise KeyError(f"no adapter {name!r}")
        if name == self._active:
            raise ValueError(f"adapter {name!r} is active: activate another first")
        del self._adapters[name]

    def adapter_weights(self, name: str) -> dict[str, nn.Parameter]:
        if name not in self._adapters:
            raise KeyError(f"no adapter {name!r}")
        return dict(self._weights(name).items())

    def _weights(self, name: str) -> Mapping[str, nn.Parameter]:
        return cast(Mapping[str, nn.Parameter], self._adapters[name])

    def low_rank_pairs(self, adapter: str) -> list[tuple[str, str]]:
        names = self.adapter_weights(adapter)
        return [(name, name.replace("-down", "-up")) for name in names if name.startswith("lora-") and "-down" in name]

    def part_of(self, weight: str) -> str:
        return weight.partition("-")[0]


def _prompt(example: Example) -> list[int]:
    """A start, the places of the medium's tokens, the context, and the prompt with the line's end."""
    places = [PAD] * TOKENS if example.modality else []
    return [END, *places, *example.context.encode(), *(f"{example.prompt}\n" if example.prompt else "").encode()]


def _encode(example: Example) -> Tensor:
    """[TOKENS, MEDIUM] numbers from -1 to 1: the frozen encoder."""
    digest = example.digest or sha256(example.id.encode()).hexdigest()
    numbers = torch.tensor(list(bytes.fromhex(digest[: 2 * TOKENS * MEDIUM])))
    return numbers.view(TOKENS, MEDIUM).float() / 127.5 - 1


def _draw(shape: tuple[int, int], drawn: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=drawn) / math.sqrt(shape[1])


def _norm(x: Tensor) -> Tensor:
    normed: Tensor = F.rms_norm(x, x.shape[-1:])
    return normed


def _positions(length: int, width: int) -> Tensor:
    """[length, width] sines and cosines of the place (Vaswani et al. 2017)."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
