"""Features of media from frozen encoders, computed once, stored on disk and memory-mapped.

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

from micl_cli.api.task import Media

SHARD, SHARD_BYTES = 512, 64 * 10**6  # media and bytes at which a file is written
IN_MEMORY = 256 * 10**6  # bytes that are held in memory where they cannot be written
LIMIT = 20 * 10**9
"""The default size limit of the shards of all encoders together, in bytes."""


@dataclass(frozen=True)
class Kept:
    """The stored features of one encoder; ``used`` is when a run last opened them, in seconds since the epoch."""

    key: str
    shards: int
    bytes: int
    used: float


class Features:
    """A FeatureCache on disk. A folder that cannot be written slows a run down, but does not end it.

    Where the shards would take more than ``limit`` bytes, the least recently used ones are removed, but none that
    this process uses; where there is no room for all media, some of them stay cached. 0 stores nothing.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit
        self._shards: dict[str, dict[str, Any]] = {}
        self._fresh: dict[str, dict[str, Tensor]] = {}
        self._used: set[Path] = set()

    def __call__(self, key: str, media: Sequence[Media], compute: Callable[[Sequence[Media]], Tensor]) -> Tensor:
        known, fresh = self._opened(key), self._fresh.setdefault(key, {})
        missing = {m.digest: m for m in media if m.digest and m.digest not in known and m.digest not in fresh}
        for digest, medium in missing.items():
            fresh[digest] = compute([medium])[0].cpu()
        found = [self._one(key, medium, compute) for medium in media]
        if missing and (len(fresh) >= SHARD or _bytes(fresh) >= SHARD_BYTES):
            self._write(key)
            if _bytes(fresh) >= IN_MEMORY:
                fresh.clear()
        return torch.stack(found)

    def _one(self, key: str, medium: Media, compute: Callable[[Sequence[Media]], Tensor]) -> Tensor:
        if not medium.digest:
            return compute([medium])[0].cpu()
        fresh = self._fresh[key].get(medium.digest)
        if fresh is not None:
            return fresh
        tensor: Tensor = self._shards[key][medium.digest].get_tensor(medium.digest)
        return tensor

    def flush(self) -> None:
        """Write the features that were computed since the last time."""
        for key in self._fresh:
            self._write(key)

    def _opened(self, key: str) -> dict[str, Any]:
        """Return the open shard of each medium stored under ``key``."""
        if key not in self._shards:
            self._shards[key] = {}
            for path in sorted((self.folder / key).glob("*.safetensors")):
                self._open(key, path)
        return self._shards[key]

    def _open(self, key: str, path: Path) -> None:
        try:
            shard: Any = safe_open(path, framework="pt")
        except (OSError, SafetensorError):
            return  # damaged: its media are computed again
        self._shards[key].update(dict.fromkeys(shard.keys(), shard))
        self._used.add(path)
        with suppress(OSError):
            os.utime(path)  # marks it as recently used

    def _write(self, key: str) -> None:
        fresh = self._fresh.get(key)
        if not fresh:
            return
        name = sha256("".join(sorted(fresh)).encode()).hexdigest()[:20]
        path = self.folder / key / f"{name}.safetensors"
        try:
            if _removable(self.folder, self.limit - _bytes(fresh), self._used) is None:
                return  # they stay in memory
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
    """Return the stored features of each encoder, the most recently used first."""
    found: dict[str, list[os.stat_result]] = {}
    for path, stat in _shards(folder):
        found.setdefault(path.parent.name, []).append(stat)
    every = [
        Kept(key, len(stats), sum(s.st_size for s in stats), max(s.st_mtime for s in stats))
        for key, stats in found.items()
    ]
    return sorted(every, key=lambda each: -each.used)


def forget(folder: Path, key: str) -> None:
    """Remove the features of an encoder. A run that uses them goes on with the files that it has open."""
    if (folder / key).parent == folder:
        shutil.rmtree(folder / key, ignore_errors=True)


def make_room(folder: Path, limit: int, spare: Collection[Path] = ()) -> bool:
    """Remove the least recently used shards until all take at most ``limit`` bytes; return whether they do.

    Those in ``spare`` stay; nothing is removed where that would not be enough.
    """
    shards = _removable(folder, limit, spare)
    for path in shards or ():
        path.unlink(missing_ok=True)
    return shards is not None


def _removable(folder: Path, limit: int, spare: Collection[Path]) -> list[Path] | None:
    """Return the shards to remove so that at most ``limit`` bytes are left; None where that is impossible."""
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
