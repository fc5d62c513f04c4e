"""Train the weights of tiny or tiny-plain from scratch: tokenizer, language model, encoders, instructions.

    python examples/tiny/train.py                       all components of tiny, into the package's folder
    python examples/tiny/train.py --preset tiny-plain   those of tiny-plain
    python examples/tiny/train.py --only image,audio    some components
    python examples/tiny/train.py --output /tmp/tiny    into another folder

tiny: the language model learns from text alone: mini's scenes in words, and the same with blends of words in place of a
medium's tokens. The encoders learn to classify the attributes of rendered scenes.

tiny-plain: the language model learns general texts, without a scene, caption, instruction or question of mini. The
encoders learn to recognise outlines and timbres that mini does not have, and to measure colours, pitches and motions as
numbers. Like pretrained encoders, they learn from other media than those of the tasks.

Neither is trained on scenes of mini's val or test split; the last lines report scores on held-out data. Training a
preset takes about half an hour on one core. The same seed gives the same weights on the same machine with the same
number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import foreign
import general
import language
import senses
import text
import torch
from numpy.random import default_rng
from safetensors.torch import save_file
from tokenizers import Tokenizer

from micl_backbones.weights.digest import record_digests
from micl_cli.api import Encoder
from micl_cli.io.digest import file_sha256

PARTS = ("tokenizer", "language", "image", "audio", "video", "instructions")
PLAIN = "tiny-plain"
PRESETS = Path(__file__).parents[2] / "plugins" / "micl_backbones" / "presets"


def make_tokenizer(arguments: argparse.Namespace) -> None:
    """Train the tokenizer and write it."""
    rng = default_rng([arguments.seed, 0])
    if arguments.preset == PLAIN:
        tokenizer = text.learn_tokenizer(general.corpus(rng, 1500), size=1100)
    else:
        tokenizer = text.learn_tokenizer(text.corpus(rng, 1000), size=640)
    (arguments.output / "language").mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.output / "language" / "tokenizer.json"))
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens")


def make_language(arguments: argparse.Namespace) -> None:
    """Train the language model, write it, and print its scores."""
    folder = arguments.output / "language"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain = arguments.preset == PLAIN
    steps, draw_sample = (general.STEPS, general.sample) if plain else (language.STEPS, text.sample)
    model = language.train(tokenizer, round(arguments.effort * steps), 32, 2e-3, arguments.seed, draw_sample)
    language.save(model, tokenizer, folder)
    if plain:
        complete = partial(language.complete, model, tokenizer)
        scores = general.held_out_scores(complete, 200, default_rng([arguments.seed, 2]))
    else:
        scores = language.held_out_scores(model, tokenizer, count=200, seed=arguments.seed)
    for name, score in scores.items():
        print(f"held-out {name}: {100 * score:.1f} %", flush=True)


def make_encoder(arguments: argparse.Namespace, modality: str) -> None:
    """Pretrain one encoder, write it, and print its scores."""
    if arguments.preset == PLAIN:
        steps = round(arguments.effort * foreign.STEPS[modality])
        observer = foreign.train(modality, steps, batch_size=64, rate=2e-3, seed=arguments.seed)
        _save(observer.encoder, arguments.output / f"{modality}.safetensors")
        for name, loss in foreign.held_out_losses(observer, modality, arguments.seed).items():
            print(f"held-out {modality} loss of {name}: {loss:.3f}", flush=True)
        return
    namer = senses.train(
        modality, round(arguments.effort * senses.STEPS[modality]), batch_size=64, rate=2e-3, seed=arguments.seed
    )
    _save(namer.encoder, arguments.output / f"{modality}.safetensors")
    held_out = senses.media_set(modality, namer.encoder, "test", 500, default_rng([arguments.seed, 4]))
    scores = senses.accuracy(namer, modality, *held_out)
    for name, score in scores.items():
        print(f"held-out {modality} {name}: {100 * score:.1f} %", flush=True)


def _save(encoder: Encoder, path: Path) -> None:
    save_file(encoder.state_dict(), path)
    path.chmod(0o644)


def make_instructions(arguments: argparse.Namespace, count: int = 240) -> None:
    """Write the texts for distillation: general ones for both presets, without a scene of any task."""
    texts = general.instruction_texts(default_rng([arguments.seed, 5]), count)
    lines = [json.dumps({"text": each}) for each in texts]
    (arguments.output / "instructions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Train the requested components."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", choices=("tiny", PLAIN), default="tiny")
    parser.add_argument("--output", type=Path, help="folder of the preset (default: that of the package)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"components to train, out of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies every number of steps")
    arguments = parser.parse_args()
    arguments.output = arguments.output or PRESETS / arguments.preset
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
