"""Similarity of sentences, by a tiny random model."""

from __future__ import annotations

from pathlib import Path

import pytest

from micl_cli.api import PlanError, Resources
from micl_metrics.sentence_cosine import MODEL, SentenceCosine


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence model with random weights."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model") / MODEL
    words = ["[PAD]", "[UNK]", "a", "red", "blue", "bird", "car", "flies"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def resources(isolated: Path) -> Resources:
    return Resources(isolated, lambda kind, name: object)


@pytest.fixture
def metric(model: Path, resources: Resources, monkeypatch: pytest.MonkeyPatch) -> SentenceCosine:
    monkeypatch.setenv("MICL_SENTENCE_MODEL", str(model))
    found = SentenceCosine()
    found.setup(resources)
    return found


def test_equal_sentences_score_one_and_the_best_reference_counts(metric: SentenceCosine) -> None:
    score = metric.score(["a red bird", "a red bird"], [["a blue car", "a red bird"], ["a blue car"]])
    assert score.each[0] == pytest.approx(1.0, abs=1e-5)
    assert -1 < score.each[1] < 0.999
    assert score.value == pytest.approx(sum(score.each) / 2)


def test_the_cosine_is_that_of_the_mean_over_the_tokens_of_a_text(metric: SentenceCosine, model: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    texts = ["a red bird flies", "a car"]  # of different lengths, so that one is padded in a batch
    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    with torch.inference_mode():
        one, other = (network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts)
    expected = float(torch.nn.functional.cosine_similarity(one, other, dim=0))
    assert metric.score([texts[0]], [[texts[1]]]).value == pytest.approx(expected, abs=1e-5)


def test_empty_answers_score_zero_and_long_ones_are_cut(metric: SentenceCosine) -> None:
    assert metric.score(["", " "], [["a red bird"], ["a car"]]).each == (0.0, 0.0)
    assert metric.score(["bird " * 1000], [["bird " * 128]]).value == pytest.approx(1.0, abs=1e-5)
    assert metric.score([], []).value == 0.0


def test_the_model_may_lie_in_the_home_folder(model: Path, resources: Resources) -> None:
    resources.weights.mkdir(parents=True)
    (resources.weights / MODEL).symlink_to(model)
    metric = SentenceCosine()
    metric.setup(resources)
    assert metric.score(["a car"], [["a car"]]).value == pytest.approx(1.0, abs=1e-5)


def test_without_the_model_the_way_out_is_told(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(PlanError, match=f"the sentence model {MODEL} is not on this machine") as error:
        SentenceCosine().setup(resources)
    assert "MICL_SENTENCE_MODEL=FOLDER" in error.value.hint
    monkeypatch.setenv("MICL_SENTENCE_MODEL", str(tmp_path))
    with pytest.raises(PlanError, match="which is not a folder with a model"):
        SentenceCosine().setup(resources)


def test_a_damaged_model_is_a_plan_error(resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    monkeypatch.setenv("MICL_SENTENCE_MODEL", str(tmp_path))
    with pytest.raises(PlanError, match="cannot be loaded"):
        SentenceCosine().score(["a car"], [["a car"]])


def test_any_reference_is_informative() -> None:
    assert SentenceCosine().informative([["a car"]])
    assert not SentenceCosine().informative([[" "]])
