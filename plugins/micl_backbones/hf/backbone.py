"""Any multimodal checkpoint of transformers, by hub id or folder, through its own processor and chat template."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn

from micl_backbones.hf.answers import HFAnswers
from micl_backbones.hf.chat import Chat
from micl_backbones.hf.check import check_content
from micl_backbones.hf.encoder_outputs import Encoders
from micl_backbones.hf.load import (
    checkpoint_digest,
    decoder_name,
    known_checkpoints,
    load_checkpoint,
    named_checkpoint,
)
from micl_backbones.hf.passes import Reached, before_answers, mean_vectors, projecting, watching
from micl_backbones.hf.soft_prompts import SoftPlaces, make_places
from micl_backbones.instructions import GENERAL
from micl_backbones.language import has_trainable, matching_layers, numerics, uncast
from micl_backbones.weights.hub import fetch_checkpoint
from micl_backbones.weights.quantize import DType, Quantize
from micl_cli.api import (
    IGNORE_INDEX,
    AdapterSpec,
    Batch,
    Example,
    FetchProgress,
    Media,
    PlainPass,
    PresetInfo,
    Range,
    Resources,
)

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TRAINING = {"learning_rate": 2e-4, "batch_size": 4, "accumulation": 4, "epochs": 3, "warmup": 0.03, "weight_decay": 0.0}
"""What QLoRA (Dettmers et al., arXiv 2305.14314) and its successors use for models of about 7 billion weights."""
FEATURES, SOFT = "features", "soft"
"""Keys of a batch's inputs that the model is not given as arguments: encoder outputs, places of soft prompts."""
ADAPTERS = "micl_adapters"
"""The name under which the model holds the adapters' weights."""


class HF(HFAnswers):
    """A pretrained multimodal model; adapters are on the linear layers of its language model."""

    provides = frozenset({"adapters", "text", "generate", "choices", "features", "questions"})

    def __init__(
        self,
        checkpoint: str = "",
        *,
        resources: Resources,
        lora_rank: Annotated[int, "rank of the LoRA matrices", Range(1)] = 8,
        lora_alpha: Annotated[float, "LoRA's scale: alpha / rank multiplies what it adds", Range(0)] = 16.0,
        lora_dropout: Annotated[float, "dropout before the LoRA matrices", Range(0, 1, high_open=True)] = 0.0,
        lora_targets: Annotated[str, "last words of the names of the language model's layers that LoRA adapts"] = (
            ",".join(TARGETS)
        ),
        quantize: Annotated[Quantize, "store the language model's frozen weights in 4 or 8 bits"] = "none",
        dtype: Annotated[DType, "of frozen weights and computation; auto: bf16 where it is native"] = "auto",
        frames: Annotated[int, "frames of a clip", Range(1)] = 4,
        trust_remote_code: Annotated[bool, "let the checkpoint bring code of its own, and run it"] = False,
    ) -> None:
        self.rank, self.alpha, self.dropout = lora_rank, lora_alpha, lora_dropout
        self._targets = [name.strip() for name in lora_targets.split(",")]
        loaded = load_checkpoint(checkpoint, quantize, dtype, trust=trust_remote_code)
        self.model: Any = loaded.model
        self.chat = Chat(loaded.processor, loaded.ends, frames=frames)
        self.modalities = self.chat.modalities
        self._decoder = decoder_name(self.model)
        self.encoders = Encoders(self.model, self.modalities)
        commit = getattr(self.model.config, "_commit_hash", None)
        known = f"{checkpoint_digest(checkpoint)} {commit} {self.chat.settings}"
        self._known_as = sha256(known.encode()).hexdigest()[:16]
        super().__init__(resources)
        _ = self.adaptable_layers  # that there are none is told at once
        self.model.add_module(ADAPTERS, self.adapters.store)

    @classmethod
    def defaults(cls, preset: str, resources: Resources) -> Mapping[str, Any]:
        return TRAINING

    @classmethod
    def digest(cls, preset: str, resources: Resources) -> str:
        return checkpoint_digest(preset)

    @classmethod
    def presets(cls, resources: Resources) -> Sequence[PresetInfo]:
        return known_checkpoints()

    @classmethod
    def fetch(cls, preset: str, tell: FetchProgress, resources: Resources) -> None:
        name, revision = named_checkpoint(preset)
        if Path(name).is_dir():
            super().fetch(name, tell, resources)
        fetch_checkpoint(name, revision, tell)

    # The model

    @property
    def module(self) -> nn.Module:
        return cast(nn.Module, self.model)

    @property
    def language(self) -> Any:
        return self.model

    def adaptable_names(self) -> Sequence[str]:
        within = f"{self._decoder}."
        named = [(name, layer) for name, layer in self.model.named_modules() if name.startswith(within)]
        return matching_layers(named, self._targets, nn.Linear)

    def default_spec(self) -> AdapterSpec:
        return AdapterSpec("lora", {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout})

    def place(self, device: torch.device) -> None:
        if self.device.type != device.type:  # 8-bit weights stay where they were loaded: on the GPU where there is one
            self.model.to(device)
        if self._projects_plainly():
            self.provides = HF.provides | {"states"}

    @torch.no_grad()
    def _projects_plainly(self) -> bool:
        """Whether its logits are the vocabulary projection of its states and no more; Gemma caps large ones."""
        ids = torch.tensor([self.chat.encode("a")], device=self.device)
        states: list[Tensor] = []

        def enlarged(hidden: Tensor) -> Tensor:
            states.append(hidden * 1000)
            return states[-1]

        with projecting(self.model, enlarged):
            logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        return torch.equal(logits.float(), self._head(states[0]).float())

    def check(self, examples: Sequence[Example]) -> None:
        check_content(self.chat, examples, self._read_media)

    # Batches

    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        """Return a batch whose rows without a medium, which are short, are read apart from those with one."""
        with_media = [i for i, e in enumerate(examples) if e.media]
        without = [i for i, e in enumerate(examples) if not e.media]
        soft = self.adapters.prompt_lengths(len(examples))
        parts = [(rows, *self._with_answers(examples, rows, soft)) for rows in (with_media, without) if rows]
        width = max(labels.shape[1] for _, _, labels in parts)
        whole = parts[0][2].new_full((len(examples), width), IGNORE_INDEX)
        for rows, _, labels in parts:
            whole[rows, width - labels.shape[1] :] = labels
        return Batch(examples, whole, {"parts": parts, SOFT: soft}, dict(groups or {}))

    def _with_answers(
        self, examples: Sequence[Example], rows: Sequence[int], soft: Sequence[int]
    ) -> tuple[dict[str, Any], Tensor]:
        """Return ``_inputs`` of the prompts of some examples with their answers, and the labels [B, L]."""
        chat, own = self.chat, [examples[row] for row in rows]
        prompts, answers = chat.prompts(own), [chat.answer(e.target) for e in own]
        texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        inputs = self._inputs(own, texts, soft=[soft[row] for row in rows])
        # Places of media are widened only later, so that the difference is the answer's length alone.
        counts = [len(chat.encode(text)) - len(chat.encode(p)) for text, p in zip(texts, prompts, strict=True)]
        labels = torch.full_like(inputs["input_ids"], IGNORE_INDEX)
        for row, count in enumerate(counts):
            labels[row, -count:] = inputs["input_ids"][row, -count:]
        return inputs, labels

    def _inputs(
        self, examples: Sequence[Example], texts: Sequence[str], *, soft: Sequence[int] = (), cache: bool = True
    ) -> dict[str, Any]:
        """Return the processor's tensors, encoder outputs where these can be cached, and places of soft prompts."""
        cached = cache and self.encoders.replaceable([[medium.modality for medium in e.media] for e in examples])
        cached = cached and not has_trainable(self.model, (self._decoder, ADAPTERS))
        media = [self._read_media(example) for example in examples]  # once: an augmented one is another each time
        pairs = [
            (m, read) for e, own in zip(examples, media, strict=True) for m, (_, read) in zip(e.media, own, strict=True)
        ]
        outputs = [(medium.modality, self._encoded(medium, read)) for medium, read in pairs] if cached else []
        tensors, places = self._tensors(texts, media), None
        if any(soft):
            tokenizer = self.chat.tokenizer
            filler = self.chat.encode("a")[0]
            pad, begin = tokenizer.pad_token_id, tokenizer.bos_token_id
            tensors, places = make_places(tensors, soft, pad=pad, filler=filler, begin=begin)
        return {**tensors, FEATURES: outputs, SOFT: places}

    def _read_media(self, example: Example) -> list[tuple[str, Any]]:
        """Return (modality, medium as the processor takes it) of each medium."""
        options = self.chat.options
        return [(m.modality, self.chat.medium(m.modality, self.read(m, options[m.modality]))) for m in example.media]

    def _encoded(self, medium: Media, read: Any) -> Tensor:
        """Return [1 + K, T, D] of one medium, see Encoders."""
        compute = partial(self._encode, read=read)
        if self.cache is None:
            return compute([medium])[0]
        key = f"{medium.modality}-{self._known_as}{numerics(self.device, self.model.dtype)}"
        return self.cache(key, [medium], compute)[0].to(self.device)

    def _encode(self, media: Sequence[Media], *, read: Any) -> Tensor:
        # One at a time: in a batch the last bits differ.
        (medium,) = media
        tensors = self._tensors(self.chat.prompts([Example("", (medium, "a"))]), [[(medium.modality, read)]])
        with self.answering(), uncast(self.device), self.encoders.recording() as found, watching(self.model, stop=True):
            self.model(**tensors, use_cache=False)
        return torch.stack(found)

    def _tensors(self, texts: Sequence[str], media: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, Tensor]:
        made = self.chat.encoded(texts, media)
        return {name: self._placed(value) for name, value in made.items()}

    def _placed(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.model.dtype if value.is_floating_point() else None)

    # Passes

    def _run(
        self, call: Callable[..., Any], inputs: Mapping[str, Any], rows: Sequence[int], count: int, **more: Any
    ) -> Any:
        """Call the model with ``_inputs`` of the examples ``rows`` of a batch of ``count``."""
        tensors = {name: value for name, value in inputs.items() if name not in (FEATURES, SOFT)}
        places: SoftPlaces | None = inputs[SOFT]
        with ExitStack() as stack:
            stack.enter_context(self.encoders.giving(inputs[FEATURES]))
            if places is not None:
                prompts = self.adapters.prompts(count)
                vectors = torch.cat([vector for row in rows for vector in prompts[row]])
                stack.enter_context(places.filled(self.model.get_input_embeddings(), vectors))
            return call(**tensors, **more)

    def _locate(self, inputs: Mapping[str, Any], rows: Sequence[int], count: int, labels: Tensor | None = None) -> None:
        """Tell the adapters which example each row belongs to, and which positions are prompts."""
        if self.adapters.needs_positions:
            prompt = inputs["attention_mask"].bool()
            if labels is not None:
                prompt = prompt & ((labels != IGNORE_INDEX).cumsum(1) == 0)
            self.adapters.locate(torch.tensor(list(rows), device=self.device), count, prompt)

    def _passes(self, batch: Batch) -> Iterator[tuple[Tensor, Callable[[], Any]]]:
        """Yield for each part of a batch where its answers stand [B, L - 1], and a function that runs the model."""
        if self.adapters.prompt_lengths(len(batch)) != batch.inputs[SOFT]:
            batch = self.batch(batch.examples, batch.groups)  # how long rows are depends on the selection that acts
        for rows, inputs, labels in batch.inputs["parts"]:
            self._locate(inputs, rows, len(batch), labels)
            yield (
                labels[:, 1:] != IGNORE_INDEX,
                partial(self._run, self.model, inputs, rows, len(batch), use_cache=False),
            )

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        found = []
        for wanted, run in self._passes(batch):
            with projecting(self.model, partial(before_answers, wanted)):
                found.append(run().logits)
        return self._in_order(batch, found)

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if "states" not in self.provides:
            return super().answer_states(batch)
        found: list[Tensor] = []

        def take(wanted: Tensor, hidden: Tensor) -> Tensor:
            found.append(before_answers(wanted, hidden))
            raise Reached

        for wanted, run in self._passes(batch):
            with suppress(Reached), projecting(self.model, partial(take, wanted)):
                run()
        return self._in_order(batch, found)

    def project(self, states: Tensor) -> Tensor:
        return self._head(states) if "states" in self.provides else states

    def _head(self, states: Tensor) -> Tensor:
        return cast(Tensor, self.model.get_output_embeddings()(states))

    def _in_order(self, batch: Batch, found: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what was computed at the answer positions of a batch's parts as one tensor, row by row; and labels."""
        wanted = [(rows, labels[:, 1:] != IGNORE_INDEX) for rows, _, labels in batch.inputs["parts"]]
        owners = [torch.tensor(rows, device=where.device)[where.nonzero()[:, 0]] for rows, where in wanted]
        order = torch.cat(owners).argsort(stable=True)
        return torch.cat(list(found))[order], batch.labels[:, 1:][batch.labels[:, 1:] != IGNORE_INDEX]

    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        batch = self.batch(examples)
        for (_, inputs, labels), (wanted, run) in zip(batch.inputs["parts"], self._passes(batch), strict=True):
            targets = labels[:, 1:][wanted]
            yield PlainPass(
                inputs["attention_mask"].bool(), len(targets), partial(self._loss_sum, wanted, run, targets)
            )

    def _loss_sum(self, wanted: Tensor, run: Callable[[], Any], targets: Tensor) -> Tensor:
        with projecting(self.model, partial(before_answers, wanted)):
            return nn.functional.cross_entropy(run().logits.float(), targets, reduction="sum")

    @torch.no_grad()
    def features(self, examples: Sequence[Example]) -> Tensor:
        """Return the media's mean token as the language model gets it, which modalities there are, the mean word."""
        with self.adapters.using(None) if self.adapters.active is not None else self.answering():
            inputs = self._inputs(examples, self.chat.prompts(examples))
            with watching(self.model, stop=True) as given:
                self._run(self.model, inputs, range(len(examples)), len(examples), use_cache=False)
        embeds = given[0]["inputs_embeds"].float()
        words = self.model.get_input_embeddings()(inputs["input_ids"]).float()
        there = inputs["attention_mask"].bool()
        media = (embeds != words).any(-1) & there
        rows = [[float(name in example.modalities) for name in sorted(self.modalities)] for example in examples]
        present = torch.tensor(rows, device=embeds.device)
        return torch.cat([mean_vectors(embeds, media), present, mean_vectors(words, there & ~media)], dim=1)

    def instructions(self) -> Sequence[str]:
        return GENERAL
