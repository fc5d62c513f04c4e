"""Any multimodal checkpoint of transformers, by hub id or folder, through its own processor and chat template."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from peft import LoraConfig
from torch import Tensor, nn

from micl_backbones.adapters.backbone import LoraBackbone, learns, numerics, uncast
from micl_backbones.hf.chat import Chat
from micl_backbones.hf.encoder_outputs import Encoders
from micl_backbones.hf.load import (
    checkpoint_digest,
    decoder_name,
    known_checkpoints,
    load_checkpoint,
    named_checkpoint,
)
from micl_backbones.instructions import GENERAL
from micl_backbones.weights.hub import fetch_checkpoint
from micl_backbones.weights.quantize import DType, Quantize
from micl_cli.api import IGNORE_INDEX, Batch, Example, PlanError, PresetInfo, Tell

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TRAINING = {"learning_rate": 2e-4, "batch_size": 4, "accumulation": 4, "epochs": 3, "warmup": 0.03, "weight_decay": 0.0}
"""What QLoRA (Dettmers et al., arXiv 2305.14314) and its successors use for models of about 7 billion weights."""
ASK = (
    "Write one short question about the scene that this caption describes, and behind it the answer in one word.\n"
    "Caption: a black dog jumps over a log in the woods\nWhat does the dog jump over? log\nCaption: {caption}"
)


SEEN = "seen"


class _Reached(Exception):
    """Ends a forward pass where what was looked for is there."""


class HF(LoraBackbone):
    """A pretrained multimodal model; LoRA adapts the linear layers of its language model."""

    provides = frozenset({"adapters", "text", "generate", "choose", "features", "questions"})

    def __init__(
        self,
        checkpoint: str = "",
        *,
        lora_rank: Annotated[int, "rank of the LoRA matrices"] = 8,
        lora_alpha: Annotated[float, "LoRA's scale: alpha / rank multiplies what it adds"] = 16.0,
        lora_dropout: Annotated[float, "dropout before the LoRA matrices"] = 0.0,
        lora_targets: Annotated[str, "the ends of the names of the language model's layers that LoRA adapts"] = (
            ",".join(TARGETS)
        ),
        quantize: Annotated[Quantize, "keep the language model's frozen weights in 4 or 8 bits"] = "none",
        dtype: Annotated[DType, "of frozen weights and the computing; auto: bf16 where it is native"] = "auto",
        frames: Annotated[int, "frames of a clip"] = 4,
        trust_remote_code: Annotated[bool, "let the checkpoint bring code of its own, and run it"] = False,
    ) -> None:
        super().__init__()
        self.rank, self.alpha, self.dropout = lora_rank, lora_alpha, lora_dropout
        loaded = load_checkpoint(checkpoint, quantize, dtype, trust=trust_remote_code)
        self.model: Any = loaded.model
        self.chat = Chat(loaded.processor, loaded.ends, frames=frames)
        self.modalities = self.chat.modalities
        self._decoder = decoder_name(self.model)
        self.layers = _adapted(self.model, lora_targets)
        self.encoders = Encoders(self.model, self.modalities)
        commit = getattr(self.model.config, "_commit_hash", None)
        known = f"{checkpoint_digest(checkpoint)} {commit} {self.chat.settings}"
        self._known_as = sha256(known.encode()).hexdigest()[:16]

    @classmethod
    def defaults(cls, preset: str) -> Mapping[str, Any]:
        return TRAINING

    @classmethod
    def digest(cls, preset: str) -> str:
        return checkpoint_digest(preset)

    @classmethod
    def presets(cls) -> Sequence[PresetInfo]:
        return known_checkpoints()

    @classmethod
    def fetch(cls, preset: str, tell: Tell) -> None:
        name, revision = named_checkpoint(preset)
        if Path(name).is_dir():
            super().fetch(name, tell)
        fetch_checkpoint(name, revision, tell)

    @property
    def module(self) -> nn.Module:
        return cast(nn.Module, self.model)

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

        with self._projecting(enlarged):
            logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        return torch.equal(logits.float(), self._head(states[0]).float())

    @property
    def language(self) -> Any:
        return self.model

    def lora_config(self) -> LoraConfig:
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.layers,
            task_type="CAUSAL_LM",
        )

    def checkpoint_gradients(self) -> None:
        self.model.gradient_checkpointing_enable({"use_reentrant": False})

    # Batches

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Rows without a medium, which are short, are read apart from those with one, and padded for themselves."""
        seen = [i for i, e in enumerate(examples) if e.modality]
        plain = [i for i, e in enumerate(examples) if not e.modality]
        parts = [(rows, *self._taught([examples[i] for i in rows])) for rows in (seen, plain) if rows]
        width = max(labels.shape[1] for _, _, labels in parts)
        whole = parts[0][2].new_full((len(examples), width), IGNORE_INDEX)
        for rows, _, labels in parts:
            whole[rows, width - labels.shape[1] :] = labels
        return Batch(examples, whole, {"parts": parts})

    def _taught(self, examples: Sequence[Example]) -> tuple[dict[str, Any], Tensor]:
        """``_inputs`` of prompts with their answers, and the labels [B, L]."""
        chat = self.chat
        prompts, answers = chat.prompts(examples), [chat.answer(e.target) for e in examples]
        texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        inputs = self._inputs(examples, texts)
        # The medium's places are spread only later, so that the difference is the answer's length alone.
        taught = [len(chat.encode(text)) - len(chat.encode(p)) for text, p in zip(texts, prompts, strict=True)]
        labels = torch.full_like(inputs["input_ids"], IGNORE_INDEX)
        for row, count in enumerate(taught):
            labels[row, -count:] = inputs["input_ids"][row, -count:]
        return inputs, labels

    def _inputs(self, examples: Sequence[Example], texts: Sequence[str], *, keep: bool = True) -> dict[str, Any]:
        """The processor's tensors, and as ``SEEN`` what the encoders make of the media, where that can be kept."""
        kept = keep and all(self.encoders.keeps(e.modality) for e in examples if e.modality)
        kept = kept and not learns(self.model, besides=self._decoder)
        media = [self._medium(example) for example in examples]  # once: an augmented one is another each time
        pairs = zip(examples, media, strict=True)
        seen = [(e.modality, self._encoded(e, medium)) for e, medium in pairs if e.modality] if kept else []
        return {**self._tensors(examples, texts, media), SEEN: seen}

    def _medium(self, example: Example) -> Any:
        if not example.modality:
            return None
        return self.chat.medium(example.modality, self.read(example, self.chat.options[example.modality]))

    def _encoded(self, example: Example, medium: Any) -> Tensor:
        """[1 + K, T, D] of one medium, see Encoders."""
        compute = partial(self._encode, medium=medium)
        if self.cache is None:
            return compute([example])[0]
        key = f"{example.modality}-{self._known_as}{numerics(self.device, self.model.dtype)}"
        return self.cache(key, [example], compute)[0].to(self.device)

    def _encode(self, examples: Sequence[Example], *, medium: Any) -> Tensor:
        # One medium at a time: in company the last bits differ.
        tensors = self._tensors(examples, self.chat.prompts(examples), [medium])
        with self.answering(), uncast(self.device), self.encoders.recording() as found, self._watching(stop=True):
            self.model(**tensors, use_cache=False)
        return torch.stack(found)

    def _run(self, call: Callable[..., Any], inputs: Mapping[str, Any], **more: Any) -> Any:
        """Call the model with ``_inputs``."""
        tensors = {name: value for name, value in inputs.items() if name != SEEN}
        with self.encoders.giving(inputs[SEEN]):
            return call(**tensors, **more)

    def _tensors(self, examples: Sequence[Example], texts: Sequence[str], media: Sequence[Any]) -> dict[str, Tensor]:
        made = self.chat.encoded(examples, texts, media)
        return {name: self._placed(value) for name, value in made.items()}

    def _placed(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.model.dtype if value.is_floating_point() else None)

    def answer_logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        found = []
        for _, inputs, labels in batch.inputs["parts"]:
            with self._projecting(partial(_before, labels[:, 1:] != IGNORE_INDEX)):
                found.append(self._run(self.model, inputs, use_cache=False).logits)
        return self._in_order(batch, found)

    def answer_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if "states" not in self.provides:
            return super().answer_states(batch)
        found: list[Tensor] = []

        def taken(wanted: Tensor, hidden: Tensor) -> Tensor:
            found.append(_before(wanted, hidden))
            raise _Reached

        for _, inputs, labels in batch.inputs["parts"]:
            with suppress(_Reached), self._projecting(partial(taken, labels[:, 1:] != IGNORE_INDEX)):
                self._run(self.model, inputs, use_cache=False)
        return self._in_order(batch, found)

    def project(self, states: Tensor) -> Tensor:
        return self._head(states) if "states" in self.provides else states

    def _head(self, states: Tensor) -> Tensor:
        return cast(Tensor, self.model.get_output_embeddings()(states))

    def _in_order(self, batch: Batch, found: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What was made at the answer positions of the batch's parts as one tensor, row by row; and the labels."""
        wanted = [(rows, labels[:, 1:] != IGNORE_INDEX) for rows, _, labels in batch.inputs["parts"]]
        owners = [torch.tensor(rows, device=where.device)[where.nonzero()[:, 0]] for rows, where in wanted]
        order = torch.cat(owners).argsort(stable=True)
        return torch.cat(list(found))[order], batch.labels[:, 1:][batch.labels[:, 1:] != IGNORE_INDEX]

    @contextmanager
    def _projecting(self, chosen: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Let only ``chosen`` of the last states [B, L, size] pass the vocabulary projection."""
        head = self.model.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda module, given: (chosen(given[0]).contiguous(),))
        try:
            yield
        finally:
            hook.remove()

    # Answers

    def answers(self, examples: Sequence[Example], **search: Any) -> list[str]:
        # A search with beams repeats its inputs, which features put in their place would not follow.
        inputs = self._inputs(examples, self._asked(examples), keep=search.get("num_beams", 1) == 1)
        ends, pad = list(self.chat.ends), self.chat.tokenizer.pad_token_id
        ids: Tensor = self._run(self.model.generate, inputs, **search, eos_token_id=ends, pad_token_id=pad)
        told = ids[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self.chat.tokenizer.batch_decode(told, skip_special_tokens=True)]

    def _asked(self, examples: Sequence[Example]) -> list[str]:
        return [prompt + self.chat.turn.lead.rstrip(" ") for prompt in self.chat.prompts(examples)]

    def choose(self, examples: Sequence[Example], choices: Sequence[str]) -> Tensor:
        """As Backbone says. Each prompt is read once, and its keys and values serve all choices."""
        prompts = self.chat.prompts(examples)
        read = len(self.chat.encode(prompts[0]))
        ends = [self.chat.encode(prompts[0] + self.chat.answer(choice))[read:] for choice in choices]
        with self.answering():
            inputs = self._inputs(examples, prompts)
            with self._watching() as given, self._projecting(lambda hidden: hidden[:, -1:]):
                output = self._run(self.model, inputs, use_cache=True)
            first = torch.log_softmax(output.logits[:, -1].float(), -1)
            position = given[0].get("position_ids")
            cache = output.past_key_values
            totals = [self._follow(inputs["attention_mask"], position, cache, first, ids) for ids in ends]
        return torch.log_softmax(torch.stack(totals, dim=1), dim=-1)

    def _follow(self, mask: Tensor, position: Tensor | None, cache: Any, first: Tensor, ids: Sequence[int]) -> Tensor:
        """[B]: the log-likelihood of the tokens ``ids`` behind prompts that were read into ``cache``."""
        total = first[:, ids[0]]
        if len(ids) == 1:
            return total
        tokens = torch.tensor(ids, device=first.device).expand(len(first), -1)
        steps = torch.arange(1, len(ids), device=first.device)
        output = self.model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([mask, torch.ones_like(tokens[:, :-1])], dim=1),
            position_ids=None if position is None else position[..., -1:] + steps,
            past_key_values=copy.deepcopy(cache),
            use_cache=True,
        )
        each = torch.log_softmax(output.logits.float(), -1).gather(2, tokens[:, 1:, None])[..., 0]
        return total + each.sum(1)

    @contextmanager
    def _watching(self, *, stop: bool = False) -> Iterator[list[dict[str, Any]]]:
        """What the language model is given while the block runs; ``stop`` ends the pass there."""
        found: list[dict[str, Any]] = []

        def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            found.append(named)
            if stop:
                raise _Reached

        hook = self.model.get_decoder().register_forward_pre_hook(note, with_kwargs=True)
        try:
            yield found
        except _Reached:
            pass
        finally:
            hook.remove()

    @torch.no_grad()
    def features(self, examples: Sequence[Example]) -> Tensor:
        """The medium's mean token as the language model gets it, whether there is one of each kind, the mean word."""
        with self.using(None) if self.active else self.answering():
            inputs = self._inputs(examples, self.chat.prompts(examples))
            with self._watching(stop=True) as given:
                self._run(self.model, inputs, use_cache=False)
        embeds = given[0]["inputs_embeds"].float()
        words = self.model.get_input_embeddings()(inputs["input_ids"]).float()
        there = inputs["attention_mask"].bool()
        media = (embeds != words).any(-1) & there
        kinds = sorted(self.modalities)
        present = torch.tensor([[float(e.modality == kind) for kind in kinds] for e in examples], device=embeds.device)
        return torch.cat([_mean(embeds, media), present, _mean(words, there & ~media)], dim=1)

    def ask(self, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        return self.asked(ASK, captions)

    def instructions(self) -> Sequence[str]:
        return GENERAL


def _adapted(model: Any, targets: str) -> list[str]:
    """The names of the language model's linear layers that end in one of ``targets``. Raises PlanError for none."""
    ends = {name.strip() for name in targets.split(",")}
    within = f"{decoder_name(model)}."
    named = [(name, layer) for name, layer in model.named_modules() if name.startswith(within)]
    linear = [name for name, layer in named if isinstance(layer, nn.Linear)]
    if found := [name for name in linear if name.rpartition(".")[2] in ends]:
        return found
    known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
    raise PlanError(f"no layer of the language model is called {targets}", f"-b lora_targets takes some of: {known}.")


def _before(wanted: Tensor, hidden: Tensor) -> Tensor:
    """[N, size]: of the states [B, L, size] those before the ``wanted`` tokens [B, L - 1]."""
    return hidden[:, :-1][wanted]


def _mean(vectors: Tensor, where: Tensor) -> Tensor:
    """[B, D]: the mean of each row's vectors [B, L, D] ``where`` [B, L]; zero where there is none."""
    weight = where[..., None].to(vectors.dtype)
    return (vectors * weight).sum(1) / weight.sum(1).clamp_min(1)
