"""Words of captions, compared with the output of Stanford's PTBTokenizer (CoreNLP 3.4.1)."""

from __future__ import annotations

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
    "日本語 кот ★ 😀": "日本語 кот ★",
    "hr., min., x": "hr. min. x",
}


@pytest.mark.parametrize("text", PTB)
def test_agrees_with_the_ptb_tokenizer(text: str) -> None:
    assert " ".join(tokenise(text)) == PTB[text]


@pytest.mark.parametrize("text", ["", " ", "\n", " .. -- '' ", "\u00ad"])
def test_punctuation_alone_is_no_word(text: str) -> None:
    assert tokenise(text) == []


@given(st.text())
def test_words_are_lower_case_without_space(text: str) -> None:
    for word in tokenise(text):
        assert word == word.lower()
        assert word.split() == [word]


@given(st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=12), max_size=12))
def test_plain_words_stay_as_they_are(words: list[str]) -> None:
    assimilations = {"cannot", "gonna", "gotta", "lemme", "gimme", "wanna"}
    plain = [word for word in words if word not in assimilations]
    assert tokenise(" ".join(plain)) == plain
    assert tokenise(" ".join(plain).upper() + ".") == plain


@given(st.text(alphabet="abAB019.,'-/&%$#!?:;()\"*+=_@ ’“"))
def test_no_letter_or_digit_is_lost(text: str) -> None:
    kept = "".join(tokenise(text)).replace("lrb", "").replace("rrb", "")
    assert [c for c in kept if c.isalnum()] == [c for c in text.lower() if c.isalnum()]
