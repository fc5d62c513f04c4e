"""The common rule for characters, used by all metrics that are not defined on raw text.

Texts are brought into Unicode's composed form (NFC). Full-width and half-width forms count as the characters that they
show, and punctuation of other scripts as its ASCII counterpart: the Arabic comma as ",", the danda and the ideographic
full stop as ".", corner brackets and typographic quotes as quotes. Decimal digits of any script count as 0 to 9, since
they write the same number. Invisible characters (soft hyphens, zero-width spaces, marks of the text direction)
do not count. Letters stay as they are: nothing is transliterated, and no accent is removed.
"""

from __future__ import annotations

import re
import unicodedata

# Arabic, Armenian, Burmese, Chinese, Devanagari, Ethiopic, Greek, Hebrew, Japanese, Khmer and Tibetan marks. Marks that
# end a sentence or a part of it end a word as well, since no space need follow them.
_OTHER_SCRIPTS = {
    ". ": "。।॥۔։።။។៕།",
    ", ": "、،՝፣၊",
    "; ": "؛፤\u037e",
    ": ": "፥׃",
    "? ": "؟՞፧",
    "! ": "՜",
    ".": "٫",
    ",": "٬",
    "%": "٪",
    "-": "־",
    "'": "׳",
    '"': "״「」『』〝〞〟",
    "(": "【〔",
    ")": "】〕",
    "<": "〈《",
    ">": "〉》",
    "~": "〜",
    " ": "\u3000・",
}
_TYPOGRAPHIC = {"-": "−‐‑‒–", "'": "’‘‚‛ʼ", '"': "“”„‟«»", "...": "…"}
_UNSEEN = "\u00ad\u200b\u2060\ufeff\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_WIDTHS = (*range(0xFE30, 0xFE70), *range(0xFF01, 0xFFEF))
"""Small, vertical, full-width and half-width forms."""


def _table(counterparts: dict[str, str]) -> dict[int, str]:
    return {ord(mark): plain for plain, marks in counterparts.items() for mark in marks}


_LATIN = _table(_OTHER_SCRIPTS) | dict.fromkeys(map(ord, _UNSEEN), "")
_LATIN |= {code: unicodedata.normalize("NFKC", chr(code)).translate(_LATIN) for code in _WIDTHS}
_ASCII = _table(_TYPOGRAPHIC)
_DIGIT = re.compile(r"[^\D0-9]")
_CJK = "\u3005-\u3007\u303b\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
UNSPACED = re.compile(f"[{_CJK}\U00020000-\U0003ffff]")
"""A character that counts as a word: a Chinese character or Japanese kana."""


def latin_marks(text: str) -> str:
    """Return ``text`` composed, and with marks, widths and digits of other scripts as those of the Latin script.

    Typographic quotes and dashes of the Latin script itself stay.
    """
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(_LATIN))
    return _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), composed)


def unify(text: str) -> str:
    """Return ``text`` with each character in the form that is compared; see the module."""
    return latin_marks(text).translate(_ASCII) if not text.isascii() else text


def comparable(text: str) -> str:
    """Return ``text`` in lower case, with unified characters and single spaces."""
    return " ".join(unify(unify(text).lower()).split())
