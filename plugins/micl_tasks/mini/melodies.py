"""Melodies of one or two phrases, for the tuning tasks. No scene is one of another family."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from micl_tasks.mini.language import AUDIO, Field, Question, asker
from micl_tasks.mini.media import RATE, SECONDS, Floats, partials
from micl_tasks.mini.scenes import Scene, pick

INSTRUMENTS = ("organ", "flute", "harp", "horn")
CONTOURS = ("rising", "falling", "level")
LENGTHS = ("two", "three", "four")
_PARTIALS = {"organ": (1, 2, 4, 8), "flute": (1,), "harp": (1, 2, 3, 4, 5), "horn": (1, 3, 5, 7)}
_STEP = {"rising": 1.22, "falling": 1 / 1.22, "level": 1.0}
_SPAN = 0.85
"""Seconds of a phrase."""


@dataclass(frozen=True)
class Phrase:
    """A few notes on one instrument."""

    length: str
    contour: str
    instrument: str


@dataclass(frozen=True)
class MelodyScene(Scene):
    """One or two phrases on different instruments."""

    melody: tuple[Phrase, ...]

    @property
    def phrases(self) -> tuple[str, ...]:
        return tuple(f"{each.length} {each.contour} {each.instrument}" for each in self.melody)


def melody_scene(rng: Generator) -> MelodyScene:
    """Draw a melody scene, out of 1,008."""
    instruments = rng.permutation(len(INSTRUMENTS))[: rng.integers(1, 3)]
    return MelodyScene(tuple(Phrase(pick(rng, LENGTHS), pick(rng, CONTOURS), INSTRUMENTS[i]) for i in instruments))


def melody_captions(scene: Scene) -> tuple[str, ...]:
    """Return five captions of a melody; each names all phrases in temporal order."""
    assert isinstance(scene, MelodyScene)
    each = [f"{p.length} {p.contour} {p.instrument} notes" for p in scene.melody]
    return (
        ", then ".join(each),
        "there are " + " before ".join(each),
        "you hear " + " followed by ".join(each),
        "the sound starts with " + " and ends with ".join(each),
        "a melody of " + ", after them ".join(each),
    )


def _first(scene: MelodyScene, rng: Generator) -> Question:
    return Question("which instrument plays first?", scene.melody[0].instrument)


def _last(scene: MelodyScene, rng: Generator) -> Question:
    return Question("which instrument plays last?", scene.melody[-1].instrument)


def _count(scene: MelodyScene, rng: Generator) -> Question:
    phrase = pick(rng, scene.melody)
    return Question(f"how many notes does the {phrase.instrument} play?", phrase.length)


def _contour(scene: MelodyScene, rng: Generator) -> Question:
    phrase = pick(rng, scene.melody)
    return Question(f"how does the {phrase.instrument} move?", phrase.contour)


def _alone(scene: MelodyScene, rng: Generator) -> Question:
    return Question("does one instrument play alone?", "yes" if len(scene.melody) == 1 else "no")


MELODY = Field(
    "audio",
    AUDIO.instruction,
    melody_scene,
    melody_captions,
    {
        "first": asker(MelodyScene, _first),
        "last": asker(MelodyScene, _last),
        "count": asker(MelodyScene, _count),
        "contour": asker(MelodyScene, _contour),
        "alone": asker(MelodyScene, _alone),
    },
    (*INSTRUMENTS, *CONTOURS, *LENGTHS, "yes", "no"),
)


def _note(instrument: str, hertz: float, seconds: float) -> Floats:
    """Return the samples of one note, within about [-1, 1]."""
    t: Floats = np.arange(round(seconds * RATE)) / RATE
    decay = np.exp(-t * 9) if instrument == "harp" else np.minimum(1, t / 0.02) * np.minimum(1, (t[-1] - t) / 0.02)
    tremor = 1 + 0.25 * np.sin(2 * np.pi * 6 * t) if instrument == "flute" else 1.0
    wave: Floats = partials(hertz, _PARTIALS[instrument], t) / 1.5 * decay * tremor
    return wave


def render_melody(scene: MelodyScene, rng: Generator) -> NDArray[np.float32]:
    """Render the scene as mono samples at RATE, float32 in [-1, 1]."""
    samples = rng.normal(0, rng.uniform(0.004, 0.02), round(SECONDS * RATE))
    start = rng.uniform(0.02, SECONDS - 0.05 - _SPAN * len(scene.melody) - 0.1 * (len(scene.melody) - 1))
    for phrase in scene.melody:
        count, hertz = 2 + LENGTHS.index(phrase.length), rng.uniform(330, 520)
        loudness, spacing = rng.uniform(0.25, 0.7), _SPAN / count
        for number in range(count):
            wave = _note(phrase.instrument, hertz * _STEP[phrase.contour] ** number, 0.8 * spacing) * loudness
            begin = round((start + number * spacing) * RATE)
            samples[begin : begin + len(wave)] += wave[: len(samples) - begin]
        start += _SPAN + 0.1
    return np.clip(samples, -1, 1).astype(np.float32)


def write_melody(path: Path, scene: MelodyScene, rng: Generator) -> None:
    """Write the scene as a 16-bit WAV file."""
    import soundfile

    file = BytesIO()  # soundfile syncs each file that it writes to the disk itself
    soundfile.write(file, render_melody(scene, rng), RATE, subtype="PCM_16", format="WAV")
    path.write_bytes(file.getvalue())
