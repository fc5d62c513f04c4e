"""What frozen encoders make of media, computed once, kept on disk and memory-mapped.

A shard is a safetensors file below ``features/KEY/``, holding one tensor a medium by its
sha256. Shards are only ever added, each whole, so that several processes can fill one cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from micl_cli.api.task import Example

SHARD = 512  # media a file


class Features:
    """A FeatureCache on disk. A folder that cannot be written costs speed, not the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: dict[str, dict[str, Any]] = {}
        self._fresh: dict[str, dict[str, Tensor]] = {}

    def __call__(self, key: str, examples: Sequence[Example], compute: Callable[[Sequence[Example]], Tensor]) -> Tensor:
        known, fresh = self._opened(key), self._fresh.setdefault(key, {})
        missing = {e.digest: e for e in examples if e.digest and e.digest not in known and e.digest not in fresh}
        for digest, example in missing.items():
            fresh[digest] = compute([example])[0].cpu()
        found = [self._one(key, example, compute) for example in examples]
        if len(fresh) >= SHARD:
            self._write(key)
        return torch.stack(found)

    def _one(self, key: str, example: Example, compute: Callable[[Sequence[Example]], Tensor]) -> Tensor:
        if not example.digest:
            return compute([example])[0].cpu()
        fresh = self._fresh[key].get(example.digest)
        if fresh is not None:
            return fresh
        tensor: Tensor = self._shards[key][example.digest].get_tensor(example.digest)
        return tensor

    def flush(self) -> None:
        """Write what was computed since the last time."""
        for key in self._fresh:
            self._write(key)

    def _opened(self, key: str) -> dict[str, Any]:
        """The open shard of each medium known under ``key``."""
        if key not in self._shards:
            self._shards[key] = {}
            for path in sorted((self.folder / key).glob("*.safetensors")):
                self._open(key, path)
        return self._shards[key]

    def _open(self, key: str, path: Path) -> None:
        try:
            shard: Any = safe_open(path, framework="pt")
        except (OSError, SafetensorError):
            return  # half-written by a dying disk: its media are computed again
        self._shards[key].update(dict.fromkeys(shard.keys(), shard))

    def _write(self, key: str) -> None:
        fresh = self._fresh.get(key)
        if not fresh:
            return
        name = sha256("".join(sorted(fresh)).encode()).hexdigest()[:20]
        path = self.folder / key / f"{name}.safetensors"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.new")
            part.write_bytes(save({digest: tensor.contiguous().clone() for digest, tensor in fresh.items()}))
            part.replace(path)
        except OSError:
            return  # they stay in memory for this process
        self._open(key, path)
        fresh.clear()
