"""Names of models: a run, a stage of it, or one of its adapters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from micl_cli.errors import nearest
from micl_cli.serve.errors import ApiError

_REST = re.compile(r"(?:@(?P<stage>\d{1,6}))?(?::(?P<adapter>.+))?", re.DOTALL)


class Target(NamedTuple):
    """What answers: a stage (None: the last) and an adapter (None: what the run's method selects)."""

    stage: int | None = None
    adapter: str | None = None


class ModelNames:
    """The names of a run's model in requests: RUN, RUN@STAGE, RUN:ADAPTER and RUN@STAGE:ADAPTER.

    ``runs`` are the run's id and its other names; the first is listed.
    """

    def __init__(self, runs: Iterable[str], stages: Sequence[int], adapters: Sequence[str]) -> None:
        self.runs, self.stages, self.adapters = tuple(dict.fromkeys(filter(None, runs))), stages, adapters

    @property
    def listed(self) -> list[str]:
        """All names, the run itself first; those of adapters are for the last stage."""
        run = self.runs[0]
        return [run, *(f"{run}@{stage}" for stage in self.stages), *(f"{run}:{name}" for name in self.adapters)]

    def target(self, name: str) -> Target:
        """Return what answers as the model ``name``. Raises ApiError (404) if there is no such model."""
        for run in sorted(self.runs, key=len, reverse=True):
            match = _REST.fullmatch(name.removeprefix(run)) if name.startswith(run) else None
            if match:
                target = Target(int(match["stage"]) if match["stage"] else None, match["adapter"])
                if self._exists(target):
                    return target
        hint = nearest(name, self.listed) or f"The run is {self.runs[0]}; GET /v1/models lists the names."
        raise ApiError(404, f"no model {name!r}. {hint}", code="model_not_found", param="model")

    def _exists(self, target: Target) -> bool:
        """Return whether there is such a stage and adapter; adapters of other stages than the last are not known."""
        known = target.stage is not None or target.adapter in (None, *self.adapters)
        return known and target.stage in (None, *self.stages)
