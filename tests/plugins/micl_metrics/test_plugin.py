"""Metrics are announced under the names of their classes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from micl_cli.api import Answer, Example, Metric
from micl_metrics import plugin


def metrics() -> dict[str, type[Metric]]:
    """The class of each announced metric."""
    targets = {name: target.partition(":") for name, target in announced().items()}
    return {name: getattr(import_module(module), attribute) for name, (module, _, attribute) in targets.items()}


def announced() -> dict[str, str]:
    found: dict[str, str] = {}

    def register(name: str, target: str, summary: str = "") -> None:
        assert summary
        found[name] = target

    plugin.micl_register_metrics(register)
    return found


NEEDING_MORE = {"judge", "sentence_cosine", "continual_next", "meteor", "caption_mean7"}
"""The metrics that need a model, or Java."""
RIGHT = {
    **dict.fromkeys(("iou50", "coin_grounding_release"), "[0.10, 0.2, 0.5, 0.60]"),
    **dict.fromkeys(("pope", "pope_strict", "mme", "coin_gqa_release", "mllm_fin_release"), "yes"),
    **dict.fromkeys(("mmbench", "mllm_app_rules", "instruction_following"), "A"),
    **dict.fromkeys(("coin_scienceqa_release", "coin_scienceqa_answer_is", "coin_scienceqa_strict"), "A"),
}
"""A right answer by the metric, if it is not a sentence."""


@pytest.mark.parametrize("name", sorted(set(announced()) - NEEDING_MORE))
def test_a_missing_answer_is_wrong_and_counts_in_the_denominator(name: str) -> None:
    texts = [RIGHT.get(name, f"{colour} dogs run over a green field.") for colour in ("two red", "the", "blue", "no")]
    meta = {"bbox": [0.1, 0.2, 0.5, 0.6], "size": [1, 1], "category": "all", "file": "AI2D_1.png"}
    examples = [
        Example(f"{number}", ("Which is it?\nA. x\nB. y",), (text,), meta={**meta, "group": f"{number}"})
        for number, text in enumerate(texts)
    ]
    metric = metrics()[name]()
    full = metric.score_examples(texts, examples)
    some = metric.score_examples([*texts[:2], *[Answer("", missing=True)] * 2], examples)
    assert all(value > 0 for value in full.each)
    assert some.each == (*full.each[:2], 0.0, 0.0)
    if name.startswith(("bleu", "caption_mean")):
        assert some.value < 0.75 * full.value  # a score of the whole set, with a penalty for its length
    else:
        assert some.value == pytest.approx(full.value / 2, rel=0.2 if name == "cider" else 1e-9)
        assert some.figures.get("all", some.value) == pytest.approx(some.value, rel=1e-6)


CAPTIONS = {"cider", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "meteor", "caption_mean6", "caption_mean7"}
ANSWERS = {"accuracy", "exact_upper", "contains", "f1", "vqa_accuracy", "vqa_accuracy_simple", "anls", "anls_star"}
GENERAL = CAPTIONS | ANSWERS | {"iou50", "instruction_following"}


def test_every_general_metric_is_announced() -> None:
    assert set(announced()) >= GENERAL


def test_targets_are_metrics_of_that_name() -> None:
    for name, metric in metrics().items():
        assert issubclass(metric, Metric)
        assert metric.name == name


def test_few_metrics_are_reported_beside_that_of_a_task() -> None:
    shown = {name: metric.task_types for name, metric in metrics().items()}
    captions, answers = frozenset({"captioning"}), frozenset({"qa"})
    expected = {"cider": captions, "bleu4": captions, "rouge_l": captions, "accuracy": answers, "vqa_accuracy": answers}
    assert {name: types for name, types in shown.items() if types} == expected


def test_every_general_metric_is_on_the_page_of_metrics() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert GENERAL - {"bleu2", "bleu3"} <= set(re.findall(r"`(\w+)`", page))


def test_metrics_need_no_heavy_library() -> None:
    words = "import sys, micl_metrics.cider; print({'torch', 'numpy', 'sqlalchemy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
