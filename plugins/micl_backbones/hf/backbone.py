"""Any multimodal transformers checkpoint, by hub id or folder, with its own processor and chat template."""

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
from micl_backbones.hf.chat import Chat, Prompt
from micl_backbones.hf.check import check_content
from micl_backbones.hf.check_media import faulty_media
from micl_backbones.hf.clips import SECONDS
from micl_backbones.hf.encoder_outputs import Encoders
from micl_backbones.hf.load import (
    checkpoint_digest,
    decoder_name,
    load_checkpoint,
)
from micl_backbones.hf.passes import StopForward, before_answers, capture_inputs, mean_vectors, project_only
from micl_backbones.hf.soft_prompts import SoftPlaces, make_places
from micl_backbones.instructions import general_instructions
from micl_backbones.language import has_trainable, matching_layers, precision_key, without_autocast
from micl_backbones.weights.quantize import DType, Quantize
from micl_cli.api import (
    IGNORE_INDEX,
    AdapterSpec,
    Batch,
    Example,
    ExportRequest,
    ExportSummary,
    InspectedMedium,
    Media,
    MediumFault,
    OptionError,
    PlainPass,
    Range,
    Resources,
)

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FEATURES, SOFT = "features", "soft"
"""Keys of a batch's inputs that are no arguments of the model: encoder outputs, places of soft prompts."""
ADAPTERS = "micl_adapters"
"""The name of the model's submodule that holds the adapters."""


class HF(HFAnswers):
    """A pretrained multimodal model with adapters on the linear layers of its language model."""

    provides = frozenset({"adapters", "text", "generate", "choices", "features", "questions", "penalties"})

    def __init__(
        self,
        checkpoint: str = "",
        *,
        resources: Resources,
        lora_rank: Annotated[int, "rank of LoRA", Range(1)] = 8,
        lora_alpha: Annotated[float, "LoRA's output is scaled by alpha / rank", Range(0)] = 16.0,
        lora_dropout: Annotated[float, "dropout on LoRA's input", Range(0, 1, high_open=True)] = 0.0,
        lora_targets: Annotated[str, "names of the language model's linear layers to adapt"] = (",".join(TARGETS)),
        quantize: Annotated[Quantize, "store the language model's frozen weights in 4 or 8 bits"] = "none",
        dtype: Annotated[
            DType, "dtype of frozen weights and computation; auto: bf16 on hardware with native bf16"
        ] = "auto",
        frames: Annotated[int, "frames sampled from each video", Range(1)] = 4,
        trust_remote_code: Annotated[bool, "run Python code that the checkpoint contains"] = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.rank, self.alpha, self.dropout = lora_rank, lora_alpha, lora_dropout
        self._targets = [stripped for name in lora_targets.split(",") if (stripped := name.strip())]
        if not self._targets:
            raise OptionError("lora_targets names no layer", f"For example: -b lora_targets {','.join(TARGETS[:2])}")
        loaded = load_checkpoint(checkpoint, quantize, dtype, trust=trust_remote_code)
        self.model: Any = loaded.model
        self.chat = Chat(loaded.processor, loaded.ends, frames=frames)
        self.modalities = self.chat.modalities
        self._decoder = decoder_name(self.model)
        self.encoders = Encoders(self.model, self.modalities)
        identity = f"{checkpoint_digest(checkpoint, resources.file_digest)} {self.chat.settings}"
        self._fingerprint = sha256(identity.encode()).hexdigest()[:16]
        super().__init__(resources)
        _ = self.adaptable_layers  # raises at once if there are none
        self.model.add_module(ADAPTERS, self.adapters.store)

    # The model

    @property
    def module(self) -> nn.Module:
        return cast(nn.Module, self.model)

    @property
    def language(self) -> Any:
        return self.model

    def adaptable_names(self) -> Sequence[str]:
        lenient = self._targets == list(TARGETS)  # the defaults are names of several model families
        return matching_layers(self.model, self._targets, nn.Linear, within=self._decoder, lenient=lenient)

    def default_spec(self) -> AdapterSpec:
        return AdapterSpec("lora", {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout})

    def place(self, device: torch.device) -> None:
        if self.device.type != device.type:  # 8-bit weights cannot be moved; they are loaded on the GPU if there is one
            self.model.to(device)
        if self._logits_are_projection():
            self.provides = HF.provides | {"states"}

    @torch.no_grad()
    def _logits_are_projection(self) -> bool:
        """Whether the logits are exactly the vocabulary projection of the states; Gemma caps large logits."""
        ids = torch.tensor([self.chat.encode("a")], device=self.device)
        states: list[Tensor] = []

        def enlarged(hidden: Tensor) -> Tensor:
            states.append(hidden * 1000)
            return states[-1]

        with project_only(self.model, enlarged):
            logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        return torch.equal(logits.float(), self._head(states[0]).float())

    def check(self, examples: Sequence[Example]) -> None:
        check_content(self.chat, examples, self._read_media)

    def check_media(self, media: Sequence[InspectedMedium]) -> Iterator[MediumFault]:
        return faulty_media(self.chat, media)

    # Batches

    def batch(self, examples: Sequence[Example], groups: Mapping[str, Sequence[int]] | None = None) -> Batch:
        """Return a batch of up to two passes: rows without media, which are short, get one of their own."""
        with_media = [i for i, e in enumerate(examples) if e.media]
        without = [i for i, e in enumerate(examples) if not e.media]
        soft = self.adapters.prompt_lengths(len(examples))
        passes = [(rows, *self._with_answers(examples, rows, soft)) for rows in (with_media, without) if rows]
        width = max(labels.shape[1] for _, _, labels in passes)
        all_labels = passes[0][2].new_full((len(examples), width), IGNORE_INDEX)
        for rows, _, labels in passes:
            all_labels[rows, width - labels.shape[1] :] = labels
        return Batch(examples, all_labels, {"passes": passes, SOFT: soft}, dict(groups or {}))

    def _with_answers(
        self, examples: Sequence[Example], rows: Sequence[int], soft: Sequence[int]
    ) -> tuple[dict[str, Any], Tensor]:
        """Return the ``_inputs`` of the examples ``rows`` with their answers, and the labels [B, L]."""
        own = [examples[row] for row in rows]
        answers = [self.chat.answer(example.target) for example in own]
        inputs = self._inputs(own, self.chat.prompts(own), answers=answers, soft=[soft[row] for row in rows])
        labels = torch.full_like(inputs["input_ids"], IGNORE_INDEX)
        for row, answer in enumerate(answers):
            labels[row, -len(answer) :] = inputs["input_ids"][row, -len(answer) :]
        return inputs, labels

    def _inputs(
        self,
        examples: Sequence[Example],
        prompts: Sequence[Prompt],
        *,
        answers: Sequence[Sequence[int]] | None = None,
        soft: Sequence[int] = (),
        cache: bool = True,
    ) -> dict[str, Any]:
        """Return the processor's tensors, encoder outputs if they can be cached, and the places of soft prompts."""
        cached = cache and self.encoders.can_replace([[medium.modality for medium in e.media] for e in examples])
        cached = cached and not has_trainable(self.model, (self._decoder, ADAPTERS))
        media = [self._read_media(example) for example in examples]  # read once: augmentation differs at each reading
        pairs = [
            (m, read) for e, own in zip(examples, media, strict=True) for m, (_, read) in zip(e.media, own, strict=True)
        ]
        outputs = [(medium.modality, self._encoded(medium, read)) for medium, read in pairs] if cached else []
        tensors, places = self._tensors(prompts, media, answers), None
        if any(soft):
            tokenizer = self.chat.tokenizer
            placeholder = self.chat.encode("a")[0]
            pad, begin = tokenizer.pad_token_id, tokenizer.bos_token_id
            tensors, places = make_places(tensors, soft, pad=pad, placeholder=placeholder, begin=begin)
        return {**tensors, FEATURES: outputs, SOFT: places}

    def _read_media(self, example: Example) -> list[tuple[str, Any]]:
        """Return (modality, medium in the processor's form) of each medium."""
        options = self.chat.options
        return [(m.modality, self.chat.medium(m.modality, self.read(m, options[m.modality]))) for m in example.media]

    def _encoded(self, medium: Media, read: Any) -> Tensor:
        """Return the encoder output [1 + K, T, D] of one medium, see Encoders."""
        compute = partial(self._encode, read=read)
        if self.cache is None:
            return compute([medium])[0]
        key = f"{medium.modality}-{self._fingerprint}{precision_key(self.device, self.model.dtype)}"
        return self.cache(key, [medium], compute)[0].to(self.device)

    def _encode(self, media: Sequence[Media], *, read: Any) -> Tensor:
        # One medium at a time: in a batch, results would depend on its other media.
        (medium,) = media
        tensors = self._tensors(self.chat.prompts([Example("", (medium, "a"))]), [[(medium.modality, read)]])
        with (
            self.evaluation_mode(),
            without_autocast(self.device),
            self.encoders.recording() as outputs,
            capture_inputs(self.model, stop=True),
        ):
            self.model(**tensors, use_cache=False)
        return torch.stack(outputs)

    def _tensors(
        self,
        prompts: Sequence[Prompt],
        media: Sequence[Sequence[tuple[str, Any]]],
        answers: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, Tensor]:
        tensors = self.chat.encoded(prompts, media, answers)
        return {name: self._to_device(name, value) for name, value in tensors.items()}

    def _to_device(self, name: str, value: Tensor) -> Tensor:
        cast_down = value.is_floating_point() and name not in SECONDS
        return value.to(self.device, self.model.dtype if cast_down else None)

    # Exports

    def export(self, folder: Path, request: ExportRequest) -> ExportSummary:
        from micl_backbones.export.hf import export_hf

        return export_hf(self, folder, request)

    def detach_adapters(self) -> None:
        """Remove the adapters from the model's submodules, so that it is saved without them."""
        delattr(self.model, ADAPTERS)

    # Passes

    def _run(
        self, call: Callable[..., Any], inputs: Mapping[str, Any], rows: Sequence[int], count: int, **more: Any
    ) -> Any:
        """Call the model with the ``_inputs`` of ``rows``, indices in a batch of ``count`` examples."""
        tensors = {name: value for name, value in inputs.items() if name not in (FEATURES, SOFT)}
        places: SoftPlaces | None = inputs[SOFT]
        with ExitStack() as stack:
            stack.enter_context(self.encoders.replacing(inputs[FEATURES]))
            if places is not None:
                prompts = self.adapters.prompts(count)
                vectors = torch.cat([vector for row in rows for vector in prompts[row]])
                stack.enter_context(places.filled(self.model.get_input_embeddings(), vectors))
            return call(**tensors, **more)

    def _locate(self, inputs: Mapping[str, Any], rows: Sequence[int], count: int, labels: Tensor | None = None) -> None:
        """Set the example of each row of the next forward pass, and which positions are prompts."""
        if self.adapters.needs_positions:
            prompt = inputs["attention_mask"].bool()
            if labels is not None:
                prompt = prompt & ((labels != IGNORE_INDEX).cumsum(1) == 0)
            self.adapters.locate(torch.tensor(list(rows), device=self.device), count, prompt)

    def _passes(self, batch: Batch) -> Iterator[tuple[Tensor, Callable[[], Any]]]:
        """Yield for each pass of a batch the mask of answer positions [B, L - 1] and a function that runs the model."""
        if self.adapters.prompt_lengths(len(batch)) != batch.inputs[SOFT]:
            batch = self.batch(batch.examples, batch.groups)  # the active selection has other soft prompts
        for rows, inputs, labels in batch.inputs["passes"]:
            self._locate(inputs, rows, len(batch), labels)
            yield (
                labels[:, 1:] != IGNORE_INDEX,
                partial(self._run, self.model, inputs, rows, len(batch), use_cache=False),
            )

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = []
        for answered, run in self._passes(batch):
            with project_only(self.model, partial(before_answers, answered)):
                logits.append(run().logits)
        return self._in_order(batch, logits)

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if "states" not in self.provides:
            return super().answer_states(batch)
        states: list[Tensor] = []

        def take(answered: Tensor, hidden: Tensor) -> Tensor:
            states.append(before_answers(answered, hidden))
            raise StopForward

        for answered, run in self._passes(batch):
            with suppress(StopForward), project_only(self.model, partial(take, answered)):
                run()
        return self._in_order(batch, states)

    def project(self, states: Tensor) -> Tensor:
        return self._head(states) if "states" in self.provides else states

    def _head(self, states: Tensor) -> Tensor:
        return cast(Tensor, self.model.get_output_embeddings()(states))

    def _in_order(self, batch: Batch, per_pass: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the results at answer positions of all passes in the order of the examples, and the labels."""
        masks = [(rows, labels[:, 1:] != IGNORE_INDEX) for rows, _, labels in batch.inputs["passes"]]
        owners = [torch.tensor(rows, device=mask.device)[mask.nonzero()[:, 0]] for rows, mask in masks]
        order = torch.cat(owners).argsort(stable=True)
        return torch.cat(list(per_pass))[order], batch.labels[:, 1:][batch.labels[:, 1:] != IGNORE_INDEX]

    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        batch = self.batch(examples)
        for (_, inputs, labels), (answered, run) in zip(batch.inputs["passes"], self._passes(batch), strict=True):
            targets = labels[:, 1:][answered]
            yield PlainPass(
                inputs["attention_mask"].bool(), len(targets), partial(self._loss_sum, answered, run, targets)
            )

    def _loss_sum(self, answered: Tensor, run: Callable[[], Any], targets: Tensor) -> Tensor:
        with project_only(self.model, partial(before_answers, answered)):
            return nn.functional.cross_entropy(run().logits.float(), targets, reduction="sum")

    @torch.no_grad()
    def features(self, examples: Sequence[Example]) -> Tensor:
        """Return per example the mean media embedding, the modalities present, and the mean word embedding."""
        with self.adapters.using(None) if self.adapters.active is not None else self.evaluation_mode():
            inputs = self._inputs(examples, self.chat.prompts(examples))
            with capture_inputs(self.model, stop=True) as captured:
                self._run(self.model, inputs, range(len(examples)), len(examples), use_cache=False)
        embeds = captured[0]["inputs_embeds"].float()
        words = self.model.get_input_embeddings()(inputs["input_ids"]).float()
        unpadded = inputs["attention_mask"].bool()
        media = (embeds != words).any(-1) & unpadded
        rows = [[float(name in example.modalities) for name in sorted(self.modalities)] for example in examples]
        present = torch.tensor(rows, device=embeds.device)
        return torch.cat([mean_vectors(embeds, media), present, mean_vectors(words, unpadded & ~media)], dim=1)

    def instructions(self) -> Sequence[str]:
        return general_instructions()
