"""Every suite: from its files to a report by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TASKS = {
    "ucit": "imagenet-r,iconqa",
    "coin": "scienceqa,grounding",
    "coin-asd": "imagenet,vqav2",
    "trigap": "pmcvqa,docvqa",
    "cvit": "scienceqa,flickr30k",
    "cl4vqa": "recognition,count",
    "mm-mergebench": "rec,iconqa",
    "continual-next": "geochat,mathqa",
    "continual-news": "2022,2023",
}


OPTIONS = {"continual-news": ("--scorer", "short")}
"""The scorer that needs no sentence model."""


@pytest.mark.parametrize("benchmark", TASKS)
def test_a_suite_is_prepared_learnt_scored_and_reported(
    benchmark: str, build: Any, micl: Any, home: Path, learn_words: Any
) -> None:
    names = [f"{benchmark}/{task}" for task in TASKS[benchmark].split(",")]
    done = micl("prepare", *names, "--root", build(benchmark).root, *OPTIONS.get(benchmark, ()), "--json")
    assert done.code == 0, done.err
    assert [task["counts"]["test"] for task in json.loads(done.out)["tasks"]] == [3, 3]
    done = micl(*learn_words("--tasks", ",".join(names), "--max-steps", "2", "--eval-batch-size", "3", "--json"))
    assert done.code == 0, done.err
    run = next((home / "runs").iterdir()).name
    assert micl("eval", run).code == 0
    done = micl("report", run)
    assert done.code == 0, done.err
    assert all(name.partition("/")[2] in done.out for name in names)


def test_bare_names_stand_for_the_sequence_of_a_suite() -> None:
    from micl_cli.registry import Registry

    registry = Registry.discover()
    expected = {
        "ucit": "imagenet-r arxivqa vizwiz-cap iconqa clevr-math flickr30k-cap",
        "coin": "scienceqa textvqa imagenet gqa vizwiz grounding vqav2 ocr-vqa",
        "coin-asd": "scienceqa textvqa imagenet gqa vizwiz grounding vqav2 ocr-vqa",
        "cvit": "scienceqa textvqa flickr30k imagenet gqa vqav2",
        "mm-mergebench": "scienceqa vizwiz-cap imagenet vqav2 rec iconqa flickr30k ocr-vqa",
        "mm-mergebench:unseen": "aokvqa imagenet-r screen2words tabmwp",
        "cvit:unseen": "vizwiz textcaps ocr-vqa places365",
        "trigap": "pmcvqa docvqa chartqa iconqa infographicvqa arxivqa roadside chemvqa floodnetvqa clevr",
        "cl4vqa": "recognition location judge commonsense count action color type subcategory causal",
        "continual-next": "arxivqa geochat iconqa clevrmath codeqa imagenet flickr30k docvqa textvqa mathqa chartqa "
        "pathvqa grounding scienceqa wikiqa",
        "continual-news": "2022 2023 2024 2025",
    }
    for name, tasks in expected.items():
        assert registry.benchmark_tasks(name) == tuple(f"{name.partition(':')[0]}/{task}" for task in tasks.split())


@pytest.mark.parametrize("benchmark", TASKS)
def test_tasks_name_scorers_that_are_installed_and_the_same_variants(benchmark: str) -> None:
    from micl_cli.registry import Registry

    registry = Registry.discover()
    metrics = {part.name for part in registry.parts("metrics")}
    reader = registry.load("readers", benchmark)
    first, *_ = reader.tasks.values()
    for task in reader.tasks.values():  # tasks of a plan must have one variant in common
        assert (set(task.scorers), task.prompts) == (set(first.scorers), first.prompts)
        assert list(task.scorers)[:2] == ["release", "strict"]
        assert set(task.scorers.values()) <= metrics
    assert reader.citation and reader.licence and reader.origin


def test_the_folder_of_another_suite_is_recognised(build: Any, micl: Any) -> None:
    done = micl("prepare", "trigap/pmcvqa", "--root", build("ucit").root)
    assert done.code == 4
    assert "It looks like UCIT (ucit)." in done.err
