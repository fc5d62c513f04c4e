"""Words of captions, compared with the output of Stanford's PTBTokenizer (CoreNLP 3.4.1)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.ptb import tokenise

# What it printed for each caption with -lowerCase, without the punctuation that pycocoevalcap drops.
PTB = {
    "A man in a red t-shirt walks his dogs.": "a man in a red t-shirt walks his dogs",
    "The man's dog doesn't bark!": "the man 's dog does n't bark",
    "It's 3.5 metres, 1,000 cm...": "it 's 3.5 metres 1,000 cm",
    'A "quoted" word - and a dash -- here': "a quoted word and a dash here",
    "they're we'll I'd you've can't won't": "they 're we 'll i 'd you 've ca n't wo n't",
    "A black-and-white photo of a 5:30 clock": "a black-and-white photo of a 5:30 clock",
    "man 's hat": "man 's hat",
    "He said: “hello” — and left": "he said hello and left",
    "A café in São Paulo": "a café in são paulo",
    "Don’t walk": "do n't walk",
    "mid-air jump, 2-year-old girl": "mid-air jump 2-year-old girl",
    "Two boys' bikes; a dog's bone's size": "two boys bikes a dog 's bone 's size",
    "a clock that reads 3 p.m.": "a clock that reads 3 p.m.",
    "The clock says 10:30 A.M., not 10:30pm.": "the clock says 10:30 a.m. not 10:30 pm",
    "The U.S. flag and the u.k. flag": "the u.s. flag and the u.k. flag",
    "a U.S.-made plane in Washington, D.C.": "a u.s.-made plane in washington d.c.",
    "St. Louis street on Main st. and Fifth Ave.": "st. louis street on main st. and fifth ave.",
    "Dr. Smith, Mr. Jones vs. Mrs. Doe, Jr.": "dr. smith mr. jones vs. mrs. doe jr.",
    "No. 5 jersey, but there is no. End": "no. 5 jersey but there is no end",
    "The Miss. River, a miss. The end": "the miss. river a miss the end",
    "cups, plates, etc.": "cups plates etc.",
    "12 oz., 5 lbs. of rice, 6 ft. tall": "12 oz. 5 lbs of rice 6 ft. tall",
    "plan b. The end of plan b.": "plan b the end of plan b.",
    "J.F.K. and J. Crew and Ph.D. students": "j.f.k. and j. crew and ph.d. students",
    "A sign for 50% off, $5.99 or €20 or 25¢": "a sign for 50 % off $ 5.99 or $ 20 or 25 cents",
    "US$5, £3, #1 and # 1": "us$ 5 # 3 # 1 and # 1",
    "a black & white photo of R&B at AT&T, r&b": "a black & white photo of r&b at at&t r & b",
    "a dog that cannot reach it, gonna gotta wanna": "a dog that can not reach it gon na got ta wan na",
    "'tis the season, 'twas the '90s, the 1920's": "'t is the season 't was the '90s the 1920 's",
    "1/2 cup, 3 1/2 cups, ½ cup, 24/7 and/or 2/3/2012": "1/2 cup 3 1/2 cups 1/2 cup 24/7 and/or 2/3/2012",
    "w/ a hat, w/o a hat, red / white": "w / a hat w/o a hat red / white",
    "rock 'n' roll, rock'n'roll, get 'em, ol' man": "rock 'n' roll rock 'n' roll get 'em ol' man",
    "o'clock, O'Brien, ma'am, y'all, c'mon, fishin' trip": "o'clock o'brien ma'am y' all c'mon fishin trip",
    "shouldn't've, ain't, IT'S, WE'RE in": "should n't 've ai n't it 's we 're in",
    "it’s the man’s dogs’ and ‘his’": "it 's the man 's dogs and his",
    "an (old) one, a [square] {curly}": "an -lrb- old -rrb- one a -lsb- square -rsb- -lcb- curly -rcb-",
    "wait... what?! wait.. no!!! why? end.": "wait what ?! wait no !!! why end",
    "hello!world end.start hello,world a;b a:b": "hello!world end.start hello world a b a b",
    ":) ;-) :D <3 <unk> <end>": ":-rrb- ;--rrb- :d < 3 <unk> <end>",
    '5\'10" tall, 6\' long, a 5" screen, 2"x4"': "5 10 tall 6 long a 5 screen 2 x4",
    "-5 degrees, +1, 1+1=2, 70° or 70°F": "-5 degrees +1 1 +1 = 2 70 ° or 70 ° f",
    "c# and c++, a+b, a*b, **, a_b, ~5, a^b, a|b": "c# and c++ a + b a * b ** a_b ~ 5 a ^ b a | b",
    "www.example.com me@example.com @home #love": "www.example.com me@example.com @home #love",
    "80mph 2x4 3D 1st 21st-century 10-20 F-16 747-400": "80mph 2x4 3d 1st 21st-century 10-20 f-16 747-400",
    "a - b -- c – d — e … f": "a b c d e f",
    "!! ? . , ; : ' \" ` - --": "!!",
    "кот ★ 😀": "кот ★",
    "hr., min., x": "hr. min. x",
    "the Cap'n and a cap'n": "the cap'n and a cap'n",
    "see http://t.co/abc: and 'http://example.com/a1', HTTPS://X.ORG/PATH?X=1": (
        "see http://t.co/abc: and http://example.com/a1' https://x.org/path?x=1"
    ),
    "“amazon.com” and flickr.com/photos/123; www.foo-bar.de": "“amazon.com and flickr.com/photos/123; www.foo-bar.de",
    "mail me@example.com, or john.doe@mail.co.uk! x/y@z": "mail me@example.com, or john.doe@mail.co.uk! x/y@z",
    'a <br/> tag, <unk/> and <a href="x">': 'a <br/> tag <unk/> and <a href="x">',
    "&amp; &AMP; &lt;3 a&nbsp;b &quot;x&quot; it&#39;s caf&eacute; &mdash;": "& & < 3 a b x it &#39; s caf&eacute;",
    "'tis and 'Twas, 'twasn't, gotta's Cannot CANNOT, cannot/x": (
        "'t is and 't was 't was n't gotta 's can not can not cannot/x"
    ),
    "rock'n'roll 'N.J.' 'n/a O'Brien-style l'eau-de-vie": "rock 'n' roll n.j. n/a o'brien-style l'eau-de-vie",
    "DSC_0012-large a-b_c IMG_1234.JPG-like": "dsc_0012-large a-b_c img_1234 jpg-like",
    "'São Paulo' or 'Ému'": "'s ão paulo or ému",
    "(>_<) (^_^) (->) :[ :] </3 ❤️ 👍 ☺️": "-lrb->_<-rrb- -lrb-^_^-rrb- -lrb-->-rrb- :[ :] < / 3 ❤ ☺",
    "CO₂ x² 10⁵ ⅕ ① ₹900 ₩5 ‼": "co ₂ x ² 10 ⁵ ⅕ ① 900 5",
    "सड़क हिन्दी แมวนั่งบนโต๊ะ Ελλάδα שלום": "सड़क हिन्दी แมวนั่งบนโต๊ะ ελλάδα שלום",
    "the hôtel-de-ville, a two-year-old's U.S.-made F-16": "the hôtel-de-ville a two-year-old 's u.s.-made f-16",
    "5′10″ 70°F $5-$10 -10 °C, 3¼ or 3 ½ m": "5 ′ 10 ″ 70 ° f $ 5 $ 10 -10 ° c 3 1/4 or 3 1/2 m",
}

# Where micl departs from it: marks and digits of other scripts, and scripts without spaces.
OTHER_SCRIPTS = {
    "一只猫坐在桌子上。两只狗，跑！": "一 只 猫 坐 在 桌 子 上 两 只 狗 跑",
    "カタカナ・ひらがな「犬」と Tシャツ": "カ タ カ ナ ひ ら が な 犬 と t シ ャ ツ",
    "고양이가 소파에 앉아 있다.": "고양이가 소파에 앉아 있다",
    "कुत्ता दौड़ता है।दो बिल्लियाँ॥": "कुत्ता दौड़ता है दो बिल्लियाँ",
    "كلب يجري، في الحديقة؟": "كلب يجري في الحديقة",
    "٣ كلاب، ٣٫٥٪": "3 كلاب 3.5 %",
    "ＡＢＣ　１２３％！": "abc 123 %",
    "cafe\u0301 ｶﾞ": "café ガ",
}


@pytest.mark.parametrize("text", PTB)
def test_agrees_with_the_ptb_tokenizer(text: str) -> None:
    assert " ".join(tokenise(text)) == PTB[text]


@pytest.mark.parametrize("text", OTHER_SCRIPTS)
def test_marks_of_other_scripts_are_dropped_and_chinese_is_split_by_character(text: str) -> None:
    assert " ".join(tokenise(text)) == OTHER_SCRIPTS[text]


@pytest.mark.parametrize("text", ["", " ", "\n", " .. -- '' ", "\u00ad"])
def test_punctuation_alone_is_no_word(text: str) -> None:
    assert tokenise(text) == []


@given(st.text())
def test_words_are_lower_case_without_space(text: str) -> None:
    for word in tokenise(text):
        assert word == word.lower()
        assert word.split() == [word]


LONG_WORD = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=12)


@given(st.lists(LONG_WORD, max_size=12), LONG_WORD.filter(lambda word: f"{word}." not in tokenise(f"{word.upper()}.")))
def test_plain_words_stay_as_they_are(words: list[str], last: str) -> None:
    """Before the final point stands no abbreviation, which would keep it."""
    assimilations = {"cannot", "gonna", "gotta", "lemme", "gimme", "wanna"}
    plain = [word for word in (*words, last) if word not in assimilations]
    assert tokenise(" ".join(plain)) == plain
    assert tokenise(" ".join(plain).upper() + ".") == plain


@pytest.mark.parametrize("word", ["ST", "Mr", "ca", "Mass", "dept"])
def test_an_abbreviation_at_the_end_keeps_its_point(word: str) -> None:
    kept = word.lower() != "ca"  # an abbreviation before numbers only
    assert tokenise(f"on {word}.") == ["on", f"{word.lower()}." if kept else word.lower()]


@given(st.text(alphabet="abAB019.,'-/&%$#!?:;()\"*+=_@ ’“"))
def test_no_letter_or_digit_is_lost(text: str) -> None:
    kept = "".join(tokenise(text)).replace("lrb", "").replace("rrb", "")
    assert [c for c in kept if c.isalnum()] == [c for c in text.lower() if c.isalnum()]


@pytest.mark.parametrize(
    "part", ["a", "a.", "&.", "-", "a-", "a@", "a&", "<a ", "www.", "'", "1/", "a_", "Ж", "字", "a'"]
)
def test_long_texts_are_split_in_time(part: str) -> None:
    started = time.perf_counter()
    tokenise(part * (20_000 // len(part)))
    assert time.perf_counter() - started < 5


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("java"), reason="needs Java, for the tokenizer of pycocoevalcap")
def test_words_and_scores_differ_from_those_of_the_java_program_by_less_than_half_a_percent() -> None:
    script = Path(__file__).parents[3] / "benchmarks" / "tokenizer.py"
    command = [sys.executable, script, "--captions", "500", "--seed", "13", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["shares"]["all"]["captions"] <= 0.5
    assert result["shares"]["all"]["words"] <= 0.1
    for score in result["scores"].values():
        assert score["micl"] == pytest.approx(score["java"], rel=0.005)
