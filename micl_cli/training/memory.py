"""Peak memory use, the allocator of the C library, and errors of exhausted memory."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import torch

from micl_cli.errors import MiclError

if sys.platform != "win32":
    import resource

_MAX_BLOCK, _MAX_FREE = 8 << 20, 256 << 20  # bytes
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
        libc.mallopt(_M_MMAP_THRESHOLD, _MAX_BLOCK)
        libc.mallopt(_M_TRIM_THRESHOLD, _MAX_FREE)
        libc.mallopt(_M_ARENA_MAX, 1)


def reset_peak() -> None:
    """Reset the peak memory use, if the system supports it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: reset the process's high-water mark


def peak_bytes() -> int:
    """Return the peak memory use since the reset: of the GPU if it is used, else resident memory of the process."""
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


def with_memory_hint(error: Exception) -> Exception:
    """Return ``error``, or a MiclError with remedies if memory was exhausted."""
    text = str(error).lower()
    exhausted = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )
    if not exhausted:
        return error
    first_line = str(error).partition("\n")[0].rstrip(".")
    return MiclError(
        f"out of memory: {first_line}",
        "Start a new run with a smaller --batch-size and more --accumulation, with --gradient-checkpointing, or with "
        "--quantize nf4. What a run has learnt is saved: with more memory, --resume continues it.",
    )
