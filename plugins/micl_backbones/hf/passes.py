"""Hooks that observe, restrict or stop forward passes of a transformers model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class StopForward(Exception):
    """Raised in a hook to stop a forward pass that has computed all that is needed."""


@contextmanager
def project_only(model: Any, choose: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Apply the vocabulary projection only to the states that ``choose`` returns for the last ones [B, L, size]."""
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda module, args: (choose(args[0]).contiguous(),))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def capture_inputs(model: Any, *, stop: bool = False) -> Iterator[list[dict[str, Any]]]:
    """Collect the keyword arguments of the language model in the block; with ``stop``, forward passes end before it."""
    captured: list[dict[str, Any]] = []

    def capture(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        captured.append(kwargs)
        if stop:
            raise StopForward

    hook = model.get_decoder().register_forward_pre_hook(capture, with_kwargs=True)
    try:
        yield captured
    except StopForward:
        pass
    finally:
        hook.remove()


def before_answers(answered: Tensor, hidden: Tensor) -> Tensor:
    """Return [N, size]: the states, out of [B, L, size], that predict the tokens marked in ``answered`` [B, L - 1]."""
    return hidden[:, :-1][answered]


def mean_vectors(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return [B, D]: the mean of each row's vectors [B, L, D] over ``mask`` [B, L]; zero for an empty mask."""
    weight = mask[..., None].to(vectors.dtype)
    return (vectors * weight).sum(1) / weight.sum(1).clamp_min(1)
