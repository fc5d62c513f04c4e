"""Adapters on one base model, kept by peft: what `composed` and `hf` share."""

from __future__ import annotations

import re
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from micl_backbones.adapters.mixing import Mixture, mixed_adapters
from micl_cli.api import Backbone, Example

_QUESTION = re.compile(r"^\s*(?P<question>[^?\n]+\?)\s*(?:answer:?)?\s*(?P<answer>[^?\n]+?)\s*$", re.IGNORECASE)


class LoraBackbone(Backbone):
    """A backbone whose adapters are LoRA weights on one frozen model, and what a subclass adds to them.

    A subclass calls ``super().__init__()`` and gives ``language`` and ``lora_config``; it overrides
    ``extend``, ``shrink`` and ``extra_weights`` where an adapter has more than LoRA.
    """

    def __init__(self) -> None:
        self.peft: PeftModel | None = None
        self._names: list[str] = []
        self._active: str | None = None
        self._mixed: Mixture | None = None

    @property
    @abstractmethod
    def language(self) -> Any:
        """The model whose layers get LoRA matrices."""

    @abstractmethod
    def lora_config(self) -> LoraConfig:
        """Rank, scale, dropout and the layers that LoRA adapts."""

    def extend(self, name: str) -> None:
        """Give a new adapter what it has besides LoRA."""

    def shrink(self, name: str) -> None:
        """Forget what an adapter had besides LoRA."""

    def extra_weights(self, name: str) -> dict[str, nn.Parameter]:
        """An adapter's weights besides LoRA."""
        return {}

    # Answers

    @abstractmethod
    def answers(self, examples: Sequence[Example], **search: Any) -> list[str]:
        """One answer an example, through the adapters in use; ``search`` is what ``generate`` of transformers takes."""

    def generate(
        self,
        examples: Sequence[Example],
        *,
        adapters: Sequence[str] | None = None,
        max_new_tokens: int = 32,
        num_beams: int = 1,
    ) -> list[str]:
        if not examples:
            return []
        if adapters is not None and len(set(adapters)) == 1:
            with self.using(adapters[0]):
                return self.generate(examples, max_new_tokens=max_new_tokens, num_beams=num_beams)
        with self.answering(), self.mixing(adapters):
            return self.answers(examples, max_new_tokens=max_new_tokens, num_beams=num_beams, do_sample=False)

    def choose(self, examples: Sequence[Example], choices: Sequence[str]) -> Tensor:
        totals = []
        with self.answering():
            for choice in choices:
                batch = self.batch([example.with_answer(choice) for example in examples])
                logits, labels = self.answer_logits(batch)
                each = torch.log_softmax(logits.float(), -1).gather(1, labels[:, None])[:, 0]
                totals.append(each.new_zeros(len(examples)).index_add(0, batch.example_index, each))
        return torch.log_softmax(torch.stack(totals, dim=1), dim=1)

    def asked(self, template: str, captions: Sequence[str]) -> list[tuple[str, str] | None]:
        """What the base model alone writes for ``template`` with each caption in it: (question, answer) or None."""
        prompts = [Example(id=str(i), prompt=template.format(caption=text)) for i, text in enumerate(captions)]
        with self.using(None):
            return [_question(text) for text in self.generate(prompts, max_new_tokens=40)]

    # Adapters

    @property
    def adapters(self) -> Sequence[str]:
        return tuple(self._names)

    @property
    def active(self) -> str | None:
        return self._active

    def add_adapter(self, name: str, *, seed: int = 0) -> None:
        if name in self._names:
            raise ValueError(f"there is an adapter {name!r} already")
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"adapter name {name!r} is not made of letters, digits, '_' and '-' alone")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.peft is None:
                self.peft = get_peft_model(self.language, self.lora_config(), adapter_name=name)
            else:
                self.peft.add_adapter(name, self.lora_config())
            self.extend(name)
        self._names.append(name)
        self.module.train(self.module.training)
        self.activate(self._active)

    def activate(self, name: str | None) -> None:
        if name is not None:
            self._known(name)
        self._active = name
        if self.peft is None:
            return
        if name is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            self.peft.base_model.enable_adapter_layers()
            self.peft.set_adapter(name)
        for adapter in self._names:
            for weight in self.extra_weights(adapter).values():
                weight.requires_grad_(adapter == name)

    def drop_adapter(self, name: str) -> None:
        self._known(name)
        if name == self._active:
            raise ValueError(f"adapter {name!r} is active: activate another first")
        assert self.peft is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that another adapter is active in peft from now on
            self.peft.delete_adapter(name)
        self.shrink(name)
        self._names.remove(name)
        self.activate(self._active)

    def adapter_weights(self, name: str) -> dict[str, nn.Parameter]:
        self._known(name)
        marked = f".{name}."
        lora = {
            f"lora.{key.replace(marked, '.')}": weight
            for key, weight in self.language.named_parameters()
            if "lora_" in key and marked in key
        }
        return {**lora, **self.extra_weights(name)}

    def part_of(self, weight: str) -> str:
        return "lora"

    def _known(self, name: str) -> None:
        if name not in self._names:
            raise KeyError(f"no adapter {name!r}; there are {', '.join(self._names) or 'none'}")

    @contextmanager
    def mixing(self, adapters: Sequence[str] | None) -> Iterator[None]:
        """Each example of a batch through its own adapter; None: the active one for all."""
        if adapters is None:
            yield
            return
        for name in adapters:
            self._known(name)
        assert self.peft is not None
        try:
            with mixed_adapters(self.peft, adapters) as self._mixed:
                yield
        finally:
            self._mixed = None
            self.activate(self._active)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Without dropout and gradients; the mode that was comes back after."""
        training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.module.train(training)


def learns(module: nn.Module, *, besides: str = "") -> bool:
    """Whether any weight is trainable, ``besides`` those below that name: what it makes must not be kept then."""
    skipped = f"{besides}." if besides else None
    named = module.named_parameters()
    return any(weight.requires_grad for name, weight in named if skipped is None or not name.startswith(skipped))


def numerics(device: torch.device, dtype: torch.dtype) -> str:
    """What a kept tensor's name says of how it was computed, by weights of ``dtype``; nothing for float32 on a CPU."""
    if device.type == "cpu" and dtype == torch.float32:
        return ""
    return f"-{device.type}-{str(dtype).removeprefix('torch.')}"


def uncast(device: torch.device) -> AbstractContextManager[Any]:
    """Compute in the weights' own precision: what is kept must not depend on where it was first asked for."""
    return torch.autocast(device.type, enabled=False)


def _question(text: str) -> tuple[str, str] | None:
    found = _QUESTION.match(text.strip().partition("\n")[0])  # it may go on with a further caption
    return (found["question"].strip(), found["answer"]) if found else None
