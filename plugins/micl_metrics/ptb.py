"""Words of captions as captioning evaluations count them: by the rules of the Penn Treebank tokenizer.

Published CIDEr, BLEU and ROUGE-L figures are computed on the tokens of Stanford's PTBTokenizer, in lower case and
without punctuation; other signs count as words, brackets as "-lrb-" and "-rrb-". This module reproduces its rules for
what occurs in captions: abbreviations keep their point, clitics and assimilations are split, words with inner hyphens,
points, slashes and some apostrophes are whole, and signs are tokens. Rules apply to the original case, since "Miss." is
an abbreviation and "miss." is not. `benchmarks/tokenizer.py` measures the agreement.

Deviations: marks, widths and digits of other scripts count as those of the Latin script (see
:func:`micl_metrics.text.latin_marks`), so that a danda or an Arabic comma is dropped as a full stop or a comma is; and
each Chinese character or kana is a word, as in evaluations of Chinese captions. Korean is split at its spaces. Thai,
Lao, Khmer and Burmese, which write none, are not split.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from micl_metrics.text import UNSPACED, latin_marks

_ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bancorp bhd bldg blvd brig bros calif capt
    cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri
    ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg
    mich minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty pres
    prof profs pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt supts
    sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo"""
_CAPITALISED = "ark az del ill la mass miss ore pa tex wash"
"""Abbreviations only if they begin with a capital, since they are also words."""

_BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"
_SENTENCE_STARTS = """
    about according additionally after an as at but earlier he her here however if in it last many more now once one
    other our she since so some such that the their then there these they this we what when while yet you"""
"""Words that, with a capital, begin a sentence after a single letter and a point, which is no abbreviation then."""

_ASSIMILATIONS = ("cannot", "gonna", "gotta", "lemme", "gimme", "wanna")
"""Two words in one, of which the first has three letters."""

_WRITTEN = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_WRITTEN |= {"£": "#", "€": "$", "¤": "$", "¢": "cents", "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_ENTITIES = {"&quot;": '"', "&apos;": "'", "&nbsp;": " ", "&mdash;": "--", "&ndash;": "--"}
_ENTITIES |= {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&AMP;": "&", "&LT;": "<", "&GT;": ">", "&NBSP;": " "}
_ENTITY = re.compile("|".join(_ENTITIES))

_MARKS = "".join(mark for mark in map(chr, range(0x300, 0x2000)) if unicodedata.category(mark)[0] == "M")
_NUMERALS = "²³¹¼½¾⁰⁴-⁹₀-₉⅐-⅟①-⒛⓪-⓿❶-➓"
_L = rf"(?:[^\W\d_{_NUMERALS}]|[{_MARKS}\u3099\u309a]|&[AEIOUaeiou](?:acute|grave|uml);)"
"""A letter, a combining mark, or an accented letter of HTML."""
_W = rf"(?:{_L}|\d)"
_A = r"[A-Za-z0-9]"
_APOS = "['’]"
_DROPPED = "[-‐‑–—―.,:;?!…'’‘`\"“”«»‹›]"
_UNKNOWN = re.compile("[\u2012\u203c\u203d\u2043\u2045-\u206f\u20a1-\u20a3\u20a5-\u20ab\u20ad-\u20ff\ufe00-\ufe0f]")
"""Signs that Stanford's program leaves out: currencies of later years, selectors of variants and others."""
_HOST = r"[^\s\"$'()!,-`{-}]"
_SITE = rf"(?:{_HOST}{{1,100}}\.){{1,10}}(?:com|net|org|edu)"
_WWW = r"www\.(?:[^\s\"`<>|.!?,]{1,100}\.){1,10}[A-Za-z]{2,4}"
_LINK = r"[^\s\"<>|(){}]"


_CLITIC = "(?i:s|m|d|re|ve|ll)"


def _any(words: str) -> str:
    return "|".join(words.split())


def _capitalised(words: str) -> str:
    return "|".join(f"{word[0].upper()}(?i:{word[1:]})" for word in words.split())


# The first rule that matches wins, so longer tokens come before their beginnings.
_RULES = {
    "plain": r"[A-Za-z]+(?=\s|$)",
    "split": rf"(?i:{'|'.join(_ASSIMILATIONS)})(?!{_W}|[-/]{_W}|{_APOS}{_CLITIC}|[.!?]{_L})",
    "tag": r"<[/!?]?[A-Za-z][\w.:-]*(?:\s[^<>]*)?/?>",
    "url": rf"(?:(?i:https?)://|(?:{_WWW}|{_SITE})/){_LINK}+(?![.!?,-]){_LINK}|{_WWW}(?!-?{_W})",
    "host": rf"(?=(?:{_L}|\.){{0,100}}(?!{_L}|\.){_HOST}){_SITE}(?!{_W})",
    "address": rf"[A-Za-z0-9]{_LINK}{{0,100}}@(?:(?!\.){_LINK}{{1,100}}\.){{0,10}}(?:(?!\.){_LINK})+",
    "language": r"(?:[CcFf]#|[Cc]\+\+)(?!\w)",
    "face": r"[<>]?[:;=]['*o-]?[\[\]](?!\w)",
    "smiley": r"[<>]?[:;=]['*o-]?[()DdPp|\\](?!\w)|[-^>]_[-^<]|"
    r"\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)",
    "apostrophe_year": rf"{_APOS}\d\d(?=\s|$)|{_APOS}[2-9]0[sS](?!\w)",
    "quotes": "''|``",
    "not": rf"[nN]['’`][tT](?!{_W})",
    "before_not": r"[A-Za-z]*[A-MO-Za-mo-z](?=[nN]['’`][tT])",
    "tis": r"'[tT](?=(?i:is|was))",
    "clitic": rf"'{_CLITIC}(?![A-Za-z])|’{_CLITIC}",
    "slashed": rf"\d{{1,4}}[- \u00a0]\d{{1,4}}/\d{{1,4}}|"
    rf"{_A}+(?:-[A-Za-z]+){{0,2}}(?:\\?/{_A}+(?:-[A-Za-z]+){{0,2}}){{1,2}}",
    "hyphenated": rf"(?:[dloDLO]{_APOS})?{_W}(?:(?:{_W}|[.,]){{0,80}}|(?:{_W}|_){{0,80}})"
    rf"(?:[-‐‑](?:[A-Za-z](?:\.[A-Za-z])+\.|(?:{_W}|_)+))+(?:\.(?=[,;:]))?",
    "apostrophe_word": rf"{_APOS}[nN]{_APOS}|’[nN]|'[nN](?!{_L}|\.{_L}|[-/]{_W})|"
    rf"(?i:{_APOS}em|{_APOS}cause|{_APOS}till?|ol{_APOS}|cap{_APOS}n|dunkin{_APOS}|c{_APOS}mon|s{_APOS}mores|"
    rf"nor{_APOS}easter|ev{_APOS}ry|li{_APOS}l|nat{_APOS}l|e{_APOS}er)(?!{_W})|"
    rf"(?:[dlno]|[A-HJ-XZ]){_APOS}{_L}{{2,}}|{_L}+[aeiouyAEIOUY](?!{_APOS}{_CLITIC}(?!{_L})){_APOS}[aeiouA-Z]{_L}*|"
    rf"[yY]{_APOS}(?={_L})",
    "acronym": rf"(?i:(?:Ph|Ed)\.D\.)|[A-Za-z](?:\.[A-Za-z])+(?:\.(?!{_L})|(?![.!?]?{_W}))",
    "abbreviation": rf"(?:(?i:{_any(_ABBREVIATIONS)})|{_capitalised(_CAPITALISED)})\.(?!{_L})|"
    rf"[A-Za-z]\.(?!{_L}|\s+(?:A|{_capitalised(_SENTENCE_STARTS)})(?:\s|$))",
    "before_number": rf"(?i:{_any(_BEFORE_NUMBERS)})\.(?=\s?\d)",
    "before_comma": rf"{_W}+\.(?=[,;:])",
    "entity": r"&#\d+;",
    "dashes": r"--+|\.\.+",
    "number": rf"[-+]?\d*(?:[.:,]\d+)+|[-+]\d+|\d+{_W}*",
    "symbols": r"[?!]{2,}|_+|\*+|#{2,}|@{2,}|<<|>>",
    "initials": r"[A-Z]+(?:&[A-Z]+)+|[A-Z]+\$",
    "underscored": rf"[A-Za-z]{_A}*(?:_{_A}+)+",
    "word": rf"{_L}{_W}*(?:[.!?]{_L}{_W}*)*(?:\.(?=[,;:]))?",
    "hashtag": rf"#{_L}+|@[A-Za-z_]\w*",
    "mark": _DROPPED,
    "sign": r"\S",
}
_TOKEN = re.compile("|".join(f"(?P<{name}>{rule})" for name, rule in _RULES.items()))
_OMITTED = frozenset({"mark", "dashes", "quotes"})


def tokenise(caption: str) -> list[str]:
    """Split a caption into words and signs, in lower case and without punctuation.

    Deviation: Stanford's program reads a file of captions as one text, so that a single letter at the end of a caption
    ("plan b.") is no abbreviation if the next caption in the file begins with a word such as "The".
    """
    return list(_tokens(caption))


@lru_cache(maxsize=1 << 16)  # several metrics, and every evaluation, read the same references
def _tokens(caption: str) -> tuple[str, ...]:
    text = _ENTITY.sub(lambda entity: _ENTITIES[entity[0]], UNSPACED.sub(r" \g<0> ", latin_marks(caption)))
    return tuple(word for match in _TOKEN.finditer(text) for word in _words(match.lastgroup or "", match[0]))


def _words(rule: str, token: str) -> list[str]:
    """Return the words of a token that ``rule`` matched, as they are written."""
    text = token.lower()
    if rule in ("plain", "split"):
        return [text[:3], text[3:]] if text in _ASSIMILATIONS else [text]
    if rule in _OMITTED or not token.isprintable() or max(token) > "\uffff" or _UNKNOWN.fullmatch(token):
        return []
    if rule in ("clitic", "not"):
        return [text.replace("’", "'")]
    if rule in ("smiley", "sign"):
        return ["".join(_WRITTEN.get(mark, mark) for mark in text)]
    return text.split()
