"""Toy tasks held in memory: a medium is nothing but its digest, so that no file is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np

from micl_cli.api.modality import Sound
from micl_cli.api.task import Example, Task

COLOURS = ("red", "blue", "green")
SHAPES = ("box", "ring", "star")
_SHORT = {"image": "img", "audio": "aud", "video": "vid"}
COUNTS = {"train": 12, "val": 4, "test": 6}


def toy_tasks() -> list[Task]:
    """Three tasks: captions of images, questions on images, questions on a new modality."""
    return [toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")]


def toy_task(modality: str, kind: str) -> Task:
    """A task of ``kind`` "captioning" or "qa" on coloured shapes in ``modality``."""
    captions = kind == "captioning"
    name = f"toy/{_SHORT.get(modality, modality)}_{'cap' if captions else 'qa'}"
    return Task(
        name=name,
        modality=modality,
        kind=kind,
        metric="cider" if captions else "accuracy",
        description=f"coloured shapes as toy {modality}",
        instruction=f"describe the {modality}." if captions else "",
        sha256=sha256(name.encode()).hexdigest(),
        counts=COUNTS,
        answers=() if captions else (*COLOURS, *SHAPES),
        load=partial(_examples, name, modality, kind),
    )


def toy_examples(modalities: Sequence[str]) -> list[Example]:
    """Questions of unlike length: two of each of ``modalities``, and two without a medium."""
    asked = [toy_task(modality, "qa").examples("train") for modality in sorted(modalities)]
    seen = [example for task in asked for example in (task[0].with_answer("red"), task[1].with_answer("a blue box"))]
    prompts = (("say a word", "yes"), ("say more than one word, please", "yes, and then no"))
    return [*seen, *(Example(f"text-{answer}", prompt, (answer,)) for prompt, answer in prompts)]


def _examples(task: str, modality: str, kind: str, split: str) -> Sequence[Example]:
    first = sum(COUNTS[s] for s in list(COUNTS)[: list(COUNTS).index(split)])
    return [_example(task, modality, kind, number) for number in range(first, first + COUNTS[split])]


def _example(task: str, modality: str, kind: str, number: int) -> Example:
    colour, shape = COLOURS[number % 3], SHAPES[number // 3 % 3]
    prompt = f"describe the {modality}."
    references: tuple[str, ...] = (f"a {colour} {shape}", f"the {shape} is {colour}")
    if kind == "qa":
        prompt, references = ("which shape?", (shape,)) if number % 2 else ("which colour?", (colour,))
    digest = _digest(modality, number)
    return Example(f"{task}/{number}", prompt, references, modality, digest=digest, task=task)


def _digest(modality: str, number: int) -> str:
    """64 hex digits: a one in three for the colour, one in three for the shape, and a serial number.

    Unlike a real digest it can be read: a linear map finds colour and shape in its first bytes.
    """
    told = bytes(255 * (number % 3 == i) for i in range(3)) + bytes(255 * (number // 3 % 3 == i) for i in range(3))
    return (told.ljust(16, b"\x80") + sha256(f"{modality}/{number}".encode()).digest()[:16]).hex()


def toy_media(example: Example, options: Mapping[str, Any]) -> Any:
    """A MediaReader that makes up the medium of an example, in its modality's canonical form."""
    noise = np.random.default_rng(int.from_bytes(sha256((example.digest or example.id).encode()).digest()[:4], "big"))
    if example.modality == "audio":
        rate = int(options.get("rate", 8000))
        return Sound(noise.uniform(-0.5, 0.5, rate).astype(np.float32), rate)
    shape = (48, 48, 3) if example.modality == "image" else (int(options.get("frames", 4)), 48, 48, 3)
    return noise.integers(0, 256, shape, dtype=np.uint8)
