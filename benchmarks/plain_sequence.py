"""A plain script that fine-tunes the parts of `smol` on a sequence of tasks, for comparison with `finetune`.

The Trainer of transformers and peft, one task after the other, each with its own warm-up and cosine: language model
with LoRA on q and v, frozen encoders, one connector for each modality. Media are encoded once, batches are padded at
the right, answers are decoded greedily, and the weights of the last step are kept. Data, encoders and metrics are
micl's; template, collator, training and decoding are not. Prints one line of JSON with the scores after each task.

Usage: python benchmarks/plain_sequence.py TASK... --home DIR [--template chat] [--scale fixed] [--max-steps 150]
       (DIR: the home folder with the prepared tasks and the weights of smol)
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from plain_trainer import IGNORE_INDEX, training_arguments
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, set_seed

from micl_backbones.composed.connector import FIT_MEDIA, Connector, Standardizer
from micl_backbones.composed.load import load_modules
from micl_backbones.composed.preset import read_preset
from micl_cli.api import Example, Resources, Task
from micl_cli.data.preparation import open_task
from micl_cli.registry import Registry

MEDIUM = "<medium>"


class Media:
    """Encoder outputs of media by digest: frozen encoders give the same outputs in every step."""

    def __init__(self, home: Path, registry: Registry) -> None:
        preset = read_preset("smol", Resources(home, registry.load))
        self.modules, self.registry = load_modules(preset, registry.load), registry
        self.outputs: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, example: Example) -> Tensor:
        """Return [tokens, width] for the example's only medium."""
        (medium,) = example.media
        if medium.digest not in self.outputs:
            encoder: Any = self.modules.encoders[medium.modality]
            modality = self.registry.load("modalities", medium.modality)(**encoder.options)
            self.outputs[medium.digest] = encoder(encoder.prepare(modality.read(medium.path))[None])[0]
        return self.outputs[medium.digest]


class Model(nn.Module):
    """Connectors and a language model with LoRA."""

    def __init__(self, weights: Path, encoders: Any, *, fixed_scale: bool) -> None:
        super().__init__()
        language = AutoModelForCausalLM.from_pretrained(weights / "language", dtype=torch.float32)
        embedding = language.get_input_embeddings().weight
        size, scale = embedding.shape[1], float(embedding.std())
        connectors = {n: Connector(e.tokens, e.width, size, hidden=size, scale=scale) for n, e in encoders.items()}
        self.connectors = nn.ModuleDict(connectors)
        self.standardizers = nn.ModuleDict({n: Standardizer(e.width) for n, e in encoders.items() if e.standardize})
        if fixed_scale:
            for connector in connectors.values():
                connector.out_norm.requires_grad_(False)
        lora = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        self.language = get_peft_model(language, lora)

    def embed(self, modality: str, media: Tensor, input_ids: Tensor, starts: Tensor) -> Tensor:
        embeds = self.language.get_input_embeddings()(input_ids)
        standard = self.standardizers[modality](media) if modality in self.standardizers else media
        connected = self.connectors[modality](standard)
        rows = torch.arange(len(media))[:, None]
        return embeds.index_put((rows, starts[:, None] + torch.arange(connected.shape[1])), connected)

    def forward(
        self, modality: str, media: Tensor, input_ids: Tensor, attention_mask: Tensor, starts: Tensor, labels: Tensor
    ) -> Any:
        embeds = self.embed(modality, media, input_ids, starts)
        return self.language(inputs_embeds=embeds, attention_mask=attention_mask, labels=labels)


class Rows(Dataset[Example]):
    """Training examples."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


class Prompts:
    """Token ids of prompts, in the model's chat template or as plain text."""

    def __init__(self, tokenizer: Any, media: Media, template: str) -> None:
        self.tokenizer, self.media, self.template = tokenizer, media, template

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def prompt(self, example: Example) -> tuple[list[int], int]:
        """Return the token ids of a prompt, and the position of its medium."""
        (medium,) = example.media
        text = f" {medium.modality}: {MEDIUM}\n{example.prompt}\n"
        if self.template == "chat":
            turns = [{"role": "user", "content": f"{MEDIUM}\n{example.prompt}"}]
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        before, after = map(self.encode, text.split(MEDIUM))
        return [*before, *[self.tokenizer.eos_token_id] * len(self.media(example)), *after], len(before)

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Collate training examples of one modality."""
        end = self.tokenizer.eos_token_id
        prompts = [self.prompt(example) for example in examples]
        answers = [[*self.encode(example.references[0]), end] for example in examples]
        rows = [ids + answer for (ids, _), answer in zip(prompts, answers, strict=True)]
        labels = [[IGNORE_INDEX] * len(ids) + answer for (ids, _), answer in zip(prompts, answers, strict=True)]
        length = max(map(len, rows))
        return {
            "modality": examples[0].media[0].modality,
            "media": torch.stack([self.media(example) for example in examples]),
            "input_ids": torch.tensor([row + [end] * (length - len(row)) for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]),
            "starts": torch.tensor([start for _, start in prompts]),
            "labels": torch.tensor([row + [IGNORE_INDEX] * (length - len(row)) for row in labels]),
        }

    def queries(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Collate prompts, padded at the left."""
        prompts = [self.prompt(example) for example in examples]
        length = max(len(ids) for ids, _ in prompts)
        gaps = [length - len(ids) for ids, _ in prompts]
        rows = [[self.tokenizer.eos_token_id] * gap + ids for gap, (ids, _) in zip(gaps, prompts, strict=True)]
        return {
            "modality": examples[0].media[0].modality,
            "media": torch.stack([self.media(example) for example in examples]),
            "input_ids": torch.tensor(rows),
            "starts": torch.tensor([gap + start for gap, (_, start) in zip(gaps, prompts, strict=True)]),
            "attention_mask": torch.tensor([[0] * gap + [1] * (length - gap) for gap in gaps]),
        }


def learn(model: Model, task: Task, prompts: Prompts, args: argparse.Namespace) -> None:
    """Fine-tune the model on one task."""
    examples = task.examples("train")
    modality = examples[0].media[0].modality
    if modality in model.standardizers and not model.standardizers[modality].fitted:
        fitted = examples[:: -(-len(examples) // FIT_MEDIA)]
        model.standardizers[modality].fit(torch.stack([prompts.media(example) for example in fitted]))
    with tempfile.TemporaryDirectory() as folder:
        own = {"max_steps": args.max_steps, "learning_rate": args.learning_rate, "weight_decay": args.weight_decay}
        training = training_arguments(folder, args.seed, args.batch_size, use_cpu=True, **own)
        Trainer(model, training, data_collator=prompts, train_dataset=Rows(examples)).train()


@torch.no_grad()
def answer(model: Model, examples: Sequence[Example], prompts: Prompts, batch_size: int = 32) -> list[str]:
    """Return greedy answers."""
    model.eval()
    end, answers = prompts.tokenizer.eos_token_id, []
    search = {"max_new_tokens": 40, "do_sample": False, "pad_token_id": end}
    for start in range(0, len(examples), batch_size):
        query = prompts.queries(examples[start : start + batch_size])
        mask = query.pop("attention_mask")
        ids = model.language.generate(inputs_embeds=model.embed(**query), attention_mask=mask, **search)
        answers += [text.strip() for text in prompts.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--template", choices=["chat", "plain"], default="chat")
    parser.add_argument("--scale", choices=["fixed", "learnt"], default="fixed", help="of the connector's outputs")
    parser.add_argument("--max-steps", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    set_seed(args.seed)
    registry, weights = Registry.discover(), args.home / "weights" / "smol"
    media = Media(args.home, registry)
    model = Model(weights, media.modules.encoders, fixed_scale=args.scale == "fixed")
    prompts = Prompts(AutoTokenizer.from_pretrained(weights / "language"), media, args.template)
    tasks = [open_task(name, args.home) for name in args.tasks]
    for position, task in enumerate(tasks, 1):
        learn(model, task, prompts, args)
        scores = {}
        for learnt in tasks[:position]:
            examples = learnt.examples(args.split)
            metric = registry.load("metrics", learnt.metric)()
            scores[learnt.name] = 100 * metric.score_examples(answer(model, examples, prompts), examples).value
        print(json.dumps({"after": task.name, "scores": scores}), flush=True)


if __name__ == "__main__":
    main()
