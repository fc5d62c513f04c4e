"""SoundFont 2 files: recorded notes of instruments, played at a pitch.

A small player, because Python packages for SoundFonts require PortAudio or FluidSynth on the system. It plays
recordings with their key range, tuning, loop, attenuation and volume envelope; modulators, filters and effects are left
out. Names follow the specification (SoundFont Technical Specification 2.04, sections 5, 7 and 8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micl_cli.api import PlanError

Floats = NDArray[np.float64]

_START, _END, _LOOP_START, _LOOP_END, _START_COARSE = 0, 1, 2, 3, 4
_ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE = 34, 35, 36, 37, 38
_INSTRUMENT, _KEYS, _VELOCITIES, _ATTENUATION, _COARSE, _FINE, _SAMPLE, _MODES, _ROOT = (
    41,
    43,
    44,
    48,
    51,
    52,
    53,
    54,
    58,
)
_ADDED = frozenset({_ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE, _ATTENUATION, _COARSE, _FINE})
"""Generators whose value in a preset is added to that of its instrument."""
_DEFAULTS = {_ATTACK: -12000, _HOLD: -12000, _DECAY: -12000, _RELEASE: -12000}
_ROM = 0x8000

Generators = dict[int, int]
"""The values of a zone by the number of the generator."""


@dataclass(frozen=True)
class Preset:
    """An instrument of the file, by bank and program."""

    name: str
    bank: int
    program: int


@dataclass(frozen=True)
class Sample:
    """A recording: its range in the file's sample data, its loop, rate (Hz) and original key."""

    start: int
    end: int
    loop_start: int
    loop_end: int
    rate: int
    key: int
    correction: int
    rom: bool


@dataclass(frozen=True)
class Zone:
    """A recording with its playback parameters, for a range of keys and velocities of a preset."""

    sample_index: int
    values: Generators

    def plays(self, key: int, velocity: int) -> bool:
        """Return whether the zone sounds for a key and a velocity."""
        return _within(self.values.get(_KEYS), key) and _within(self.values.get(_VELOCITIES), velocity)

    def seconds(self, generator: int) -> float:
        """Return a duration of the volume envelope."""
        return float(2.0 ** (self.values.get(generator, _DEFAULTS[generator]) / 1200))


def _within(limits: int | None, value: int) -> bool:
    return limits is None or (limits & 0xFF) <= value <= (limits >> 8 & 0xFF)


class SoundFont:
    """The presets and recordings of a SoundFont 2 file. Raises PlanError if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zones: dict[Preset, tuple[Zone, ...]] = {}
        try:
            self._chunks = dict(_chunks(path))
            self._tables = {name: _table(path, *self._chunks[name], format) for name, format in _FORMATS.items()}
        except (OSError, KeyError, struct.error, ValueError) as error:
            raise PlanError(
                f"{path} cannot be read as a SoundFont: {error}", "Delete it and fetch it again."
            ) from error

    @cached_property
    def presets(self) -> tuple[Preset, ...]:
        """The presets, in the file's order."""
        rows = self._tables["phdr"][:-1]  # the last is a terminator
        return tuple(Preset(_name(row[0]), row[2], row[1]) for row in rows)

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The recordings, in the file's order."""
        return tuple(_sample(row) for row in self._tables["shdr"][:-1])

    def preset(self, name: str) -> Preset:
        """Return a preset by name. Raises PlanError."""
        found = next((preset for preset in self.presets if preset.name == name), None)
        if found is None:
            raise PlanError(f"{self.path} has no preset {name!r}", "Delete it and fetch it again.")
        return found

    def zones(self, preset: Preset) -> tuple[Zone, ...]:
        """Return the zones of a preset, with the values of preset and instrument combined."""
        if preset not in self._zones:
            bags = self._bags("p", self.presets.index(preset))
            self._zones[preset] = tuple(zone for outer in bags for zone in self._instrument_zones(outer))
        return self._zones[preset]

    def _instrument_zones(self, outer: Generators) -> Iterator[Zone]:
        for inner in self._bags("i", outer[_INSTRUMENT]):
            values = dict(inner)
            for generator, value in outer.items():
                if generator in _ADDED:
                    values[generator] = inner.get(generator, _DEFAULTS.get(generator, 0)) + value
                elif generator in (_KEYS, _VELOCITIES):
                    values[generator] = _overlap(inner.get(generator, 127 << 8), value)
            yield Zone(inner[_SAMPLE], values)

    def _bags(self, level: str, index: int) -> Iterator[Generators]:
        """Yield the values of each zone of a preset ("p") or an instrument ("i"), with those of its global zone."""
        headers, bags = self._tables["phdr" if level == "p" else "inst"], self._tables[f"{level}bag"]
        target, shared = (_INSTRUMENT, 3) if level == "p" else (_SAMPLE, 1)
        common: Generators = {}
        for bag in range(headers[index][shared], headers[index + 1][shared]):
            own = dict(self._tables[f"{level}gen"][bags[bag][0] : bags[bag + 1][0]])
            if target in own:
                yield {**common, **own}
            elif bag == headers[index][shared]:
                common = own

    def play(self, preset: Preset, key: int, seconds: float, rate: int, velocity: int = 100) -> Floats:
        """Return a note held for ``seconds``, as mono samples at ``rate``, at its natural loudness."""
        note = np.zeros(round(seconds * rate))
        for zone in self.zones(preset):
            if zone.plays(key, velocity) and not self.samples[zone.sample_index].rom:
                note += self._voice(zone, key, len(note), rate)
        return note

    def _voice(self, zone: Zone, key: int, length: int, rate: int) -> Floats:
        sample, values = self.samples[zone.sample_index], zone.values
        root = values.get(_ROOT, -1)
        cents = 100 * (key - (root if root >= 0 else sample.key)) + sample.correction
        cents += 100 * values.get(_COARSE, 0) + values.get(_FINE, 0)
        start = sample.start + values.get(_START, 0) + 32768 * values.get(_START_COARSE, 0)
        places = np.arange(length) * (2.0 ** (cents / 1200) * sample.rate / rate)
        looped = values.get(_MODES, 0) & 1
        first = sample.loop_start + values.get(_LOOP_START, 0) - start
        period = sample.loop_end + values.get(_LOOP_END, 0) - start - first
        if looped and period > 0:
            places = np.where(places < first + period, places, first + (places - first) % period)
        recording = self._recording(start, sample.end + values.get(_END, 0))
        wave: Floats = np.interp(places, np.arange(len(recording)), recording, right=0.0)
        # Attenuation is scaled by 0.4, as in the first sound cards and all synthesizers since.
        loudness = 10 ** (-0.4 * values.get(_ATTENUATION, 0) / 200)
        return wave * loudness * _envelope(zone, length, rate)

    def _recording(self, start: int, end: int) -> Floats:
        wave: Floats = self._pcm[start:end].astype(np.float64) / 32768
        return wave

    @cached_property
    def _pcm(self) -> NDArray[np.int16]:
        offset, size = self._chunks["smpl"]
        return np.memmap(self.path, "<i2", "r", offset, (size // 2,))


def _overlap(one: int, other: int) -> int:
    return max(one & 0xFF, other & 0xFF) | min(one >> 8 & 0xFF, other >> 8 & 0xFF) << 8


def _envelope(zone: Zone, length: int, rate: int) -> Floats:
    """Return the volume envelope: attack, hold, decay to the sustain level (linear in dB), and a short end."""
    attack, hold, decay = (zone.seconds(generator) for generator in (_ATTACK, _HOLD, _DECAY))
    time = np.arange(length) / rate
    sustain = max(0.0, zone.values.get(_SUSTAIN, 0) / 10)
    falling = np.clip((time - attack - hold) / decay, 0.0, None) * 100.0
    level = np.clip(time / attack, 0.0, 1.0) * 10 ** (-np.minimum(falling, sustain) / 20)
    ending = np.clip((length - np.arange(length)) / (0.02 * rate), 0.0, 1.0)
    envelope: Floats = level * ending
    return envelope


# The file: RIFF with lists of chunks

_FORMATS = {
    "phdr": "<20sHHHIII",
    "pbag": "<HH",
    "pgen": "<Hh",
    "inst": "<20sH",
    "ibag": "<HH",
    "igen": "<Hh",
    "shdr": "<20sIIIIIBbHH",
}


def _chunks(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name, offset and size of each chunk inside the lists of the file."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or not file.read(4) or file.read(4) != b"sfbk":
            raise ValueError("it is not a SoundFont 2 file")
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"LIST":
                file.seek(4, 1)
                continue
            yield name.decode("ascii", "replace"), (file.tell(), size)
            file.seek(size + size % 2, 1)


def _table(path: Path, offset: int, size: int, row: str) -> list[tuple[Any, ...]]:
    with path.open("rb") as file:
        file.seek(offset)
        return list(struct.iter_unpack(row, file.read(size)))


def _name(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("latin-1").strip()


def _sample(row: tuple[Any, ...]) -> Sample:
    _, start, end, loop_start, loop_end, rate, key, correction, _, kind = row
    return Sample(start, end, loop_start, loop_end, rate, key, correction, bool(kind & _ROM))
