"""Statistics of adapted layers: second moments of their inputs, gradients of their full weights.

What InfLoRA (arXiv 2404.00228) and GPM need of a layer is the second moment of its inputs, what KeepLoRA
(arXiv 2601.19659) needs is the gradient of its weight, also where that weight is frozen in 4 bits: the gradient is
the sum over tokens of (gradient of the output) (input)^T.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from micl_cli.api.task import Example

Statistic = Literal["inputs", "gradients"]
"""What is measured of a layer: the second moment of its inputs, or the gradient of its full weight."""


class PlainPass(NamedTuple):
    """A forward pass with one example a row, whole: nothing is packed, shared or taken from a cache of states.

    ``real`` [rows, width] marks what is no padding. ``run`` reads the rows and returns the sum of the cross entropy
    over their answer tokens; ``answers`` is the number of these.
    """

    real: Tensor
    answers: int
    run: Callable[[], Tensor]


class LayerStatistics(ABC):
    """Streams statistics of a model's adaptable layers; a backbone that gives ``plain_passes`` has it."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The torch module that holds every weight."""

    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        """Yield the passes that read ``examples``, which are few enough for one batch."""
        raise TypeError(f"{type(self).__name__} has no layer statistics")

    @abstractmethod
    def statistics_layers(self) -> Sequence[tuple[str, nn.Module]]:
        """Return the layers, each a module with one input [..., in] and one output [..., out]."""

    def layer_statistics(
        self, examples: Sequence[Example], what: Statistic, *, batch_size: int = 8
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (layer, matrix) for each adaptable layer, by the selection that acts, over all real tokens.

        "inputs": [in, in], the mean over tokens of x x^T for the layer's inputs x. "gradients": [out, in], the gradient
        of the mean cross entropy over answer tokens by the layer's full weight, that of its adapters included. In
        float32, without dropout. One matrix is in memory at a time, at the price of a pass over the examples for each
        layer.
        """
        batches = [examples[at : at + batch_size] for at in range(0, len(examples), batch_size)]
        for name, module in self.statistics_layers() if batches else ():
            yield (
                name,
                self._mean_product(batches, module, _inputs_twice if what == "inputs" else _gradients_and_inputs),
            )

    def _mean_product(self, batches: Sequence[Sequence[Example]], module: nn.Module, measure: _Measure) -> Tensor:
        """Return the mean over ``measure``'s vectors of left right^T; the matrix is the only one of its size."""
        total, count = torch.zeros(()), 0
        with _evaluating(self.module):
            for each in (one for batch in batches for one in self.plain_passes(batch)):
                left, right, counted = measure(each, module)
                total = left.T @ right if total.ndim == 0 else total.addmm_(left.T, right)
                count += counted
        return total.div_(max(1, count))


_Measure = Callable[[PlainPass, nn.Module], tuple[Tensor, Tensor, int]]
"""Returns (left [n, rows], right [n, columns], what the sum of their products is divided by) of one pass."""


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Compute without dropout and gradient checkpointing; the mode that was comes back afterwards."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


class _Reached(Exception):
    """Stops a forward pass behind the layer that was wanted."""


@torch.no_grad()
def _inputs_twice(each: PlainPass, module: nn.Module) -> tuple[Tensor, Tensor, int]:
    """Return the layer's inputs at real tokens, twice, and their number."""
    inputs: list[Tensor] = []

    def take(module: nn.Module, given: tuple[Any, ...]) -> None:
        inputs.append(_real(given[0], each.real))
        raise _Reached

    hook = module.register_forward_pre_hook(take)
    try:
        with suppress(_Reached):
            each.run()
    finally:
        hook.remove()
    return inputs[0], inputs[0], len(inputs[0])


def _gradients_and_inputs(each: PlainPass, module: nn.Module) -> tuple[Tensor, Tensor, int]:
    """Return the gradients of the summed cross entropy by the layer's outputs, its inputs, and the answer tokens."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def take(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
        inputs.append(_real(given[0].detach(), each.real))
        outputs.append(output.detach().requires_grad_())  # nothing before this layer needs a graph
        return outputs[0]

    hook = module.register_forward_hook(take)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(each.run(), outputs[0])
    finally:
        hook.remove()
    return _real(gradient, each.real), inputs[0], each.answers


def _real(vectors: Tensor, real: Tensor) -> Tensor:
    """Return the vectors at real positions, [n, D] in float32."""
    if vectors.numel() // vectors.shape[-1] != real.numel():
        raise ValueError("a layer that reads only some positions of a row has no statistics")
    return vectors.reshape(-1, vectors.shape[-1])[real.flatten()].float()
