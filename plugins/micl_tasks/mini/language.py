"""The language of mini: captions of scenes, and questions about them with short answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from numpy.random import Generator

from micl_tasks.mini.scenes import (
    COLOURS,
    DIRECTIONS,
    NUMBERS,
    PITCHES,
    PLACES,
    SHAPES,
    SPEEDS,
    TIMBRES,
    ImageScene,
    Scene,
    SoundScene,
    Thing,
    VideoScene,
    image_scene,
    pick,
    sound_scene,
    video_scene,
)

REFERENCES = 4


class Question(NamedTuple):
    """A question and its answer."""

    text: str
    answer: str


Asker = Callable[[Scene, Generator], "Question | None"]


class Field(NamedTuple):
    """One modality of mini: functions that draw its scenes, caption them, and ask questions about them.

    ``questions`` holds the question types by name, ``answers`` the closed set of their answers.
    """

    modality: str
    instruction: str
    draw: Callable[[Generator], Scene]
    captions: Callable[[Scene], tuple[str, ...]]
    questions: Mapping[str, Asker]
    answers: tuple[str, ...]


def _join(parts: Sequence[str]) -> str:
    """Return "a", "a and b", or "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _a(thing: Thing) -> str:
    return f"a {thing.colour} {thing.shape}"


def image_captions(scene: Scene) -> tuple[str, ...]:
    """Return five captions of an image; each names every shape, its colour and its place."""
    assert isinstance(scene, ImageScene)
    things = scene.things
    at = [f"{_a(t)} at the {t.place}" for t in things]
    return (
        _join(at),
        "there is " + _join([f"{_a(t)} in the {t.place} corner" for t in things]),
        "the image shows " + _join(at),
        _join([f"at the {t.place} is {_a(t)}" for t in things]),
        _join([f"the {t.place} corner holds {_a(t)}" for t in things]),
    )


def sound_captions(scene: Scene) -> tuple[str, ...]:
    """Return five captions of a sound; each names every event and its pitch, in temporal order."""
    assert isinstance(scene, SoundScene)
    events = [f"a {t.pitch} {t.timbre}" for t in scene.tones]
    return (
        ", then ".join(events),
        "you hear " + " and then ".join(events),
        "there is " + " followed by ".join(events),
        "the sound begins with " + " and goes on with ".join(events),
        "first comes " + ", after that ".join(events),
    )


def video_captions(scene: Scene) -> tuple[str, ...]:
    """Return five captions of a clip; each names the moving shape, its direction and speed, and the still shape."""
    assert isinstance(scene, VideoScene)
    mover, way, speed = _a(scene.mover), scene.direction, scene.speed
    still = _a(scene.still) if scene.still else ""
    return (
        f"{mover} moves {way} {speed}" + (f" while {still} stands still" if still else ""),
        f"{mover} goes {speed} {way}" + (f" beside {still} that stands still" if still else ""),
        f"there is {mover} moving {way} {speed}" + (f" and {still} standing still" if still else ""),
        f"the video shows {mover} that moves {speed} {way}" + (f" and {still} that stays" if still else ""),
        (f"{still} stands still and " if still else "only ") + f"{mover} moves {speed} {way}",
    )


def _only(values: Sequence[str], rng: Generator) -> int | None:
    """Return the index of a random value that occurs exactly once, or None."""
    unique = tuple(i for i, v in enumerate(values) if values.count(v) == 1)
    return pick(rng, unique) if unique else None


S = TypeVar("S", bound=Scene)


def asker(scene_type: type[S], ask: Callable[[S, Generator], Question | None]) -> Asker:
    """Return ``ask`` as a function of any scene, which asks nothing about scenes of another type."""
    return lambda scene, rng: ask(scene, rng) if isinstance(scene, scene_type) else None


def _colour(scene: ImageScene, rng: Generator) -> Question | None:
    i = _only([t.shape for t in scene.things], rng)
    return None if i is None else Question(f"what colour is the {scene.things[i].shape}?", scene.things[i].colour)


def _shape(scene: ImageScene, rng: Generator) -> Question | None:
    i = _only([t.colour for t in scene.things], rng)
    return None if i is None else Question(f"which shape is {scene.things[i].colour}?", scene.things[i].shape)


def _at_place(scene: ImageScene, rng: Generator) -> Question:
    thing = pick(rng, scene.things)
    if rng.random() < 0.5:
        return Question(f"which shape is at the {thing.place}?", thing.shape)
    return Question(f"which colour is at the {thing.place}?", thing.colour)


def _place(scene: ImageScene, rng: Generator) -> Question | None:
    by = "shape" if rng.random() < 0.5 else "colour"
    i = _only([getattr(t, by) for t in scene.things], rng)
    if i is None:
        return None
    thing = scene.things[i]
    name = thing.shape if by == "shape" else f"{thing.colour} shape"
    return Question(f"where is the {name}?", thing.place)


def _image_count(scene: ImageScene, rng: Generator) -> Question:
    return Question("how many shapes are there?", NUMBERS[len(scene.things) - 1])


_RELATIONS = (("left of", 0, 1), ("left of", 2, 3), ("above", 0, 2), ("above", 1, 3))
_OPPOSITE = {"left of": "right of", "above": "below"}


def _relation(scene: ImageScene, rng: Generator) -> Question | None:
    """Ask for the shape next to another one, if the answer is unique."""
    at = {PLACES.index(t.place): t for t in scene.things}
    pairs = [(word, at[a], at[b]) for word, a, b in _RELATIONS if a in at and b in at]
    pairs += [(_OPPOSITE[word], second, first) for word, first, second in pairs]
    shapes = [t.shape for t in scene.things]
    unique = tuple((word, this, other) for word, this, other in pairs if shapes.count(other.shape) == 1)
    if not unique:
        return None
    word, this, other = pick(rng, unique)
    return Question(f"which shape is {word} the {other.shape}?", this.shape)


def _first(scene: SoundScene, rng: Generator) -> Question:
    return Question("which sound comes first?", scene.tones[0].timbre)


def _last(scene: SoundScene, rng: Generator) -> Question:
    return Question("which sound comes last?", scene.tones[-1].timbre)


def _neighbour(scene: SoundScene, rng: Generator) -> Question | None:
    if len(scene.tones) == 1:
        return None
    i = int(rng.integers(len(scene.tones) - 1))
    before, after = scene.tones[i].timbre, scene.tones[i + 1].timbre
    if rng.random() < 0.5:
        return Question(f"which sound comes after the {before}?", after)
    return Question(f"which sound comes before the {after}?", before)


def _sound_count(scene: SoundScene, rng: Generator) -> Question:
    return Question("how many sounds are there?", NUMBERS[len(scene.tones) - 1])


def _pitch(scene: SoundScene, rng: Generator) -> Question:
    tone = pick(rng, scene.tones)
    return Question(f"what pitch is the {tone.timbre}?", tone.pitch)


def _first_pitch(scene: SoundScene, rng: Generator) -> Question:
    if rng.random() < 0.5:
        return Question("what pitch is the first sound?", scene.tones[0].pitch)
    return Question("what pitch is the last sound?", scene.tones[-1].pitch)


def _of_pitch(scene: SoundScene, rng: Generator) -> Question | None:
    i = _only([t.pitch for t in scene.tones], rng)
    return None if i is None else Question(f"which sound is {scene.tones[i].pitch}?", scene.tones[i].timbre)


def _sound_exists(scene: SoundScene, rng: Generator) -> Question:
    heard = tuple(t.timbre for t in scene.tones)
    if rng.random() < 0.5:
        return Question(f"is there a {pick(rng, heard)}?", "yes")
    return Question(f"is there a {pick(rng, tuple(t for t in TIMBRES if t not in heard))}?", "no")


def _direction(scene: VideoScene, rng: Generator) -> Question:
    name = scene.mover.shape if rng.random() < 0.5 else f"{scene.mover.colour} shape"
    return Question(f"which way does the {name} move?", scene.direction)


def _moving_shape(scene: VideoScene, rng: Generator) -> Question:
    return Question("which shape moves?", scene.mover.shape)


def _moving_colour(scene: VideoScene, rng: Generator) -> Question:
    return Question("what colour is the moving shape?", scene.mover.colour)


def _speed(scene: VideoScene, rng: Generator) -> Question:
    return Question(f"how fast does the {scene.mover.shape} move?", scene.speed)


def _still_shape(scene: VideoScene, rng: Generator) -> Question:
    return Question("which shape stands still?", scene.still.shape if scene.still else "none")


def _still_colour(scene: VideoScene, rng: Generator) -> Question | None:
    return Question("what colour is the still shape?", scene.still.colour) if scene.still else None


def _video_count(scene: VideoScene, rng: Generator) -> Question:
    return Question("how many shapes are there?", NUMBERS[1 if scene.still else 0])


def _video_colour(scene: VideoScene, rng: Generator) -> Question:
    thing = pick(rng, tuple(t for t in (scene.mover, scene.still) if t))
    return Question(f"what colour is the {thing.shape}?", thing.colour)


IMAGE = Field(
    "image",
    "describe the image.",
    image_scene,
    image_captions,
    {
        "colour": asker(ImageScene, _colour),
        "shape": asker(ImageScene, _shape),
        "at_place": asker(ImageScene, _at_place),
        "place": asker(ImageScene, _place),
        "count": asker(ImageScene, _image_count),
        "relation": asker(ImageScene, _relation),
    },
    (*COLOURS, *SHAPES, *PLACES, *NUMBERS),
)
AUDIO = Field(
    "audio",
    "describe the sound.",
    sound_scene,
    sound_captions,
    {
        "first": asker(SoundScene, _first),
        "last": asker(SoundScene, _last),
        "neighbour": asker(SoundScene, _neighbour),
        "count": asker(SoundScene, _sound_count),
        "pitch": asker(SoundScene, _pitch),
        "end_pitch": asker(SoundScene, _first_pitch),
        "of_pitch": asker(SoundScene, _of_pitch),
        "exists": asker(SoundScene, _sound_exists),
    },
    (*TIMBRES, *PITCHES, *NUMBERS, "yes", "no"),
)
VIDEO = Field(
    "video",
    "describe the video.",
    video_scene,
    video_captions,
    {
        "direction": asker(VideoScene, _direction),
        "moving_shape": asker(VideoScene, _moving_shape),
        "moving_colour": asker(VideoScene, _moving_colour),
        "speed": asker(VideoScene, _speed),
        "still_shape": asker(VideoScene, _still_shape),
        "still_colour": asker(VideoScene, _still_colour),
        "count": asker(VideoScene, _video_count),
        "colour": asker(VideoScene, _video_colour),
    },
    (*COLOURS, *SHAPES, *DIRECTIONS, *SPEEDS, *NUMBERS[:2], "none"),
)
FIELDS = {field.modality: field for field in (IMAGE, AUDIO, VIDEO)}


def draw(field: Field, split: str, rng: Generator) -> Scene:
    """Draw a scene of ``split``."""
    while (scene := field.draw(rng)).split != split:
        pass
    return scene


def draw_question(field: Field, split: str, rng: Generator) -> tuple[Scene, Question]:
    """Draw a scene of ``split`` and a question about it, of a uniformly drawn type."""
    ask = pick(rng, tuple(field.questions.values()))
    while (question := ask(scene := draw(field, split, rng), rng)) is None:
        pass
    return scene, question


def further_question(field: Field, scene: Scene, asked: Sequence[Question], rng: Generator) -> Question:
    """Draw one more question about a scene, different from those in ``asked``."""
    texts = {question.text for question in asked}
    while True:
        question = pick(rng, tuple(field.questions.values()))(scene, rng)
        if question is not None and question.text not in texts:
            return question


def references(field: Field, scene: Scene, rng: Generator) -> tuple[str, ...]:
    """Return REFERENCES captions of the scene in random order."""
    captions = field.captions(scene)
    return tuple(captions[i] for i in rng.permutation(len(captions))[:REFERENCES])
