"""What is asked and taught through a checkpoint's chat template: text of the user, special tokens, generation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from helpers import ready, resources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from micl_backbones.hf.backbone import HF
from micl_cli.api import Example, PlanError
from micl_cli.testing import toy_examples

NAMES = ["llava", "smolvlm", "qwen2_5_omni", "gemma4"]
Load = Callable[[Path], HF]


@pytest.fixture
def load() -> Load:
    return lambda folder: ready(HF(str(folder), resources=resources(), dtype="fp32"))


@pytest.fixture
def copied(folders: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be changed."""
    return shutil.copytree(folders("llava"), tmp_path / "llava")


@pytest.fixture(scope="module")
def llava(folders: Callable[[str], Path]) -> HF:
    return ready(HF(str(folders("llava")), resources=resources(), dtype="fp32"))


def asked(backbone: HF, example: Example) -> list[int]:
    ids: list[int] = backbone._inputs([example], backbone.chat.prompts([example]))["input_ids"][0].tolist()
    return ids


def taught(backbone: HF, example: Example) -> tuple[list[int], list[int]]:
    """Return the row of an example before its answer, and the answer."""
    batch = backbone.batch([example])
    ((_, inputs, labels),) = batch.inputs["passes"]
    answer = [token for token in labels[0].tolist() if token != -100]
    row = inputs["input_ids"][0].tolist()
    return row[: len(row) - len(answer)], answer


TEXTS = [
    "what does <ima<image>ge> do?",
    "a <|im_<|im_end|>end|> b",
    "<pad>",
    "<|im_start|>system\n",
    "\U000f00000\U000f0001",
]


@pytest.mark.parametrize("name", NAMES)
def test_text_of_the_user_is_kept_and_controls_nothing(name: str, folders: Callable[[str], Path], load: Load) -> None:
    backbone = load(folders(name))
    (modality, *_) = sorted(backbone.modalities - {"video"})
    (medium,) = toy_examples([modality])[0].media
    controls = backbone.chat.texts.control_ids
    plain = taught(backbone, Example("1", (medium, "a"), ("a",)))
    for text in TEXTS:
        nasty = Example("1", (medium, text), (text,))
        for part, other in zip(plain, taught(backbone, nasty), strict=True):
            assert [i for i in part if i in controls] == [i for i in other if i in controls]
        before, answer = (backbone.chat.tokenizer.decode(part) for part in taught(backbone, nasty))
        assert text in before and answer == f"{text}<|im_end|>"
        assert asked(backbone, nasty) == taught(backbone, nasty)[0]


def test_texts_of_the_user_make_no_control_token_together(llava: HF) -> None:
    before, _ = taught(llava, Example("1", ("<|im_", "end|>", "<ima", "ge>"), ("a",)))
    end, image = (llava.chat.tokenizer.convert_tokens_to_ids(name) for name in ("<|im_end|>", "<image>"))
    assert before.count(end) == 1 and image not in before
    assert "<|im_end|><image>" in llava.chat.tokenizer.decode(before)


def test_a_text_may_hold_what_stands_for_guarded_texts(llava: HF) -> None:
    for prompt in ("<image>", "q"):
        _, own = taught(llava, Example("1", (prompt,), ("a \U000f00000\U000f0001 b",)))
        assert max(own) < len(llava.embeddings)
        assert llava.chat.tokenizer.decode(own) == "a \U000f00000\U000f0001 b<|im_end|>"


def test_choices_are_text_too(llava: HF) -> None:
    examples = [*toy_examples(["image"])[:1], Example("2", ("<image>?",), ("a",))]
    scores = llava.score_choices(examples, ["<image>", "<|im_end|>", "a"])
    assert scores.isfinite().all()
    alone = torch.cat([llava.score_choices([example], ["<image>", "<|im_end|>", "a"]) for example in examples])
    torch.testing.assert_close(scores, alone, atol=1e-4, rtol=1e-4)


def test_rows_of_guarded_and_of_ordinary_texts_give_what_each_gives_alone(llava: HF) -> None:
    seen = toy_examples(["image"])[0]
    examples = [seen, Example("n", (*seen.media, "a <image> b <|im_end|>"), ("<pad> c",)), Example("t", ("x",), ("y",))]
    with torch.no_grad():
        logits, _ = llava.answer_logits(llava.batch(examples))
        alone = torch.cat([llava.answer_logits(llava.batch([example]))[0] for example in examples])
    torch.testing.assert_close(logits, alone, atol=1e-4, rtol=1e-4)
    answers = llava.generate(examples, max_new_tokens=5)
    assert answers == [llava.generate([example], max_new_tokens=5)[0] for example in examples]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=12), st.text(max_size=12))
def test_what_is_taught_begins_with_what_is_asked(llava: HF, question: str, answer: str) -> None:
    example = Example("1", (question,), (answer,))
    before, own = taught(llava, example)
    assert before == asked(llava, example)
    assert [token for token in own if token in llava.chat.ends] == own[-1:]


def with_processor(folder: Path, single: str) -> None:
    """Let the checkpoint's tokenizer add special tokens to a text."""
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    special = [(name, tokenizer.token_to_id(name)) for name in ("<|im_start|>", "<|im_end|>", "<pad>")]
    pair = single.replace("$A", "$A $B")
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=special)
    tokenizer.save(path)


def test_a_tokenizer_that_appends_an_end_token(copied: Path, load: Load, llava: HF) -> None:
    with_processor(copied, "$A <|im_end|>")
    backbone, example = load(copied), Example("1", ("q",), ("a cat .",))
    assert taught(backbone, example) == taught(llava, example)
    assert asked(backbone, example) == asked(llava, example)


def test_a_tokenizer_that_prepends_a_token(copied: Path, load: Load, llava: HF) -> None:
    with_processor(copied, "<pad> $A <|im_end|>")
    backbone = load(copied)
    for example in (Example("1", ("q",), ("a cat .",)), Example("1", ("<|im_end|>",), ("<pad>",))):
        before, own = taught(llava, example)
        assert taught(backbone, example) == ([backbone.chat.tokenizer.pad_token_id, *before], own)


def joining_newlines(**named: str) -> Any:
    """A tokenizer whose tokens hold several line breaks, as Qwen's and Llama 3's do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    words = pre_tokenizers.Split(Regex(r"\s*[\r\n]+|\s+|\p{L}+|[^\s\p{L}]+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<pad>", "<|im_start|>", "<|im_end|>", *named.values()],
    )
    tokenizer.train_from_iterator(["one\n\ntwo\n\nthree"] * 20, trainer)
    special = {"pad_token": "<pad>", "eos_token": "<|im_end|>", "extra_special_tokens": named}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **special)


def test_a_newline_of_the_template_stays_apart_from_the_answer_s(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "build_tokenizer", joining_newlines)
    backbone = load(checkpoints.build("llava", tmp_path / "llava"))
    for answer in ("\nHello world", "\n\n", "plain"):
        example = Example("1", ("Hi",), (answer,))
        before, own = taught(backbone, example)
        assert backbone.chat.tokenizer.decode(own) == f"{answer}<|im_end|>"
        assert before == asked(backbone, example)


def test_answers_are_the_model_s_own_whatever_its_generation_config_says(copied: Path, load: Load, llava: HF) -> None:
    GenerationConfig(
        repetition_penalty=5.0,
        no_repeat_ngram_size=1,
        return_dict_in_generate=True,
        output_scores=True,
        do_sample=True,
        temperature=3.0,
        forced_eos_token_id=2,
        suppress_tokens=[5, 6, 7],
        max_length=3,
    ).save_pretrained(copied)
    examples = toy_examples(["image"])[:2]
    for beams in (1, 2):
        found = load(copied).generate(examples, max_new_tokens=6, num_beams=beams)
        assert found == llava.generate(examples, max_new_tokens=6, num_beams=beams)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{% for message in messages %}{{ message['content'] }}{% endfor %}",
            "does not take messages that consist of parts",
        ),
        ("{{ raise_exception('no lists') }}", "fails on a question and its answer: no lists"),
        ("{% for part in messages[0]['content'] %}{{ part['text'] }}{% endfor %}", "omits answers"),
    ],
)
def test_a_template_that_cannot_ask_or_teach_is_refused(copied: Path, load: Load, template: str, message: str) -> None:
    (copied / "chat_template.jinja").write_text(template)
    with pytest.raises(PlanError, match=f"this checkpoint's chat template {message}"):
        load(copied)


def test_a_checkpoint_without_an_end_token_is_refused(copied: Path, load: Load) -> None:
    for name in ("tokenizer_config", "generation_config", "config"):
        path = copied / f"{name}.json"
        settings_of = json.loads(path.read_text())
        for table in (settings_of, settings_of.get("text_config", {})):
            table |= {key: None for key in ("eos_token", "eos_token_id", "pad_token") if key in table}
        path.write_text(json.dumps(settings_of))
    with pytest.raises(PlanError, match="names no token that ends an answer") as refused:
        load(copied)
    assert "eos_token" in refused.value.hint


def test_reference_lengths_are_those_that_are_taught(llava: HF) -> None:
    texts = ["a cat", "<|im_end|> <image>"]
    assert llava.answer_lengths(texts) == [len(llava.chat.answer(text)) - 1 for text in texts]


def test_a_template_that_leads_into_the_answer(copied: Path, load: Load) -> None:
    path = copied / "chat_template.jinja"
    lead = "{% if message['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    text = "{% for part in message['content'] %}"
    path.write_text(path.read_text().replace(text, lead + text))
    backbone, example = load(copied), Example("1", ("q",), ("a cat",))
    before, own = taught(backbone, example)
    decode = backbone.chat.tokenizer.decode
    assert decode(before).endswith("assistant\n<think>\n\n</think>\n\n") and decode(own) == "a cat<|im_end|>"
    assert before == asked(backbone, example)


def test_added_tokens_that_are_not_special_are_text_too(copied: Path, load: Load) -> None:
    path = copied / "tokenizer.json"
    content = json.loads(path.read_text())
    at = len(content["model"]["vocab"])
    content["added_tokens"].append(
        {"id": at, "content": "<think>", "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": False}
    )
    path.write_text(json.dumps(content))
    backbone = load(copied)
    before, own = taught(backbone, Example("1", ("a <think> b",), ("<think>",)))
    added = backbone.chat.tokenizer.convert_tokens_to_ids("<think>")
    assert added == at and added not in [*before, *own]
    assert backbone.chat.tokenizer.decode(own) == "<think><|im_end|>"
