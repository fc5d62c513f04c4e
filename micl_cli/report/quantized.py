"""Quantised runs beside their twins in full precision: what few bits save, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from micl_cli.report.data import RunData

NONE = "none"
_BITS = ("backbone.quantize", "backbone.dtype")


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """Run ``run`` in ``bits`` beside run ``reference``, of the same plan without.

    ``weights`` and ``peak`` are shares of the reference's bytes, ``gap`` its MFN minus the run's; None
    where one was not measured.
    """

    run: str
    bits: str
    reference: str
    weights: float | None
    peak: float | None
    gap: float | None

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return asdict(self)


def bits_of(run: RunData) -> str:
    """In what the frozen weights were kept: "none" is full precision."""
    return run.settings.get("backbone.quantize", NONE)


def quantized_of(runs: Sequence[RunData]) -> list[Quantized]:
    """Every quantised run that has its twin among ``runs``."""
    whole = [run for run in runs if bits_of(run) == NONE]
    pairs = [(run, _twin(run, whole)) for run in runs if bits_of(run) != NONE]
    return [_compared(run, twin) for run, twin in pairs if twin]


def _twin(run: RunData, whole: Sequence[RunData]) -> RunData | None:
    return next((other for other in whole if _same(other) == _same(run)), None)


def _same(run: RunData) -> tuple[Any, ...]:
    rest = {name: value for name, value in run.settings.items() if name not in _BITS}
    return run.strategy, run.backbone, run.seed, tuple(run.tasks), run.split, rest, dict(run.data)


def _compared(run: RunData, twin: RunData) -> Quantized:
    best, own = twin.metrics["mfn"], run.metrics["mfn"]
    return Quantized(
        run=run.id,
        bits=bits_of(run),
        reference=twin.id,
        weights=_share(run.weights_bytes, twin.weights_bytes),
        peak=_share(run.cost.peak_bytes, twin.cost.peak_bytes),
        gap=None if best is None or own is None else best - own,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if part and whole else None
