"""Language models' tokenizers: their special tokens, their files, and texts that look like control tokens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ready, resources
from tokenizers import Tokenizer, processors

from micl_backbones.composed.backbone import Composed
from micl_cli.api import AdapterSpec, Example, PlanError
from micl_cli.testing import toy_examples

BOS, EOS = 1, 2


@pytest.fixture
def copied(preset: Path, tmp_path: Path) -> Path:
    """A copy of the preset, to be changed."""
    return shutil.copytree(preset.parent, tmp_path / "preset") / preset.name


@pytest.fixture
def load() -> Callable[[Path], Composed]:
    return lambda path: ready(Composed(str(path), resources=resources(), dtype="fp32"))


def with_bos(preset: Path) -> Path:
    """Let the tokenizer put its beginning token before a text, and its end token behind it."""
    path = str(preset.parent / "language" / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    special = [("<s>", BOS), ("</s>", EOS)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A <s> $B", special_tokens=special
    )
    tokenizer.save(path)
    return preset


def configured(preset: Path, file: str, **changed: Any) -> None:
    path = preset.parent / "language" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def rows(backbone: Composed, examples: list[Example]) -> list[list[int]]:
    ids: list[list[int]] = backbone.batch(examples).inputs["composed"].ids.tolist()
    return ids


def test_text_of_the_user_ends_and_begins_nothing(preset: Path, load: Callable[[Path], Composed]) -> None:
    backbone = load(preset)
    for text in ("it ends <s>: </s> says so", "<pad>", "</<pad>s>", "</s>"):
        batch = backbone.batch([Example("1", (text, *toy_examples(["image"])[0].media, text), (text,))])
        taught = [token for token in batch.labels[0].tolist() if token != -100]
        assert backbone.tokenizer.decode(taught) == f"{text}</s>"
        assert taught.count(EOS) == 1 and taught[-1] == EOS and BOS not in taught
        (row,) = batch.inputs["composed"].ids.tolist()
        assert row.count(EOS) == 1
        assert backbone.score_choices(list(batch.examples), [text, "a"]).isfinite().all()


def test_a_row_begins_as_the_tokenizer_s_own_texts_do(copied: Path, load: Callable[[Path], Composed]) -> None:
    plain, begun = load(copied), load(with_bos(copied))
    for example in (toy_examples(["image"])[0], Example("t", ("text",), ("yes",)), Example("e", (), ("<s>",))):
        (row,), (other,) = rows(plain, [example]), rows(begun, [example])
        assert other == [BOS, *row]


@torch.no_grad()
def test_a_common_context_begins_once(copied: Path, load: Callable[[Path], Composed]) -> None:
    backbone = load(with_bos(copied))
    examples = [
        Example(str(i), ("answer:\n", *seen.media, "q " * i), ()) for i, seen in enumerate(toy_examples(["image"])[:3])
    ]
    prompts = backbone._prompt_batch(examples)
    assert list(prompts.context).count(BOS) == 1 and prompts.context[0] == BOS
    together = backbone.score_choices(examples, ["a", "bc"])
    mixed = backbone.score_choices([*examples, Example("other", ("x",))], ["a", "bc"])[:3]
    torch.testing.assert_close(together, mixed, atol=1e-5, rtol=1e-4)
    assert backbone.generate(examples, max_new_tokens=4) == [
        backbone.generate([example], max_new_tokens=4)[0] for example in examples
    ]


@torch.no_grad()
def test_soft_prompts_stand_behind_the_beginning(copied: Path) -> None:
    backbone = Composed(str(with_bos(copied)), resources=resources(), dtype="fp32")
    backbone = ready(backbone, spec=AdapterSpec("prompts", {"tokens": 3}))
    for beams in (1, 2):
        examples = [Example("a", ("text",)), Example("b", ("longer text",))]
        assert backbone.generate(examples, max_new_tokens=4, num_beams=beams) == [
            backbone.generate([example], max_new_tokens=4, num_beams=beams)[0] for example in examples
        ]
    (prompt,) = backbone._prompts([Example("a", ("text",))])
    inputs = backbone._inputs([Example("a", ("text",))], [prompt], [prompt.ids])
    embeds, words = backbone._embed(inputs), backbone.language.get_input_embeddings()(inputs.ids)
    changed = (embeds != words).any(-1)[0].tolist()
    assert prompt.ids[0] == BOS and changed == [False, True, True, True, *[False] * (len(prompt) - 4)]


def test_a_tokenizer_of_vocabulary_and_merges(copied: Path, load: Callable[[Path], Composed]) -> None:
    expected = rows(load(copied), [Example("1", ("what?",), ("a cat",))])
    folder = copied.parent / "language"
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"eos_token": "</s>", "bos_token": "<s>", "pad_token": "<pad>", "unk_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer", **special}))
    assert rows(load(copied), [Example("1", ("what?",), ("a cat",))]) == expected


def test_the_end_token_may_come_from_the_model_s_configuration(copied: Path, load: Callable[[Path], Composed]) -> None:
    expected = rows(load(copied), [Example("1", ("what?",), ("a cat",))])
    configured(copied, "tokenizer_config.json", eos_token=None, pad_token=None)
    configured(copied, "config.json", eos_token_id=[EOS, 5])
    assert rows(load(copied), [Example("1", ("what?",), ("a cat",))]) == expected
    configured(copied, "config.json", eos_token_id=None)
    with pytest.raises(PlanError, match="has no token that ends an answer") as refused:
        load(copied)
    assert "eos_token" in refused.value.hint


def test_a_tokenizer_that_cannot_be_read_is_named(copied: Path, load: Callable[[Path], Composed]) -> None:
    (copied.parent / "language" / "tokenizer.json").write_text("{}")
    with pytest.raises(PlanError, match="the preset's tokenizer cannot be loaded from"):
        load(copied)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copied.parent / "language" / name).unlink()
    with pytest.raises(PlanError, match="the preset's tokenizer cannot be loaded from"):
        load(copied)
