from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micl_cli.api import PlanError
from micl_tasks.open.soundfont import SoundFont


def loudest_frequency(wave: Any, rate: int) -> float:
    """Return the frequency (Hz) with the most energy."""
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * rate / len(wave))


def test_a_note_sounds_at_its_pitch_for_as_long_as_it_is_held(sound_font: Any) -> None:
    font = SoundFont(sound_font(["One", "Two"]))
    assert [preset.name for preset in font.presets] == ["One", "Two"]
    for key, octaves in ((60, 1.0), (72, 2.0), (48, 0.5)):
        wave = font.play(font.preset("Two"), key, 1.0, 16_000)
        assert len(wave) == 16_000
        assert loudest_frequency(wave, 16_000) == pytest.approx(441 * octaves, abs=2)  # 22,050 Hz / 50 samples
        assert np.abs(wave[8_000:12_000]).max() == pytest.approx(30_000 / 32_768, rel=0.02)  # the loop goes on


def test_presets_know_their_recordings(sound_font: Any) -> None:
    font = SoundFont(sound_font(["One", "Two"]))
    assert [{zone.sample_index for zone in font.zones(preset)} for preset in font.presets] == [{0}, {1}]
    with pytest.raises(PlanError, match="has no preset 'Three'"):
        font.preset("Three")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0sfbkLIST\0\0\0\0sdta"])
def test_what_is_no_sound_font_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.sf2").write_bytes(content)
    with pytest.raises(PlanError, match="cannot be read as a SoundFont"):
        SoundFont(tmp_path / "x.sf2")


def test_a_sound_font_that_was_cut_off_is_refused(sound_font: Any) -> None:
    path = sound_font(["One", "Two"])
    whole = path.read_bytes()
    for size in range(12, len(whole) - 46, 97):  # the last row of the last table is a terminator
        path.write_bytes(whole[:size])
        with pytest.raises(PlanError):
            SoundFont(path)
