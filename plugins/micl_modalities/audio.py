"""Sounds, read by soundfile, or by PyAV if soundfile does not support the format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from micl_cli.api import Modality, OptionError, Sound
from micl_modalities import formats
from micl_modalities.containers import open_container

MAX_SECONDS = 1800.0
"""Longer sounds are refused (115 MB as samples at 16 kHz)."""
MAX_RATE = 10_000_000
"""Sounds with more samples per second are refused: the header of such a file is damaged."""
_BLOCK = 1 << 18
"""Samples decoded at a time, to limit memory when only the beginning of a sound is read."""
_FILTER = 64
"""More samples than the resampling filter is long at low rates."""


class _Block(NamedTuple):
    """A block of decoded sound: float32 mono samples [n], their rate, the file's number of channels."""

    samples: NDArray[np.float32]
    rate: int
    channels: int


class Audio(Modality):
    """A sound as float32 mono in [-1, 1] at ``rate``: channels are averaged, resampling is band-limited.

    At most ``MAX_SECONDS`` long; with ``seconds``, only the beginning is read. Raises OptionError if an option is not
    positive.
    """

    name = "audio"

    def __init__(
        self,
        *,
        rate: Annotated[int, "samples per second"] = 16000,
        seconds: Annotated[float | None, "length to read from the beginning (default: the whole sound)"] = None,
    ) -> None:
        if rate < 1 or (seconds is not None and seconds <= 0):
            raise OptionError("audio: rate and seconds must be positive", "The rate is in samples per second: 16000.")
        self.rate = rate
        self.seconds = seconds

    def read(self, path: Path) -> Sound:
        """Return the sound at ``rate``. Raises MediaError."""
        blocks = list(_resampled(_checked(path, self.seconds), self.rate))
        samples = np.concatenate(blocks) if blocks else _resampled_short(_checked(path, self.seconds), self.rate)
        if self.seconds is not None:
            samples = samples[: max(1, round(self.seconds * self.rate))]
        return Sound(samples.clip(-1.0, 1.0), self.rate)

    def inspect(self, path: Path) -> Mapping[str, Any]:
        """Return {"seconds", "rate", "channels"} of the file. Raises MediaError."""
        count = rate = channels = 0
        for block in _checked(path, None):
            count, rate, channels = count + len(block.samples), block.rate, block.channels
        return {"seconds": round(count / rate, 6), "rate": rate, "channels": channels}


def _checked(path: Path, seconds: float | None) -> Iterator[_Block]:
    """Yield the file's sound block by block, up to ``seconds``. Raises MediaError if it is damaged or too long."""
    formats.check(path, "audio")
    count = 0
    for block in _decoded(path):
        if block.rate > MAX_RATE:
            raise formats.unreadable(path, "audio", f"its rate is {block.rate:,} samples per second")
        if not np.isfinite(block.samples).all():
            raise formats.unreadable(path, "audio", "some samples are not finite numbers")
        count += len(block.samples)
        if count > MAX_SECONDS * block.rate:
            raise formats.unreadable(path, "audio", f"it is longer than {MAX_SECONDS:.0f} seconds")
        yield block
        if seconds is not None and count >= seconds * block.rate:
            break
    if not count:
        raise formats.unreadable(path, "audio", "it holds no samples")


def _decoded(path: Path) -> Iterator[_Block]:
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: the name says .raw, of which nothing is known
        yield from _decode_with_pyav(path)
        return
    with file:
        yield from _decode_with_soundfile(path, file)


def _decode_with_soundfile(path: Path, file: Any) -> Iterator[_Block]:
    count = 0
    try:
        while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
            count += len(block)
            yield _Block(block.mean(axis=1), file.samplerate, file.channels)
    except soundfile.LibsndfileError as error:
        raise formats.unreadable(path, "audio", error) from error
    # FLAC stores its length in the header; for other formats the count is an estimate or derived from the data.
    if file.format == "FLAC" and count < file.frames:
        raise formats.unreadable(path, "audio", f"it is truncated: {count} of {file.frames} samples could be decoded")


def _decode_with_pyav(path: Path) -> Iterator[_Block]:
    with open_container(path, "audio") as container:
        if not container.streams.audio:
            raise formats.unreadable(path, "audio", "it has no sound track")
        planar: AudioResampler | None = None
        for frame in container.decode(container.streams.audio[0]):
            planar = planar or AudioResampler(format="fltp")
            for converted in planar.resample(frame):
                channels = converted.to_ndarray()
                yield _Block(channels.mean(axis=0, dtype=np.float32), converted.sample_rate, len(channels))


def _resampled(blocks: Iterator[_Block], rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks' samples at ``rate``, resampled by FFmpeg's polyphase filter."""
    resampler: AudioResampler | None = None
    for samples, source, _ in blocks:
        if source == rate and resampler is None:
            yield samples
            continue
        resampler = resampler or AudioResampler(format="flt", layout="mono", rate=rate)
        yield from _samples(resampler.resample(_frame(samples, source)))
    if resampler is not None:
        yield from _samples(resampler.resample(None))


def _resampled_short(blocks: Iterator[_Block], rate: int) -> NDArray[np.float32]:
    """Return the samples at ``rate``, at least one, of a sound that is shorter than the resampling filter."""
    short = list(blocks)
    count, source = sum(len(block.samples) for block in short), short[0].rate
    silence = _Block(np.zeros(source // 10 + _FILTER, np.float32), source, 1)
    resampled = np.concatenate(list(_resampled(iter([*short, silence]), rate)))
    return resampled[: max(1, round(count * rate / source))]


def _frame(samples: NDArray[np.float32], rate: int) -> AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
    frame.sample_rate = rate
    return frame


def _samples(frames: list[AudioFrame]) -> Iterator[NDArray[np.float32]]:
    for frame in frames:
        yield frame.to_ndarray()[0]
