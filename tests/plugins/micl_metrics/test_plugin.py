"""Metrics are announced under the names of their classes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from micl_cli.api import Metric
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
