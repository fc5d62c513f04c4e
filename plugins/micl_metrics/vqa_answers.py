"""Normalisation of answers for VQA accuracy, by the rules of the evaluation script of the VQA challenge.

Line ends and tabs count as spaces. Each of the marks in MARKS is deleted if it stands beside a space anywhere in the
answer, or if the answer has a comma between digits; otherwise it becomes a space. A point is deleted unless a digit
follows. Then letters become lower case, none and zero to ten digits; articles are dropped, and contractions that lack
an apostrophe get it. Other marks, such as % $ # : & and *, belong to the word. Deviation: characters beyond ASCII are
unified first (see :mod:`micl_metrics.text`), so that "we’re" is "we're".
"""

from __future__ import annotations

import re

from micl_metrics.answers import ARTICLES, NUMBERS
from micl_metrics.text import unify

MARKS = ';/[]"{}()=+\\_-><@`,?!'

_THOUSANDS = re.compile(r"\d,\d")
_POINT = re.compile(r"\.(?!\d)")
_WORDS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _contractions() -> dict[str, str]:
    """Return contractions by each spelling that lacks one of their apostrophes."""
    words: dict[str, str] = {}
    for word in _WORDS.split():
        words |= {word[:at] + word[at + 1 :]: word for at, mark in enumerate(word) if mark == "'"}
    return {**words, "somebody'd": "somebodyd"}  # the script has this one the other way round


CONTRACTIONS = _contractions()


def normalise_vqa(answer: str) -> str:
    """Normalise an answer as the evaluation script of the VQA challenge does where annotators disagree."""
    text = unify(answer).replace("\n", " ").replace("\t", " ").strip()
    words = [NUMBERS.get(word, word) for word in _without_marks(text).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _without_marks(text: str) -> str:
    plain, thousands = text, _THOUSANDS.search(text)
    for mark in MARKS:
        spaced = f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if spaced or thousands else " ")
    return _POINT.sub("", plain)
