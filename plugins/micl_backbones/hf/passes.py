"""Looking into forward passes of a model of transformers, and ending them early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Reached(Exception):
    """Ends a forward pass once it has computed what is needed."""


@contextmanager
def projecting(model: Any, choose: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let only ``choose`` of the last states [B, L, size] pass the vocabulary projection."""
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda module, given: (choose(given[0]).contiguous(),))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def watching(model: Any, *, stop: bool = False) -> Iterator[list[dict[str, Any]]]:
    """Collect the arguments of the language model in the block; ``stop`` ends the pass before it."""
    found: list[dict[str, Any]] = []

    def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        found.append(named)
        if stop:
            raise Reached

    hook = model.get_decoder().register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield found
    except Reached:
        pass
    finally:
        hook.remove()


def before_answers(wanted: Tensor, hidden: Tensor) -> Tensor:
    """Return [N, size]: of the states [B, L, size] those before the ``wanted`` tokens [B, L - 1]."""
    return hidden[:, :-1][wanted]


def mean_vectors(vectors: Tensor, where: Tensor) -> Tensor:
    """Return [B, D]: the mean of each row's vectors [B, L, D] ``where`` [B, L]; zero where there is none."""
    weight = where[..., None].to(vectors.dtype)
    return (vectors * weight).sum(1) / weight.sum(1).clamp_min(1)
