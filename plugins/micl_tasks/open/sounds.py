"""Short phrases of recorded instruments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from micl_cli.api import read_toml
from micl_tasks.open.language import Question, a, among
from micl_tasks.open.soundfont import SoundFont
from micl_tasks.open.splits import connected, of_split, split_identities

FONT = "usr/share/sounds/sf2/FluidR3_GM.sf2"
RATE = 16_000
_OVERSAMPLING = 3
"""The oversampling of notes before the low-pass filter: recordings exceed the Nyquist frequency of RATE."""
SECONDS = 2.6
VELOCITY = 100
Floats = NDArray[np.float64]

REGISTERS = {"low": (40, 49), "middle": (58, 67), "high": (76, 85)}
"""The first and last key of the lowest note of a phrase, as MIDI numbers."""
PATTERNS = {
    "one long note": "long",
    "a repeated note": "repeated",
    "rising notes": "rising",
    "falling notes": "falling",
    "a chord": "chord",
}
"""The patterns of notes as captions name them, and as answers do."""
NUMBERS = ("one", "two", "three", "four", "five")
PLURAL = frozenset({"brass", "mallets", "strings", "voices", "woodwinds", "drums"})


class Instrument(NamedTuple):
    """A preset of the sound font and the family it belongs to."""

    preset: str
    family: str


class Phrase(NamedTuple):
    """Notes of one instrument, as keys in order, and the pattern they form."""

    instrument: Instrument
    pattern: str
    keys: tuple[int, ...]


class Sound(NamedTuple):
    """One phrase, or two in succession."""

    phrases: tuple[Phrase, ...]


class Instruments:
    """The instruments of a split, by family. Those that share recordings belong to the same split."""

    def __init__(self, split: str, font: SoundFont) -> None:
        families = read_toml(Path(__file__).with_name("instruments.toml"))
        splits = split_identities(_groups(families, font))
        self.families = {family: of_split(splits, split, names) for family, names in families.items()}

    def draw(self, rng: Generator, family: str) -> Instrument:
        """Draw an instrument of a family."""
        return Instrument(among(rng, self.families[family]), family)


def _groups(families: Mapping[str, Sequence[str]], font: SoundFont) -> dict[str, list[frozenset[str]]]:
    """Return the sets of presets that share recordings, by family. A set of several families belongs to the first."""
    recordings = {
        name: {zone.sample_index for zone in font.zones(font.preset(name))}
        for names in families.values()
        for name in names
    }
    groups: dict[str, list[frozenset[str]]] = {family: [] for family in families}
    for together in connected(recordings):
        groups[next(family for family, names in families.items() if together & set(names))].append(together)
    return groups


# Drawing


def _phrase(instruments: Instruments, family: str, font: SoundFont, rng: Generator) -> Phrase:
    """Draw a phrase that the instrument can play."""
    while True:
        instrument, register = instruments.draw(rng, family), among(rng, tuple(REGISTERS))
        pattern = among(rng, tuple(PATTERNS))
        keys = _keys(pattern, int(rng.integers(*REGISTERS[register])), rng)
        zones = font.zones(font.preset(instrument.preset))
        if all(any(zone.plays(key, VELOCITY) for zone in zones) for key in keys):
            return Phrase(instrument, pattern, keys)


def _keys(pattern: str, lowest: int, rng: Generator) -> tuple[int, ...]:
    if pattern == "one long note":
        return (lowest,)
    if pattern == "a repeated note":
        return (lowest,) * int(rng.integers(2, 6))
    if pattern == "a chord":
        return (lowest, lowest + 4, lowest + 7)
    steps = np.cumsum([0, *rng.integers(1, 4, int(rng.integers(1, 5)))])
    keys = [lowest + int(step) for step in steps]
    return tuple(keys if pattern == "rising notes" else reversed(keys))


def draw(instruments: Instruments, font: SoundFont, two: float, rng: Generator) -> Sound:
    """Draw one phrase, or with probability ``two`` a second one of another family."""
    families, count = tuple(instruments.families), 1 + int(rng.random() < two)
    return Sound(tuple(_phrase(instruments, families[i], font, rng) for i in rng.permutation(len(families))[:count]))


# Captions and questions


def _notes(phrase: Phrase) -> str:
    number = NUMBERS[len(phrase.keys) - 1]
    if phrase.pattern == "a repeated note":
        return f"a note played {number} times"
    return f"{number} {phrase.pattern}" if phrase.pattern in ("rising notes", "falling notes") else phrase.pattern


def captions(sound: Sound) -> tuple[str, ...]:
    """Return the captions of a sound; each names the instruments in order, and the notes of each."""
    families = [phrase.instrument.family for phrase in sound.phrases]
    names = [family if family in PLURAL else a(family) for family in families]
    plays = [f"{name} {'play' if family in PLURAL else 'plays'}" for name, family in zip(names, families, strict=True)]
    notes = [_notes(phrase) for phrase in sound.phrases]
    if len(notes) == 1:
        return (
            f"{plays[0]} {notes[0]}",
            f"{notes[0]} on {names[0]}",
            f"you hear {names[0]} with {notes[0]}",
            f"there is {names[0]}, which gives {notes[0]}",
            f"the sound of {names[0]}: {notes[0]}",
            f"{notes[0]} can be heard from {names[0]}",
            f"someone plays {names[0]}, {notes[0]}",
            f"music of {names[0]} with {notes[0]}",
        )
    return (
        f"{plays[0]} {notes[0]}, then {plays[1]} {notes[1]}",
        f"first {names[0]} with {notes[0]}, after that {names[1]} with {notes[1]}",
        f"{notes[0]} on {names[0]} followed by {notes[1]} on {names[1]}",
        f"you hear {names[0]} with {notes[0]} and next {names[1]} with {notes[1]}",
        f"{names[0]} with {notes[0]} before {names[1]} with {notes[1]}",
        f"it begins with {names[0]}, {notes[0]}, and ends with {names[1]}, {notes[1]}",
        f"{plays[0]} {notes[0]} and {notes[1]} come from {names[1]}",
        f"the sound of {names[0]}, {notes[0]}, and later of {names[1]}, {notes[1]}",
    )


def ask_family(sound: Sound, rng: Generator) -> Question:
    """Ask for the family of the instrument, or of one of two instruments."""
    if len(sound.phrases) == 1:
        return Question("What plays?", sound.phrases[0].instrument.family)
    i = int(rng.integers(2))
    return Question(f"What plays {('first', 'last')[i]}?", sound.phrases[i].instrument.family)


def ask_pattern(sound: Sound, rng: Generator) -> Question | None:
    """Ask for the pattern of the notes of a single instrument."""
    if len(sound.phrases) > 1:
        return None
    return Question("Are the notes long, repeated, rising, falling or a chord?", PATTERNS[sound.phrases[0].pattern])


def ask_number(sound: Sound, rng: Generator) -> Question | None:
    """Ask for the number of successive notes."""
    phrase = sound.phrases[0]
    if len(sound.phrases) > 1 or phrase.pattern == "a chord":
        return None
    return Question("How many notes are played?", NUMBERS[len(phrase.keys) - 1])


QUESTIONS = {"family": ask_family, "pattern": ask_pattern, "number": ask_number}


# Rendering


def render(sound: Sound, font: SoundFont, rng: Generator) -> Floats:
    """Return the sound as mono samples at RATE, within [-1, 1]."""
    each = (SECONDS - 0.1) / len(sound.phrases)
    samples = np.zeros(round(SECONDS * RATE))
    for number, phrase in enumerate(sound.phrases):
        played = _render_phrase(phrase, font, each - 0.08)
        start = round((0.05 + number * each + rng.uniform(0, 0.05)) * RATE)
        peak = np.abs(played).max()
        end = min(len(samples), start + len(played))
        samples[start:end] += played[: end - start] / max(peak, 1e-9) * rng.uniform(0.4, 0.9)
    return np.clip(samples, -1, 1)


def _render_phrase(phrase: Phrase, font: SoundFont, seconds: float) -> Floats:
    preset, together = font.preset(phrase.instrument.preset), phrase.pattern == "a chord"
    length = round(seconds * RATE) * _OVERSAMPLING
    wave, step = np.zeros(length), 0 if together else length // len(phrase.keys)
    for number, key in enumerate(phrase.keys):
        note = font.play(preset, key, (step or length) / RATE / _OVERSAMPLING, RATE * _OVERSAMPLING, VELOCITY)
        wave[number * step :][: len(note)] += note[: length - number * step]
    return _decimate(wave)


def _decimate(wave: Floats) -> Floats:
    """Return every third sample after a low-pass filter (a windowed sinc)."""
    taps = np.arange(-48, 49)
    kernel = np.sinc(taps * 0.92 / _OVERSAMPLING) * np.hanning(len(taps) + 2)[1:-1]
    filtered: Floats = np.convolve(wave, kernel / kernel.sum(), "same")[::_OVERSAMPLING]
    return filtered


def write_sound(path: Path, sound: Sound, font: SoundFont, rng: Generator) -> None:
    """Write the sound as a 16-bit WAV file."""
    import soundfile

    file = BytesIO()  # soundfile syncs each file that it writes to the disk itself
    soundfile.write(file, render(sound, font, rng), RATE, subtype="PCM_16", format="WAV")
    path.write_bytes(file.getvalue())
