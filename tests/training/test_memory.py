from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from micl_cli.errors import MiclError
from micl_cli.training.memory import peak_bytes, reset_peak, with_memory_hint

HELD = """
import numpy as np
from micl_cli.training.memory import peak_bytes, reset_peak

reset_peak()
before = peak_bytes()
held = np.ones(64 << 20, np.uint8)
held[:] = 2
print(peak_bytes() - before)
"""


def test_the_peak_is_at_least_what_was_held() -> None:
    """In a process of its own: elsewhere, the memory could be what earlier tests have freed and the process kept."""
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 48 << 20


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
