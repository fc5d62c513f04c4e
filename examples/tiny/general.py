"""General texts for the language model of tiny-plain: simple sentences about a village, and exercises with words.

The model sees no scene, caption, instruction or question of mini. Like all other words, it sees those of mini in
sentences about other things and in exercises with words (sorting, repeating, counting).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from numpy.random import Generator
from text import QUESTION_PROMPT, Ask, Sample

STEPS = 1600


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _words("anna tom maria peter lena paul rosa karl emma otto ida hugo nora felix clara max")
TRADES = _words("baker farmer teacher doctor sailor painter singer miller driver gardener tailor nurse")
ANIMALS = _words("dog cat horse cow sheep goat duck hen fox owl mouse bee")
OBJECTS = _words("cup bowl knife chair table lamp book coat shoe key box basket rope bottle hammer clock")
MATERIALS = _words("wooden glass silver paper leather stone clay woollen")
ROOMS = _words("kitchen garden cellar hall school mill barn harbour market station")
FOODS = _words("bread apples milk honey eggs cheese fish rice plums soup")
WEATHERS = _words("sunny rainy windy cloudy foggy snowy")
DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
VERBS = ("sleeps", "sings", "works", "waits", "reads", "dances", "cooks", "swims", "runs", "stands")
NUMBERS = _words("zero one two three four five six seven eight nine ten")
ADJECTIVES = _words("old young small large quiet loud clever tired happy hungry")
OPPOSITES = _words(
    "old-young small-large quiet-loud high-low left-right up-down top-bottom fast-slow first-last fine-coarse "
    "before-after rising-falling black-white open-closed wet-dry early-late near-far full-empty slowly-quickly"
)
_FURTHER = _words(
    "red green blue yellow white purple black brown grey orange pink circle square triangle cross star ring line "
    "corner point side stripes bands dots diamonds waves grid ground frame pattern picture image sound beep buzz "
    "hiss chirp bell knock organ flute harp horn note melody instrument blinks grows shrinks fades glows moves goes "
    "stays still level medium video clip yes no none there is are a an the and or of on in at with while then that "
    "what which where how who colour shape place pitch direction speed number way kind thing part describe say name "
    "show hear see comes begins ends holds plays stands moving standing beside inside over around from to by for"
)
_GROUPS = (PEOPLE, TRADES, ANIMALS, OBJECTS, MATERIALS, ROOMS, FOODS, WEATHERS, DAYS, NUMBERS[1:])
DICTIONARY = tuple(
    dict.fromkeys(
        [
            *(word for group in _GROUPS for word in group),
            *(word for pair in OPPOSITES for word in pair.split("-")),
            *_FURTHER,
        ]
    )
)


def pick(rng: Generator, words: tuple[str, ...]) -> str:
    """Draw one of ``words`` uniformly."""
    return words[int(rng.integers(len(words)))]


def _several(rng: Generator, words: tuple[str, ...], low: int, high: int) -> list[str]:
    return [words[i] for i in rng.permutation(len(words))[: rng.integers(low, high + 1)]]


Fact = tuple[str, list[tuple[str, str]]]
"""A sentence, and questions with answers about it."""


def _home(rng: Generator) -> Fact:
    who, trade, room = pick(rng, PEOPLE), pick(rng, TRADES), pick(rng, ROOMS)
    sentence = f"{who} is a {trade} and works near the {room}"
    return sentence, [(f"what is {who} by trade?", trade), (f"near what does {who} work?", f"the {room}")]


def _purchase(rng: Generator) -> Fact:
    who, food, day = pick(rng, PEOPLE), pick(rng, FOODS), pick(rng, DAYS)
    sentence = f"on {day} {who} buys {food} at the market"
    return sentence, [(f"when does {who} go to the market?", f"on {day}"), (f"what does {who} buy?", food)]


def _animal(rng: Generator) -> Fact:
    mood, animal, verb, room = pick(rng, ADJECTIVES), pick(rng, ANIMALS), pick(rng, VERBS), pick(rng, ROOMS)
    sentence = f"the {mood} {animal} {verb} in the {room}"
    return sentence, [(f"who {verb}?", f"the {animal}"), (f"in what place is the {animal}?", f"the {room}")]


def _object(rng: Generator) -> Fact:
    material, thing, who = pick(rng, MATERIALS), pick(rng, OBJECTS), pick(rng, PEOPLE)
    sentence = f"{who} has a {material} {thing}"
    return sentence, [(f"whose is the {thing}?", who), (f"of what make is the {thing}?", material)]


def _weather(rng: Generator) -> Fact:
    weather, day, who, verb = pick(rng, WEATHERS), pick(rng, DAYS), pick(rng, PEOPLE), pick(rng, VERBS)
    sentence = f"{day} was {weather}, so {who} {verb} at home"
    return sentence, [(f"what was the weather on {day}?", weather), (f"who is at home on {day}?", who)]


FACTS: tuple[Callable[[Generator], Fact], ...] = (_home, _purchase, _animal, _object, _weather)


def reading(rng: Generator) -> Sample:
    """Return a sample of two to four sentences with three questions about them."""
    facts = [FACTS[int(rng.integers(len(FACTS)))](rng) for _ in range(int(rng.integers(2, 5)))]
    questions = [facts[int(rng.integers(len(facts)))][1] for _ in range(3)]
    asks = [Ask(f"\n{q}", a) for own in questions for q, a in [own[int(rng.integers(len(own)))]]]
    return Sample("story: ", ". ".join(sentence for sentence, _ in facts), asks)


def question_writing(rng: Generator) -> Sample:
    """Return a sample that writes a question and its answer about a sentence."""
    sentence, questions = FACTS[int(rng.integers(len(FACTS)))](rng)
    return Sample(QUESTION_PROMPT.format(caption=sentence), "", [Ask("", f"{q} {a}", weight=0.3) for q, a in questions])


def exercise(rng: Generator) -> Sample:
    """Return a sample with a list of words and three exercises on it."""
    words = _several(rng, DICTIONARY, 2, 6)
    tasks = (
        ("repeat the words.", " ".join(words)),
        ("turn the list around.", " ".join(reversed(words))),
        ("sort the words.", " ".join(sorted(words))),
        ("say the word at the start.", words[0]),
        ("say the word at the end.", words[-1]),
        ("count the words.", NUMBERS[len(words)]),
        ("join the words.", ", ".join(words[:-1]) + f" and {words[-1]}"),
        (f"say what follows {words[0]}.", words[1]),
    )
    chosen = rng.permutation(len(tasks))[:3]
    return Sample("words: ", " ".join(words), [Ask(f"\n{tasks[i][0]}", tasks[i][1], weight=0.5) for i in chosen])


def knowledge(rng: Generator) -> Sample:
    """Return a sample that adds, subtracts, or names an opposite or the day after."""
    choice = int(rng.integers(4))
    if choice == 0:
        one, two = pick(rng, OPPOSITES).split("-")
        one, two = (one, two) if rng.random() < 0.5 else (two, one)
        return Sample("", "", [Ask(f"say the opposite of {one}.", two)])
    if choice == 1:
        day = int(rng.integers(7))
        return Sample("", "", [Ask(f"name the day after {DAYS[day]}.", DAYS[(day + 1) % 7])])
    a, b = sorted(int(n) for n in rng.integers(6, size=2))
    if choice == 2:
        return Sample("", "", [Ask(f"add {NUMBERS[a]} and {NUMBERS[b]}.", NUMBERS[a + b])])
    return Sample("", "", [Ask(f"take {NUMBERS[a]} from {NUMBERS[b]}.", NUMBERS[b - a])])


def spelling(rng: Generator) -> Sample:
    """Return a sample that repeats arbitrary characters, so that every byte occurs in the training texts."""
    top = 0x7F if rng.random() < 0.7 else 0x2FFF
    text = "".join(chr(c) for c in rng.integers(0x20, top, int(rng.integers(2, 11))))
    return Sample(f"Repeat: {text}", "", [Ask("", text, weight=0.3)])


def sample(split: str, rng: Generator) -> Sample:
    """Draw a training sample. ``split`` is ignored: no text is taken from a task."""
    choice = rng.random()
    if choice < 0.4:
        return reading(rng)
    if choice < 0.75:
        return exercise(rng)
    if choice < 0.87:
        return question_writing(rng)
    return knowledge(rng) if choice < 0.97 else spelling(rng)


def corpus(rng: Generator, lines: int) -> Iterator[str]:
    """Yield texts for the tokenizer: samples, and each word of the dictionary often enough to become one token."""
    for _ in range(lines):
        one = sample("", rng)
        if not one.head.startswith("Repeat"):
            yield from (f"{one.head}{one.scene}{ask.prompt}\n{ask.answer}" for ask in one.asks)
    for word in DICTIONARY:
        yield from [f"{word}\n {word}"] * (lines // 10)


def held_out_scores(complete: Callable[[list[Sample]], list[str]], count: int, rng: Generator) -> dict[str, float]:
    """Return the shares of right answers to new texts by type of exercise."""
    scores = {}
    for draw in (reading, exercise, knowledge):
        samples = [draw(rng) for _ in range(count)]
        answers = complete(samples)
        scores[draw.__name__] = sum(a == s.asks[0].answer for a, s in zip(answers, samples, strict=True)) / count
    return scores


def instruction_texts(rng: Generator, count: int) -> Iterator[str]:
    """Yield ``count`` texts with their answers, for distillation on text."""
    for number in range(count):
        yield (reading, exercise, question_writing, knowledge)[number % 4](rng).text
