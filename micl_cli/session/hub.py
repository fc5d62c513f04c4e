"""Exports on the Hugging Face hub: uploaded whole, and downloaded for loading.

The token is found by huggingface_hub in its own places (HF_TOKEN, `hf auth login`); micl neither takes nor shows one.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from micl_cli.errors import CheckpointError, MiclError, UsageError
from micl_cli.session.export_folder import DOCUMENT, written_files

if TYPE_CHECKING:
    from micl_cli.api.export import ExportFormat
    from micl_cli.session.session import Session

_OWN_FILES = frozenset([".gitattributes", "README.md"])
"""Files that the hub makes for a new repository."""
_DOWNLOADED = ["*.json", "*.safetensors", "*.toml", "*.txt", "*.model", "*.jinja", "*.tiktoken"]
"""The files of an export besides its model card; none of them can contain code."""


@dataclass(frozen=True)
class Push:
    """An uploaded export: the address of its page, the stage, and notes for the user."""

    url: str
    position: int
    notes: Sequence[str] = field(default_factory=list)


def push_run(
    session: Session, run_id: str, target: str, form: ExportFormat, *, stage: int | None = None, private: bool = False
) -> Push:
    """Export a run's model and upload it to the hub as ``target``, "hf:OWNER/NAME".

    The files of an earlier export there are replaced, and others stay. Raises what ``export_run`` raises; UsageError
    for an invalid id, for a repository with other files only, and for a public one if it is to be ``private``;
    MiclError if the hub refuses.
    """
    from micl_cli.session.export import export_run

    name = _hub_id(target)
    with _hub_errors(name):
        replaced = _check_repository(name, private=private)
    session.settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".push-", dir=session.settings.home) as temporary:
        folder = Path(temporary) / "export"
        done = export_run(session, run_id, folder, form, stage=stage, published_as=name)
        with _hub_errors(name):
            url = _upload(folder, name, replaced, private=private, message=f"Run {run_id} after stage {done.position}")
    return Push(url, done.position, done.notes)


def download_export(name: str) -> Path:
    """Return the folder of an export on the hub, in the hub's cache. Raises UsageError or MiclError."""
    from huggingface_hub import snapshot_download

    with _hub_errors(_hub_id(f"hf:{name}")):
        return Path(snapshot_download(name, allow_patterns=_DOWNLOADED))


def _hub_id(target: str) -> str:
    """Return the id in "hf:OWNER/NAME". Raises UsageError if it is no such id."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    prefix, _, name = target.partition(":")
    hint = "Write hf:OWNER/NAME, with the name of your account or organisation."
    if prefix != "hf" or name.count("/") != 1:
        raise UsageError(f"{target!r} does not name a repository on the hub", hint)
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(f"{name!r} is not a valid id on the hub: {error}", hint) from error
    return name


def _check_repository(name: str, *, private: bool) -> set[str]:
    """Return the files of an earlier export in a repository, which an upload replaces; none if it does not exist.

    Raises UsageError if it must not be replaced or would be made public.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = HfApi().model_info(name)
    except RepositoryNotFoundError:
        return set()
    if private and not info.private:
        hint = "Make it private on its page first, or push to another id."
        raise UsageError(f"{name} exists and is public", hint)
    files = {sibling.rfilename for sibling in info.siblings or ()}
    if files - _OWN_FILES and DOCUMENT not in files:
        raise UsageError(
            f"{name} exists and is not an export of micl", "Push to another id: its files would be replaced."
        )
    return _earlier_files(name, info.sha) & files if DOCUMENT in files else set()


def _earlier_files(name: str, commit: str | None) -> set[str]:
    """Return the names of the files of the export in a repository. Raises UsageError if they are not known."""
    from huggingface_hub import hf_hub_download

    try:
        return written_files(Path(hf_hub_download(name, DOCUMENT, revision=commit)))
    except CheckpointError as error:
        hint = "Push to another id, or delete what is there: what belongs to the earlier export is not known."
        raise UsageError(f"{name} holds an export with a damaged {DOCUMENT}", hint) from error


def _upload(folder: Path, name: str, replaced: set[str], *, private: bool, message: str) -> str:
    from huggingface_hub import HfApi

    api = HfApi()
    # None leaves the visibility to the hub: an organisation may have a default.
    api.create_repo(name, private=True if private else None, exist_ok=True)
    outdated = [glob.escape(file) for file in sorted(replaced)]
    commit = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message, delete_patterns=outdated)
    return str(commit.repo_url)


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Convert the hub's errors in the block to MiclError with a hint."""
    from huggingface_hub import constants, is_offline_mode

    if is_offline_mode():
        raise MiclError("the hub cannot be used: offline mode is set", "Unset HF_HUB_OFFLINE (TRANSFORMERS_OFFLINE).")
    try:
        yield
    except MiclError:
        raise
    # The errors of a failing connection depend on the HTTP library, of which huggingface_hub has used three.
    except Exception as error:
        raise MiclError(*_explained(name, str(constants.ENDPOINT), error)) from error


def _explained(name: str, endpoint: str, error: Exception) -> tuple[str, str]:
    """Return what happened and what to do."""
    from huggingface_hub.errors import LocalTokenNotFoundError, RepositoryNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    login = "Log in with a token that may write (`hf auth login`), or set HF_TOKEN."
    if status == 401 or isinstance(error, LocalTokenNotFoundError):
        return f"the hub does not know who you are: {name} cannot be used without a valid token", login
    if status == 403:
        return f"the hub does not allow you to write {name}", f"Push to an id of your own. {login}"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return f"the hub has no {name} that you can see", f"Correct the id. {login}"
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    return (
        f"the hub at {endpoint} failed for {name}: {reason}",
        "Repeat the command: files that were uploaded are not sent again.",
    )
