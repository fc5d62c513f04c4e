"""Small stand-ins for the packages of the benchmark: a .deb, a sound font, and the data of a game."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micl_tasks.open import clips, sounds
from micl_tasks.open.packages import Package

MakeDeb = Callable[..., Path]


def _member(name: str, data: bytes) -> bytes:
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return head + data + b"\n" * (len(data) % 2)


@pytest.fixture
def make_deb(tmp_path: Path) -> MakeDeb:
    """Write a Debian package with the given files, and links by their target."""

    def make(
        files: Mapping[str, bytes], *, links: Mapping[str, str] | None = None, name: str = "fake_1_all.deb"
    ) -> Path:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as members:
            for path, data in files.items():
                info = tarfile.TarInfo(f"./{path}")
                info.size = len(data)
                members.addfile(info, io.BytesIO(data))
            for path, to in (links or {}).items():
                info = tarfile.TarInfo(f"./{path}")
                info.type, info.linkname = tarfile.SYMTYPE, to
                members.addfile(info)
        parts = {
            "debian-binary": b"2.0\n",
            "control.tar.xz": lzma.compress(b"x"),
            "data.tar.xz": lzma.compress(tar.getvalue()),
        }
        package = tmp_path / name
        package.write_bytes(b"!<arch>\n" + b"".join(_member(*part) for part in parts.items()))
        return package

    return make


@pytest.fixture
def pinned() -> Callable[..., Package]:
    """Return the description of a package file."""
    from hashlib import sha256

    def pin(path: Path, take: tuple[str, ...] = ("usr/",), name: str = "fake") -> Package:
        data = path.read_bytes()
        return Package(name, "1:1.0-2", sha256(data).hexdigest(), len(data), "MIT", take)

    return pin


# A sound font with one looped sine per preset

RATE, PERIOD = 22_050, 50


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _sound_font(names: list[str]) -> bytes:
    """Return a SoundFont 2 file: preset i plays its own sine, recorded as key 60 and looped."""
    wave = (np.sin(2 * np.pi * np.arange(4 * PERIOD) / PERIOD) * 30_000).astype("<i2")
    n = len(names)
    heads = [
        struct.pack("<20sIIIIIBbHH", b"s", i * 200, i * 200 + 200, i * 200, i * 200 + 200, RATE, 60, 0, 0, 1)
        for i in range(n)
    ]
    presets = [struct.pack("<20sHHHIII", name.encode(), i % 128, i // 128, i, 0, 0, 0) for i, name in enumerate(names)]
    instruments = [struct.pack("<20sH", b"i", i) for i in range(n)]
    zones = [struct.pack("<HhHhHh", 43, 127 << 8, 54, 1, 53, i) for i in range(n)]
    tables = {
        b"phdr": b"".join(presets) + struct.pack("<20sHHHIII", b"EOP", 0, 0, n, 0, 0, 0),
        b"pbag": b"".join(struct.pack("<HH", i, 0) for i in range(n + 1)),
        b"pgen": b"".join(struct.pack("<Hh", 41, i) for i in range(n)) + struct.pack("<Hh", 0, 0),
        b"inst": b"".join(instruments) + struct.pack("<20sH", b"EOI", n),
        b"ibag": b"".join(struct.pack("<HH", 3 * i, 0) for i in range(n + 1)),
        b"igen": b"".join(zones) + struct.pack("<Hh", 0, 0),
        b"shdr": b"".join(heads) + struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    samples = _chunk(b"LIST", b"sdta" + _chunk(b"smpl", wave.tobytes() * n))
    listed = _chunk(b"LIST", b"pdta" + b"".join(_chunk(name, data) for name, data in tables.items()))
    return _chunk(b"RIFF", b"sfbk" + samples + listed)


@pytest.fixture
def sound_font(tmp_path: Path) -> Callable[[list[str]], Path]:
    """Write a sound font with the given presets."""

    def write(names: list[str]) -> Path:
        path = tmp_path / "data" / sounds.FONT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_sound_font(names))
        return path

    return write


# A game with sprite sheets


def _sheet(path: Path, colour: int) -> None:
    """Write four frames of 8 x 10 pixels in two rows, with a box that moves."""
    sheet = np.zeros((20, 16, 4), np.uint8)
    for frame in range(4):
        y, x = frame // 2 * 10 + 2, frame % 2 * 8 + frame
        sheet[y : y + 6, x : x + 4] = (colour % 256, 40, colour // 256, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)


_SHEET = (
    "{name} = {{ -- {{ a comment }}\n fps = 10,\n frames = 4,\n columns = 2, rows = 2,{more} hotspot = {{ 1, 2 }}\n}},"
)


@pytest.fixture
def game(tmp_path: Path) -> Path:
    """The data folder of a game with six workers a tribe, and six animals."""
    data = tmp_path / "data" / clips.GAME
    tribes = ("amazons", "atlanteans", "barbarians", "empire", "frisians")
    folders = [data / "tribes/workers" / tribe / f"worker{i}" for tribe in tribes for i in range(6)]
    for number, folder in enumerate([*folders, *(data / "world/critters" / f"beast{i}" for i in range(6))]):
        for i, direction in enumerate(("e", "ne", "nw", "w", "sw", "se")):
            _sheet(folder / f"walk_{direction}_1.png", number * 1000 + i)
        _sheet(folder / "idle_1.png", number * 1000 + 6)
        _sheet(folder / "dig.png", number * 1000 + 7)
        sheets = [("walk", " directional = true,"), ("walkload", " directional = true,"), ("idle", ""), ("dig", "")]
        text = "\n".join(_SHEET.format(name=name, more=more) for name, more in sheets)
        (folder / "init.lua").write_text(f"wl.new {{\n spritesheets = {{\n{text}\n}},\n}}\n")
    for terrain in {terrain for terrains in clips.GROUNDS.values() for terrain in terrains}:
        path = data / "world/terrains" / terrain / "idle.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((16, 16, 3), len(terrain) * 9, np.uint8)).save(path)
    return data
