"""The composed backbone: a causal language model, one frozen encoder a modality, connectors.

The shape of the model in "Modality-Inconsistent Continual Learning of Multimodal Large Language Models" (arXiv
2412.13050): the language model reads the media's tokens, the instruction and the answer; LoRA and one connector a
modality are learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from micl_backbones.attention import keeps_to_masks
from micl_backbones.composed.answers import ComposedAnswers
from micl_backbones.composed.connector import FIT_MEDIA, Connector
from micl_backbones.composed.decoding import attends_plainly
from micl_backbones.composed.inputs import Inputs, padded, sharing
from micl_backbones.composed.load import encoder_key, load_modules
from micl_backbones.composed.media import MediaTokens, encode_each, mean_tokens, media_tokens
from micl_backbones.composed.packing import plan_packing
from micl_backbones.composed.preset import Preset, known_presets, preset_digest, preset_info, read_preset
from micl_backbones.composed.prompt import Prompt, write_prompts
from micl_backbones.language import has_trainable, matching_layers, numerics
from micl_backbones.weights.fetch import fetch_parts
from micl_backbones.weights.hub import fetch_checkpoint
from micl_backbones.weights.quantize import DType, Quantize
from micl_cli.api import (
    IGNORE_INDEX,
    AdapterSpec,
    Batch,
    Encoder,
    Example,
    FetchProgress,
    Media,
    PlainPass,
    PresetInfo,
    Range,
    Resources,
)


class Composed(ComposedAnswers):
    """A language model that reads media through frozen encoders and trained connectors."""

    provides = frozenset({"adapters", "text", "generate", "choices", "features", "questions", "states"})
    preset_name: ClassVar[str] = "tiny"
    """The preset where none is named."""

    def __init__(
        self,
        preset: str = "",
        *,
        resources: Resources,
        lora_rank: Annotated[int | None, "rank of the LoRA matrices; the preset's where not given", Range(1)] = None,
        lora_alpha: Annotated[float | None, "LoRA's scale: alpha / rank multiplies what it adds", Range(0)] = None,
        lora_dropout: Annotated[float | None, "dropout before the LoRA matrices", Range(0, 1, high_open=True)] = None,
        quantize: Annotated[Quantize, "store the language model's frozen weights in 4 or 8 bits"] = "none",
        dtype: Annotated[DType, "of frozen weights and computation; auto: bf16 where it is native"] = "auto",
    ) -> None:
        self.preset: Preset = read_preset(preset or self.preset_name, resources)
        self.lora_rank = lora_rank or int(self.preset.lora["r"])
        self.lora_alpha = lora_alpha or float(self.preset.lora["alpha"])
        self.lora_dropout = self.preset.lora.get("dropout", 0.0) if lora_dropout is None else lora_dropout
        self.modalities = frozenset(self.preset.encoders)
        with torch.random.fork_rng(devices=[]):
            self.modules = load_modules(self.preset, resources.load_part, quantize, dtype)
        super().__init__(resources)
        self.modules.adapters = self.adapters.store

    @classmethod
    def defaults(cls, preset: str, resources: Resources) -> Mapping[str, Any]:
        return read_preset(preset or cls.preset_name, resources).training

    @classmethod
    def digest(cls, preset: str, resources: Resources) -> str:
        return preset_digest(preset or cls.preset_name, resources)

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        return [preset_info(read_preset(name, resources)) for name in known_presets()]

    @classmethod
    def fetch(cls, preset: str, tell: FetchProgress, resources: Resources) -> None:
        found = read_preset(preset or cls.preset_name, resources)
        if not found.parts and not found.checkpoints:
            super().fetch(found.called, tell, resources)
        fetch_parts(found.name, found.parts, found.folder, tell)
        for name, revision in found.checkpoints:
            fetch_checkpoint(name, revision, tell)

    # The model

    @property
    def module(self) -> nn.Module:
        return self.modules

    @property
    def language(self) -> Any:
        return self.modules.language

    def adaptable_names(self) -> Sequence[str]:
        return matching_layers(self.language.named_modules(), self.preset.lora["targets"], (nn.Linear, Conv1D))

    def default_spec(self) -> AdapterSpec:
        options = {"rank": self.lora_rank, "alpha": self.lora_alpha, "dropout": self.lora_dropout}
        return AdapterSpec("lora", options)

    def new_connectors(self) -> Mapping[str, nn.Module]:
        size, scale = self.embeddings.shape[1], float(self.embeddings.std())
        hidden = int(self.preset.connector.get("hidden", size))
        encoders = {modality: self._encoder(modality) for modality in sorted(self.modalities)}
        return {n: Connector(e.tokens, e.width, size, hidden=hidden, scale=scale) for n, e in encoders.items()}

    def shared_state(self) -> dict[str, Tensor]:
        return self.modules.standardizers.state()

    def load_shared_state(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self.modules.standardizers.load_unfitted(state)

    @cached_property
    def _packs(self) -> bool:
        """Whether several sequences can stand in one row."""
        return attends_plainly(self.language.config) and keeps_to_masks(self.language.config)

    # Batches

    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        prompts, rows, labels = self._with_answers(examples)
        return Batch(examples, labels, {"composed": self._inputs(examples, prompts, rows)}, dict(groups or {}))

    def _with_answers(self, examples: Sequence[Example]) -> tuple[list[Prompt], list[list[int]], Tensor]:
        """Return the prompts, the ids of prompts with answers, and the labels [B, L]."""
        prompts = self._prompts(examples)
        answers = [[*ids, self._end] for ids in self._tokenize([example.target for example in examples])]
        rows = [prompt.ids + answer for prompt, answer in zip(prompts, answers, strict=True)]
        labels = [[IGNORE_INDEX] * len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True)]
        return prompts, rows, padded(labels, IGNORE_INDEX).to(self.device)

    def _inputs(
        self, examples: Sequence[Example], prompts: Sequence[Prompt], rows: Sequence[list[int]], *, pack: bool = True
    ) -> Inputs:
        """Return rows of tokens, padded at the right, with the media's tokens, and how they are packed."""
        layout = self.adapters.layout(len(examples)) if self.adapters.per_example else None
        # A gate on the mean of a prompt makes what stands first depend on what follows: nothing is shared then.
        shared = sharing(examples, prompts, layout, alone=self.adapters.mixes_tokens)
        planned = plan_packing([len(row) for row in rows], shared) if pack and self._packs else None
        packing = planned and planned.to(self.device)
        reading = [row for row, (leader, _) in enumerate(shared) if packing is None or leader == row]
        places = [(row, *place) for row in reading for place in prompts[row].media]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        ids = padded(rows, self._filler).to(self.device)
        return Inputs(ids, lengths, self._media(places), packing, layout, [prompt.soft for prompt in prompts])

    def _prompts(self, examples: Sequence[Example]) -> list[Prompt]:
        soft = self.adapters.prompt_lengths(len(examples))
        tokens = {modality: self._encoder(modality).tokens for modality in self.modalities}
        return write_prompts(examples, soft, tokens, self._tokenize, self._filler)

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        states, labels = self.answer_states(batch)
        return self.project(states), labels

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        batch = self._current(batch)
        inputs: Inputs = batch.inputs["composed"]
        hidden = self._hidden(self._embed(inputs), inputs)
        wanted = batch.labels[:, 1:] != IGNORE_INDEX
        return hidden[:, :-1][wanted], batch.labels[:, 1:][wanted]

    def _current(self, batch: Batch) -> Batch:
        """Return the batch as it is for the selection that acts now: soft prompts and sharing depend on it."""
        inputs: Inputs = batch.inputs["composed"]
        layout = self.adapters.layout(len(batch)) if self.adapters.per_example else None
        soft = self.adapters.prompt_lengths(len(batch))
        if (inputs.layout, inputs.soft) == (layout, soft) and not self.adapters.mixes_tokens:
            return batch
        return self.batch(batch.examples, batch.groups)

    def project(self, states: Tensor) -> Tensor:
        return cast(Tensor, self.language.lm_head(states))

    def _hidden(self, embeds: Tensor, inputs: Inputs) -> Tensor:
        """Return [B, L, size]: the language model's last states, packed on the way where that saves work."""
        self._locate(inputs)
        if inputs.packing is None:
            # Padding stands at the right, where no earlier position can attend to it: no mask is needed.
            return cast(Tensor, self.language.model(inputs_embeds=embeds, use_cache=False).last_hidden_state)
        packed, position, mask = inputs.packing.pack(embeds)
        output = self.language.model(inputs_embeds=packed, position_ids=position, attention_mask=mask, use_cache=False)
        return inputs.packing.unpack(output.last_hidden_state, embeds.shape[1])

    def _locate(self, inputs: Inputs) -> None:
        """Tell the adapters which example each position of the next pass belongs to, and which are prompts."""
        if self.adapters.needs_positions:
            examples, prompt = inputs.positions()
            self.adapters.locate(examples, len(inputs.ids), prompt)

    def _embed(self, inputs: Inputs) -> Tensor:
        """Return [B, L, size]: word embeddings, with media and soft prompts at their places."""
        embeds = cast(Tensor, self.language.get_input_embeddings()(inputs.ids))
        for modality, media in inputs.media.items():
            tokens = self.modules.standardizers.standardized(modality, media.tokens)
            seen = self.adapters.connect(modality, tokens, media.rows)
            embeds = embeds.index_put(media.places(seen.shape[1], embeds.device), seen.to(embeds.dtype))
        if any(inputs.soft):
            embeds = inputs.with_soft_prompts(embeds, self.adapters.prompts(len(inputs.ids)))
        return embeds

    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        prompts, rows, labels = self._with_answers(examples)
        inputs = self._inputs(examples, prompts, rows, pack=False)
        lengths = torch.tensor([[len(row)] for row in rows], device=self.device)
        targets = labels[:, 1:]
        wanted = targets != IGNORE_INDEX

        def run() -> Tensor:
            states = self._hidden(self._embed(inputs), inputs)[:, :-1][wanted]
            return nn.functional.cross_entropy(self.project(states).float(), targets[wanted], reduction="sum")

        yield PlainPass(torch.arange(inputs.ids.shape[1], device=self.device) < lengths, int(wanted.sum()), run)

    # Media

    def _encoder(self, modality: str) -> Encoder:
        return cast(Encoder, self.modules.encoders[modality])

    def _media(self, places: Sequence[tuple[int, int, Media]]) -> dict[str, MediaTokens]:
        """Return what the frozen encoders make of media, by modality; each stands in a row, from a position on."""
        return media_tokens(places, self.encode)

    def encode(self, modality: str, media: Sequence[Media]) -> Tensor:
        """Return [n, tokens, width]: what the frozen encoder makes of media."""
        encoder = self._encoder(modality)
        compute = partial(encode_each, encoder, self.read, self.device)
        if self.cache is None or has_trainable(encoder):
            return compute(media)
        key = f"{self._encoder_keys[modality]}{numerics(self.device, torch.float32)}"
        return self.cache(key, media, compute).to(self.device)

    @cached_property
    def _encoder_keys(self) -> dict[str, str]:
        return {name: encoder_key(self.preset, name, self._encoder(name)) for name in self.preset.encoders}

    def calibrate(self, examples: Sequence[Example]) -> None:
        """Fit the standardisation of modalities that were not learnt before to the examples' media."""
        for modality, standardizer in self.modules.standardizers.unfitted():
            media = list({m.key: m for e in examples for m in e.media if m.modality == modality}.values())
            if media:
                standardizer.fit(self.encode(modality, media[:: -(-len(media) // FIT_MEDIA)]))

    @torch.no_grad()
    def features(self, examples: Sequence[Example]) -> Tensor:
        """Return each modality's mean token, whether there is a medium of it, and the mean word embedding of texts."""
        with self.adapters.using(None) if self.adapters.has_prompts else self.answering():
            prompts = self._prompts(examples)
        media = self._media([(row, *place) for row, prompt in enumerate(prompts) for place in prompt.media])
        widths = {modality: self._encoder(modality).width for modality in sorted(self.modalities)}
        means = [mean_tokens(media.get(name), len(examples), width, self.device) for name, width in widths.items()]
        vectors, present = zip(*means, strict=True) if means else ((), ())
        texts = [prompt.text_ids or [self._end] for prompt in prompts]
        words = [self.embeddings[torch.tensor(ids, device=self.device)].float().mean(0) for ids in texts]
        return torch.cat([*vectors, *present, torch.stack(words)], dim=1)
