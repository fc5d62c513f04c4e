"""What frozen encoders make of media, computed once, kept on disk and memory-mapped.

A shard is a safetensors file below ``features/KEY/``, holding one tensor a medium by its
sha256. Shards are only ever added, each whole, so that several processes can fill one cache.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from micl_cli.api.task import Example

SHARD, SHARD_BYTES = 512, 64 * 10**6  # media and bytes at which a file is written
IN_MEMORY = 256 * 10**6  # bytes that are kept in memory where they cannot be written
LIMIT = 20 * 10**9
"""Bytes that the shards of all encoders may take together, where nothing else is said."""


@dataclass(frozen=True)
class Kept:
    """What is kept of one encoder: ``used`` is when a run last opened it, in seconds since the epoch."""

    key: str
    shards: int
    bytes: int
    used: float


class Features:
    """A FeatureCache on disk. A folder that cannot be written costs speed, not the run.

    Where the shards would take more than ``limit`` bytes, those that were not used for longest go, but none that
    this process uses: of more media than there is room for, a part stays known. 0 keeps nothing on disk.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit
        self._shards: dict[str, dict[str, Any]] = {}
        self._fresh: dict[str, dict[str, Tensor]] = {}
        self._used: set[Path] = set()

    def __call__(self, key: str, examples: Sequence[Example], compute: Callable[[Sequence[Example]], Tensor]) -> Tensor:
        known, fresh = self._opened(key), self._fresh.setdefault(key, {})
        missing = {e.digest: e for e in examples if e.digest and e.digest not in known and e.digest not in fresh}
        for digest, example in missing.items():
            fresh[digest] = compute([example])[0].cpu()
        found = [self._one(key, example, compute) for example in examples]
        if missing and (len(fresh) >= SHARD or _bytes(fresh) >= SHARD_BYTES):
            self._write(key)
            if _bytes(fresh) >= IN_MEMORY:
                fresh.clear()
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
        self._used.add(path)
        with suppress(OSError):
            os.utime(path)  # it is used: others go first where room is needed

    def _write(self, key: str) -> None:
        fresh = self._fresh.get(key)
        if not fresh:
            return
        name = sha256("".join(sorted(fresh)).encode()).hexdigest()[:20]
        path = self.folder / key / f"{name}.safetensors"
        try:
            if _removable(self.folder, self.limit - _bytes(fresh), self._used) is None:
                return  # they stay in memory for a while
            content = save({digest: tensor.contiguous().clone() for digest, tensor in fresh.items()})
            if not make_room(self.folder, self.limit - len(content), spare=self._used):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.new")
            part.write_bytes(content)
            part.replace(path)
        except OSError:
            return
        self._open(key, path)
        fresh.clear()


def kept(folder: Path) -> list[Kept]:
    """What is kept of each encoder, the most recently used first."""
    found: dict[str, list[os.stat_result]] = {}
    for path, stat in _shards(folder):
        found.setdefault(path.parent.name, []).append(stat)
    every = [
        Kept(key, len(stats), sum(s.st_size for s in stats), max(s.st_mtime for s in stats))
        for key, stats in found.items()
    ]
    return sorted(every, key=lambda each: -each.used)


def forget(folder: Path, key: str) -> None:
    """Remove what is kept of an encoder. A run that uses it goes on: what it has open stays until it ends."""
    if (folder / key).parent == folder:
        shutil.rmtree(folder / key, ignore_errors=True)


def make_room(folder: Path, limit: int, spare: Collection[Path] = ()) -> bool:
    """Remove the shards that were not used for longest until all take at most ``limit`` bytes; False if they don't.

    Those in ``spare`` stay; nothing is removed where that would not be enough.
    """
    shards = _removable(folder, limit, spare)
    for path in shards or ():
        path.unlink(missing_ok=True)
    return shards is not None


def _removable(folder: Path, limit: int, spare: Collection[Path]) -> list[Path] | None:
    """The shards to remove, so that those left take at most ``limit`` bytes; None where that cannot be."""
    shards = sorted(_shards(folder), key=lambda shard: shard[1].st_mtime)
    excess = sum(stat.st_size for _, stat in shards) - limit
    found = []
    for path, stat in shards:
        if excess <= 0:
            break
        if path not in spare:
            found.append(path)
            excess -= stat.st_size
    return found if excess <= 0 else None


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _shards(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.glob("*/*.safetensors"):
        with suppress(OSError):  # another process may be making room
            found.append((path, path.stat()))
    return found
