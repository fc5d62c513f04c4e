"""Statistics of adapted layers: second moments of their inputs, and gradients of their full weights.

InfLoRA (arXiv 2404.00228) and GPM need the second moment of a layer's inputs. KeepLoRA (arXiv 2601.19659) needs the
gradient of its weight, also if the weight is frozen in 4 bits: it is the sum over tokens of
(gradient of the output) (input)^T.
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
"""The statistic of a layer: the second moment of its inputs, or the gradient of its full weight."""


class PlainPass(NamedTuple):
    """A forward pass over whole examples, one in each row, without packing, shared prefixes or cached states.

    ``real`` [rows, width] marks the positions that are not padding. ``run`` executes the pass and returns the sum of
    the cross entropy over answer tokens; ``answers`` is the number of answer tokens.
    """

    real: Tensor
    answers: int
    run: Callable[[], Tensor]


class LayerStatistics(ABC):
    """Streams statistics of a model's adaptable layers. Backbones support it by implementing ``plain_passes``."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The torch module that holds every weight."""

    def plain_passes(self, examples: Sequence[Example]) -> Iterator[PlainPass]:
        """Yield the passes that read ``examples``, which fit into one batch."""
        raise TypeError(f"{type(self).__name__} has no layer statistics")

    @abstractmethod
    def statistics_layers(self) -> Sequence[tuple[str, nn.Module]]:
        """Return names and modules of the layers, each with one input [..., in] and one output [..., out]."""

    def layer_statistics(
        self, examples: Sequence[Example], what: Statistic, *, batch_size: int = 8
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (layer, matrix) for each adaptable layer, with the active selection, over all tokens but padding.

        "inputs": [in, in], the mean over tokens of x x^T for the layer's inputs x. "gradients": [out, in], the gradient
        of the mean cross entropy over answer tokens with respect to the layer's full weight, including its adapters.
        Computed in float32 without dropout. Only one matrix is in memory at a time, at the cost of one pass over the
        examples for each layer.
        """
        batches = [examples[start : start + batch_size] for start in range(0, len(examples), batch_size)]
        factors = _inputs_twice if what == "inputs" else _gradients_and_inputs
        for name, module in self.statistics_layers() if batches else ():
            yield name, self._mean_product(batches, module, factors)

    def _mean_product(self, batches: Sequence[Sequence[Example]], module: nn.Module, factors: _Factors) -> Tensor:
        """Return the mean of left^T right over all passes, accumulated in place to save memory."""
        total, count = torch.zeros(()), 0
        with _evaluating(self.module):
            for plain_pass in (each for batch in batches for each in self.plain_passes(batch)):
                left, right, terms = factors(plain_pass, module)
                total = left.T @ right if total.ndim == 0 else total.addmm_(left.T, right)
                count += terms
        return total.div_(max(1, count))


_Factors = Callable[[PlainPass, nn.Module], tuple[Tensor, Tensor, int]]
"""Returns (left [n, rows], right [n, columns], the number of terms to average over) for one pass."""


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Use evaluation mode during the block, without dropout and gradient checkpointing."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


class _LayerReached(Exception):
    """Stops a forward pass at the layer whose inputs were requested."""


@torch.no_grad()
def _inputs_twice(plain_pass: PlainPass, module: nn.Module) -> tuple[Tensor, Tensor, int]:
    """Return the layer's inputs at all tokens but padding, twice, and their number."""
    inputs: list[Tensor] = []

    def record(module: nn.Module, args: tuple[Any, ...]) -> None:
        inputs.append(_without_padding(args[0], plain_pass.real))
        raise _LayerReached

    hook = module.register_forward_pre_hook(record)
    try:
        with suppress(_LayerReached):
            plain_pass.run()
    finally:
        hook.remove()
    return inputs[0], inputs[0], len(inputs[0])


def _gradients_and_inputs(plain_pass: PlainPass, module: nn.Module) -> tuple[Tensor, Tensor, int]:
    """Return the output gradients of the summed cross entropy, the layer's inputs, and the number of answer tokens."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def record(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        inputs.append(_without_padding(args[0].detach(), plain_pass.real))
        outputs.append(output.detach().requires_grad_())  # the layers before this one need no graph
        return outputs[0]

    hook = module.register_forward_hook(record)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(plain_pass.run(), outputs[0])
    finally:
        hook.remove()
    return _without_padding(gradient, plain_pass.real), inputs[0], plain_pass.answers


def _without_padding(vectors: Tensor, real: Tensor) -> Tensor:
    """Return the vectors at positions that are not padding, [n, D] in float32."""
    if vectors.numel() // vectors.shape[-1] != real.numel():
        raise ValueError("a layer that reads only some positions of a row has no statistics")
    return vectors.reshape(-1, vectors.shape[-1])[real.flatten()].float()
