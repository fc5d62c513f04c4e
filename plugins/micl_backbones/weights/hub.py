"""Checkpoints on the Hugging Face hub: fetched into its own cache, each file verified, then loaded offline.

Large files are downloaded by micl, because huggingface_hub restarts an interrupted download from the beginning. They
are written as blobs of its cache, and it links them into the snapshot as if it had downloaded them itself.
"""

from __future__ import annotations

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

from micl_backbones.weights.digest import FileDigest
from micl_cli.api import RETRY_HINT, FetchProgress, PlanError, download, read_json

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_READ = re.compile(r"[^/]+\.(json|txt|model|jinja|tiktoken)|additional_chat_templates/[^/]+\.jinja")
"""Configurations, tokenizers and chat templates; not subfolders, which hold other formats, and never pickles."""
_INDEX_BYTES = 64 << 20
_OTHER_INDEX = ".index.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _File:
    """A file as listed by the hub; ``digest`` is a sha256 for ``large`` files, otherwise the sha1 of a git blob."""

    name: str
    size: int
    digest: str
    large: bool


@dataclass(frozen=True)
class _Snapshot:
    """A checkpoint at one commit; ``name`` is the requested name, ``id`` the hub's own."""

    name: str
    id: str
    commit: str
    files: dict[str, _File]

    @property
    def blobs(self) -> Path:
        """The cache folder that holds its files by digest."""
        return _cache_folder(self.name) / "blobs"


def is_id(name: str) -> bool:
    """Whether a name is a valid hub id."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def is_cached(name: str, revision: str = "main") -> bool:
    """Whether a checkpoint's configuration and all of its weights are in the cache; needs no network."""
    try:
        paths = {file: _in_cache(name, file, revision) for file in (CONFIG, WEIGHTS, INDEX)}
        if not paths[CONFIG]:
            return False
        if paths[WEIGHTS] or not paths[INDEX]:
            return bool(paths[WEIGHTS])
        return all(_in_cache(name, shard, revision) for shard in _shards(paths[INDEX]))
    except (HFValidationError, ValueError, LookupError, OSError):
        return False


def snapshot_folder(name: str, revision: str = "main") -> Path | None:
    """Return the cache's folder of a checkpoint, named after its commit; None if it is not completely in the cache."""
    return Path(_in_cache(name, CONFIG, revision)).parent if is_cached(name, revision) else None


def fetch_missing(name: str, revision: str, tell: FetchProgress) -> None:
    """Fetch a checkpoint that is not in the cache, unless offline mode is set. Raises PlanError."""
    if not is_offline_mode() and not is_cached(name, revision):
        fetch_checkpoint(name, revision, tell)


def commit_of(name: str, revision: str) -> str:
    """Return the commit of a cached checkpoint, or its revision if it is not in the cache."""
    folder = snapshot_folder(name, revision)
    return folder.name if folder else revision


def check_cached(name: str, revision: str, digest: FileDigest) -> None:
    """Raise PlanError if a weight file of a cached checkpoint is not the one that was downloaded.

    The cache names large files by their sha256.
    """
    folder = snapshot_folder(name, revision)
    for path in sorted(folder.glob("*.safetensors")) if folder else ():
        blob = path.resolve()
        if _SHA256.fullmatch(blob.name) and digest(blob) != blob.name:
            raise PlanError(
                f"{path.name} of the checkpoint {name} has changed since it was downloaded",
                f"Remove {blob}, then fetch the checkpoint again with `micl backbones fetch`.",
            )


def fetch_checkpoint(name: str, revision: str, tell: FetchProgress) -> None:
    """Fetch the files of a checkpoint that transformers loads. Raises PlanError; files fetched before are kept.

    ``revision`` is a commit, tag or branch. ``tell`` receives the progress in bytes of the whole checkpoint.
    """
    if is_offline_mode() and is_cached(name, revision):
        return
    with _hub_errors(name, revision):
        snapshot = _list_snapshot(name, revision)
        small = [file for file in snapshot.files.values() if _is_needed(file.name)]
        for file in small:
            _fetch_small(snapshot, file)
        weights = _weights(snapshot)
        done, total = sum(file.size for file in small), sum(file.size for file in [*small, *weights])
        for file in weights:
            _fetch_large(snapshot, file, partial(_report_total, tell, name, done, total))
            done += file.size
            tell(name, done, total)
        _write_ref(snapshot, revision)


def _report_total(tell: FetchProgress, name: str, before: int, total: int, done: int, size: int) -> None:
    """Report the progress of one file as that of the whole checkpoint."""
    tell(name, before + done, total)


# Listing


def _list_snapshot(name: str, revision: str) -> _Snapshot:
    """Return the hub's listing of a checkpoint. Raises PlanError if it is another commit or no checkpoint."""
    info = HfApi().model_info(name, revision=revision, files_metadata=True)
    if COMMIT.fullmatch(revision) and info.sha != revision:
        raise PlanError(f"{name} is not the pinned commit: the hub returned {info.sha}", "Do not use this hub.")
    files = {}
    for sibling in info.siblings or []:
        if sibling.lfs is not None:
            files[sibling.rfilename] = _File(sibling.rfilename, sibling.lfs.size, sibling.lfs.sha256, True)
        else:
            files[sibling.rfilename] = _File(sibling.rfilename, sibling.size or 0, sibling.blob_id or "", False)
    if CONFIG not in files:
        raise PlanError(f"{name} is not a transformers checkpoint: it has no {CONFIG}", "Choose another checkpoint.")
    return _Snapshot(name, info.id, str(info.sha), files)


def _is_needed(name: str) -> bool:
    return bool(_READ.fullmatch(name)) and (name == INDEX or not name.endswith(_OTHER_INDEX))


def _weights(snapshot: _Snapshot) -> list[_File]:
    """Return the files with the weights. Raises PlanError if there are none in safetensors."""
    files = snapshot.files
    if WEIGHTS in files:
        return [files[WEIGHTS]]
    if INDEX not in files:
        raise PlanError(
            f"{snapshot.name} has no safetensors: its weights are in a format that can contain code",
            "Choose a checkpoint, or a revision of it, with safetensors.",
        )
    shards = _shards(str(_in_cache(snapshot.name, INDEX, snapshot.commit)))
    if missing := [shard for shard in shards if shard not in files]:
        raise PlanError(f"{snapshot.name} lacks {missing[0]}, which its index lists", "Choose another revision.")
    return [files[shard] for shard in shards]


def _shards(index: str) -> list[str]:
    named: Iterable[str] = read_json(Path(index), _INDEX_BYTES)["weight_map"].values()
    return sorted(set(named))


# Downloading


def _fetch_small(snapshot: _Snapshot, file: _File) -> None:
    _verify(file, _link(snapshot, file))


def _fetch_large(snapshot: _Snapshot, file: _File, tell: Callable[[int, int], None]) -> None:
    if not file.large:
        return _fetch_small(snapshot, file)
    if not _SHA256.fullmatch(file.digest):
        raise PlanError(f"the hub lists no sha256 for {file.name}", "Choose another checkpoint.")
    blob = snapshot.blobs / file.digest
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = (
        blob.parents[2] / ".locks" / blob.parents[1].name / f"{file.digest}.lock"
    )  # the same lock as huggingface_hub's
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if fresh := not blob.exists():
            called = f"{snapshot.name}/{file.name}"
            download(_request(snapshot, file), blob, file.digest, file.size, tell, called=called)
    path = _link(snapshot, file)
    if not fresh or path.resolve() != blob.resolve():
        _verify(file, path)
    return None


def _link(snapshot: _Snapshot, file: _File) -> Path:
    """Return the file in the cache's snapshot folder; it is downloaded unless its blob exists."""
    return Path(hf_hub_download(snapshot.name, file.name, revision=snapshot.commit))


def _request(snapshot: _Snapshot, file: _File) -> Request:
    """Return the request for a file; the token is sent to the hub only, not to the target of a redirect."""
    url = hf_hub_url(snapshot.id, file.name, revision=snapshot.commit)
    get_hf_file_metadata(url)  # raises the specific error if access is denied
    request = Request(url)
    for header, value in build_hf_headers().items():
        add = request.add_unredirected_header if header == "authorization" else request.add_header
        add(header, value)
    return request


def _verify(file: _File, path: Path) -> None:
    """Verify a file's digest, and delete the file if it differs from the hub's listing. Raises PlanError."""
    actual = sha256() if file.large else sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            actual.update(chunk)
    if actual.hexdigest() != file.digest:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise PlanError(
            f"{file.name} does not match the hub's listing: its digest is {actual.hexdigest()}, "
            f"not {file.digest or 'listed'}",
            "It was deleted. Try again; if the digest still differs, do not use this hub.",
        )


def _write_ref(snapshot: _Snapshot, revision: str) -> None:
    """Record the commit of a branch or tag in the cache, once the checkpoint is complete."""
    if revision != snapshot.commit:
        ref = _cache_folder(snapshot.name) / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(snapshot.commit, encoding="utf-8")


# The cache


def _cache_folder(name: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / "--".join(["models", *name.split("/")])


def _in_cache(name: str, file: str, revision: str) -> str:
    """Return the path of a file in the cache; empty if it is not there."""
    path: Any = try_to_load_from_cache(name, file, revision=revision)
    return path if isinstance(path, str) else ""


# Errors


@contextmanager
def _hub_errors(name: str, revision: str) -> Iterator[None]:
    """Convert the hub's errors in the block to PlanError with a hint."""
    try:
        yield
    except PlanError:
        raise
    # The errors of a failing connection depend on the HTTP library, of which huggingface_hub has used three.
    except Exception as error:
        raise _as_plan_error(name, revision, error) from error


def _as_plan_error(name: str, revision: str, error: Exception) -> PlanError:
    page = f"{constants.ENDPOINT}/{name}"
    if isinstance(error, GatedRepoError):  # before its base class RepositoryNotFoundError
        return PlanError(
            f"the checkpoint {name} is gated",
            f"Accept its licence at {page}, then log in (`hf auth login`) or set HF_TOKEN.",
        )
    if isinstance(error, RevisionNotFoundError):
        return PlanError(f"the checkpoint {name} has no revision {revision}", f"See {page}/commits/main.")
    if isinstance(error, RepositoryNotFoundError):
        hint = "Correct the id; if the checkpoint is private, log in (`hf auth login`) or set HF_TOKEN."
        return PlanError(f"the hub has no checkpoint {name}", hint)
    if isinstance(error, HFValidationError):
        return PlanError(f"{name!r} is neither a hub id nor a folder", "An id is OWNER/NAME.")
    if is_offline_mode():
        hint = "Fetch it with HF_HUB_OFFLINE (TRANSFORMERS_OFFLINE) unset."
        return PlanError(f"{name} has not been fetched, and offline mode is set", hint)
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    return PlanError(
        f"{name} cannot be fetched from {constants.ENDPOINT}: {reason}", f"This needs a network once. {RETRY_HINT}"
    )
