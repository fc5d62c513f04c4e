"""`--backbone hf:FOLDER` from the command line: two tasks learnt, scored, reported and scored again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoints import MODALITIES, build

SMALL = ["--max-steps", "2", "--batch-size", "2", "--accumulation", "1", "--eval-examples", "2"]
SMALL += ["--validation-examples", "2", "--max-new-tokens", "3", "--quiet"]
STRATEGIES = ("finetune", "moincl", "lwf", "ewc", "router")


def tasks_for(name: str) -> str:
    """Two tasks that a checkpoint can take, of two modalities where it has them."""
    takes = MODALITIES[name]
    first = "img_cap" if "image" in takes else "aud_cap"
    if "image" not in takes:
        return f"{first},aud_qa"
    return f"{first},aud_qa" if "audio" in takes else f"{first},vid_qa" if "video" in takes else f"{first},img_qa"


def strategy_words(strategy: str) -> list[str]:
    return ["--strategy", strategy, *(["-o", "router_options", "epochs=1,samples=4"] if strategy == "router" else [])]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), list(enumerate(sorted(MODALITIES))))
def test_two_tasks_are_learnt_and_scored(number: int, name: str, micl: Any, little_mini: Any, tmp_path: Path) -> None:
    folder, tasks = build(name, tmp_path / name), tasks_for(name)
    strategy = STRATEGIES[number % len(STRATEGIES)]
    words = ["learn", "--backbone", f"hf:{folder}", *strategy_words(strategy), "--tasks", tasks, *SMALL]
    done = micl(*words)
    assert done.code == 0, done.err
    run = done.out.strip()
    report = json.loads(micl("report", run, "--json").out)["runs"][0]
    assert [[score is not None for score in row] for row in report["matrix"]] == [[True, False], [True, True]]
    again = micl("eval", run, "--stage", "1", "--tasks", tasks.split(",")[0], "--examples", "2", "--json")
    assert again.code == 0, again.err
    scored = [json.loads(line) for line in again.out.splitlines()]
    main = next(line for line in scored if line["event"] == "scored" and line["main"])
    assert main["value"] == pytest.approx(report["matrix"][0][0])


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["nf4", "int8"])
@pytest.mark.parametrize("strategy", ["moincl", "router"])
def test_every_adapter_works_on_few_bits(
    quantize: str, strategy: str, micl: Any, little_mini: Any, tmp_path: Path
) -> None:
    folder = build("qwen2_5_omni", tmp_path / "omni")
    words = ["--backbone", f"hf:{folder}", *strategy_words(strategy), "--tasks", "img_cap,aud_qa", *SMALL]
    done = micl("learn", *words, "--quantize", quantize, "--gradient-checkpointing")
    assert done.code == 0, done.err


@pytest.mark.parametrize(("name", "task", "takes"), [("llava", "aud_qa", "image"), ("qwen2_audio", "img_cap", "audio")])
def test_a_task_that_it_cannot_take_is_refused(
    name: str, task: str, takes: str, micl: Any, little_mini: Any, tmp_path: Path
) -> None:
    folder = build(name, tmp_path / name)
    done = micl("learn", "--backbone", f"hf:{folder}", "--strategy", "finetune", "--tasks", task, "--dry-run")
    assert (done.code, done.out) == (4, "")
    assert f"hint: It supports {takes}." in done.err


@pytest.mark.slow
def test_a_report_sets_few_bits_beside_full_precision(micl: Any, little_mini: Any, tmp_path: Path) -> None:
    folder = build("llava", tmp_path / "llava")
    words = ["learn", "--backbone", f"hf:{folder}", "--strategy", "finetune", "--tasks", "img_cap,img_qa", *SMALL]
    whole, few = micl(*words).out.strip(), micl(*words, "--quantize", "nf4").out.strip()
    report = json.loads(micl("report", whole, few, "--json").out)
    (found,) = report["quantized"]
    assert (found["run"], found["reference"], found["bits"]) == (few, whole, "nf4")
    large, small = (run["weights_bytes"] for run in report["runs"])
    assert found["weights"] == pytest.approx(small / large)
    assert small < large
    one, other = (run["metrics"]["mfn"] for run in report["runs"])
    assert found["gap"] == pytest.approx(one - other)
    assert "Quantised runs relative to the same plans in full precision" in micl("report", whole, few).out
    assert "quantised to nf4." in micl("report", few).out
