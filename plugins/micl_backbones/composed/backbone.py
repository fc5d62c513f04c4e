"""The composed backbone: a causal language model, one frozen encoder per modality, and connectors.

The architecture of "Modality-Inconsistent Continual Learning of Multimodal Large Language Models" (arXiv 2412.13050):
the language model reads media tokens, instruction and answer; LoRA and one connector per modality are learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from micl_backbones.composed.answers import ComposedAnswers
from micl_backbones.composed.causal import block_layers, can_pack, decoder_of, is_called, logits_of, position_limit
from micl_backbones.composed.connector import FIT_MEDIA, Connector
from micl_backbones.composed.inputs import Inputs, padded, shared_prefixes
from micl_backbones.composed.load import encoder_key, load_modules, load_tokenizer
from micl_backbones.composed.media import EncodeOneByOne, MediaTokens, faulty_media, mean_tokens, media_tokens
from micl_backbones.composed.packing import plan_packing
from micl_backbones.composed.preset import (
    Preset,
    former_preset_digests,
    known_presets,
    preset_digest,
    preset_info,
    read_preset,
    resolved_preset,
)
from micl_backbones.composed.prompt import Prompt, write_prompts
from micl_backbones.language import has_trainable, matching_layers, precision_key
from micl_backbones.weights.digest import record_digests
from micl_backbones.weights.fetch import fetch_parts
from micl_backbones.weights.hub import fetch_checkpoint, fetch_missing
from micl_backbones.weights.quantize import DType, Quantize
from micl_cli.api import (
    IGNORE_INDEX,
    AdapterSpec,
    Batch,
    Encoder,
    Example,
    ExportRequest,
    ExportSummary,
    FetchProgress,
    InspectedMedium,
    Media,
    MediumFault,
    PlainPass,
    PlanError,
    PresetInfo,
    Range,
    Resources,
)


class Composed(ComposedAnswers):
    """A language model that reads media through frozen encoders and trained connectors."""

    provides = frozenset({"adapters", "text", "generate", "choices", "features", "questions", "states", "penalties"})
    preset_name: ClassVar[str] = "tiny"
    """The default preset."""

    def __init__(
        self,
        preset: str = "",
        *,
        resources: Resources,
        lora_rank: Annotated[int | None, "rank of LoRA (default: the preset's)", Range(1)] = None,
        lora_alpha: Annotated[
            float | None, "LoRA's output is scaled by alpha / rank (default: the preset's)", Range(0)
        ] = None,
        lora_dropout: Annotated[
            float | None, "dropout on LoRA's input (default: the preset's)", Range(0, 1, high_open=True)
        ] = None,
        quantize: Annotated[Quantize, "store the language model's frozen weights in 4 or 8 bits"] = "none",
        dtype: Annotated[
            DType, "dtype of frozen weights and computation; auto: bf16 on hardware with native bf16"
        ] = "auto",
    ) -> None:
        self.preset: Preset = read_preset(preset or self.preset_name, resources)
        self.lora_rank = lora_rank or int(self.preset.lora["r"])
        self.lora_alpha = float(self.preset.lora["alpha"]) if lora_alpha is None else lora_alpha
        self.lora_dropout = self.preset.lora.get("dropout", 0.0) if lora_dropout is None else lora_dropout
        self.modalities = frozenset(self.preset.encoders)
        with torch.random.fork_rng(devices=[]):
            self.modules = load_modules(self.preset, resources.load_part, quantize, dtype)
        self.tokenizer = load_tokenizer(self.preset, self.language)
        self.positions = position_limit(self.language)
        super().__init__(resources)
        _ = self._can_pack  # measured now, while nothing records what the layers read
        _ = self.adaptable_layers  # raises at once if a target has none
        _ = self.frame  # and if there is no chat template
        self.modules.adapters = self.adapters.store

    @classmethod
    def defaults(cls, preset: str, resources: Resources) -> Mapping[str, Any]:
        return read_preset(preset or cls.preset_name, resources).training

    @classmethod
    def digest(cls, preset: str, resources: Resources) -> str:
        return preset_digest(preset or cls.preset_name, resources)

    @classmethod
    def former_digests(cls, preset: str, resources: Resources) -> Sequence[str]:
        return former_preset_digests(preset or cls.preset_name, resources)

    @classmethod
    def resolve(cls, preset: str, resources: Resources) -> str:
        return resolved_preset(preset)

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        return [preset_info(read_preset(name, resources)) for name in known_presets()]

    @classmethod
    def fetch(cls, preset: str, tell: FetchProgress, resources: Resources) -> None:
        read = read_preset(preset or cls.preset_name, resources)
        if not read.parts and not read.checkpoints:
            super().fetch(read.reference, tell, resources)
        missing = not read.fetched
        fetch_parts(read.name, read.parts, read.folder, tell)
        if missing:
            record_digests(read.folder, resources.file_digest)
        for name, revision in read.checkpoints:
            fetch_checkpoint(name, revision, tell)

    @classmethod
    def download_missing(cls, preset: str, progress: FetchProgress, resources: Resources) -> None:
        read = read_preset(preset or cls.preset_name, resources)
        for name, revision in read.checkpoints if read.fetched else ():
            fetch_missing(name, revision, progress)

    # The model

    @property
    def module(self) -> nn.Module:
        return self.modules

    @property
    def language(self) -> Any:
        return self.modules.language

    def adaptable_names(self) -> Sequence[str]:
        if "targets" not in self.preset.lora:
            return block_layers(self.language)
        names = matching_layers(self.language, self.preset.lora["targets"], (nn.Linear, Conv1D))
        modules = dict(self.language.named_modules())
        if fused := [name for name in names if not is_called(modules, name)]:
            hint = "Leave it out: its weights are not, or not only, applied as a linear layer."
            raise PlanError(f"{type(self.language).__name__} does not allow an adapter on {fused[0]}", hint)
        return names

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
    def _can_pack(self) -> bool:
        """Whether several sequences can be packed into one row."""
        with self.adapters.using(None), self.evaluation_mode():
            return can_pack(self.language)

    def export(self, folder: Path, request: ExportRequest) -> ExportSummary:
        from micl_backbones.export.composed import export_composed

        return export_composed(self, folder, request)

    # Batches

    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        prompts, rows, labels = self._with_answers(examples)
        return Batch(examples, labels, {"composed": self._inputs(examples, prompts, rows)}, dict(groups or {}))

    def _with_answers(self, examples: Sequence[Example]) -> tuple[list[Prompt], list[list[int]], Tensor]:
        """Return the prompts, the token ids of prompts with answers, and the labels [B, L]."""
        prompts = self._prompts(examples)
        answers = [[*ids, self._eos_id] for ids in self.texts.encode([example.target for example in examples])]
        rows = [prompt.ids + answer for prompt, answer in zip(prompts, answers, strict=True)]
        labels = [[IGNORE_INDEX] * len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True)]
        return prompts, rows, padded(labels, IGNORE_INDEX).to(self.device)

    def _inputs(
        self, examples: Sequence[Example], prompts: Sequence[Prompt], rows: Sequence[list[int]], *, pack: bool = True
    ) -> Inputs:
        """Return right-padded rows of token ids with their media tokens and packing."""
        self._check_lengths(examples, rows)
        layout = self.adapters.layout(len(examples)) if self.adapters.per_example else None
        # With a gate on the mean of a prompt, the states of a prefix depend on what follows: they cannot be shared.
        shared = shared_prefixes(examples, prompts, layout, disabled=self.adapters.mixes_tokens)
        plan = plan_packing([len(row) for row in rows], shared) if pack and self._can_pack else None
        packing = plan and plan.to(self.device)
        leaders = [row for row, (leader, _) in enumerate(shared) if packing is None or leader == row]
        places = [(row, *place) for row in leaders for place in prompts[row].media]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        ids = padded(rows, self._pad_id).to(self.device)
        soft, offsets = [prompt.soft for prompt in prompts], [prompt.begin for prompt in prompts]
        return Inputs(ids, lengths, self._media(places), packing, layout, soft, offsets)

    def _check_lengths(self, examples: Sequence[Example], rows: Sequence[Sequence[int]]) -> None:
        """Raise PlanError if a row is longer than the language model's position embeddings reach."""
        for example, row in zip(examples, rows, strict=True):
            if self.positions is not None and len(row) > self.positions:
                what = f"example {example.id} of {example.task or 'a task'} has {len(row)} tokens"
                name = type(self.language).__name__
                raise PlanError(f"{what}, and {name} has {self.positions} positions", "Shorten its texts or media.")

    def _prompts(self, examples: Sequence[Example], *, begin: bool = True) -> list[Prompt]:
        soft = self.adapters.prompt_lengths(len(examples))
        tokens = {modality: self._encoder(modality).tokens for modality in self.modalities}
        frame = self.frame if begin else replace(self.frame, before=())
        return write_prompts(examples, soft, tokens, self.texts.encode, self._pad_id, frame)

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        states, labels = self.answer_states(batch)
        return self.project(states), labels

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        batch = self._current(batch)
        inputs: Inputs = batch.inputs["composed"]
        hidden = self._hidden(self._embed(inputs), inputs)
        answered = batch.labels[:, 1:] != IGNORE_INDEX
        return hidden[:, :-1][answered], batch.labels[:, 1:][answered]

    def _current(self, batch: Batch) -> Batch:
        """Return the batch for the active selection, on which soft prompts and shared prefixes depend."""
        inputs: Inputs = batch.inputs["composed"]
        layout = self.adapters.layout(len(batch)) if self.adapters.per_example else None
        soft = self.adapters.prompt_lengths(len(batch))
        if (inputs.layout, inputs.soft) == (layout, soft) and not self.adapters.mixes_tokens:
            return batch
        return self.batch(batch.examples, batch.groups)

    def project(self, states: Tensor) -> Tensor:
        return logits_of(self.language, states)

    def _hidden(self, embeds: Tensor, inputs: Inputs) -> Tensor:
        """Return [B, L, size]: the language model's last hidden states, computed on packed rows if planned."""
        self._locate(inputs)
        if inputs.packing is None:
            # The padding is at the right, and attention is causal: no mask is needed.
            return cast(Tensor, decoder_of(self.language)(inputs_embeds=embeds, use_cache=False).last_hidden_state)
        packed, position, mask = inputs.packing.pack(embeds)
        decoder = decoder_of(self.language)
        output = decoder(inputs_embeds=packed, position_ids=position, attention_mask=mask, use_cache=False)
        return inputs.packing.unpack(output.last_hidden_state, embeds.shape[1])

    def _locate(self, inputs: Inputs) -> None:
        """Set the example of each position of the next forward pass, and which positions are prompts."""
        if self.adapters.needs_positions:
            examples, prompt = inputs.positions()
            self.adapters.locate(examples, len(inputs.ids), prompt)

    def _embed(self, inputs: Inputs) -> Tensor:
        """Return [B, L, size]: word embeddings, with media and soft prompts in place of their placeholders."""
        embeds = cast(Tensor, self.language.get_input_embeddings()(inputs.ids))
        for modality, media in inputs.media.items():
            tokens = self.modules.standardizers.standardized(modality, media.tokens)
            connected = self.adapters.connect(modality, tokens, media.rows)
            embeds = embeds.index_put(media.places(connected.shape[1], embeds.device), connected.to(embeds.dtype))
        if any(inputs.soft):
            embeds = inputs.with_soft_prompts(embeds, self.adapters.prompts(len(inputs.ids)))
        return embeds

    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        prompts, rows, labels = self._with_answers(examples)
        inputs = self._inputs(examples, prompts, rows, pack=False)
        lengths = torch.tensor([[len(row)] for row in rows], device=self.device)
        targets = labels[:, 1:]
        answered = targets != IGNORE_INDEX

        def run() -> Tensor:
            states = self._hidden(self._embed(inputs), inputs)[:, :-1][answered]
            return nn.functional.cross_entropy(self.project(states).float(), targets[answered], reduction="sum")

        yield PlainPass(torch.arange(inputs.ids.shape[1], device=self.device) < lengths, int(answered.sum()), run)

    # Media

    def check_media(self, media: Sequence[InspectedMedium]) -> Iterator[MediumFault]:
        own = {modality: self._encoder(modality) for modality in self.modalities}
        return faulty_media([each for each in media if each.medium.modality in own], own)

    def _encoder(self, modality: str) -> Encoder:
        return cast(Encoder, self.modules.encoders[modality])

    def _media(self, places: Sequence[tuple[int, int, Media]]) -> dict[str, MediaTokens]:
        """Return the encoder outputs of media by modality; ``places`` holds (row, first position, medium)."""
        return media_tokens(places, self.encode)

    def encode(self, modality: str, media: Sequence[Media]) -> Tensor:
        """Return [n, tokens, width]: the frozen encoder's outputs for media, from the feature cache if there is one."""
        encoder = self._encoder(modality)
        compute = EncodeOneByOne(encoder, self.read, self.device)
        if self.cache is None or has_trainable(encoder):
            return compute(media)
        key = f"{self._encoder_keys[modality]}{precision_key(self.device, torch.float32)}"
        return self.cache(key, media, compute).to(self.device)

    @cached_property
    def _encoder_keys(self) -> dict[str, str]:
        return {
            name: encoder_key(self.preset, name, self._encoder(name), self.resources.file_digest)
            for name in self.preset.encoders
        }

    def calibrate(self, examples: Sequence[Example]) -> None:
        """Fit the standardizers of modalities that have not been learnt before to the examples' media."""
        for modality, standardizer in self.modules.standardizers.unfitted():
            media = list({m.key: m for e in examples for m in e.media if m.modality == modality}.values())
            if media:
                standardizer.fit(self.encode(modality, media[:: -(-len(media) // FIT_MEDIA)]))

    def reset_calibration(self) -> None:
        self.modules.standardizers.reset()

    @torch.no_grad()
    def features(self, examples: Sequence[Example]) -> Tensor:
        """Return per example the mean token of each modality, each one's presence, and the mean word embedding."""
        with self.adapters.using(None) if self.adapters.has_prompts else self.evaluation_mode():
            prompts = self._prompts(examples)
        media = self._media([(row, *place) for row, prompt in enumerate(prompts) for place in prompt.media])
        widths = {modality: self._encoder(modality).width for modality in sorted(self.modalities)}
        means = [mean_tokens(media.get(name), len(examples), width, self.device) for name, width in widths.items()]
        vectors, present = zip(*means, strict=True) if means else ((), ())
        texts = [prompt.text_ids or [self._eos_id] for prompt in prompts]
        words = [self.embeddings[torch.tensor(ids, device=self.device)].float().mean(0) for ids in texts]
        return torch.cat([*vectors, *present, torch.stack(words)], dim=1)
