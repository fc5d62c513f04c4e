"""Exports give the answers of their run: by transformers and peft alone, merged, and by ``micl_cli.load_export``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cards import code_blocks, run_python

import micl_cli
from micl_cli.errors import CheckpointError, PlanError, UsageError

ROUTED = ("--strategy", "router", "-o", "router", "prototype")
ASKING = ("--strategy", "router", "-o", "router_options", "epochs=2,samples=4")
FINETUNE = ("--strategy", "finetune")


@pytest.mark.slow
def test_the_code_of_the_card_answers_as_the_run_without_micl(
    at_home: Any, stored_answers: Any, micl: Any, tmp_path: Path, folders: Any
) -> None:
    run = at_home("hf", *FINETUNE)
    done = micl("export", run, "out")
    assert (done.code, done.out) == (0, f"{tmp_path / 'out'}\n"), done.err
    code, _ = code_blocks(tmp_path / "out")
    assert "micl" not in code
    asked = stored_answers(run, "own/img_cap")[0]
    assert repr(asked["prompt"]) in code
    shutil.copyfile(asked["path"], tmp_path / "out" / "image.png")
    assert run_python(code, tmp_path / "out") == asked["answer"]
    model = micl_cli.load_export("out")
    for each in stored_answers(run, "own/img_qa"):
        assert model.answer(each["prompt"], image=each["path"]) == each["answer"]


@pytest.mark.slow
def test_merged_weights_answer_without_peft(at_home: Any, stored_answers: Any, micl: Any, tmp_path: Path) -> None:
    run = at_home("hf", *FINETUNE)
    assert micl("export", run, "out", "--format", "merged").code == 0
    code, _ = code_blocks(tmp_path / "out")
    assert "peft" not in code
    asked = stored_answers(run, "own/img_cap")[0]
    shutil.copyfile(asked["path"], tmp_path / "out" / "image.png")
    assert run_python(code, tmp_path / "out") == asked["answer"]
    assert micl_cli.load_export("out").answer(asked["prompt"], image=asked["path"]) == asked["answer"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["peft", "merged"])
def test_connectors_come_with_the_language_model(
    form: str, at_home: Any, stored_answers: Any, micl: Any, tmp_path: Path
) -> None:
    run = at_home("composed", *FINETUNE)
    assert micl("export", run, "out", "--format", form).code == 0
    shutil.move(tmp_path / "home", tmp_path / "gone")
    (loader,) = code_blocks(tmp_path / "out")
    shutil.move(tmp_path / "gone", tmp_path / "home")
    asked = stored_answers(run, "own/img_cap")[0]
    shutil.copyfile(asked["path"], tmp_path / "out" / "image.png")
    assert run_python(loader, tmp_path / "out") == asked["answer"]
    model = micl_cli.load_export(tmp_path / "out")
    for task, medium in (("own/img_cap", "image"), ("own/aud_qa", "audio")):
        for each in stored_answers(run, task):
            assert model.answer(each["prompt"], **{medium: each["path"]}) == each["answer"]


@pytest.mark.parametrize("kind", ["composed", "hf"])
def test_a_router_selects_the_adapters_of_an_export(
    kind: str, at_home: Any, stored_answers: Any, micl: Any, tmp_path: Path
) -> None:
    run = at_home(kind, *ROUTED)
    assert micl("export", run, "out").code == 0
    adapters = {"own/img_cap": "expert1", "own/aud_qa" if kind == "composed" else "own/img_qa": "expert2"}
    for name in adapters.values():
        assert (tmp_path / "out" / name / "adapter_config.json").is_file()
    shutil.rmtree(tmp_path / "home" / "runs")
    model = micl_cli.load_export("out")
    assert model.adapters == adapters
    for task in adapters:
        medium = "audio" if "aud" in task else "image"
        for each in stored_answers(run, task):
            assert model.answer(each["prompt"], **{medium: each["path"]}) == each["answer"]
            by_name = model.answer(each["prompt"], **{medium: each["path"]}, task=task)
            assert isinstance(by_name, str)


@pytest.mark.slow
def test_the_card_of_several_adapters_loads_them_by_name(
    at_home: Any, stored_answers: Any, micl: Any, tmp_path: Path
) -> None:
    run = at_home("hf", "--strategy", "single")
    assert micl("export", run, "out").code == 0
    code, loader = code_blocks(tmp_path / "out")
    assert "task='own/img_cap'" in loader
    asked = stored_answers(run, "own/img_cap")[0]
    shutil.copyfile(asked["path"], tmp_path / "out" / "image.png")
    assert run_python(code, tmp_path / "out") == asked["answer"]
    model = micl_cli.load_export("out")
    assert model.answer(asked["prompt"], image=asked["path"], task="own/img_cap") == asked["answer"]
    with pytest.raises(UsageError, match="needs the task of each example"):
        model.answer(asked["prompt"], image=asked["path"])


def test_the_router_of_mr_lora_has_an_adapter_of_its_own_and_no_examples(
    at_home: Any, stored_answers: Any, micl: Any, tmp_path: Path
) -> None:
    run = at_home("composed", *ASKING)
    assert micl("export", run, "out").code == 0
    assert (tmp_path / "out" / "router" / "adapter_config.json").is_file()
    texts = [path.read_text() for path in (tmp_path / "out").rglob("*.json")]
    assert not any("media/" in text for text in texts), "training examples stay at home"
    model = micl_cli.load_export("out")
    for task, medium in (("own/img_cap", "image"), ("own/aud_qa", "audio")):
        for each in stored_answers(run, task):
            assert model.answer(each["prompt"], **{medium: each["path"]}) == each["answer"]


def test_an_earlier_stage_is_exported(at_home: Any, stored_answers: Any, micl: Any, tmp_path: Path) -> None:
    run = at_home("composed", *ROUTED)
    assert micl("export", run, "out", "--stage", "1").code == 0
    model = micl_cli.load_export("out")
    assert model.adapters == {"own/img_cap": "expert1"}
    for each in stored_answers(run, "own/img_cap", stage=1):
        assert model.answer(each["prompt"], image=each["path"]) == each["answer"]
    with pytest.raises(UsageError, match="was not learnt when"):
        model.answer("which one?", task="own/aud_qa")
    with pytest.raises(UsageError, match="no task 'own/img_cup'"):
        model.answer("which one?", task="own/img_cup")


def test_the_card_tells_tasks_scores_and_origin(at_home: Any, micl: Any, tmp_path: Path) -> None:
    run = at_home("composed", *ROUTED)
    report = json.loads(micl("report", run, "--json").out)["runs"][0]
    assert micl("export", run, "out").code == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.startswith("---\n")
    assert "library_name: micl" in text.split("---")[1]
    first, last = report["matrix"]
    assert f"| after own/img_cap | {first[0]:.2f} | - |" in text
    assert f"| after own/aud_qa | {last[0]:.2f} | {last[1]:.2f} |" in text
    assert "| own/aud_qa | qa | audio | accuracy | expert2 |" in text
    assert run in text


def test_names_are_text_in_the_card(at_home: Any, micl: Any, tmp_path: Path) -> None:
    run = at_home("composed", *FINETUNE, "--name", "<b>`x`</b> | [y](z)")
    assert micl("export", run, "out").code == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "# &lt;b&gt;\\`x\\`&lt;/b&gt; \\| \\[y\\](z) after stage 2" in text
    assert "<b>" not in text


def test_an_export_is_written_for_vllm(at_home: Any, micl: Any, tmp_path: Path, folders: Any) -> None:
    run = at_home("hf", *ROUTED, "-b", "lora_rank", "9")
    assert micl("export", run, "out", "--format", "vllm").code == 0
    command, _ = code_blocks(tmp_path / "out", "sh")
    assert command.startswith(f"vllm serve {folders('llava')} --enable-lora --max-lora-rank 16 --max-loras 2 ")
    assert command.endswith("--lora-modules expert1=./expert1 expert2=./expert2")
    config = json.loads((tmp_path / "out" / "expert2" / "adapter_config.json").read_text())
    assert (config["r"], config["rank_pattern"], config["lora_alpha"]) == (9, {}, 16)
    assert not (tmp_path / "out" / "router").exists()
    with pytest.raises(UsageError, match="for a vLLM server"):
        micl_cli.load_export("out")


@pytest.mark.parametrize(
    ("words", "form", "reason"),
    [
        (("composed", *FINETUNE), "vllm", "it reads media through connectors that vLLM does not know"),
        (("composed", *ROUTED), "merged", "each of 2 answers other examples"),
        (("composed", "--strategy", "baseline"), "peft", "it answers without the backbone"),
        (("composed", *FINETUNE, "--quantize", "nf4"), "merged", "weights are quantised"),
        (("composed", "--strategy", "router", "-o", "router", "oracle"), "peft", "it knows the task of each example"),
    ],
    ids=["connectors", "several", "baseline", "quantised", "oracle"],
)
def test_what_a_format_cannot_hold_is_refused_with_the_reason(
    words: tuple[str, ...], form: str, reason: str, at_home: Any, micl: Any, tmp_path: Path
) -> None:
    run = at_home(*words)
    done = micl("export", run, "out", "--format", form)
    assert (done.code, done.out) == (4, "")
    assert reason in done.err
    assert "hint: " in done.err
    assert not list(tmp_path.glob("*out*")), "nothing is half written"


def test_what_a_model_cannot_answer_is_refused(at_home: Any, micl: Any, tmp_path: Path) -> None:
    run = at_home("composed", *FINETUNE)
    assert micl("export", run, "out").code == 0
    model = micl_cli.load_export("out")
    assert model.tasks == ("own/img_cap", "own/aud_qa")
    assert model.answer("which one?", choices=["red", "green"]) in ("red", "green")
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot read video"):
        model.answer("which one?", video="clip.mp4")
    with pytest.raises(UsageError, match=r"cannot read none\.png"):
        model.answer("which one?", image="none.png")
    with pytest.raises(UsageError, match="holds no export"):
        micl_cli.load_export(tmp_path)


def test_a_document_cannot_lead_out_of_its_folder(at_home: Any, micl: Any, tmp_path: Path) -> None:
    from micl_cli.io.documents import read_document, write_document

    run = at_home("composed", *FINETUNE)
    assert micl("export", run, "out").code == 0
    path = tmp_path / "out" / "micl.json"
    content = read_document(path)
    for changed in (
        {"files": {**content["files"], "../secret": "0"}},
        {"files": {**content["files"], str(tmp_path / "secret"): "0"}},
        {"adapters": {"adapter": "../elsewhere"}},
        {"export": 99},
        {"plan": {}},
        {"tasks": 3},
    ):
        write_document(path, {**content, **changed})
        with pytest.raises(CheckpointError, match=r"micl\.json is damaged"):
            micl_cli.load_export("out")


def test_a_changed_file_is_noticed(at_home: Any, micl: Any, tmp_path: Path) -> None:
    run = at_home("composed", *FINETUNE)
    assert micl("export", run, "out").code == 0
    weights = tmp_path / "out" / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="does not match its digest"):
        micl_cli.load_export("out")
    weights.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        micl_cli.load_export("out")
    again = micl("export", run, "out")
    assert (again.code, again.out) == (2, "")
    assert f"out holds the export of run {run} after stage 2 (format peft) already\nhint: Name another" in again.err
    assert micl("export", run, "out", "--force").code == 0
    assert micl_cli.load_export("out").tasks == ("own/img_cap", "own/aud_qa")


def test_another_base_model_is_refused(at_home: Any, micl: Any, tmp_path: Path, preset: Path) -> None:
    run = at_home("composed", *FINETUNE)
    assert micl("export", run, "out").code == 0
    other = shutil.copytree(preset.parent, tmp_path / "other")
    model = micl_cli.load_export("out", base=f"composed:{other / preset.name}")
    assert isinstance(model.answer("which one?"), str)
    (other / preset.name).write_text((other / preset.name).read_text().replace("alpha = 8", "alpha = 9"))
    with pytest.raises(PlanError, match="the base model of the export"):
        micl_cli.load_export("out", base=f"composed:{other / preset.name}")
