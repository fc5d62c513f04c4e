"""The composed backbone: a causal language model, one frozen encoder a modality, connectors.

The shape of the model in "Modality-Inconsistent Continual Learning of Multimodal Large Language
Models" (arXiv 2412.13050): the language model reads a cue (" image: "), the medium's tokens, the
instruction and the answer; LoRA and one connector a modality are what is learnt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, cast

import torch
from peft import LoraConfig
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from micl_backbones.adapters.backbone import LoraBackbone, learns, numerics, uncast
from micl_backbones.attention import keeps_to_masks
from micl_backbones.composed.connector import FITTED_TO, Connector
from micl_backbones.composed.decoding import Prompts, attends_plainly, greedy, likelihoods
from micl_backbones.composed.encoders.conv import Encoder
from micl_backbones.composed.load import encoder_key, language_source, load_modules
from micl_backbones.composed.packing import Packing, plan_packing
from micl_backbones.composed.preset import Preset, known_presets, preset_digest, preset_info, read_preset
from micl_backbones.instructions import GENERAL, QUESTION_PROMPT
from micl_backbones.weights.fetch import fetch_parts
from micl_backbones.weights.hub import fetch_checkpoint
from micl_backbones.weights.quantize import DType, Quantize
from micl_cli.api import IGNORE_INDEX, Batch, Example, PresetInfo, Tell


class Composed(LoraBackbone):
    """A language model that sees and hears through frozen encoders and trained connectors."""

    provides = frozenset({"adapters", "text", "generate", "choose", "features", "questions", "states"})
    preset_name: ClassVar[str] = "tiny"
    """The preset where none is named."""

    def __init__(
        self,
        preset: str = "",
        *,
        lora_rank: Annotated[int | None, "rank of the LoRA matrices; the preset's where not given"] = None,
        lora_alpha: Annotated[float | None, "LoRA's scale: alpha / rank multiplies what it adds"] = None,
        lora_dropout: Annotated[float | None, "dropout before the LoRA matrices"] = None,
        quantize: Annotated[Quantize, "keep the language model's frozen weights in 4 or 8 bits"] = "none",
        dtype: Annotated[DType, "of frozen weights and the computing; auto: bf16 where it is native"] = "auto",
    ) -> None:
        super().__init__()
        self.preset: Preset = read_preset(preset or self.preset_name)
        self.lora_rank = lora_rank or int(self.preset.lora["r"])
        self.lora_alpha = lora_alpha or float(self.preset.lora["alpha"])
        self.lora_dropout = self.preset.lora.get("dropout", 0.0) if lora_dropout is None else lora_dropout
        self.modalities = frozenset(self.preset.encoders)
        with torch.random.fork_rng(devices=[]):
            self.parts = load_modules(self.preset, quantize, dtype)

    @classmethod
    def defaults(cls, preset: str) -> Mapping[str, Any]:
        return read_preset(preset or cls.preset_name).training

    @classmethod
    def digest(cls, preset: str) -> str:
        return preset_digest(preset or cls.preset_name)

    @classmethod
    def presets(cls) -> Sequence[PresetInfo]:
        return [preset_info(read_preset(name)) for name in known_presets()]

    @classmethod
    def fetch(cls, preset: str, tell: Tell) -> None:
        found = read_preset(preset or cls.preset_name)
        if not found.parts and not found.checkpoints:
            super().fetch(found.called, tell)
        fetch_parts(found.name, found.parts, found.folder, tell)
        for name, revision in found.checkpoints:
            fetch_checkpoint(name, revision, tell)

    @property
    def module(self) -> nn.Module:
        return self.parts

    @property
    def language(self) -> Any:
        return self.parts.language

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        path, revision = language_source(self.preset)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(path, revision=revision)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token_id = tokenizer.eos_token_id
        return tokenizer

    def checkpoint_gradients(self) -> None:
        self.language.gradient_checkpointing_enable({"use_reentrant": False})

    # Batches

    def batch(self, examples: Sequence[Example]) -> Batch:
        before, prompts = self._prompts(examples)
        answers = self._encode([example.target for example in examples])
        end = [self.tokenizer.eos_token_id]
        rows = [prompt + answer + end for prompt, answer in zip(prompts, answers, strict=True)]
        labels = [[IGNORE_INDEX] * len(p) + answer + end for p, answer in zip(prompts, answers, strict=True)]
        target = _padded(labels, IGNORE_INDEX).to(self.device)
        return Batch(examples, target, self._inputs(examples, before, rows))

    def _inputs(
        self, examples: Sequence[Example], before: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]
    ) -> dict[str, Any]:
        """Rows of tokens, padded at the right, with the media's tokens, and how they are packed."""
        shared = self._shared(examples, before)
        planned = plan_packing([len(row) for row in rows], shared) if self._plain else None
        packing = planned and planned.to(self.device)
        reading = None if packing is None else [row for row, (leader, _) in enumerate(shared) if leader == row]
        ids = _padded(rows, cast(int, self.tokenizer.pad_token_id)).to(self.device)
        starts = torch.tensor([len(head) for head in before])
        return {"ids": ids, "starts": starts, "media": self._media(examples, reading), "packing": packing}

    def _shared(self, examples: Sequence[Example], before: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
        """For each example the first one of like context, medium and adapter, and so many positions they share."""
        first: dict[tuple[str, ...], int] = {}
        found = []
        names = self._mixed.names if self._mixed else [""] * len(examples)
        for row, (example, head, name) in enumerate(zip(examples, before, names, strict=True)):
            same = (example.context, example.modality or "", example.digest, name)
            leader = first.setdefault(same, row) if example.modality and example.digest else row
            found.append((leader, 0 if leader == row else len(head) + len(self._places(example))))
        return found

    @cached_property
    def _plain(self) -> bool:
        """Whether several sequences can stand in one row."""
        return attends_plainly(self.language.config) and keeps_to_masks(self.language.config)

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        states, labels = self.answer_states(batch)
        return self.project(states), labels

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        embeds = self._embed(batch.inputs["ids"], batch.inputs["starts"], batch.inputs["media"])
        hidden = self._hidden(embeds, batch.inputs["packing"])
        wanted = batch.labels[:, 1:] != IGNORE_INDEX
        return hidden[:, :-1][wanted], batch.labels[:, 1:][wanted]

    def project(self, states: Tensor) -> Tensor:
        return cast(Tensor, self.language.lm_head(states))

    def _hidden(self, embeds: Tensor, packing: Packing | None) -> Tensor:
        """[B, L, size]: the language model's last states, packed on the way where that saves work."""
        if packing is None:
            # Padding stands at the right, where no earlier position can attend to it: no mask is needed.
            return cast(Tensor, self.language.model(inputs_embeds=embeds, use_cache=False).last_hidden_state)
        packed, position, mask = packing.pack(embeds)
        output = self.language.model(inputs_embeds=packed, position_ids=position, attention_mask=mask, use_cache=False)
        return packing.unpack(output.last_hidden_state, embeds.shape[1])

    def _prompts(self, examples: Sequence[Example]) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids before each example's medium, and those of its whole prompt, with places for the medium's."""
        contexts = self._encode([e.context for e in examples])
        cues = self._encode([f" {e.modality}: " if e.modality else "" for e in examples])
        heads = [context + cue for context, cue in zip(contexts, cues, strict=True)]
        tails = self._encode([_instruction(e) for e in examples])
        return heads, [h + self._places(e) + t for e, h, t in zip(examples, heads, tails, strict=True)]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [row.ids for row in self.tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _places(self, example: Example) -> list[int]:
        """Placeholder ids where the medium's tokens will stand."""
        count = self._encoder(example.modality).tokens if example.modality else 0
        return [cast(int, self.tokenizer.pad_token_id)] * count

    def _encoder(self, modality: str) -> Encoder:
        return cast(Encoder, self.parts.encoders[modality])

    def _media(
        self, examples: Sequence[Example], among: Sequence[int] | None = None
    ) -> dict[str, tuple[list[int], Tensor]]:
        """For each modality of the batch: the rows that have it (of those ``among``), and their frozen tokens."""
        found = {}
        read = range(len(examples)) if among is None else among
        for modality in sorted({m for i in read if (m := examples[i].modality)}):
            rows = [i for i in read if examples[i].modality == modality]
            found[modality] = (rows, self.encode(modality, [examples[i] for i in rows]))
        return found

    def encode(self, modality: str, examples: Sequence[Example]) -> Tensor:
        """[n, tokens, width]: what the frozen encoder makes of the examples' media."""
        compute = partial(self._compute, modality)
        if self.cache is None or learns(self._encoder(modality)):
            return compute(examples)
        key = f"{self._encoder_keys[modality]}{numerics(self.device, torch.float32)}"
        return self.cache(key, examples, compute).to(self.device)

    def _compute(self, modality: str, examples: Sequence[Example]) -> Tensor:
        # One medium at a time: in company the last bits differ, and a resumed run would not be the same.
        encoder = self._encoder(modality)
        media = (encoder.prepare(self.read(example, encoder.options)) for example in examples)
        with uncast(self.device):
            return torch.cat([encoder(medium[None].to(self.device)) for medium in media])

    @cached_property
    def _encoder_keys(self) -> dict[str, str]:
        return {name: encoder_key(self.preset, name, self._encoder(name)) for name in self.preset.encoders}

    def _embed(self, ids: Tensor, starts: Tensor, media: Mapping[str, tuple[list[int], Tensor]]) -> Tensor:
        """[B, L, size]: word embeddings, with each medium's tokens at its place."""
        embeds = cast(Tensor, self.language.get_input_embeddings()(ids))
        for modality, (rows, tokens) in media.items():
            seen = self._connect(modality, tokens, rows)
            row = torch.tensor(rows, device=ids.device)[:, None].expand(-1, seen.shape[1])
            place = starts[rows].to(ids.device)[:, None] + torch.arange(seen.shape[1], device=ids.device)
            embeds = embeds.index_put((row, place), seen.to(embeds.dtype))
        return embeds

    def _connect(self, modality: str, tokens: Tensor, rows: Sequence[int]) -> Tensor:
        if self._mixed is None:
            return self._connector(self._active, modality, tokens)
        names = [self._mixed.names[row] for row in rows]
        places = {name: [i for i, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}
        seen = [self._connector(name, modality, tokens[where]) for name, where in places.items()]
        order = torch.tensor([i for where in places.values() for i in where], device=tokens.device)
        return torch.cat(seen)[order.argsort()]

    def _connector(self, adapter: str | None, modality: str, tokens: Tensor) -> Tensor:
        if adapter is None:
            raise ValueError("the base model alone has no connectors: activate an adapter")
        even = self.parts.standards.even(modality, tokens)
        return cast(Tensor, self._connectors(adapter)[modality](even))

    def calibrate(self, examples: Sequence[Example]) -> None:
        """Fit the standards of modalities that were not learnt before to the examples' media."""
        for modality, standard in self.parts.standards.unfitted():
            media = list({e.digest or e.id: e for e in examples if e.modality == modality}.values())
            if media:
                standard.fit(self.encode(modality, media[:: -(-len(media) // FITTED_TO)]))

    # Answers

    def answers(self, examples: Sequence[Example], **search: Any) -> list[str]:
        """As LoraBackbone says; greedy answers, which most are, by our own ``greedy``."""
        if self._plain and search.get("num_beams", 1) == 1:
            end = cast(int, self.tokenizer.eos_token_id)
            ids = greedy(self.language, self._read_together(examples), end=end, limit=search["max_new_tokens"])
        else:
            ids = self._searched(examples, search)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _searched(self, examples: Sequence[Example], search: Mapping[str, Any]) -> list[list[int]]:
        before, prompts = self._prompts(examples)
        end, pad = self.tokenizer.eos_token_id, cast(int, self.tokenizer.pad_token_id)
        length = max(len(prompt) for prompt in prompts)
        gaps = [length - len(prompt) for prompt in prompts]  # padding stands at the left
        ids = torch.tensor([[pad] * gap + row for gap, row in zip(gaps, prompts, strict=True)], device=self.device)
        mask = torch.arange(length) >= torch.tensor(gaps)[:, None]
        starts = torch.tensor([gap + len(head) for gap, head in zip(gaps, before, strict=True)])
        embeds, mask = self._embed(ids, starts, self._media(examples)), mask.long().to(self.device)
        found: Tensor = self.language.generate(
            inputs_embeds=embeds, attention_mask=mask, **search, eos_token_id=end, pad_token_id=pad
        )
        return found.tolist()

    def _read_together(self, examples: Sequence[Example]) -> Prompts:
        """The examples' prompts; a context that all have is read once, where one adapter reads for all."""
        contexts = {example.context for example in examples}
        alike = len(contexts) == 1 and not self._mixed and all(e.modality or e.prompt for e in examples)
        shared = self._encode(list(contexts))[0] if alike else []
        asked = [replace(example, context="") for example in examples] if shared else examples
        before, prompts = self._prompts(asked)
        inputs = self._inputs(asked, before, prompts)
        embeds = self._embed(inputs["ids"], inputs["starts"], inputs["media"])
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        computing = self._mixed.computing if self._mixed else lambda owner: None
        return Prompts(embeds, lengths, inputs["packing"], context=shared, computing=computing)

    def choose(self, examples: Sequence[Example], choices: Sequence[str]) -> Tensor:
        if not self._plain:
            return super().choose(examples, choices)
        ends = [[*ids, cast(int, self.tokenizer.eos_token_id)] for ids in self._encode(choices)]
        with self.answering():
            return torch.log_softmax(likelihoods(self.language, self._read_together(examples), ends), dim=1)

    @torch.no_grad()
    def features(self, examples: Sequence[Example]) -> Tensor:
        """Each modality's mean token, whether there is a medium of it, and the prompt's mean word embedding."""
        widths = {name: self._encoder(name).width for name in sorted(self.modalities)}
        vectors = {name: torch.zeros(len(examples), width, device=self.device) for name, width in widths.items()}
        present = {name: torch.zeros(len(examples), 1, device=self.device) for name in widths}
        for modality, (rows, tokens) in self._media(examples).items():
            vectors[modality][rows] = tokens.float().mean(1)
            present[modality][rows] = 1.0
        embedding = self.language.get_input_embeddings()
        ends = [ids or [self.tokenizer.eos_token_id] for ids in self._encode([_instruction(e) for e in examples])]
        prompts = [embedding(torch.tensor(ids, device=self.device)).float().mean(0) for ids in ends]
        return torch.cat([*vectors.values(), *present.values(), torch.stack(prompts)], dim=1)

    def ask(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        return self.asked(self.preset.language.get("question_prompt", QUESTION_PROMPT), captions)

    def instructions(self) -> Sequence[str]:
        name = self.preset.language.get("instructions")
        if not name:
            return GENERAL
        lines = (self.preset.folder / name).read_text(encoding="utf-8").splitlines()
        return tuple(json.loads(line)["text"] for line in lines if line.strip())

    # Adapters

    def lora_config(self) -> LoraConfig:
        return LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=list(self.preset.lora["targets"]),
            task_type="CAUSAL_LM",
        )

    def extend(self, name: str) -> None:
        """Add fresh connectors."""
        embedding = self.language.get_input_embeddings().weight
        size, scale = embedding.shape[1], float(embedding.std())
        hidden = int(self.preset.connector.get("hidden", size))
        encoders = {modality: self._encoder(modality) for modality in sorted(self.modalities)}
        made = {n: Connector(e.tokens, e.width, size, hidden=hidden, scale=scale) for n, e in encoders.items()}
        self.parts.connectors[name] = nn.ModuleDict(made).to(embedding.device)

    def shrink(self, name: str) -> None:
        """Drop the connectors."""
        del self.parts.connectors[name]

    def _connectors(self, adapter: str) -> nn.ModuleDict:
        return cast(nn.ModuleDict, self.parts.connectors[adapter])

    def extra_weights(self, name: str) -> dict[str, nn.Parameter]:
        """The connectors' weights."""
        return {f"connector.{key}": weight for key, weight in self._connectors(name).named_parameters()}

    def adapter_state(self, name: str) -> dict[str, Tensor]:
        """As Backbone says, and the standards, without which connectors are of no use."""
        return {**super().adapter_state(name), **self.parts.standards.kept()}

    def load_adapter(self, name: str, state: Mapping[str, Tensor]) -> None:
        super().load_adapter(name, self.parts.standards.take(state))

    def part_of(self, weight: str) -> str:
        return weight.split(".")[1] if weight.startswith("connector.") else "lora"


class _Named(Composed):
    """A preset of Composed under a name of its own; it is listed there."""

    @classmethod
    def presets(cls) -> Sequence[PresetInfo]:
        return ()


class Tiny(_Named):
    """Composed from the small weights in this package: it needs no download and no GPU."""


class Smol(_Named):
    """Composed from real pretrained parts of laptop size: `micl backbones fetch smol` gets them once."""

    preset_name = "smol"


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """[B, L]: rows of numbers, padded at the right."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows])


def _instruction(example: Example) -> str:
    if example.modality:
        return f"\n{example.prompt}\n"
    return f"{example.prompt}\n" if example.prompt else ""
