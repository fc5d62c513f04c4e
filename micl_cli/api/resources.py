"""Resources of the installation that a plugin may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.io.digest_cache import FileDigests

if TYPE_CHECKING:
    from micl_cli.api.metric import Metric

PartLoader = Callable[[str, str], type[Any]]
"""Returns the class of a registered plugin by kind and name: ("encoders", "conv-image"). Raises PluginError."""


@dataclass(frozen=True)
class Resources:
    """The home folder, and a loader for registered plugins.

    Backbones receive it as an argument, so that they need not read environment variables. ``judge_model`` is the
    folder or hub id of the language model that judges answers, or empty if none is set.
    """

    home: Path
    load_part: PartLoader
    judge_model: str = ""

    @property
    def weights(self) -> Path:
        """The folder for downloaded weights, below the home folder."""
        return self.home / "weights"

    def metric(self, name: str) -> Metric:
        """Return a registered metric after its ``setup``. Raises PluginError, PlanError."""
        metric: Metric = self.load_part("metrics", name)()
        metric.setup(self)
        return metric

    def file_digest(self, path: Path) -> str:
        """Return the sha256 of a file; a large file that has not changed is read once. Raises OSError."""
        return self._digests.sha256(path)

    @cached_property
    def _digests(self) -> FileDigests:
        return FileDigests(self.home / "digests")
