"""The contract of modalities: the canonical form of media, and errors that name files that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from micl_cli.api.modality import Clip, Modality, Sound
from micl_cli.errors import MediaError


class ModalityContract:
    """Tests of a modality, for subclasses that set ``modality`` and implement ``write``."""

    modality: ClassVar[type[Modality]]
    options: ClassVar[Mapping[str, Any]] = {}

    def write(self, folder: Path) -> Sequence[Path]:
        """Write one or more valid media files into ``folder`` and return their paths."""
        raise NotImplementedError("write media files and return their paths")

    def make(self) -> Modality:
        """Return the modality under test."""
        return self.modality(**self.options)

    def test_reads_the_canonical_form(self, tmp_path: Path) -> None:
        for path in self.write(tmp_path):
            medium = self.make().read(path)
            if self.modality.name in _FORM_CHECKS:
                _FORM_CHECKS[self.modality.name](medium)

    def test_reading_twice_gives_the_same(self, tmp_path: Path) -> None:
        for path in self.write(tmp_path):
            first, second = (self.make().read(path) for _ in range(2))
            assert repr(type(first)) == repr(type(second))
            np.testing.assert_equal(first, second)

    def test_facts_are_json_ready(self, tmp_path: Path) -> None:
        for path in self.write(tmp_path):
            facts = self.make().inspect(path)
            assert facts
            json.dumps(dict(facts), allow_nan=False)

    @pytest.mark.parametrize("content", [b"", b"this is text\n" * 40], ids=["empty", "text"])
    def test_the_error_for_an_invalid_file_names_it(self, tmp_path: Path, content: bytes) -> None:
        path = self.write(tmp_path)[0]
        path.write_bytes(content)
        self._assert_error_names(path)

    def test_the_error_for_a_missing_file_names_it(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)[0]
        path.unlink()
        self._assert_error_names(path)

    def test_the_error_for_a_truncated_header_names_it(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)[0]
        path.write_bytes(path.read_bytes()[:16])
        self._assert_error_names(path)

    def _assert_error_names(self, path: Path) -> None:
        for method in (self.make().read, self.make().inspect):
            with pytest.raises(MediaError) as caught:
                method(path)
            assert path.name in str(caught.value), "the message does not name the file"


def _image(medium: Any) -> None:
    assert medium.dtype == np.uint8
    assert medium.ndim == 3
    assert medium.shape[2] == 3


def _video(medium: Any) -> None:
    assert medium.dtype == np.uint8
    assert medium.ndim == 4
    assert medium.shape[3] == 3
    assert len(medium)
    if isinstance(medium, Clip):
        _clip(medium)


def _clip(clip: Clip) -> None:
    assert clip.times is not None
    assert clip.duration is not None
    assert clip.times.shape == (len(clip),)
    assert np.isfinite(clip.times).all()
    assert (np.diff(clip.times) >= 0).all(), "the times of frames do not ascend"
    assert clip.times[0] >= 0
    assert clip.times[-1] <= clip.duration


def _audio(medium: Any) -> None:
    assert isinstance(medium, Sound)
    assert medium.samples.dtype == np.float32
    assert medium.samples.ndim == 1
    assert len(medium.samples)
    assert np.abs(medium.samples).max() <= 1
    assert medium.rate > 0


_FORM_CHECKS = {"image": _image, "video": _video, "audio": _audio}
