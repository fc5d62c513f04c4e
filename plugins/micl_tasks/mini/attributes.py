"""Scoring of mini's captions by the attributes they name: F1, and the share of captions with all attributes right.

CIDEr-D also rewards the choice of a template: on mini, captions with every attribute right score from 5 to 7, depending
on the template alone. Here a caption is parsed into elements (a shape with its colour and place, a sound
with its pitch, ...), and the elements are compared with those of the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import ClassVar

from micl_cli.api import Example, ExampleMetric, Score
from micl_tasks.mini import lamps, melodies, patterns, scenes

Element = Mapping[str, str]
"""The attributes of one element of a scene, by slot."""

SLOTS: Mapping[str, tuple[str, ...]] = {
    "colour": scenes.COLOURS,
    "shape": scenes.SHAPES,
    "place": scenes.PLACES,
    "timbre": scenes.TIMBRES,
    "pitch": scenes.PITCHES,
    "direction": scenes.DIRECTIONS,
    "speed": scenes.SPEEDS,
    "state": ("still", "stays"),
    "figure": patterns.FIGURES,
    "width": patterns.WIDTHS,
    "part": ("ground", "frame"),
    "instrument": melodies.INSTRUMENTS,
    "contour": melodies.CONTOURS,
    "length": melodies.LENGTHS,
    "change": lamps.CHANGES,
}
SIGNATURES: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        "colour shape place",
        "pitch timbre",
        "colour shape direction speed",
        "colour shape state",
        "width colour figure",
        "colour part",
        "length contour instrument",
        "colour change place",
    )
)
"""The slots of each type of element."""
ORDERED = frozenset({"timbre", "instrument"})
"""Slots of elements whose order in time matters."""
SYNONYMS = {"stays": "still"}

_SLOT_OF = {word: slot for slot, words in SLOTS.items() for word in words}
_WORDS = re.compile(rf"\b({'|'.join(sorted(_SLOT_OF, key=len, reverse=True))})\b")
_ELEMENT, _MISSING = 1.0, 0.6
"""Costs of a parse: of each element, and of each slot that its signature has and it lacks."""


@lru_cache(4096)
def parse(caption: str) -> tuple[Element, ...]:
    """Return the elements that a caption names, in their order.

    The words of mini's vocabulary are divided into runs, each of which fits a signature and has no slot twice. Of all
    divisions, the one with the lowest cost is taken: few elements with few missing slots.
    """
    found = [(_SLOT_OF[word], SYNONYMS.get(word, word)) for word in _WORDS.findall(caption.lower())]
    costs, starts = [0.0], [0]
    for end in range(1, len(found) + 1):
        runs = ((start, _cost(found[start:end])) for start in range(end))
        options = [(costs[start] + cost, start) for start, cost in runs if cost is not None]
        best, start = min(options)
        costs.append(best)
        starts.append(start)
    elements, end = [], len(found)
    while end:
        elements.append(_element(found[starts[end] : end]))
        end = starts[end]
    return tuple(reversed(elements))


def _element(run: Sequence[tuple[str, str]]) -> Element:
    """Return an element. The ground and the frame of a pattern are slots whose values are their colours."""
    element = dict(run)
    return {element["part"]: element.get("colour", "")} if "part" in element else element


def _cost(run: Sequence[tuple[str, str]]) -> float | None:
    """Return the cost of an element of these words, or None if they do not fit together."""
    return _cost_of_slots(tuple(slot for slot, _ in run))


@cache
def _cost_of_slots(slots: tuple[str, ...]) -> float | None:
    own = frozenset(slots)
    missing = [len(signature - own) for signature in SIGNATURES if own <= signature]
    return _ELEMENT + _MISSING * min(missing) if missing and len(own) == len(slots) else None


def f1(answer: str, reference: str) -> float:
    """Return the F1 of the attributes of two captions, from 0 to 1.

    Sounds and phrases of melodies are paired by their order, others so that as many attributes as possible agree.
    """
    ours, theirs = parse(answer), parse(reference)
    stated = sum(map(len, ours)) + sum(map(len, theirs))
    return 2 * _agreement(ours, theirs) / stated if stated else 0.0


def _agreement(ours: Sequence[Element], theirs: Sequence[Element]) -> int:
    if any(ORDERED & element.keys() for element in theirs):
        return sum(_equal(a, b) for a, b in zip(ours, theirs, strict=False))
    fewer, more = sorted((ours, theirs), key=len)
    return _best_pairing([[_equal(a, b) for a in fewer] for b in more])


def _best_pairing(counts: Sequence[Sequence[int]]) -> int:
    """Return the largest sum of ``counts`` with at most one from each row and column; there are few columns."""
    best = {0: 0}  # by the set of columns that are taken, as bits
    for row in counts:
        for taken, total in list(best.items()):
            for column, count in enumerate(row):
                if count and not taken >> column & 1:
                    key = taken | 1 << column
                    best[key] = max(best.get(key, 0), total + count)
    return max(best.values())


def _equal(ours: Element, theirs: Element) -> int:
    return len(ours.items() & theirs.items())


class MiniAttributes(ExampleMetric):
    """F1 of the attributes that a caption of mini names, with the share of captions that are entirely right.

    All references of an example name the same attributes. The figure ``exact`` is the share of captions that have all
    attributes of the reference and no other; the order of elements matters for sounds only.
    """

    name: ClassVar[str] = "mini_attributes"

    def rate(self, answer: str, example: Example) -> float:
        """Return the F1 of one caption."""
        return max((f1(answer, reference) for reference in example.references), default=0.0)

    def score_examples(self, answers: Sequence[str], examples: Sequence[Example]) -> Score:
        """Return the mean F1, with the share of exact captions as a figure. Raises ValueError on unequal lengths."""
        score = super().score_examples(answers, examples)
        exact = sum(value == 1.0 for value in score.each) / len(score.each) if score.each else 0.0
        return score._replace(figures={**score.figures, "exact": exact})
