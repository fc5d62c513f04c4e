"""A backbone to test with: whole, but so small that it learns in milliseconds, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micl_cli.api.adapter_kinds import AdapterSpec, Layer
from micl_cli.api.adapters import Adapters
from micl_cli.api.backbone import IGNORE_INDEX, Backbone, Batch
from micl_cli.api.options import Range
from micl_cli.api.resources import Resources
from micl_cli.api.statistics import PlainPass
from micl_cli.api.task import Example, Media
from micl_cli.registry import Registry

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
    """One causal attention block over bytes, frozen as it was drawn, with adapters of any kind.

    A medium is its digest: 16 of its bytes are what the frozen encoder gives, so no file is read. Questions are
    written by a rule. All else is what a large backbone does.
    """

    provides = frozenset({"adapters", "text", "generate", "choices", "features", "questions"})
    modalities = frozenset(_MODALITIES)

    def __init__(
        self,
        preset: str = "",
        *,
        resources: Resources | None = None,
        width: Annotated[int, "numbers a position", Range(2)] = 32,
        rank: Annotated[int, "rank of the LoRA matrices", Range(1)] = 4,
        dropout: Annotated[float, "dropout before the LoRA matrices", Range(0, 1)] = 0.0,
    ) -> None:
        self.width, self.rank, self.dropout = width, rank, dropout
        drawn = torch.Generator().manual_seed(0)
        shapes = dict.fromkeys(("query", "key", "value", "mix"), (width, width))
        shapes |= {"widen": (4 * width, width), "narrow": (width, 4 * width)}
        self._layers = {f"layers.0.{name}": _linear(shape, drawn) for name, shape in shapes.items()}
        self._embedding = nn.Parameter(torch.randn(PAD + 1, width, generator=drawn))
        base = nn.ModuleDict({name.replace(".", "/"): layer for name, layer in self._layers.items()})
        self._module = nn.ModuleDict({"base": base, "words": nn.ParameterList([self._embedding])})
        self._module.requires_grad_(False).eval()
        resources = resources or Resources(Path(), Registry.discover().load)
        self.adapters = Adapters(self, resources.load_part)
        self._module["adapters"] = self.adapters.store

    # What adapters need of it

    @property
    def module(self) -> nn.Module:
        return self._module

    @property
    def adaptable_layers(self) -> Sequence[Layer]:
        return [Layer(name, layer.in_features, layer.out_features) for name, layer in self._layers.items()]

    def layer_module(self, name: str) -> nn.Module:
        return self._layers[name]

    @property
    def embeddings(self) -> Tensor:
        return self._embedding

    def default_spec(self) -> AdapterSpec:
        return AdapterSpec("lora", {"rank": self.rank, "alpha": LORA_SCALE * self.rank, "dropout": self.dropout})

    def new_connectors(self) -> Mapping[str, nn.Module]:
        return {modality: nn.Linear(MEDIUM, self.width) for modality in _MODALITIES}

    def enable_gradient_checkpointing(self) -> None:
        """Do nothing: there is nothing to save."""

    # Batches

    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        before = self._prompts(examples)
        answers = [[*example.target.encode(), END] for example in examples]
        length = max(len(prompt) + len(answer) for prompt, answer in zip(before, answers, strict=True))
        ids = torch.full((len(examples), length), PAD)
        labels = torch.full((len(examples), length), IGNORE_INDEX)
        for row, (prompt, answer) in enumerate(zip(before, answers, strict=True)):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor(prompt + answer)
            labels[row, len(prompt) : end] = torch.tensor(answer)
        return Batch(
            examples,
            labels.to(self.device),
            {"ids": ids.to(self.device), "soft": self.adapters.has_prompts},
            dict(groups or {}),
        )

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.adapters.has_prompts or batch.inputs["soft"]:
            batch = self.batch(batch.examples, batch.groups)  # how long prompts are depends on who acts
        rows = list(range(len(batch)))
        prompt = torch.cumsum(batch.labels != IGNORE_INDEX, 1) == 0
        hidden = self._read(batch.inputs["ids"], batch.examples, rows, prompt)
        wanted = batch.labels[:, 1:] != IGNORE_INDEX
        return self._words(hidden[:, :-1][wanted]), batch.labels[:, 1:][wanted]

    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        batch = self.batch(examples)
        pairs = zip(self._prompts(examples), examples, strict=True)
        lengths = torch.tensor([len(prompt) + len(example.target.encode()) + 1 for prompt, example in pairs])

        def run() -> Tensor:
            logits, labels = self.answer_logits(batch)
            return F.cross_entropy(logits.float(), labels, reduction="sum")

        real = torch.arange(batch.labels.shape[1]) < lengths[:, None]
        yield PlainPass(real, int((batch.labels != IGNORE_INDEX).sum()), run)

    # The model: padding stands at the right, where no earlier position can attend to it

    def _read(self, ids: Tensor, examples: Sequence[Example], owners: Sequence[int], prompt: Tensor) -> Tensor:
        """Read [R, L] ids, whose rows belong to the examples ``owners``: [R, L, width]."""
        count = len(examples)
        self.adapters.locate(torch.tensor(list(owners)), count, prompt)
        x: Tensor = self._embedding[ids]
        soft = self.adapters.prompts(count) if self.adapters.has_prompts else [[] for _ in examples]
        for row, owner in enumerate(owners):
            if soft[owner]:
                x = _placed(x, row, 1, torch.cat(soft[owner]))
        for modality in sorted({m.modality for owner in owners for m in examples[owner].media}):
            places = [p for row, owner in enumerate(owners) for p in self._places(row, examples[owner], soft[owner])]
            own = [(row, start, medium) for row, start, medium in places if medium.modality == modality]
            media = torch.stack([_encode(medium) for _, _, medium in own]).to(self.device)
            seen = self.adapters.connect(modality, media, [owners[row] for row, _, _ in own])
            for (row, start, _), tokens in zip(own, seen, strict=True):
                x = _placed(x, row, start, tokens)
        return self._block(x + _positions(ids.shape[1], self.width).to(x))

    def _block(self, x: Tensor) -> Tensor:
        q, k, v = (self._layers[f"layers.0.{name}"](_norm(x)) for name in ("query", "key", "value"))
        x = x + self._layers["layers.0.mix"](F.scaled_dot_product_attention(q, k, v, is_causal=True))
        added: Tensor = self._layers["layers.0.narrow"](F.gelu(self._layers["layers.0.widen"](_norm(x))))
        return x + added

    def _words(self, hidden: Tensor) -> Tensor:
        logits: Tensor = _norm(hidden) @ self._embedding.T
        return logits * LOUDNESS / math.sqrt(self.width)

    def _prompts(self, examples: Sequence[Example]) -> list[list[int]]:
        """Return each example's ids before the answer: a start, soft prompts, media and texts in their order."""
        soft = self.adapters.prompts(len(examples)) if self.adapters.has_prompts else [[] for _ in examples]
        return [
            [END, *[PAD] * sum(map(len, own)), *_content_ids(example)]
            for example, own in zip(examples, soft, strict=True)
        ]

    def _places(self, row: int, example: Example, soft: Sequence[Tensor]) -> Iterator[tuple[int, int, Media]]:
        """Yield (row, first position, medium) of each medium of an example."""
        place = 1 + sum(map(len, soft))
        for part in example.content:
            if isinstance(part, Media):
                yield row, place, part
            place += TOKENS if isinstance(part, Media) else len(part.encode())

    # Answers

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Compute without gradients and dropout."""
        training = self._module.training
        self._module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self._module.train(training)

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 32, num_beams: int = 1) -> list[str]:
        with self._answering():
            found = self._search(examples, max_new_tokens, num_beams)
        return [bytes(written).decode(errors="replace").strip() for written in found]

    def _search(self, examples: Sequence[Example], most: int, width: int) -> list[list[int]]:
        """Search with beams for all examples at once; a beam of one is greedy. Returns bytes."""
        prompts = self._prompts(examples) if examples else []
        beams: list[list[_Beam]] = [[(0.0, [])] for _ in examples]
        for _ in range(most):
            going = [(i, beam) for i, kept in enumerate(beams) for beam in kept if END not in beam[1]]
            if not going:
                break
            grown: list[list[_Beam]] = [[beam for beam in kept if END in beam[1]] for kept in beams]
            scores = self._next(examples, prompts, [(i, written) for i, (_, written) in going])
            best, tokens = scores.topk(width, dim=-1)
            for (i, (total, written)), gains, added in zip(going, best.tolist(), tokens.tolist(), strict=True):
                grown[i] += [(total + gain, [*written, token]) for gain, token in zip(gains, added, strict=True)]
            beams = [sorted(kept, key=lambda beam: -beam[0])[:width] for kept in grown]
        return [[token for token in kept[0][1] if token < END] for kept in beams]

    def _next(
        self, examples: Sequence[Example], prompts: Sequence[list[int]], written: Sequence[tuple[int, list[int]]]
    ) -> Tensor:
        """Return [R, V]: log-probabilities of what follows the prompt of an example and what is written so far."""
        rows = [prompts[i] + ids for i, ids in written]
        length = max(map(len, rows))
        ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows], device=self.device)
        prompt = torch.arange(length) < torch.tensor([len(prompts[i]) for i, _ in written])[:, None]
        hidden = self._read(ids, examples, [i for i, _ in written], prompt)
        last = hidden[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]
        return torch.log_softmax(self._words(last).float(), dim=-1)

    def score_choices(self, examples: Sequence[Example], choices: Sequence[str] | None = None) -> Tensor:
        own = [list(choices) if choices is not None else list(example.choices) for example in examples]
        scores = torch.full((len(examples), max(map(len, own))), -math.inf)
        with self._answering():
            for place in range(scores.shape[1]):
                rows = [row for row, texts in enumerate(own) if place < len(texts)]
                texts = [texts[min(place, len(texts) - 1)] for texts in own]
                batch = self.batch([e.with_answer(text) for e, text in zip(examples, texts, strict=True)])
                logits, labels = self.answer_logits(batch)
                token = -F.cross_entropy(logits.float(), labels, reduction="none").cpu()
                total = torch.zeros(len(batch)).index_add(0, batch.example_index.cpu(), token)
                scores[rows, place] = total[rows]
        return torch.log_softmax(scores, dim=-1)

    def features(self, examples: Sequence[Example]) -> Tensor:
        media = torch.zeros(len(examples), len(_MODALITIES), TOKENS * MEDIUM)
        for row, example in enumerate(examples):
            for name in example.modalities:
                own = [_encode(medium).flatten() for medium in example.media if medium.modality == name]
                media[row, _MODALITIES.index(name)] = torch.stack(own).mean(0)
        words = [self._embedding[[END, *example.prompt.encode()]].mean(0) for example in examples]
        return torch.cat([media.flatten(1).to(self.device), torch.stack(words)], dim=1).detach()

    def write_questions(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        split = [caption.split() for caption in captions]
        return [(f"what follows {words[-2]}?", words[-1].strip(".")) if len(words) > 1 else None for words in split]

    def instructions(self) -> Sequence[str]:
        return _INSTRUCTIONS


def _content_ids(example: Example) -> list[int]:
    """Return places for the media's tokens and the bytes of the texts, and the line's end behind the last text."""
    ids: list[int] = []
    for part in example.content:
        ids += [PAD] * TOKENS if isinstance(part, Media) else list(part.encode())
    ends_in_text = bool(example.content) and isinstance(example.content[-1], str)
    return ids + list(b"\n") if ends_in_text else ids


def _placed(x: Tensor, row: int, start: int, vectors: Tensor) -> Tensor:
    """Return x [R, L, width] with ``vectors`` [n, width] at a row's positions from ``start``."""
    place = torch.arange(start, start + len(vectors), device=x.device)
    return x.index_put((torch.full_like(place, row), place), vectors.to(x.dtype))


def _encode(medium: Media) -> Tensor:
    """Return [TOKENS, MEDIUM] numbers from -1 to 1: the frozen encoder."""
    digest = medium.digest or sha256(medium.key.encode()).hexdigest()
    numbers = torch.tensor(list(bytes.fromhex(digest[: 2 * TOKENS * MEDIUM])))
    return numbers.view(TOKENS, MEDIUM).float() / 127.5 - 1


def _linear(shape: tuple[int, int], drawn: torch.Generator) -> nn.Linear:
    outputs, inputs = shape
    made: Any = nn.utils.skip_init  # draws nothing
    layer: nn.Linear = made(nn.Linear, inputs, outputs, bias=False)
    layer.weight = nn.Parameter(torch.randn(shape, generator=drawn) / math.sqrt(inputs))
    return layer


def _norm(x: Tensor) -> Tensor:
    normed: Tensor = F.rms_norm(x, x.shape[-1:])
    return normed


def _positions(length: int, width: int) -> Tensor:
    """Return [length, width]: sines and cosines of the place (Vaswani et al. 2017)."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
