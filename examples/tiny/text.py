"""The language model's world: mini's scenes in words, its tokenizer, and its training samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from numpy.random import Generator
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from micl_tasks.mini import scenes
from micl_tasks.mini.language import FIELDS, Field, Question, draw, draw_question
from micl_tasks.mini.scenes import Scene, pick

PAD, START, END = "<pad>", "<s>", "</s>"
QUESTION_PROMPT = "Write a question and a short answer: {caption}"
WORDS = (
    *(scenes.COLOURS + scenes.SHAPES + scenes.TIMBRES + scenes.PITCHES + scenes.DIRECTIONS + scenes.SPEEDS),
    *("top", "bottom", "still"),
)


@dataclass
class Sample:
    """One training text. ``bags`` holds the words of each slot that stands for a medium's token."""

    head: str
    scene: str
    prompt: str
    answer: str
    bags: list[list[str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The sample as one text, without the end mark."""
        return f"{self.head}{self.scene}{self.prompt}\n{self.answer}"


def slots(scene: Scene, rng: Generator) -> list[list[str]]:
    """The scene as 8 to 18 bags of words in the scene's order, some empty, each phrase in a few.

    A connector's tokens will say a part of the scene each, several words at once and the same
    part more than once: the language model learns to read such tokens before there are any.
    """
    phrases = [phrase.split() for phrase in scene.phrases]
    count = int(rng.integers(8, 19))
    kept = sorted(rng.permutation(count)[: max(len(phrases), round(count * rng.uniform(0.25, 0.9)))])
    owner = sorted([*range(len(phrases)), *rng.integers(len(phrases), size=len(kept) - len(phrases))])
    if rng.random() < 0.3:
        owner = list(rng.permutation(owner)) if "audio" not in _modality(scene) else owner
    bags: list[list[str]] = [[] for _ in range(count)]
    for place, which in zip(kept, owner, strict=True):
        bags[place] = [word for word in phrases[which] if rng.random() < 0.85]
    for which, phrase in enumerate(phrases):
        mine = [place for place, o in zip(kept, owner, strict=True) if o == which]
        for word in phrase:
            if not any(word in bags[place] for place in mine):
                bags[pick(rng, tuple(mine))].append(word)
    return bags


def _modality(scene: Scene) -> str:
    return "audio" if isinstance(scene, scenes.SoundScene) else "sight"


def _seen(modality: str, scene: Scene, question: Question, soft: bool, rng: Generator) -> Sample:
    """A scene, in words or in slots, and what is asked of it."""
    if soft:
        return Sample(f" {modality}: ", "", f"\n{question.text}", question.answer, slots(scene, rng))
    return Sample(f" {modality}: ", scene.words, f"\n{question.text}", question.answer)


def description(world: Field, split: str, rng: Generator, soft: bool = False) -> Sample:
    """Describe a scene of ``split``."""
    scene = draw(world, split, rng)
    return _seen(world.modality, scene, Question(world.instruction, pick(rng, world.tell(scene))), soft, rng)


def answer(world: Field, split: str, rng: Generator, soft: bool = False) -> Sample:
    """Answer a question about a scene of ``split``."""
    scene, question = draw_question(world, split, rng)
    return _seen(world.modality, scene, question, soft, rng)


def question_writing(world: Field, split: str, rng: Generator) -> Sample:
    """Write a question and its answer from a caption.

    Half of the time the caption's first word of content decides which kind of question is
    asked, so that a model that decodes greedily still asks many kinds.
    """
    scene = draw(world, split, rng)
    kinds = list(world.kinds.values())
    favourite = kinds[(WORDS.index(scene.words.split()[0]) + WORDS.index(scene.words.split()[1])) % len(kinds)]
    question = favourite(scene, rng) if rng.random() < 0.5 else None
    while question is None:
        question = pick(rng, tuple(kinds))(scene, rng)
    caption = pick(rng, world.tell(scene))
    return Sample("", "", QUESTION_PROMPT.format(caption=caption), f"{question.text} {question.answer}")


def echo(rng: Generator) -> Sample:
    """Repeat arbitrary characters, so that every byte has been read and written."""
    top = 0x7F if rng.random() < 0.7 else 0x2FFF
    text = "".join(chr(c) for c in rng.integers(0x20, top, int(rng.integers(2, 11))))
    return Sample("", "", f"Repeat: {text}", text)


def sample(split: str, rng: Generator, soft: float = 0.5) -> Sample:
    """One training sample: describe, answer, write a question, or repeat."""
    world = pick(rng, tuple(FIELDS.values()))
    choice, as_slots = rng.random(), bool(rng.random() < soft)
    if choice < 0.3:
        return description(world, split, rng, as_slots)
    if choice < 0.75:
        return answer(world, split, rng, as_slots)
    return question_writing(world, split, rng) if choice < 0.95 else echo(rng)


def _corpus(rng: Generator, lines: int) -> Iterator[str]:
    for _ in range(lines):
        one = sample("train", rng, soft=0.0)
        if not one.prompt.startswith("Repeat"):
            yield one.text
    # Each word, alone and after a space, often enough to become one token.
    for word in (*WORDS, *scenes.NUMBERS, "yes", "no", "none"):
        yield from [f"{word}\n {word}"] * (lines // 10)


def learn_tokenizer(rng: Generator, size: int) -> Tokenizer:
    """Byte-level BPE with all 256 bytes, merged on mini's language."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(rng, 4000), trainer)
    return tokenizer
