"""Atomic writing of files and folders: under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from micl_cli.errors import CheckpointError, MiclError
from micl_cli.io.json_text import json_text


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder that replaces ``target`` at the end of the block, or is removed after an error.

    Raises CheckpointError if the disk is full or read-only.
    """
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        yield fresh
        for path in (*fresh.rglob("*"), fresh):
            flush(path)
        remove_atomically(target)
        fresh.rename(target)
        flush(target.parent)
    except (OSError, SafetensorError) as error:  # safetensors has its own error for a full disk
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def remove_atomically(path: Path) -> None:
    """Remove a file or folder, if it exists, so that a killed process leaves all of it, or nothing under its name.

    Raises CheckpointError if it cannot be removed.
    """
    obsolete = path.with_name(f".{path.name}.{os.getpid()}.old.new")
    try:
        path.rename(obsolete)
        if obsolete.is_dir() and not obsolete.is_symlink():
            shutil.rmtree(obsolete)
        else:
            obsolete.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        hint = "Make the folder writable, then run the same command."
        raise CheckpointError(f"cannot remove {path}: {error.strerror or error}", hint) from error


def write_json(target: Path, data: Any) -> None:
    """Write JSON to ``target`` atomically, with null for numbers that are not finite. Raises CheckpointError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, f"{json_text(data, ensure_ascii=False, indent=1)}\n".encode())
    except OSError as error:
        raise _cannot_write(target, error) from error


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text at a path given by the user (see :func:`write_bytes`). Raises MiclError."""
    write_bytes(target, text.encode())


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file at a path given by the user, atomically unless it is a device or pipe. Raises MiclError."""
    try:
        target = target.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            _replace(target, content)
    except OSError as error:
        hint = "Name a file in a folder that exists and can be written to."
        raise MiclError(f"cannot write {target}: {error.strerror or error}", hint) from error


def _replace(target: Path, content: bytes) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        fresh.write_bytes(content)
        flush(fresh)
        fresh.replace(target)
        flush(target.parent)
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(target: Path, error: Exception) -> CheckpointError:
    why = getattr(error, "strerror", None) or error
    return CheckpointError(
        f"cannot write {target}: {why}",
        "Free disk space or make the folder writable, then run the same command. Finished tasks are saved.",
    )
