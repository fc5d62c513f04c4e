"""micl compared with a plain Trainer script on one GPU: LLaVA in 7B size with random weights, in bf16 and NF4.

Measures tokens per second and peak memory of fine-tuning with both, of `moincl` and of `router`, and checks that
`moincl` on 4-bit weights stays within 24 GB. Each is a separate process; the second task's steps are timed.

Usage: python benchmarks/gpu.py            (without a GPU the record says "not measured")
       python benchmarks/gpu.py --shape tiny --record ""    (a test of the script, a few seconds on any machine)
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from common import RESULTS, events, machine, micl, record, smaller

from micl_cli.io.json_text import json_text

sys.path.append(str(Path(__file__).parent.parent / "tests" / "plugins" / "micl_backbones"))

from checkpoints import build_tokenizer, chat_template, save

TASKS = ("img_cap", "img_qa")
EXAMPLES, WARM = 32, 3
"""Training examples per task; first steps that are not counted."""
BUDGET = 24 * 10**9
CELLS: tuple[tuple[str, str, tuple[str, ...], int, int], ...] = (
    ("finetune bf16", "finetune", (), 4, 1),
    ("finetune nf4", "finetune", ("--quantize", "nf4"), 4, 1),
    ("moincl bf16", "moincl", (), 4, 1),
    ("moincl nf4", "moincl", ("--quantize", "nf4"), 4, 1),
    ("moincl nf4, 1 x 8", "moincl", ("--quantize", "nf4"), 1, 8),
    ("router nf4", "router", ("--quantize", "nf4"), 4, 1),
)
"""The runs: name, strategy, further arguments, batch size, accumulation."""
SMALLEST = "moincl nf4, 1 x 8"
"""The run that must stay within BUDGET."""
SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "7b": {  # LLaVA-1.5-7B: Vicuna's language model, CLIP ViT-L/14 at 336 pixels
        "text": {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 32064,
            "max_position_embeddings": 4096,
        },
        "vision": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": 336,
            "patch_size": 14,
        },
    },
    "tiny": {
        "text": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
        "vision": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 28,
            "patch_size": 14,
        },
    },
}


def build(shape: str, folder: Path) -> Path:
    """Write a checkpoint of random weights with tokenizer, processor and chat template."""
    sizes, tokenizer = SHAPES[shape], build_tokenizer(image_token="<image>")
    side = sizes["vision"]["image_size"]
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**sizes["vision"]),
        text_config=hf.LlamaConfig(**{"vocab_size": 320, **sizes["text"], **ids}),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=(side // sizes["vision"]["patch_size"]) ** 2,
    )
    processor = hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer=tokenizer,
        patch_size=sizes["vision"]["patch_size"],
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template({"image": "<image>\n"}),
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = hf.LlavaForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    save(folder, model, processor)
    return folder


def plain(checkpoint: Path, task: Path, steps: int, *, nf4: bool) -> dict[str, Any]:
    """Return step time, tokens per second and per example, and peak memory of the plain script."""
    words = [str(checkpoint), str(task), "--steps", str(steps), "--batch-size", "4", *(["--nf4"] if nf4 else [])]
    script = str(Path(__file__).parent / "plain_hf.py")
    done = subprocess.run([sys.executable, script, *words], stdout=subprocess.PIPE, text=True, check=True)
    output = json.loads(done.stdout.splitlines()[-1])
    seconds = statistics.median(output["step_s"][WARM:])
    tokens = output["tokens_per_example"]
    return _figures(seconds, 4, tokens, output["peak_bytes"]) | {"tokens_per_example": tokens}


def ours(checkpoint: Path, home: Path, cell: tuple[str, str, tuple[str, ...], int, int], tokens: float) -> Any:
    """Return step time, tokens per second and peak memory of a cell's second task.

    ``tokens`` is the number of tokens per example of the task itself, without the samples that a strategy adds.
    """
    _, strategy, more, batch, accumulation = cell
    words = ["--backbone", f"hf:{checkpoint}", "--strategy", strategy, "--tasks", "smaller/img_cap,smaller/img_qa"]
    words += [*more, "--batch-size", str(batch), "--accumulation", str(accumulation), "--epochs", "1"]
    words += ["--gradient-checkpointing", "--eval-examples", "2", "--validation-examples", "2", "--max-new-tokens", "8"]
    if strategy == "moincl":
        words += ["-o", "pseudo_num", "4" if batch > 1 else "1", "-o", "text_instruct_num", "4" if batch > 1 else "1"]
    output = events(words, home)
    steps = [e["seconds"] for e in output if e["event"] == "step" and e["position"] == 2]
    learned = next(e for e in output if e["event"] == "task_learned" and e["position"] == 2)
    return _figures(statistics.median(steps[1:]), batch * accumulation, tokens, learned["peak_bytes"])


def _figures(seconds: float, examples: int, tokens: float, peak: int | None) -> dict[str, Any]:
    return {"step_s": seconds, "tokens_per_s": examples * tokens / seconds, "peak_bytes": peak}


def measure(shape: str, results: dict[str, Any], keep: Callable[[], None]) -> None:
    """Run the cells that ``results`` lacks, and call ``keep`` after each, so that an interruption loses one at most."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        checkpoint = build(shape, Path(folder) / "llava")
        micl(["prepare", ",".join(TASKS)], home)
        tasks = [smaller(name, home, Path(folder), EXAMPLES) for name in TASKS]
        micl(["prepare", *map(str, tasks)], home)
        for nf4 in (False, True):
            name = f"plain script {'nf4' if nf4 else 'bf16'}"
            if name in results:
                continue
            results[name] = plain(checkpoint, tasks[1], EXAMPLES // 4, nf4=nf4)
            print(name, json_text(results[name]), flush=True)
            keep()
        tokens = results["plain script bf16"]["tokens_per_example"]
        for cell in CELLS:
            if cell[0] in results:
                continue
            results[cell[0]] = ours(checkpoint, home, cell, tokens)
            print(cell[0], json_text(results[cell[0]]), flush=True)
            keep()


def recorded(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of a record, if it was made with equal settings, libraries and GPU."""
    try:
        former = json.loads((RESULTS / f"{name}.json").read_text())
    except FileNotFoundError:
        return {}
    here = machine()
    same = former.get("settings") == json.loads(json_text(settings))
    same = same and all(former["machine"].get(key) == here[key] for key in here if key != "processor")
    return dict(former["cells"]) if same else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="7b")
    parser.add_argument("--record", default="gpu", help="name of the record (empty: no record)")
    parser.add_argument("--resume", action="store_true", help="keep the record's cells if GPU and libraries are equal")
    args = parser.parse_args()
    if args.shape == "7b" and not torch.cuda.is_available():
        record(args.record, {"measured": False, "reason": "this machine has no GPU"})
        return
    settings = {"shape": args.shape, "tasks": TASKS, "examples": EXAMPLES}
    results = recorded(args.record, settings) if args.resume else {}

    def keep() -> None:
        if args.record:
            fits = results[SMALLEST]["peak_bytes"] <= BUDGET if SMALLEST in results else None
            record(args.record, {"measured": True, "settings": settings, "cells": results, "within_24_gb": fits})

    measure(args.shape, results, keep)
    fits = results[SMALLEST]["peak_bytes"] <= BUDGET
    print(f"{SMALLEST}: {'within' if fits else 'NOT within'} 24 GB")


if __name__ == "__main__":
    main()
