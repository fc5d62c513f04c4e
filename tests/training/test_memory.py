from __future__ import annotations

import gc
import sys

import numpy as np
import pytest
import torch

from micl_cli.errors import MiclError
from micl_cli.training.memory import peak_bytes, reset_peak, with_memory_hint


def test_the_peak_is_at_least_what_was_held() -> None:
    gc.collect()  # what earlier tests left must not be freed meanwhile
    reset_peak()
    before = peak_bytes()
    held = np.ones(64 << 20, np.uint8)
    held[:] = 2
    assert peak_bytes() - before > 48 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_is_forgotten() -> None:
    held = np.ones(128 << 20, np.uint8)
    held[:] = 2
    high = peak_bytes()
    del held
    reset_peak()
    assert high - peak_bytes() > 64 << 20


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore words"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        MemoryError(),
    ],
)
def test_exhausted_memory_comes_with_remedies(problem: Exception) -> None:
    error = with_memory_hint(problem)
    assert isinstance(error, MiclError)
    assert error.message.startswith("out of memory")
    for remedy in ("--batch-size", "--gradient-checkpointing", "--quantize nf4", "--resume"):
        assert remedy in error.hint


def test_other_errors_are_returned_unchanged() -> None:
    problem = RuntimeError("shapes do not match")
    assert with_memory_hint(problem) is problem
