"""The state of torch that learning and answering change, kept apart from that of the user's own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class _State(NamedTuple):
    threads: int
    cpu: Any
    cuda: Any | None


class TorchState:
    """Random numbers and the number of CPU threads of one piece of work, which is carried out in several turns.

    What other code does between the turns does not change the result, nor does the work change that of other code.
    """

    def __init__(self) -> None:
        self._own: _State | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Use the state of the work during the block, at first that of the process, and restore the other after it."""
        outer = _current()
        if self._own:
            _use(self._own)
        try:
            yield
        finally:
            self._own = _current()
            _use(outer)


def _current() -> _State:
    import torch

    on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state() if on_gpu else None
    return _State(torch.get_num_threads(), torch.get_rng_state(), cuda)


def _use(state: _State) -> None:
    import torch

    if torch.get_num_threads() != state.threads:
        torch.set_num_threads(state.threads)
    torch.set_rng_state(state.cpu)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda)
