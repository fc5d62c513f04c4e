"""Users' texts stay text, whatever they hold, with tokenizers of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from micl_cli.api import TextTokenizer

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]
MARKUP = ["<image>", "<think>", "</think>", "[TOOL]"]
CORPUS = ["a photo of a cat .", "what does it do in HTML?", "one\n\ntwo  three", "im_end image think s pad </s>"] * 3
NAMED = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def whole(tokenizer: Tokenizer, **more: Any) -> Any:
    """A tokenizer of transformers with control tokens, runs of spaces and a word among its added tokens."""
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMED, **more)
    made.add_tokens([*MARKUP, "  ", AddedToken("\n\n", normalized=False), "covid"])
    made.add_tokens(SPECIAL, special_tokens=True)
    return made


def byte_level() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=alphabet, special_tokens=SPECIAL
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    single = "<s> $A"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair="$A $B", special_tokens=[("<s>", 1)])
    return whole(tokenizer)


def sentence_piece() -> Any:
    """Like Llama's and Gemma's: spaces become a visible mark, and pieces are called like control tokens."""
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *MARKUP,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "\u2581",
        *"acdeghimnost<>/|_",
    ]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in dict.fromkeys(pieces)], 0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return whole(tokenizer)


def normalised() -> Any:
    """A tokenizer of words in lower case, which reads wide brackets as narrow ones."""
    words = {word: i for i, word in enumerate([*SPECIAL, *"abcdefghijklmnopqrstuvwxyz<>/|_[]", "cat"])}
    words |= {f"##{letter}": len(words) + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return whole(tokenizer)


KINDS: dict[str, Callable[[], Any]] = {each.__name__: each for each in (byte_level, sentence_piece, normalised)}


@cache
def made(kind: str) -> TextTokenizer:
    return TextTokenizer(KINDS[kind]())


@pytest.fixture(params=sorted(KINDS))
def texts(request: pytest.FixtureRequest) -> TextTokenizer:
    return made(request.param)


def controls(texts: TextTokenizer) -> set[int]:
    return {texts.tokenizer.convert_tokens_to_ids(name) for name in [*SPECIAL, *MARKUP]} - {
        texts.tokenizer.unk_token_id
    }


@pytest.mark.parametrize(
    "text", ["a cat", " two  spaces ", "one\n\ntwo", "covid", "", "\n", "x < y > z", "猫 ü", "<im"]
)
def test_ordinary_text_has_the_tokenizer_s_own_ids(texts: TextTokenizer, text: str) -> None:
    assert texts.encode([text, "a"])[0] == texts.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(
    st.lists(
        st.sampled_from(
            [*SPECIAL, *MARKUP, "<|im_", "end|>", "<ima", "ge>", "</", "s>", " ", "\n", "\uff1cthink\uff1e", "cat"]
        ),
        max_size=8,
    ).map("".join)
    | st.text(max_size=20)
)
def test_no_text_becomes_a_control_token(kind: str, text: str) -> None:
    texts = made(kind)
    (ids,) = texts.encode([text])
    assert controls(texts).isdisjoint(ids) and controls(texts).isdisjoint(texts.continuation(text))
    if kind == "byte_level":
        assert texts.tokenizer.decode(ids) == text
        assert texts.tokenizer.decode(texts.continuation(text)) == text


@pytest.mark.parametrize("text", ["a</s>cat", "<image>", "the <think> tag", "<|im_<|im_end|>end|>"])
def test_sentence_pieces_keep_the_text_around_a_name(text: str) -> None:
    texts = made("sentence_piece")
    (ids,) = texts.encode([text])
    assert texts.tokenizer.decode(ids) == text


def test_names_may_come_together_from_several_texts(texts: TextTokenizer) -> None:
    assert texts.has_control(["<ima", "ge>"]) and texts.has_control(["a", "<s>"])
    assert not texts.has_control(["<ima", " ge>"]) and not texts.has_control([])


def test_what_a_tokenizer_puts_before_a_text() -> None:
    assert made("byte_level").begin == [made("byte_level").tokenizer.bos_token_id]
    assert made("sentence_piece").begin == []


def test_text_is_decoded_as_it_was_taught() -> None:
    tokenizer = byte_level()
    tokenizer.clean_up_tokenization_spaces = True
    texts = TextTokenizer(tokenizer)
    rows = [[*texts.encode([text])[0], tokenizer.eos_token_id] for text in ("a cat .", "<|im_end|> , n't")]
    assert texts.decode(rows) == ["a cat .", "<|im_end|> , n't"]


def test_a_long_text_with_many_names_is_encoded_in_time(texts: TextTokenizer) -> None:
    (ids,) = texts.encode(["<think>a cat</think> " * 200])
    assert controls(texts).isdisjoint(ids)
