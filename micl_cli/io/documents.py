"""JSON files that micl writes for itself: objects with their own digest, so that any damage is noticed on reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from micl_cli.errors import CheckpointError
from micl_cli.io.files import write_json
from micl_cli.io.json_text import json_text
from micl_cli.io.text import read_json

FORMAT = 2
"""The version of the format. Files of the first version have neither "format" nor "sha256"."""
MAX_DOCUMENT_BYTES = 256 << 20
_FORMAT, _DIGEST = "format", "sha256"


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with its format and digest. Raises CheckpointError."""
    content = {**json.loads(json_text(content)), _FORMAT: FORMAT}
    write_json(path, {**content, _DIGEST: json_sha256(content)})


def read_document(path: Path, *, list_key: str = "") -> dict[str, Any]:
    """Return the content of a JSON object, without its digest. Raises CheckpointError if it is damaged.

    A file of the first version of the format has no digest and is returned as it is; a list is returned under
    ``list_key``.
    """
    with damage_reported(path):
        content = read_json(path, MAX_DOCUMENT_BYTES)
        if isinstance(content, list) and list_key:
            return {list_key: content}
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
        digest = content.pop(_DIGEST, None)
        if digest is None and _FORMAT not in content:
            return content
        if content.get(_FORMAT) != FORMAT:
            raise ValueError(f"its format {content.get(_FORMAT)!r} is not known to this version of micl")
        if digest != json_sha256(content):
            raise ValueError("its content does not match its digest")
        del content[_FORMAT]
        return content


def json_sha256(data: Any) -> str:
    """Return the sha256 of JSON-ready data, independent of the order of keys."""
    return sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Raise CheckpointError with the ``path`` for errors of reading and interpreting it within the block."""
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing", LEARN_AGAIN) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {_reason(error)}", LEARN_AGAIN) from error


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(getattr(error, "strerror", None) or error).split())


LEARN_AGAIN = "Run the same learn command, or `micl learn --resume RUN`: what is damaged is computed again."
