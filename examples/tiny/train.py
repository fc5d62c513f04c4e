"""Train the tiny preset's weights from scratch: tokenizer, language model, encoders, instructions.

    python examples/tiny/train.py                     all components, into the package's folder
    python examples/tiny/train.py --only image,audio  some components
    python examples/tiny/train.py --output /tmp/tiny  into another folder

The language model learns from text alone: mini's scenes in words, and the same with blends of words in place of a
medium's tokens. The encoders learn to classify the attributes of rendered scenes. Neither is trained on scenes of
mini's val or test split; the last lines report the scores on test scenes. Training takes about half an hour on one
core. The same seed gives the same weights on the same machine with the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import language
import senses
import text
import torch
from numpy.random import default_rng
from safetensors.torch import save_file
from tokenizers import Tokenizer

from micl_backbones.weights.digest import record_digests
from micl_cli.io.digest import file_sha256
from micl_tasks.mini.language import FIELDS

PARTS = ("tokenizer", "language", "image", "audio", "video", "instructions")
PACKAGE = Path(__file__).parents[2] / "plugins" / "micl_backbones" / "presets" / "tiny"


def make_tokenizer(arguments: argparse.Namespace) -> None:
    """Train the tokenizer and write it."""
    tokenizer = text.learn_tokenizer(default_rng([arguments.seed, 0]), size=640)
    (arguments.output / "language").mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.output / "language" / "tokenizer.json"))
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens")


def make_language(arguments: argparse.Namespace) -> None:
    """Train the language model, write it, and print its scores."""
    folder = arguments.output / "language"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = language.train(
        tokenizer, round(arguments.effort * language.STEPS), batch_size=32, rate=2e-3, seed=arguments.seed
    )
    language.save(model, tokenizer, folder)
    for name, score in language.held_out_scores(model, tokenizer, count=200, seed=arguments.seed).items():
        print(f"held-out {name}: {100 * score:.1f} %", flush=True)


def make_encoder(arguments: argparse.Namespace, modality: str) -> None:
    """Pretrain one encoder, write it, and print its scores."""
    namer = senses.train(
        modality, round(arguments.effort * senses.STEPS[modality]), batch_size=64, rate=2e-3, seed=arguments.seed
    )
    path = arguments.output / f"{modality}.safetensors"
    save_file(namer.encoder.state_dict(), path)
    path.chmod(0o644)
    held_out = senses.media_set(modality, namer.encoder, "test", 500, default_rng([arguments.seed, 4]))
    scores = senses.accuracy(namer, modality, *held_out)
    for name, score in scores.items():
        print(f"held-out {modality} {name}: {100 * score:.1f} %", flush=True)


def make_instructions(arguments: argparse.Namespace, count: int = 600) -> None:
    """Write the text-only instructions, half descriptions and half answers."""
    rng, lines = default_rng([arguments.seed, 5]), []
    worlds = list(FIELDS.values())
    for number in range(count):
        draw = text.description if number % 2 else text.answer
        lines.append(json.dumps({"text": draw(worlds[number // 2 % 3], "train", rng).text}))
    (arguments.output / "instructions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Train the requested components."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=PACKAGE, help="folder of the preset")
    parser.add_argument("--only", default=",".join(PARTS), help=f"components to train, out of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies every number of steps")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.output.mkdir(parents=True, exist_ok=True)
    wanted = arguments.only.split(",")
    for part in PARTS:
        if part in wanted and part in senses.CONFIGS:
            make_encoder(arguments, part)
        elif part in wanted:
            {"tokenizer": make_tokenizer, "language": make_language, "instructions": make_instructions}[part](arguments)
    record_digests(arguments.output, file_sha256)


if __name__ == "__main__":
    main()
