"""Texts for the tiny language model: mini's scenes in words, its tokenizer, and its training samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

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


class Ask(NamedTuple):
    """A prompt after a context, its answer, and the loss weight of each token of the answer."""

    prompt: str
    answer: str
    weight: float = 1.0


@dataclass
class Sample:
    """A context and independent asks about it, none of which attends to another.

    The context is ``head`` and ``scene``. ``bags``, if present, replaces the scene: it holds the words of each slot, a
    substitute for one of a medium's tokens.
    """

    head: str
    scene: str
    asks: list[Ask]
    bags: list[list[str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The context with the first ask as one text, without the end token."""
        return f"{self.head}{self.scene}{self.asks[0].prompt}\n{self.asks[0].answer}"


def slots(scene: Scene, rng: Generator) -> list[list[str]]:
    """Return the scene as 8 to 18 bags of words in its order, some of them empty, each phrase in several.

    A connector's tokens will each express a part of the scene, several words at once and some parts repeatedly: this
    trains the language model to read such tokens before there are any.
    """
    phrases = [phrase.split() for phrase in scene.phrases]
    count = int(rng.integers(8, 19))
    filled = sorted(rng.permutation(count)[: max(len(phrases), round(count * rng.uniform(0.25, 0.9)))])
    owner = sorted([*range(len(phrases)), *rng.integers(len(phrases), size=len(filled) - len(phrases))])
    if not isinstance(scene, scenes.SoundScene) and rng.random() < 0.3:
        owner = list(rng.permutation(owner))
    bags: list[list[str]] = [[] for _ in range(count)]
    for place, which in zip(filled, owner, strict=True):
        bags[place] = [word for word in phrases[which] if rng.random() < 0.85]
    for which, phrase in enumerate(phrases):
        own = [place for place, o in zip(filled, owner, strict=True) if o == which]
        for word in phrase:
            if not any(word in bags[place] for place in own):
                bags[pick(rng, tuple(own))].append(word)
    return bags


def _seen(world: Field, scene: Scene, asks: list[Ask], rng: Generator, soft: bool) -> Sample:
    """Return a sample of a scene, in words or (``soft``) in slots, with its asks."""
    if soft:
        return Sample(f" {world.modality}: ", "", asks, slots(scene, rng))
    return Sample(f" {world.modality}: ", scene.words, asks)


def _question(world: Field, scene: Scene, rng: Generator) -> Question:
    while (question := pick(rng, tuple(world.questions.values()))(scene, rng)) is None:
        pass
    return question


def description(world: Field, split: str, rng: Generator) -> Sample:
    """Return a sample that describes a scene of ``split``."""
    scene = draw(world, split, rng)
    return _seen(world, scene, [_describe(world, scene, rng)], rng, soft=False)


def _describe(world: Field, scene: Scene, rng: Generator) -> Ask:
    return Ask(f"\n{world.instruction}", pick(rng, world.captions(scene)), weight=0.3)


def answer(world: Field, split: str, rng: Generator) -> Sample:
    """Return a sample that answers a question about a scene of ``split``."""
    scene, question = draw_question(world, split, rng)
    return _seen(world, scene, [Ask(f"\n{question.text}", question.answer)], rng, soft=False)


def many_asks(world: Field, split: str, rng: Generator, soft: bool) -> Sample:
    """Return a sample of a scene of ``split`` with two descriptions and six questions."""
    scene = draw(world, split, rng)
    questions = [_question(world, scene, rng) for _ in range(6)]
    asks = [_describe(world, scene, rng) for _ in range(2)] + [Ask(f"\n{q.text}", q.answer) for q in questions]
    return _seen(world, scene, asks, rng, soft)


def question_writing(world: Field, split: str, rng: Generator) -> Sample:
    """Return a sample that writes questions with answers from a caption; it has four targets.

    The first words of the scene determine a question type that is drawn more often than others, so that a greedily
    decoding model still asks questions of many types.
    """
    scene = draw(world, split, rng)
    askers = list(world.questions.values())
    favourite = askers[sum(WORDS.index(word) for word in scene.words.split()[:2]) % len(askers)]
    likely = (favourite(scene, rng) for _ in range(2))
    questions = [question or _question(world, scene, rng) for question in likely]
    questions += [_question(world, scene, rng) for _ in range(2)]
    context = QUESTION_PROMPT.format(caption=pick(rng, world.captions(scene)))
    return Sample(context, "", [Ask("", f"{q.text} {q.answer}", weight=0.3) for q in questions])


def echo(rng: Generator) -> Sample:
    """Return a sample that repeats arbitrary characters, so that every byte occurs in the training texts."""
    top = 0x7F if rng.random() < 0.7 else 0x2FFF
    text = "".join(chr(c) for c in rng.integers(0x20, top, int(rng.integers(2, 11))))
    return Sample(f"Repeat: {text}", "", [Ask("", text, weight=0.3)])


def sample(split: str, rng: Generator, soft: float = 0.5) -> Sample:
    """Draw a training sample: describing and answering, writing questions, or repeating."""
    world = pick(rng, tuple(FIELDS.values()))
    choice = rng.random()
    if choice < 0.77:
        return many_asks(world, split, rng, bool(rng.random() < soft))
    return question_writing(world, split, rng) if choice < 0.97 else echo(rng)


def corpus(rng: Generator, lines: int) -> Iterator[str]:
    """Yield texts about mini's scenes for the tokenizer."""
    for _ in range(lines):
        one = sample("train", rng, soft=0.0)
        if not one.head.startswith("Repeat"):
            yield from (f"{one.head}{one.scene}{ask.prompt}\n{ask.answer}" for ask in one.asks)
    # Each word, alone and after a space, often enough to become one token.
    for word in (*WORDS, *scenes.NUMBERS, "yes", "no", "none"):
        yield from [f"{word}\n {word}"] * (lines // 10)


def learn_tokenizer(corpus: Iterable[str], size: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer with all 256 bytes on the texts of a corpus."""
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
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer
