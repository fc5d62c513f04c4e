"""The baseline of trainer.py: a plain script with the Trainer of transformers and peft.

Fine-tunes the components of `smol` (SmolLM2, EfficientNet-lite or Whisper's encoder, a connector, LoRA on q and v) on
one task in the usual way: the collator reads media, the frozen encoder runs in every forward pass, and batches are
padded to their longest row. Prints one line of JSON after each epoch.

Usage: python benchmarks/plain_trainer.py WEIGHTS TASK_FOLDER [--epochs 2] [--batch-size 8] [--dtype bf16]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from micl_backbones.composed.connector import FIT_MEDIA, Connector, Standardizer
from micl_backbones.composed.encoders.pretrained import EfficientNetLite, Whisper
from micl_cli.api import Sound

IGNORE_INDEX = -100


class Model(nn.Module):
    """A frozen encoder, a connector, and a language model with LoRA."""

    def __init__(self, weights: Path, modality: str, dtype: torch.dtype, *, rank: int = 8, alpha: float = 16) -> None:
        super().__init__()
        language = AutoModelForCausalLM.from_pretrained(weights / "language", dtype=dtype)
        self.encoder = EfficientNetLite(grid=4) if modality == "image" else Whisper(seconds=5.0, tokens=25, layers=3)
        self.encoder.load_state_dict(load_file(weights / f"{modality}.safetensors"))
        self.encoder.requires_grad_(False).eval()
        embedding = language.get_input_embeddings().weight
        size, scale = embedding.shape[1], float(embedding.std())
        self.standardizer = Standardizer(self.encoder.width) if self.encoder.standardize else nn.Identity()
        self.connector = Connector(self.encoder.tokens, self.encoder.width, size, hidden=size, scale=scale)
        lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        self.language = get_peft_model(language, lora)

    def train(self, mode: bool = True) -> Model:
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, media: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, start: int) -> Any:
        with torch.no_grad():
            tokens = self.encoder(media)
        embeds = self.language.get_input_embeddings()(input_ids)
        connected = self.connector(self.standardizer(tokens)).to(embeds.dtype)
        embeds = torch.cat([embeds[:, :start], connected, embeds[:, start + connected.shape[1] :]], dim=1)
        return self.language(inputs_embeds=embeds, attention_mask=attention_mask, labels=labels)


class Rows(Dataset[dict[str, Any]]):
    """The training examples of a prepared task."""

    def __init__(self, folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
        self.rows = [row for row in rows if row["split"] == "train"]
        self.folder = folder

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


class Collator:
    """Read media, concatenate prompt and answer, and pad at the right."""

    def __init__(self, folder: Path, modality: str, tokenizer: Any, encoder: Any) -> None:
        self.folder, self.modality, self.tokenizer, self.encoder = folder, modality, tokenizer, encoder

    def read(self, path: Path) -> Tensor:
        if self.modality == "image":
            return self.encoder.prepare(np.asarray(Image.open(path).convert("RGB")))
        samples, rate = soundfile.read(path, dtype="float32")
        return self.encoder.prepare(Sound(samples, rate))

    def encode(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        cue, end = self.encode(f" {self.modality}: "), self.tokenizer.eos_token_id
        ids, labels = [], []
        for row in rows:
            prompt = [*cue, *[end] * self.encoder.tokens, *self.encode(f"\n{row['prompt']}\n")]
            answer = [*self.encode(row["references"][0]), end]
            ids.append(prompt + answer)
            labels.append([IGNORE_INDEX] * len(prompt) + answer)
        length = max(map(len, ids))
        return {
            "media": torch.stack([self.read(self.folder / row[self.modality]) for row in rows]),
            "input_ids": torch.tensor([row + [end] * (length - len(row)) for row in ids]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids]),
            "labels": torch.tensor([row + [IGNORE_INDEX] * (length - len(row)) for row in labels]),
            "start": len(cue),
        }


class Clock(TrainerCallback):
    """Print the duration of each epoch."""

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seconds = time.perf_counter() - self.started
        print(json.dumps({"epoch": round(state.epoch), "steps": state.global_step, "seconds": seconds}), flush=True)


def training_arguments(folder: str, seed: int, batch_size: int, **settings: Any) -> TrainingArguments:
    """Return the usual arguments: AdamW, warm-up and cosine, clipping, and neither checkpoints nor logs."""
    usual: dict[str, Any] = {"learning_rate": 1e-3, "weight_decay": 0.05, "use_cpu": not torch.cuda.is_available()}
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=batch_size,
        warmup_steps=0.05,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        seed=seed,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        **(usual | settings),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("task", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dtype", choices=["fp32", "bf16"], default="fp32", help="dtype of the language model's weights"
    )
    args = parser.parse_args()
    set_seed(args.seed)
    rows = Rows(args.task)
    modality = "image" if "image" in rows[0] else "audio"
    model = Model(args.weights, modality, {"fp32": torch.float32, "bf16": torch.bfloat16}[args.dtype])
    tokenizer = AutoTokenizer.from_pretrained(args.weights / "language")
    with tempfile.TemporaryDirectory() as folder:
        training = training_arguments(folder, args.seed, args.batch_size, num_train_epochs=args.epochs)
        collator = Collator(args.task, modality, tokenizer, model.encoder)
        if model.encoder.standardize:
            fitted = [collator.read(args.task / row[modality]) for row in rows.rows[:: len(rows) // FIT_MEDIA]]
            with torch.no_grad():
                model.standardizer.fit(torch.cat([model.encoder(medium[None]) for medium in fitted]))
        Trainer(model, training, data_collator=collator, train_dataset=rows, callbacks=[Clock()]).train()


if __name__ == "__main__":
    main()
