"""Words and n-grams of captions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_metrics.words import mean, ngrams, paired, tokenise

# What the Stanford PTB tokenizer gives, lower-cased and without punctuation, as captioning evaluations use it.
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
}


@pytest.mark.parametrize("text", PTB)
def test_agrees_with_the_ptb_tokenizer(text: str) -> None:
    assert " ".join(tokenise(text)) == PTB[text]


def test_brackets_and_rows_of_marks_are_dropped() -> None:
    assert tokenise("the other (old) one?!") == ["the", "other", "old", "one"]
    assert tokenise(" .. -- '' ") == []
    assert tokenise("") == []


@given(st.text())
def test_words_are_lower_case_without_space(text: str) -> None:
    for word in tokenise(text):
        assert word == word.lower()
        assert word.split() == [word]


@given(st.text())
def test_tokenised_text_stays_as_it_is(text: str) -> None:
    words = tokenise(text)
    assert tokenise(" ".join(words)) == words


def test_ngrams_of_every_order() -> None:
    counts = ngrams(["a", "b", "a", "b"])
    assert counts[("a",)] == 2
    assert counts[("a", "b")] == 2
    assert counts[("b", "a")] == 1
    assert counts[("a", "b", "a", "b")] == 1
    assert sum(counts.values()) == 4 + 3 + 2 + 1


def test_answers_need_references() -> None:
    with pytest.raises(ValueError, match="2 answers, but references for 1"):
        paired(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="answer 1 has no reference"):
        paired(["a", "b"], [["a"], []])


def test_mean_of_nothing_is_zero() -> None:
    assert mean([]) == 0.0
    assert mean([1.0, 2.0]) == 1.5
