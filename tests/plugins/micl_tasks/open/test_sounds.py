from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.random import default_rng

from micl_cli.api import read_toml
from micl_tasks.open import sounds
from micl_tasks.open.soundfont import SoundFont
from micl_tasks.open.sounds import NUMBERS, PATTERNS, QUESTIONS, RATE, SECONDS, Instruments

FAMILIES = read_toml(Path(sounds.__file__).with_name("instruments.toml"))


@pytest.fixture
def font(sound_font: Any) -> SoundFont:
    """A sound font with every preset that the tasks use."""
    return SoundFont(sound_font([name for names in FAMILIES.values() for name in names]))


def test_no_instrument_is_listed_twice() -> None:
    names = [name for names in FAMILIES.values() for name in names]
    assert len(names) == len(set(names))


def test_instruments_belong_to_one_split_and_families_to_all(font: SoundFont) -> None:
    sets = {split: Instruments(split, font).families for split in ("train", "val", "test")}
    for family, names in FAMILIES.items():
        held = [name for families in sets.values() for name in families[family]]
        assert sorted(held) == sorted(names)
        assert all(families[family] for families in sets.values())


def test_presets_that_share_a_recording_share_their_split(font: SoundFont, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = SoundFont.zones
    violin = zones(font, font.preset("Violin"))
    monkeypatch.setattr(SoundFont, "zones", lambda self, p: violin if p.name == "Synth Bass 1" else zones(self, p))
    for split in ("train", "val", "test"):
        families = Instruments(split, font).families
        assert ("Violin" in families["strings"]) == ("Synth Bass 1" in families["bass"])


def test_captions_and_answers_agree_with_the_notes(font: SoundFont) -> None:
    rng, instruments = default_rng(1), Instruments("train", font)
    for _ in range(300):
        sound = sounds.draw(instruments, font, 0.4, rng)
        captions = sounds.captions(sound)
        assert len(set(captions)) == 8
        for caption in captions:
            assert all(p.instrument.family in caption and sounds._notes(p) in caption for p in sound.phrases)
            places = [caption.index(phrase.instrument.family) for phrase in sound.phrases]
            assert places == sorted(places)
        family, pattern, number = (ask(sound, rng) for ask in QUESTIONS.values())
        assert family.answer in {phrase.instrument.family for phrase in sound.phrases}
        first = sound.phrases[0]
        rises = {np.sign(b - a) for a, b in zip(first.keys, first.keys[1:], strict=False)}
        if pattern:
            assert pattern.answer == PATTERNS[first.pattern]
            wanted = {"rising": {1}, "falling": {-1}, "repeated": {0}, "long": set(), "chord": {1}}
            assert rises == wanted[pattern.answer]
        if number:
            assert number.answer == NUMBERS[len(first.keys) - 1]
        if len(sound.phrases) == 2:
            assert (pattern, number) == (None, None)
            place = ("first", "last").index(family.text.removeprefix("What plays ").rstrip("?"))
            assert sound.phrases[place].instrument.family == family.answer


def test_a_sound_has_its_length_and_a_drawn_level(font: SoundFont, tmp_path: Path) -> None:
    rng, instruments = default_rng(2), Instruments("test", font)
    for _ in range(5):
        sounds.write_sound(tmp_path / "s.wav", sounds.draw(instruments, font, 0.5, rng), font, rng)
        wave, rate = soundfile.read(tmp_path / "s.wav")
        assert (rate, len(wave), wave.ndim) == (RATE, round(SECONDS * RATE), 1)
        assert 0.3 < np.abs(wave).max() <= 1.0


def test_frequencies_above_the_new_rate_are_filtered() -> None:
    time = np.arange(3 * RATE) / (3 * RATE)
    high, low = (np.sin(2 * np.pi * hertz * time) for hertz in (14_000, 1_000))
    assert np.abs(sounds._decimate(high)[500:-500]).max() < 0.02
    assert np.abs(sounds._decimate(low)[500:-500]).max() == pytest.approx(1.0, abs=0.02)
