"""Checkpoints of a model hub: fetched into the hub's own cache, each file checked, read without a network then.

Weights are downloaded here and not by huggingface_hub, which begins a broken download anew: they become blobs of
its cache, and it links them into the snapshot as if it had fetched them itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any
from urllib.request import Request

from filelock import FileLock
from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    is_offline_mode,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, validate_repo_id  # type: ignore[attr-defined]

from micl_backbones.weights.fetch import AGAIN, download
from micl_cli.api import FetchProgress, PlanError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_READ = re.compile(r"[^/]+\.(json|txt|model|jinja|tiktoken)|additional_chat_templates/[^/]+\.jinja")
"""Configurations, tokenizers and chat templates. Folders hold copies in other formats, and pickles are left alone."""
_OTHER_INDEX = ".index.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _File:
    """One file as the hub states it; ``large`` ones have a sha256, others the sha1 of a git blob."""

    name: str
    size: int
    digest: str
    large: bool


@dataclass(frozen=True)
class _Snapshot:
    """A checkpoint at one commit; ``name`` is how it was asked for, ``id`` how the hub calls it."""

    name: str
    id: str
    commit: str
    files: dict[str, _File]

    @property
    def blobs(self) -> Path:
        """The folder of the cache that holds its files by digest."""
        return _cached(self.name) / "blobs"


def is_id(name: str) -> bool:
    """Whether a name can be that of a checkpoint on a hub."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def is_here(name: str, revision: str = "main") -> bool:
    """Whether a checkpoint's configuration and all of its weights are in the cache. Asks no network."""
    try:
        found = {file: _in_cache(name, file, revision) for file in (CONFIG, WEIGHTS, INDEX)}
        if not found[CONFIG]:
            return False
        if found[WEIGHTS] or not found[INDEX]:
            return bool(found[WEIGHTS])
        return all(_in_cache(name, shard, revision) for shard in _shards(found[INDEX]))
    except (HFValidationError, ValueError, LookupError, OSError):
        return False


def fetch_checkpoint(name: str, revision: str, tell: FetchProgress) -> None:
    """Get what transformers loads of a checkpoint. Raises PlanError; what is there by then stays.

    ``revision`` is a commit, tag or branch. ``tell`` hears of the whole checkpoint's bytes.
    """
    if is_offline_mode() and is_here(name, revision):
        return  # nothing more can be asked for
    with _asking(name, revision):
        snapshot = _stated(name, revision)
        read = [file for file in snapshot.files.values() if _is_read(file.name)]
        for file in read:
            _get_small(snapshot, file)
        weights = _weights(snapshot)
        done, total = sum(file.size for file in read), sum(file.size for file in [*read, *weights])
        for file in weights:
            _get_large(snapshot, file, partial(_tell_whole, tell, name, done, total))
            done += file.size
            tell(name, done, total)
        _remember(snapshot, revision)


def _tell_whole(tell: FetchProgress, name: str, before: int, total: int, done: int, size: int) -> None:
    """Tell of the whole checkpoint where one file of it is told of."""
    tell(name, before + done, total)


# What there is


def _stated(name: str, revision: str) -> _Snapshot:
    """What the hub says of a checkpoint. Raises PlanError where it says too little to check what comes."""
    info = HfApi().model_info(name, revision=revision, files_metadata=True)
    if _COMMIT.fullmatch(revision) and info.sha != revision:
        raise PlanError(f"{name} is not what was pinned: the hub gives commit {info.sha}", "Do not use this hub.")
    files = {}
    for sibling in info.siblings or []:
        if sibling.lfs is not None:
            files[sibling.rfilename] = _File(sibling.rfilename, sibling.lfs.size, sibling.lfs.sha256, True)
        else:
            files[sibling.rfilename] = _File(sibling.rfilename, sibling.size or 0, sibling.blob_id or "", False)
    if CONFIG not in files:
        raise PlanError(f"{name} is no checkpoint of transformers: it has no {CONFIG}", "Take another one.")
    return _Snapshot(name, info.id, str(info.sha), files)


def _is_read(name: str) -> bool:
    return bool(_READ.fullmatch(name)) and (name == INDEX or not name.endswith(_OTHER_INDEX))


def _weights(snapshot: _Snapshot) -> list[_File]:
    """The files that transformers takes weights from. Raises PlanError where there are none in safetensors."""
    files = snapshot.files
    if WEIGHTS in files:
        return [files[WEIGHTS]]
    if INDEX not in files:
        raise PlanError(
            f"{snapshot.name} has no safetensors: its weights are in a format that can hold code",
            "Take a checkpoint, or a revision of it, with safetensors.",
        )
    shards = _shards(str(_in_cache(snapshot.name, INDEX, snapshot.commit)))
    if missing := [shard for shard in shards if shard not in files]:
        raise PlanError(f"{snapshot.name} lacks {missing[0]}, which its index names", "Take another revision.")
    return [files[shard] for shard in shards]


def _shards(index: str) -> list[str]:
    named: Iterable[str] = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()
    return sorted(set(named))


# Getting it


def _get_small(snapshot: _Snapshot, file: _File) -> None:
    _check(file, _linked(snapshot, file))


def _get_large(snapshot: _Snapshot, file: _File, tell: Callable[[int, int], None]) -> None:
    if not file.large:
        return _get_small(snapshot, file)
    if not _SHA256.fullmatch(file.digest):
        raise PlanError(f"the hub states no sha256 of {file.name}", "Take another checkpoint.")
    blob = snapshot.blobs / file.digest
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = blob.parents[2] / ".locks" / blob.parents[1].name / f"{file.digest}.lock"  # huggingface_hub's own too
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if fresh := not blob.exists():
            called = f"{snapshot.name}/{file.name}"
            download(_request(snapshot, file), blob, file.digest, file.size, tell, called=called)
    path = _linked(snapshot, file)
    if not fresh or path.resolve() != blob.resolve():
        _check(file, path)
    return None


def _linked(snapshot: _Snapshot, file: _File) -> Path:
    """The file in the cache's snapshot: downloaded, unless it is among the blobs already."""
    return Path(hf_hub_download(snapshot.name, file.name, revision=snapshot.commit))


def _request(snapshot: _Snapshot, file: _File) -> Request:
    """The hub's address of a file; a token goes to the hub alone, not to where that sends us on."""
    url = hf_hub_url(snapshot.id, file.name, revision=snapshot.commit)
    get_hf_file_metadata(url)  # a refusal comes with its reason here
    request = Request(url)
    for header, value in build_hf_headers().items():
        add = request.add_unredirected_header if header == "authorization" else request.add_header
        add(header, value)
    return request


def _check(file: _File, path: Path) -> None:
    """Compare a file with what the hub states of it, and delete it where it is another. Raises PlanError."""
    found = sha256() if file.large else sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    if found.hexdigest() != file.digest:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise PlanError(
            f"{file.name} is not what was stated: its digest is {found.hexdigest()}, not {file.digest or 'known'}",
            "It was deleted. Try again; if it stays so, do not use this hub.",
        )


def _remember(snapshot: _Snapshot, revision: str) -> None:
    """Note which commit a branch or tag is, once all of it is here."""
    if revision != snapshot.commit:
        ref = _cached(snapshot.name) / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(snapshot.commit, encoding="utf-8")


# The cache


def _cached(name: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / "--".join(["models", *name.split("/")])


def _in_cache(name: str, file: str, revision: str) -> str:
    """Where a file is in the cache; empty where it is not."""
    found: Any = try_to_load_from_cache(name, file, revision=revision)
    return found if isinstance(found, str) else ""


# What goes wrong


@contextmanager
def _asking(name: str, revision: str) -> Iterator[None]:
    """Tell what a hub refuses, and the way out. Raises PlanError."""
    try:
        yield
    except PlanError:
        raise
    # What a failing connection raises depends on the HTTP library, of which huggingface_hub has had three.
    except Exception as error:
        raise _refusal(name, revision, error) from error


def _refusal(name: str, revision: str, error: Exception) -> PlanError:
    page = f"{constants.ENDPOINT}/{name}"
    if isinstance(error, GatedRepoError):  # before what it is a kind of
        return PlanError(
            f"the checkpoint {name} is gated",
            f"Accept its licence at {page}, then log in (`hf auth login`) or set HF_TOKEN.",
        )
    if isinstance(error, RevisionNotFoundError):
        return PlanError(f"the checkpoint {name} has no revision {revision}", f"See {page}/commits/main.")
    if isinstance(error, RepositoryNotFoundError):
        hint = "Correct the id; where it is private, log in (`hf auth login`) or set HF_TOKEN."
        return PlanError(f"the hub has no checkpoint {name}", hint)
    if isinstance(error, HFValidationError):
        return PlanError(f"{name!r} is no id of a checkpoint, and no folder", "An id is OWNER/NAME.")
    if is_offline_mode():
        return PlanError(
            f"{name} is not here, and offline mode is set", "Fetch it with HF_HUB_OFFLINE (TRANSFORMERS_OFFLINE) unset."
        )
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    return PlanError(
        f"{name} cannot be fetched from {constants.ENDPOINT}: {reason}", f"It needs a network once. {AGAIN}"
    )
