"""A cache of frozen encoder features, computed once, stored on disk and memory-mapped.

A shard is a safetensors file in ``features/KEY/`` with one tensor for each medium, named by its
sha256. Shards are written atomically and never changed, so that several processes can fill one cache.
Its metadata has the digest of each tensor, which is checked when a process reads the tensor first;
features that are damaged, or that an earlier version stored without a digest, are computed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from micl_cli.api.task import Media
from micl_cli.io.removal import Remaining, remove
from micl_cli.training.read_ahead import ReadAhead

SHARD, SHARD_BYTES = 512, 64 * 10**6  # the media or bytes at which a shard is written
IN_MEMORY = 256 * 10**6  # bytes to hold in memory if shards cannot be written
Compute = Callable[[Sequence[Media]], Tensor]
"""Turns media into a tensor [n, ...]; with an attribute ``concurrent`` that is true, it may run in a thread."""
LIMIT = 20 * 10**9
"""The default size limit of the shards of all encoders together, in bytes."""


@dataclass(frozen=True)
class StoredFeatures:
    """The stored features of one encoder. ``used`` is the time of their last use, in seconds since the epoch."""

    key: str
    shards: int
    bytes: int
    used: float


class Features:
    """A FeatureCache on disk. If its folder is not writable, a run is slower, but does not fail.

    If the shards would exceed ``limit`` bytes, the least recently used ones are removed, except those that this process
    uses. If there is not enough space for all media, some of them are not cached. A limit of 0 disables the cache.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit
        self._shards: dict[str, dict[str, tuple[Path, Any]]] = {}
        self._pending: dict[str, dict[str, Tensor]] = {}
        self._used: set[Path] = set()
        self._verified: set[tuple[str, str]] = set()
        self.ahead = ReadAhead()
        self._recent: dict[str, tuple[str, Compute]] = {}

    def __call__(self, key: str, media: Sequence[Media], compute: Compute) -> Tensor:
        pending = self._pending.setdefault(key, {})
        if getattr(compute, "concurrent", False):
            self._recent |= {medium.modality: (key, compute) for medium in media}
        missing = {medium.digest: medium for medium in media if medium.digest and not self._ready(key, medium)}
        for digest, medium in missing.items():
            pending[digest] = self.ahead.result((key, digest), partial(_computed, compute, medium))
        features = [self._one(key, medium, compute) for medium in media]
        if missing and (len(pending) >= SHARD or _bytes(pending) >= SHARD_BYTES):
            self._write(key)
            if _bytes(pending) >= IN_MEMORY:
                pending.clear()
        return torch.stack(features)

    def read_ahead(self, medium: Media) -> bool:
        """Start computing the features of an uncached medium, with the function last used for its modality.

        Return whether there is such a function, and it may run in a thread.
        """
        if medium.modality not in self._recent:
            return False
        key, compute = self._recent[medium.modality]
        if medium.digest and not self._ready(key, medium):
            self.ahead.start((key, medium.digest), partial(_computed, compute, medium))
        return True

    def _ready(self, key: str, medium: Media) -> bool:
        """Return whether the features of a medium are in memory or stored."""
        return medium.digest in self._pending.get(key, {}) or self._has(key, medium.digest)

    def _one(self, key: str, medium: Media, compute: Compute) -> Tensor:
        if not medium.digest:
            return compute([medium])[0].cpu()
        pending = self._pending[key].get(medium.digest)
        if pending is not None:
            return pending
        _, shard = self._shards[key][medium.digest]
        tensor: Tensor = shard.get_tensor(medium.digest)
        return tensor

    def flush(self) -> None:
        """Write all features that are not on disk yet."""
        for key in self._pending:
            self._write(key)

    def _opened(self, key: str) -> dict[str, tuple[Path, Any]]:
        """Return the open shard of each medium stored under ``key``."""
        if key not in self._shards:
            self._shards[key] = {}
            for path in sorted((self.folder / key).glob("*.safetensors")):
                self._open(key, path)
        return self._shards[key]

    def _has(self, key: str, digest: str) -> bool:
        """Return whether the features of a medium are stored and intact. A shard with damaged ones is removed."""
        if digest not in self._opened(key):
            return False
        if (key, digest) not in self._verified:
            path, shard = self._shards[key][digest]
            if tensor_sha256(shard.get_tensor(digest)) != (shard.metadata() or {}).get(digest):
                del self._shards[key][digest]
                with suppress(OSError):
                    path.unlink()
                return False
            self._verified.add((key, digest))
        return True

    def _open(self, key: str, path: Path) -> None:
        try:
            shard: Any = safe_open(path, framework="pt")
            names = shard.keys()
        except (OSError, SafetensorError):
            return  # the shard is damaged: its features are computed again
        self._shards[key].update(dict.fromkeys(names, (path, shard)))
        self._used.add(path)
        with suppress(OSError):
            os.utime(path)  # marks it as recently used

    def _write(self, key: str) -> None:
        pending = self._pending.get(key)
        if not pending:
            return
        name = sha256("".join(sorted(pending)).encode()).hexdigest()[:20]
        path = self.folder / key / f"{name}.safetensors"
        try:
            if _removable(self.folder, self.limit - _bytes(pending), self._used) is None:
                return  # they stay in memory
            tensors = {digest: tensor.contiguous().clone() for digest, tensor in pending.items()}
            content = save(tensors, {digest: tensor_sha256(tensor) for digest, tensor in tensors.items()})
            if not make_room(self.folder, self.limit - len(content), spare=self._used):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.new")
            partial.write_bytes(content)
            partial.replace(path)
        except OSError:
            return
        self._open(key, path)
        self._verified.update((key, digest) for digest in pending)
        pending.clear()


@torch.no_grad()
def _computed(compute: Compute, medium: Media) -> Tensor:
    return compute([medium])[0].cpu()


def tensor_sha256(tensor: Tensor) -> str:
    """Return the sha256 of a tensor on the CPU: of its type, shape and bytes."""
    digest = sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def stored_features(folder: Path) -> list[StoredFeatures]:
    """Return the stored features of each encoder, the most recently used first."""
    by_key: dict[str, list[os.stat_result]] = {}
    for path, stat in _shards(folder):
        by_key.setdefault(path.parent.name, []).append(stat)
    stored = [
        StoredFeatures(key, len(stats), sum(s.st_size for s in stats), max(s.st_mtime for s in stats))
        for key, stats in by_key.items()
    ]
    return sorted(stored, key=lambda each: -each.used)


def remove_features(folder: Path, key: str) -> list[Remaining]:
    """Remove the stored features of an encoder, and return what could not be removed.

    A run that uses them keeps the files that it has open.
    """
    return remove(folder / key) if (folder / key).parent == folder else []


def make_room(folder: Path, limit: int, spare: Collection[Path] = ()) -> bool:
    """Remove the least recently used shards until at most ``limit`` bytes remain. Return whether that is possible.

    Shards in ``spare`` are not removed. If ``limit`` cannot be reached, none is removed.
    """
    shards = _removable(folder, limit, spare)
    for path in shards or ():
        path.unlink(missing_ok=True)
    return shards is not None


def _removable(folder: Path, limit: int, spare: Collection[Path]) -> list[Path] | None:
    """Return the shards to remove so that at most ``limit`` bytes remain, or None if that is impossible."""
    shards = sorted(_shards(folder), key=lambda shard: shard[1].st_mtime)
    excess = sum(stat.st_size for _, stat in shards) - limit
    removable = []
    for path, stat in shards:
        if excess <= 0:
            break
        if path not in spare:
            removable.append(path)
            excess -= stat.st_size
    return removable if excess <= 0 else None


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _shards(folder: Path) -> list[tuple[Path, os.stat_result]]:
    shards = []
    for path in folder.glob("*/*.safetensors"):
        with suppress(OSError):  # another process may have removed it
            shards.append((path, path.stat()))
    return shards
