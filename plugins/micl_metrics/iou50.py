"""Grounding: the share of boxes that overlap with the reference box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from micl_cli.api import Example, ExampleMetric, PlanError
from micl_metrics.boxes import Box, iou, parse_box, to_box

THRESHOLD = 0.5
"""An answer is right if its intersection over union is larger, as in the evaluation of RefCOCO."""


class IoU50(ExampleMetric):
    """The share of answers whose box overlaps with the right one by an IoU of more than 0.5, in 0..1.

    The box of an answer is its first four numbers, [x1, y1, x2, y2]; an answer with fewer is wrong. The right box is
    ``bbox`` in the example's ``meta``, or the first reference that is one. If only one of the boxes is in pixels, the
    other is taken as normalised on the padded square, and converted by ``size`` in ``meta`` (width and height of the
    image); without ``size`` such an answer is wrong.
    """

    name: ClassVar[str] = "iou50"

    def rate(self, answer: str, example: Example) -> float:
        """Return 1.0 if the answer's box is right, else 0.0. Raises PlanError if the example has no box."""
        right, box = _right_box(example), parse_box(answer)
        if box is None:
            return 0.0
        if box.normalised != right.normalised:
            size = _size(example)
            right, box = (b.in_pixels(size) if b.normalised and size else b for b in (right, box))
        return float(iou(box, right) > THRESHOLD)


def _right_box(example: Example) -> Box:
    boxes = (to_box(value) for value in (example.meta.get("bbox"), *example.references))
    if box := next((box for box in boxes if box), None):
        return box
    raise PlanError(
        f"example {example.id or '(without id)'} of {example.task or 'the task'} has no box",
        'The metric iou50 needs "bbox": [x1, y1, x2, y2] in meta, or such a list as the reference.',
    )


def _size(example: Example) -> Sequence[float] | None:
    size = example.meta.get("size")
    numbers = isinstance(size, Sequence) and len(size) == 2 and all(isinstance(side, (int, float)) for side in size)
    return size if numbers else None
