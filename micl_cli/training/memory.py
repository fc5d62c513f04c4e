"""Peak memory, and how the C library reuses freed memory."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import torch

from micl_cli.errors import MiclError

if sys.platform != "win32":
    import resource

_KEPT_BLOCK, _KEPT_IN_ALL = 8 << 20, 256 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let the C library reuse freed blocks of up to 8 MiB, 256 MiB in all, instead of returning them.

    Otherwise glibc requests each of a step's larger tensors from the kernel, which clears every page of them: on a
    small model, a tenth of the step's time. All threads share one heap, so that none holds memory that others could
    use. Without glibc, nothing changes.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BLOCK)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_IN_ALL)
        libc.mallopt(_M_ARENA_MAX, 1)


def reset_peak() -> None:
    """Reset the peak, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the process's high-water mark


def peak_bytes() -> int:
    """Return the peak since the reset: GPU memory where a GPU is used, else the process's resident memory."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    try:
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    if sys.platform == "win32":
        return 0
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def explained(problem: Exception) -> Exception:
    """Return the error itself, or one with the ways out where memory ran out."""
    text = str(problem).lower()
    full = isinstance(problem, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(problem, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )
    if not full:
        return problem
    first = str(problem).partition("\n")[0].rstrip(".")
    return MiclError(
        f"memory ran out: {first}",
        "Three cures, each a new plan: a smaller --batch-size with more --accumulation; "
        "--gradient-checkpointing; --quantize nf4. What this run has learnt is kept: "
        "where there is more memory, --resume goes on with it.",
    )
