"""The baseline of gpu.py: fine-tuning of a multimodal checkpoint with the Trainer of transformers and peft.

Fine-tunes a LLaVA checkpoint on one image task, in bfloat16 or in 4 bits (QLoRA), with gradient checkpointing and LoRA
on all linear layers of the language model. Prints one line of JSON at the end.

Usage: python benchmarks/plain_hf.py CHECKPOINT TASK_FOLDER [--steps 12] [--batch-size 4] [--accumulation 1] [--nf4]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

IGNORE_INDEX = -100


class Collator:
    """Read images, render prompt and answer with the chat template, and mask the prompt in the labels."""

    def __init__(self, folder: Path, processor: Any) -> None:
        self.folder, self.processor = folder, processor
        self.tokens = 0

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        images = [Image.open(self.folder / row["image"]).convert("RGB") for row in rows]
        prompts = [self.rendered(row, None) for row in rows]
        texts = [self.rendered(row, row["references"][0]) for row in rows]
        inputs = self.processor(text=texts, images=images, padding=True, return_tensors="pt")
        labels = torch.full_like(inputs["input_ids"], IGNORE_INDEX)
        for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
            count = len(self.encode(text)) - len(self.encode(prompt))
            labels[i, -count:] = inputs["input_ids"][i, -count:]
        self.tokens += int(inputs["attention_mask"].sum())
        return {**inputs, "labels": labels}

    def rendered(self, row: dict[str, Any], answer: str | None) -> str:
        content = [{"type": "image"}, {"type": "text", "text": row["prompt"]}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        return str(self.processor.apply_chat_template(messages, add_generation_prompt=answer is None))

    def encode(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]


class Clock(TrainerCallback):
    """Record the wall seconds of each optimiser step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = self.now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(self.now() - self.started)

    @staticmethod
    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def load(checkpoint: str, *, nf4: bool) -> Any:
    """Load the frozen checkpoint with LoRA."""
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["vision_tower", "multi_modal_projector", "lm_head"],
    )
    quantisation = {"quantization_config": four} if nf4 else {}
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype, **quantisation)
    if nf4:
        model = prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
    layers = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
    return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=layers, task_type="CAUSAL_LM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("task", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--nf4", action="store_true")
    args = parser.parse_args()
    set_seed(0)
    rows = [json.loads(line) for line in (args.task / "manifest.jsonl").read_text().splitlines()]
    collator, clock = Collator(args.task, AutoProcessor.from_pretrained(args.checkpoint)), Clock()
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingArguments(
            output_dir=folder,
            max_steps=args.steps,
            per_device_train_batch_size=args.batch_size,
            gradient_accumulation_steps=args.accumulation,
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            learning_rate=2e-4,
            bf16=torch.cuda.is_available(),
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=not torch.cuda.is_available(),
        )
        model = load(args.checkpoint, nf4=args.nf4)
        data: Any = [row for row in rows if row["split"] == "train"]
        Trainer(model, training, data_collator=collator, train_dataset=data, callbacks=[clock]).train()
    examples = args.steps * args.batch_size * args.accumulation
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    figures = {"step_s": clock.seconds, "tokens_per_example": collator.tokens / examples, "peak_bytes": peak}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
