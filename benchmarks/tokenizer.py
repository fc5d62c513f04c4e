"""Agreement of micl's caption tokenizer with pycocoevalcap's Java tokenizer, and its effect on scores.

Usage: python benchmarks/tokenizer.py [--captions 500] [--seed 0] [--show 20] [--json]

Generates captions with punctuation, quotes, abbreviations, numbers, symbols and Unicode, four to an image: an answer
and three references. Prints the share of captions and of words that differ, by group, and BLEU-4, ROUGE-L and CIDEr-D
from either words. Needs Java. Chinese characters and kana are left out: micl counts each as a word, the program does
not. The program reads all captions as one text, so that a letter and a point at the end of one ("70°F.") is no
abbreviation if the next begins with a word such as "A"; micl reads each caption by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import json
import random
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common import record
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from micl_metrics.bleu4 import BLEU4
from micl_metrics.cider import CIDEr
from micl_metrics.ptb import tokenise
from micl_metrics.rouge_l import RougeL

EACH = 4
"""Captions of an image: an answer and its references."""

SLOTS = {
    "who": "man|woman|boy|girl|child|chef|skier|dog|cat|horse|clown|referee|baby|nurse|farmer|surfer",
    "adjective": "red|small|wooden|old|blurry|shiny|striped|broken|empty|crowded|bright|muddy",
    "thing": "bench|truck|kite|clock|table|umbrella|laptop|pizza|bicycle|mirror|boat|suitcase|guitar",
    "place": "street|kitchen|beach|field|station|park|bathroom|market|bridge|stadium|harbour|garden",
    "does": "holds|rides|watches|carries|paints|throws|repairs|points at|leans on|walks past|cleans",
    "end": ".|.|.|.|!|?|...|| .",
    "said": "Stop|No Parking|Open|hello|Merry Christmas|Happy Birthday!|Don't Walk|for sale|KEEP OUT|"
    "it's mine|Yes, we can",
    "title": "Mr.|Mrs.|Ms.|Dr.|Prof.|Gen.|Lt.|Capt.|Sen.|Gov.|Rev.|Sgt.|Col.",
    "name": "Smith|O'Brien|Jones|McDonald|García|Müller|D'Angelo|St. John|van Gogh",
    "street": "St.|Ave.|Blvd.|Rd.|ave.|st.|Sq.|Ct.",
    "abbreviation": "U.S.|U.K.|a.m.|p.m.|e.g.|i.e.|etc.|Inc.|Co.|Ltd.|Jr.|Sr.|D.C.|N.Y.|Ph.D.|vs.|approx.|Dept.|oz.|"
    "ft.|lbs.|No.|Jan.|Sept.|Fri.|J.F.K.|R.I.P.|Ill.|Mass.|Calif.|misc.|no.|fig.|B.C.|A.D.|M.D.|P.S.|"
    "D.J.|Bros.|Mt.|Ft.|est.",
    "number": "3|12|1,000|3.5|.22|1/2|3 1/2|10:30|5:45|1990s|'90s|1920's|21st|2x4|4x4|80mph|50|100|747|-5|+3|"
    "24/7|9/11|12/25/2012|2014-05-06|555-1234|1-800-555-1234|16:9|10-20|9-5|007|1,234,567|0.25|2.0|"
    "1st|3rd|2012|30's|1.75L|35mm|B52",
    "amount": "$5|$5.99|$1,000|£20|€20|25¢|50%|3.5%|US$5|$5-$10|100 %|5 lbs|6 ft|10 km/h|20°|70°F|-10 °C|½|3¼|"
    "#1|# 1|No. 5",
    "symbol": "&|+|=|@|%|*|/|\\|~|^|\\||<|>|->|<3|:)|:-(|;-)|:D|**|#|_|--|©|®|™|°|•|·|★|♥|→|×|÷|±|§|¶|†|…|&amp;|"
    "&lt;|&quot;",
    "pair": "R&B|AT&T|M&M's|B&W|Q&A|rock & roll|salt+pepper|and/or|w/|w/o|b/w|his/her|N/A|C#|C++|A+|50/50|"
    "a*b|x=y|H&M|black/white|24/7|(a)|[b]|{c}|(?)|<unk>|foo_bar|node.js|www.example.com|"
    "me@example.com|#love|@home|http://example.com/a1",
    "clitic": "man's|dogs'|James's|it's|they're|we'll|I'd|you've|can't|won't|don't|doesn't|shouldn't've|ain't|"
    "let's|who's|o'clock|ma'am|y'all|c'mon|'em|'til|rock'n'roll|ol'|fishin'|cannot|gonna|gotta|wanna|"
    "gimme|lemme|'tis|children's|5'10\"",
    "hyphen": "t-shirt|black-and-white|mid-air|two-year-old|2-year-old|U.S.-made|x-ray|merry-go-round|"
    "self-portrait|F-16|747-400|21st-century|multi-colored|T-bone|Coca-Cola|part-time|1950s-style|"
    "up-to-date|half-|-like|o'clock-ish|well- fed",
    "accent": "café|naïve|jalapeño|piñata|Zürich|São Paulo|façade|Malmö|Łódź|straße|über|crêpe|Pokémon|"
    "smörgåsbord|Dvořák",
    "script": "Москва|кот|Ελλάδα|λόγος|שלום|सड़क|İstanbul|Đà Nẵng|नमस्ते|мир|ΩΜΕΓΑ|Привет",
    "sign": "“Stop”|‘Go’|«Bar»|it’s|don’t|man’s|dogs’|rock ’n’ roll|’90s|10–20|a—b|wait…|¡Hola!|¿Qué?|½|⅔|"
    "20 °C|5′ 10″|€5|¥700|№ 5|😀|❤️|👍|☕|✓|①|x²|CO₂|µ|ﬁn|º|ª",
}

TEMPLATES = {
    "punctuation": [
        "A {adjective} {thing}, a {thing}, and a {who}{end}",
        "The {who}: it {does} a {thing}; the {place} is {adjective}{end}",
        "Wow!! Is that a {thing}?! A {who} {does} it{end}",
        "A {who} ({adjective}, alone) {does} the {thing} - in a {place} -{end}",
        "{who} , {thing} . {adjective} {place} !",
        "Yes... the {who} {does} a {thing} -- near a {place}{end}",
    ],
    "quotes": [
        'A sign says "{said}" in the {place}{end}',
        "A {who} {does} a '{said}' sign{end}",
        "The {thing} reads ``{said}'' on a {place}{end}",
        "\"{said}\", 'says the {who}'{end}",
        "A {thing} with “{said}” and ‘{said}’ on it{end}",
    ],
    "abbreviations": [
        "{title} {name} {does} a {thing} on Main {street}",
        "A {who} in the {abbreviation} {place}{end}",
        "The {thing}, {abbreviation}, and a {place} {abbreviation}",
        "{name} {abbreviation} {does} the {abbreviation} {thing}{end}",
    ],
    "numbers": [
        "A {who} {does} {number} {thing}s{end}",
        "The clock on the {thing} says {number}, not {number}{end}",
        "{number} {who}s and {number} {adjective} {thing}s{end}",
        "A {thing} for {amount} or {amount}{end}",
        "A {number}-foot {thing} ({amount}) in the {place}{end}",
    ],
    "symbols": [
        "A {who} {symbol} a {thing} {symbol} {place}{end}",
        "The {pair} {thing} in a {place}{end}",
        "A {thing} with {pair}, {pair} and {symbol}{end}",
        "{pair} on a {adjective} {thing}: {symbol}",
    ],
    "apostrophes and hyphens": [
        "The {clitic} {thing} {clitic} in the {place}{end}",
        "A {hyphen} {thing} and a {hyphen} {who}{end}",
        "{clitic} a {adjective} {hyphen} {thing}{end}",
        'A {who} says "{clitic} {thing}"{end}',
    ],
    "unicode": [
        "A {accent} {thing} in {accent}{end}",
        "The sign reads “{accent}” — a {who} {does} it{end}",
        "A {thing} named {script} near {script}{end}",
        "{sign} on a {thing}, {sign} in the {place}{end}",
        "A {accent}-style {thing} ({sign}) says {script}{end}",
    ],
}


class Caption(NamedTuple):
    """A generated caption with the group that it is from."""

    group: str
    text: str


def captions(count: int, seed: int) -> Iterator[Caption]:
    """Yield ``count`` captions; each EACH of them fill the same template and so belong to one image."""
    random_source = random.Random(seed)
    slots = {name: re.split(r"(?<!\\)\|", words) for name, words in SLOTS.items()}
    for index in range(count):
        if index % EACH == 0:
            group = list(TEMPLATES)[index // EACH % len(TEMPLATES)]
            template = random_source.choice(TEMPLATES[group])
        text = re.sub(r"{(\w+)}", lambda slot: random_source.choice(slots[slot[1]]).replace("\\|", "|"), template)
        yield Caption(group, text)


def java_words(texts: Sequence[str]) -> list[list[str]]:
    """Return the words of pycocoevalcap's tokenizer, as its scorers split them."""
    with contextlib.redirect_stdout(io.StringIO()):
        tokenised = PTBTokenizer().tokenize({index: [{"caption": text}] for index, text in enumerate(texts)})
    return [tokenised[index][0].split() for index in range(len(texts))]


def differing(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Return the number of words that must be replaced, added or left out to get from one to the other."""
    steps = difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for step, a, b, c, d in steps if step != "equal")


def shares(
    groups: Sequence[str], ours: Sequence[list[str]], theirs: Sequence[list[str]]
) -> dict[str, dict[str, float]]:
    """Return the percentage of captions and of words that differ, by group and for all together."""
    result = {}
    for group in (*dict.fromkeys(groups), "all"):
        pairs = [(own, other) for name, own, other in zip(groups, ours, theirs, strict=True) if group in (name, "all")]
        words = sum(len(other) for _, other in pairs)
        result[group] = {
            "captions": 100 * sum(own != other for own, other in pairs) / len(pairs),
            "words": 100 * sum(differing(own, other) for own, other in pairs) / words,
        }
    return result


def scores(texts: Sequence[str], theirs: Sequence[list[str]]) -> dict[str, dict[str, float]]:
    """Return each score (x100) by micl, and by pycocoevalcap from the Java tokenizer's words."""
    images = range(0, len(texts) - len(texts) % EACH, EACH)
    answers, references = [texts[at] for at in images], [texts[at + 1 : at + EACH] for at in images]
    given = {at: [" ".join(theirs[at])] for at in images}
    wanted = {at: [" ".join(words) for words in theirs[at + 1 : at + EACH]] for at in images}
    official = {
        "bleu4": Bleu(4).compute_score(wanted, given, verbose=0)[0][3],
        "rouge_l": Rouge().compute_score(wanted, given)[0],
        "cider": Cider().compute_score(wanted, given)[0],
    }
    micl = {metric.name: metric.score(answers, references).value for metric in (BLEU4(), RougeL(), CIDEr())}
    return {name: {"micl": 100 * micl[name], "java": 100 * float(value)} for name, value in official.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=20, help="differing captions to print")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not shutil.which("java"):
        sys.exit("the tokenizer of pycocoevalcap needs Java, and there is no program java")
    made = list(captions(args.captions, args.seed))
    texts = [unicodedata.normalize("NFC", caption.text) for caption in made]
    ours, theirs = [tokenise(text) for text in texts], java_words(texts)
    result = {"shares": shares([caption.group for caption in made], ours, theirs), "scores": scores(texts, theirs)}
    if args.json:
        print(json.dumps(result))
        return
    report(result)
    unequal = [(t, o, j) for t, o, j in zip(texts, ours, theirs, strict=True) if o != j]
    for text, own, other in unequal[: args.show]:
        print(f"{text}\n  micl {' '.join(own)}\n  java {' '.join(other)}")
    record("tokenizer", {"captions": args.captions, "seed": args.seed, **result})


def report(result: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print shares and scores."""
    for group, percent in result["shares"].items():
        print(f"{group:24} captions {percent['captions']:5.2f} %   words {percent['words']:5.2f} %")
    for name, value in result["scores"].items():
        print(f"{name:24} micl {value['micl']:8.4f}   java {value['java']:8.4f}")


if __name__ == "__main__":
    main()
