"""Comparison of quantised runs with the same plans in full precision: memory saved, score lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from micl_cli.report.data import RunData
from micl_cli.report.differences import comparable

NONE = "none"
_BITS = ("backbone.quantize", "backbone.dtype")
_NUMBERS = ("environment.precision",)


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """Run ``run``, quantised to ``bits``, relative to run ``reference`` of the same plan in full precision.

    ``weights`` and ``peak`` are fractions of the reference's bytes, ``gap`` is its MFN minus that of the run; None if
    not measured.
    """

    run: str
    bits: str
    reference: str
    weights: float | None
    peak: float | None
    gap: float | None

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return asdict(self)


def bits_of(run: RunData) -> str:
    """Return the quantisation of the frozen weights; "none" means full precision."""
    return run.settings.get("backbone.quantize", NONE)


def quantized_of(runs: Sequence[RunData]) -> list[Quantized]:
    """Return each quantised run whose reference is among ``runs``."""
    full = [run for run in runs if bits_of(run) == NONE]
    pairs = [(run, _reference(run, full)) for run in runs if bits_of(run) != NONE]
    return [_compared(run, reference) for run, reference in pairs if reference]


def _reference(run: RunData, full: Sequence[RunData]) -> RunData | None:
    return next(
        (other for other in full if _key(other) == _key(run) and comparable(run, other, except_for=_NUMBERS)), None
    )


def _key(run: RunData) -> tuple[Any, ...]:
    settings = {name: value for name, value in run.settings.items() if name not in _BITS}
    return run.strategy, run.backbone, run.seed, tuple(run.tasks), run.split, settings, dict(run.data)


def _compared(run: RunData, reference: RunData) -> Quantized:
    best, own = reference.metrics["mfn"], run.metrics["mfn"]
    return Quantized(
        run=run.id,
        bits=bits_of(run),
        reference=reference.id,
        weights=_fraction(run.weights_bytes, reference.weights_bytes),
        peak=_fraction(run.cost.peak_bytes, reference.cost.peak_bytes),
        gap=None if best is None or own is None else best - own,
    )


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if part and whole else None
