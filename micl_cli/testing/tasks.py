"""Toy tasks in memory, whose media consist of digests only and need no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np

from micl_cli.api.modality import Sound
from micl_cli.api.task import CAPTIONING, CHOICE, QA, Example, Media, Task

COLOURS = ("red", "blue", "green")
SHAPES = ("box", "ring", "star")
COUNTS = {"train": 12, "val": 4, "test": 6}
VECTOR = 16
"""The size of toy media of modalities other than image, audio and video."""
_SHORT = {"image": "img", "audio": "aud", "video": "vid", CAPTIONING: "cap"}


def toy_tasks() -> list[Task]:
    """Return three tasks: image captioning, questions about images, questions about audio."""
    return [toy_task("image", CAPTIONING), toy_task("image", QA), toy_task("audio", QA)]


def toy_task(modality: str, type: str) -> Task:
    """Return a task of ``type`` "captioning", "qa" or "choice" about coloured shapes in ``modality``."""
    captions = type == CAPTIONING
    name = f"toy/{_SHORT.get(modality, modality)}_{_SHORT.get(type, type)}"
    return Task(
        name=name,
        modalities=frozenset({modality}),
        type=type,
        metric="cider" if captions else "accuracy",
        description=f"coloured shapes as toy {modality}",
        instruction=f"describe the {modality}." if captions else "",
        sha256=sha256(name.encode()).hexdigest(),
        counts=COUNTS,
        answers=(*COLOURS, *SHAPES) if type == QA else (),
        load=partial(_examples, name, modality, type),
    )


def toy_examples(modalities: Sequence[str]) -> list[Example]:
    """Return questions of different lengths: two of each of ``modalities``, and two without media."""
    tasks = [toy_task(modality, QA).examples("train") for modality in sorted(modalities)]
    with_media = [e for task in tasks for e in (task[0].with_answer("red"), task[1].with_answer("a blue box"))]
    prompts = (("say a word", "yes"), ("say more than one word, please", "yes, and then no"))
    return [*with_media, *(Example(f"text-{answer}", (prompt,), (answer,)) for prompt, answer in prompts)]


def _examples(task: str, modality: str, type: str, split: str) -> Sequence[Example]:
    first = sum(COUNTS[s] for s in list(COUNTS)[: list(COUNTS).index(split)])
    return [_example(task, modality, type, number) for number in range(first, first + COUNTS[split])]


def _example(task: str, modality: str, type: str, number: int) -> Example:
    colour, shape = COLOURS[number % 3], SHAPES[number // 3 % 3]
    prompt = f"describe the {modality}."
    references: tuple[str, ...] = (f"a {colour} {shape}", f"the {shape} is {colour}")
    choices: tuple[str, ...] = ()
    if type != CAPTIONING:
        prompt, references = ("which shape?", (shape,)) if number % 2 else ("which colour?", (colour,))
        choices = (SHAPES if number % 2 else COLOURS) if type == CHOICE else ()
    medium = Media(modality, digest=_digest(modality, number))
    return Example(f"{task}/{number}", (medium, prompt), references, choices, task=task)


def _digest(modality: str, number: int) -> str:
    """Return 64 hex digits: one-hot codes of the colour and the shape, followed by a hash of the number.

    Unlike in a real digest, a linear map can recognise colour and shape from the first bytes.
    """
    label = bytes(255 * (number % 3 == i) for i in range(3)) + bytes(255 * (number // 3 % 3 == i) for i in range(3))
    return (label.ljust(16, b"\x80") + sha256(f"{modality}/{number}".encode()).digest()[:16]).hex()


def toy_media(medium: Media, options: Mapping[str, Any]) -> Any:
    """Return a random medium in its canonical form, equal for equal keys. This is a MediaReader.

    Media of other modalities than image, audio and video are float32 vectors of size ``VECTOR``.
    """
    noise = np.random.default_rng(int.from_bytes(sha256(medium.key.encode()).digest()[:4], "big"))
    if medium.modality == "audio":
        rate = int(options.get("rate", 8000))
        return Sound(noise.uniform(-0.5, 0.5, rate).astype(np.float32), rate)
    if medium.modality not in ("image", "video"):
        return noise.standard_normal(VECTOR, dtype=np.float32)
    shape = (48, 48, 3) if medium.modality == "image" else (int(options.get("frames", 4)), 48, 48, 3)
    return noise.integers(0, 256, shape, dtype=np.uint8)
