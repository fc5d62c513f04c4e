"""What the composed backbone needs of a causal language model, whatever its architecture calls its parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.pytorch_utils import Conv1D

from micl_backbones.attention import accepts_block_masks
from micl_cli.api import PlanError

_HINT = "Choose a causal language model that takes input embeddings, such as Llama, Qwen, Gemma, GPT-2 or Mamba."
POSITIONS = ("wpe", "embed_positions", "position_embeddings")
"""Names of learnt position embeddings, whose number limits the length of a row."""
_head_only: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def decoder_of(language: Any) -> Any:
    """Return the model below the vocabulary projection."""
    decoder = language.get_decoder()
    if decoder is not language:
        return decoder
    below = [module for module in language.children() if isinstance(module, PreTrainedModel)]
    return below[0] if len(below) == 1 else language  # Llama 4 names itself as its decoder


def logits_of(language: Any, states: Tensor) -> Tensor:
    """Return the logits [..., V] of last hidden states [..., size], scaled and capped as the model itself does."""
    if language not in _head_only:
        _head_only[language] = _is_head_only(language)
    if _head_only[language]:
        return cast(Tensor, language.get_output_embeddings()(states))
    return _logits_by_forward(language, states)


@torch.no_grad()
def _is_head_only(language: Any) -> bool:
    """Whether the logits are the vocabulary projection alone; large states show whether they are capped."""
    head = language.get_output_embeddings()
    states = 1000 * head.weight.new_ones(2, 3, getattr(head, "in_features", 0) or head.weight.shape[1])
    states[1, 1:] *= -0.001
    return torch.allclose(head(states).float(), _logits_by_forward(language, states).float())


def _logits_by_forward(language: Any, states: Tensor) -> Tensor:
    """Return the logits that the model's own forward pass computes from the given last hidden states."""
    flat = states.reshape(1, -1, states.shape[-1])
    with _decoder_returns(decoder_of(language), flat):
        logits: Tensor = language(inputs_embeds=flat[:, :1], use_cache=False).logits
    return logits.reshape(*states.shape[:-1], logits.shape[-1])


class _Output:
    """A decoder's output with nothing but its last hidden states; other fields are None, whatever their names."""

    def __init__(self, states: Tensor) -> None:
        self.last_hidden_state = states

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@contextmanager
def _decoder_returns(decoder: Any, states: Tensor) -> Iterator[None]:
    decoder.forward = lambda *args, **kwargs: _Output(states)
    try:
        yield
    finally:
        del decoder.forward


def check_language(language: Any) -> None:
    """Raise PlanError if a model cannot be the language model of a preset."""
    name = type(language).__name__
    if decoder_of(language) is language or language.get_output_embeddings() is None:
        raise PlanError(f"{name} has no decoder with a vocabulary projection", _HINT)
    if "inputs_embeds" not in inspect.signature(language.prepare_inputs_for_generation).parameters:
        raise PlanError(f"{name} does not generate from input embeddings", _HINT)
    try:
        causal = _is_causal(language)
        language.generate(inputs_embeds=_embeddings(language, 2), max_new_tokens=2, pad_token_id=0)
    except Exception as error:  # remote code may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise PlanError(f"{name} fails on input embeddings: {reason}", _HINT) from error
    if not causal:
        raise PlanError(f"{name} is not causal: a position depends on later ones", _HINT)


def can_pack(language: Any) -> bool:
    """Whether several sequences can stand in one row, told apart by a mask and their positions."""
    takes_positions = "position_ids" in inspect.signature(decoder_of(language).forward).parameters
    possible = takes_positions and is_fully_causal(language.config) and accepts_block_masks(language.config)
    return possible and _separates_packed(language)


def is_fully_causal(config: Any) -> bool:
    """Whether every layer attends to all earlier positions, so that a mask suffices to separate packed sequences.

    It is False for models with recurrent states or sliding windows, and for those that derive distances from the mask.
    """
    layers = DynamicCache(config=config).layers
    return not getattr(config, "alibi", False) and all(type(layer) is DynamicLayer for layer in layers)


def position_limit(language: Any) -> int | None:
    """Return the number of positions of a model that learns an embedding for each; None if it has no such limit."""
    named = decoder_of(language).named_modules()
    tables = [module for name, module in named if name.rpartition(".")[2] in POSITIONS]
    sizes = [table.num_embeddings - getattr(table, "offset", 0) for table in tables if isinstance(table, nn.Embedding)]
    return min(sizes, default=None)


def block_layers(language: Any) -> list[str]:
    """Return the names of all linear layers in the decoder's blocks, of the weights that are applied by a call."""
    head = language.get_output_embeddings()
    modules = dict(language.named_modules())
    return [
        name
        for name, module in modules.items()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head and is_called(modules, name)
        if any(part.isdecimal() for part in name.split("."))
    ]


def is_called(modules: Any, name: str) -> bool:
    """Whether a layer is always applied by a call that returns its product.

    The kernels of state space models read some weights directly, and the router of Llama 4 returns scores.
    """
    if type(modules[name]).__name__.endswith("Router"):
        return False
    parent, _, own = name.rpartition(".")
    return "Mamba" not in type(modules[parent]).__name__ or own in ("in_proj", "x_proj")


# Measurements of the model's behaviour, on a few of its word embeddings


def _embeddings(language: Any, count: int) -> Tensor:
    table = language.get_input_embeddings()
    ids = torch.linspace(0, table.weight.shape[0] - 1, count, device=table.weight.device).long()
    return cast(Tensor, table(ids)[None])


@torch.no_grad()
def _is_causal(language: Any) -> bool:
    """Whether the first states stay the same when the last embedding changes."""
    embeds = _embeddings(language, 4)
    other = torch.cat([embeds[:, :3], embeds[:, :1]], dim=1)
    one, two = (decoder_of(language)(inputs_embeds=rows, use_cache=False).last_hidden_state for rows in (embeds, other))
    return _close(one[:, :3], two[:, :3]) and bool(one.isfinite().all())


@torch.no_grad()
def _separates_packed(language: Any) -> bool:
    """Whether two sequences in one row have the states of each alone."""
    embeds, device = _embeddings(language, 7), language.device
    position = torch.tensor([[0, 1, 2, 0, 1, 2, 3]], device=device)
    owner = torch.tensor([0, 0, 0, 1, 1, 1, 1], device=device)
    mask = (owner[:, None] == owner) & torch.ones(7, 7, dtype=torch.bool, device=device).tril()
    decoder: Callable[..., Any] = decoder_of(language)
    packed = decoder(
        inputs_embeds=embeds, position_ids=position, attention_mask=mask[None, None], use_cache=False
    ).last_hidden_state
    alone = [decoder(inputs_embeds=part, use_cache=False).last_hidden_state for part in (embeds[:, :3], embeds[:, 3:])]
    return _close(packed, torch.cat(alone, dim=1))


@torch.no_grad()
def ignores_left_padding(language: Any) -> bool:
    """Whether the attention mask keeps padding at the left out of the later states."""
    embeds, decoder = _embeddings(language, 6), decoder_of(language)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1]], device=language.device)
    padded = decoder(inputs_embeds=embeds, attention_mask=mask, use_cache=False).last_hidden_state[:, 2:]
    return _close(padded, decoder(inputs_embeds=embeds[:, 2:], use_cache=False).last_hidden_state)


def _close(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors are equal up to rounding in their dtype."""
    tolerance = 1e-3 if one.dtype == torch.float32 else 3e-2
    return float((one.float() - two.float()).norm()) <= tolerance * float(two.float().norm())
