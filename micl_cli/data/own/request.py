"""The request to prepare user data, and the command line that repeats it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from micl_cli.errors import UsageError

Shares = tuple[float, float, float]
"""The shares of train, val and test, whose sum is 1."""


class Input(NamedTuple):
    """A file, a folder or the name of a remote data set, and the split of all its items, if it is given."""

    text: str
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class OwnRequest:
    """A data set of the user, and the task to make of it.

    ``columns`` holds columns by role. ``splits`` maps names of splits in the data to train, val, test or none, and
    ``shares`` divides all examples instead, by ``split_seed``. With ``merge``, items with the same content are one
    example with all their references. Fields that are None are guessed from the data.
    """

    inputs: tuple[Input, ...]
    name: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prompt: str = ""
    type: str | None = None
    metric: str | None = None
    modality: str | None = None
    separator: str = ""
    merge: bool = False
    splits: Mapping[str, str] = field(default_factory=dict)
    shares: Shares | None = None
    split_seed: int = 0
    media_root: Path | None = None
    limit: int | None = None
    val: int | None = None

    def arguments(self, inputs: tuple[Input, ...], format_name: str, options: Mapping[str, str]) -> tuple[str, ...]:
        """Return the arguments of the command that prepares the task again, given its inputs with absolute paths."""
        return tuple(self._arguments(inputs, format_name, options))

    def _arguments(self, inputs: tuple[Input, ...], format_name: str, options: Mapping[str, str]) -> Iterator[str]:
        for text, split in inputs:
            yield from ("--from", f"{split}={text}" if split else text)
        yield from ("--as", self.name, "--format", format_name)
        for name, value in options.items():
            yield from ("-o", name, value)
        for role, columns in self.columns.items():
            for column in columns:
                yield from ("--column", f"{role}={column}")
        for name in ("prompt", "type", "metric", "modality", "separator", "limit", "val"):
            if value := getattr(self, name):
                yield from (f"--{name}", str(value))
        yield from ["--merge"] if self.merge else []
        yield from self._split_arguments()
        if self.media_root:
            yield from ("--media-root", str(self.media_root.resolve()))

    def _split_arguments(self) -> Iterator[str]:
        if self.shares:
            yield from ("--split", "/".join(f"{share * 100:g}" for share in self.shares))
        for value, split in self.splits.items():
            yield from ("--split", f"{value}={split}")
        if self.split_seed:
            yield from ("--split-seed", str(self.split_seed))


def parse_shares(text: str) -> Shares:
    """Return the shares in "80/10/10" or "90/10" (train/test). Raises UsageError."""
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    train, val, test = (*numbers[:1], 0.0, *numbers[1:]) if len(numbers) == 2 else (*numbers, 0.0, 0.0, 0.0)[:3]
    valid = len(numbers) in (2, 3) and 0 < train < 1e9 and 0 < test < 1e9 and 0 <= val < 1e9
    if not valid:
        hint = "Write the shares of train, val and test: --split 80/10/10"
        raise UsageError(f"--split {text!r} is not a division of the examples", hint)
    total = train + val + test
    return train / total, val / total, test / total
