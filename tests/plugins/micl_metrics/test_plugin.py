"""The metrics are announced, and the announced names are those of the classes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

from micl_cli.api import Metric
from micl_metrics import plugin


def announced() -> dict[str, str]:
    found: dict[str, str] = {}

    def register(name: str, target: str, summary: str = "") -> None:
        assert summary
        found[name] = target

    plugin.micl_register_metrics(register)
    return found


def test_every_metric_is_announced() -> None:
    assert set(announced()) == {"cider", "bleu4", "rouge_l", "accuracy", "vqa_accuracy"}


def test_targets_are_metrics_of_that_name() -> None:
    for name, target in announced().items():
        module, _, attribute = target.partition(":")
        metric = getattr(import_module(module), attribute)
        assert issubclass(metric, Metric)
        assert metric.name == name
        assert metric.task_types in ({"captioning"}, {"qa"})


def test_metrics_need_no_heavy_library() -> None:
    words = "import sys, micl_metrics.cider; print({'torch', 'numpy', 'sqlalchemy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
