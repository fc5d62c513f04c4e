"""The six tasks of ``open``: captioning and question answering in three modalities, on media from Debian packages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, NamedTuple

from numpy.random import Generator, default_rng

from micl_cli.api import CAPTIONING, QA, FetchProgress, Media, Row, TaskSource
from micl_tasks.open import clips, pictures, sounds
from micl_tasks.open.language import Question
from micl_tasks.open.packages import Package, fetch_package, packages
from micl_tasks.open.soundfont import SoundFont
from micl_tasks.open.sprites import figures, figures_of

SEED = 20262
COUNTS = {"train": 600, "val": 50, "test": 100}
"""Number of examples per split; each has its own medium."""
REFERENCES = 4
"""Number of references of a medium, drawn from its captions."""


class Drawn(NamedTuple):
    """Functions that write a medium, return its captions, and ask questions by type."""

    write: Callable[[Path], None]
    captions: Callable[[], tuple[str, ...]]
    ask: Mapping[str, Callable[[], Question | None]]


class Query(NamedTuple):
    """A prompt, its references, and the type of a question."""

    prompt: str
    references: tuple[str, ...]
    category: str = ""


Draw = Callable[[Generator], Drawn]


class OpenTask(TaskSource):
    """A task of open: media and rows are determined by the packages, a seed and the task's name."""

    benchmark = "open"
    package: ClassVar[str]
    modality: ClassVar[str]
    suffix: ClassVar[str]

    def __init__(self, data: Path | None = None) -> None:
        """``data`` is the folder of the unpacked package."""
        self.data = data

    def fetch(self, folder: Path, tell: FetchProgress) -> TaskSource:
        """Fetch the task's package. Raises PlanError."""
        return type(self)(fetch_package(self._package(), folder / "open", tell))

    def _package(self) -> Package:
        return packages()[self.package]

    @abstractmethod
    def drawer(self, data: Path, split: str) -> Draw:
        """Return a function that draws a medium out of those that belong to ``split``."""

    @abstractmethod
    def query(self, drawn: Drawn, number: int, rng: Generator) -> Query | None:
        """Return the prompt and references of an example, or None if the medium does not suit it."""

    def rows(self, folder: Path) -> Iterator[Row]:
        """Write the media below ``folder``/media and yield a row for each, split by split."""
        assert self.data  # fetch comes first
        (folder / "media").mkdir(parents=True, exist_ok=True)
        rng = default_rng([SEED, int.from_bytes(sha256(self.name.encode()).digest()[:4], "big")])
        for split, count in COUNTS.items():
            draw = self.drawer(self.data, split)
            for number in range(count):
                drawn, query = self._example(draw, number, rng)
                file = f"media/{split}-{number:04d}{self.suffix}"
                drawn.write(folder / file)
                content = (Media(self.modality, Path(file)), query.prompt)
                meta = {"category": query.category} if query.category else {}
                yield Row(f"{split}-{number:04d}", split, content, query.references, meta=meta)

    def _example(self, draw: Draw, number: int, rng: Generator) -> tuple[Drawn, Query]:
        while True:
            drawn = draw(rng)
            if query := self.query(drawn, number, rng):
                return drawn, query


class Captioning(OpenTask):
    """Describe the medium; scored by CIDEr-D with several references."""

    type = CAPTIONING
    metric = "cider"

    def query(self, drawn: Drawn, number: int, rng: Generator) -> Query | None:
        captions = drawn.captions()
        return Query(self.instruction, tuple(captions[i] for i in rng.permutation(len(captions))[:REFERENCES]))


class QuestionAnswering(OpenTask):
    """Answer a question in a word or two, from a closed set; scored by exact match.

    Question types alternate, so that they are equally frequent in every split.
    """

    type = QA
    metric = "accuracy"

    def query(self, drawn: Drawn, number: int, rng: Generator) -> Query | None:
        category = tuple(drawn.ask)[number % len(drawn.ask)]
        question = drawn.ask[category]()
        return Query(question.text, (question.answer,), category) if question else None


class _Image(OpenTask):
    modalities = frozenset({"image"})
    package, modality, suffix = "pictures", "image", ".png"

    @staticmethod
    @abstractmethod
    def picture(emoji: pictures.EmojiSet, rng: Generator) -> pictures.Picture:
        """Draw a picture of some of the emoji."""

    def drawer(self, data: Path, split: str) -> Draw:
        emoji, font = pictures.EmojiSet(split), pictures.EmojiFont(data / pictures.FONT)

        def draw(rng: Generator) -> Drawn:
            picture = self.picture(emoji, rng)
            ask = {name: partial(question, picture, rng) for name, question in pictures.QUESTIONS.items()}
            return Drawn(lambda path: font.write(path, picture), partial(pictures.captions, picture), ask)

        return draw


class _Audio(OpenTask):
    modalities = frozenset({"audio"})
    package, modality, suffix = "instruments", "audio", ".wav"
    two: ClassVar[float]

    def drawer(self, data: Path, split: str) -> Draw:
        font = SoundFont(data / sounds.FONT)
        instruments = sounds.Instruments(split, font)

        def draw(rng: Generator) -> Drawn:
            sound = sounds.draw(instruments, font, self.two, rng)
            ask = {name: partial(question, sound, rng) for name, question in sounds.QUESTIONS.items()}
            return Drawn(lambda path: sounds.write_sound(path, sound, font, rng), partial(sounds.captions, sound), ask)

        return draw


class _Video(OpenTask):
    modalities = frozenset({"video"})
    package, modality, suffix = "animations", "video", ".mp4"
    actions: ClassVar[tuple[str, ...]]

    def drawer(self, data: Path, split: str) -> Draw:
        game = data / clips.GAME
        groups = figures_of(split, figures(game))

        def draw(rng: Generator) -> Drawn:
            clip = clips.draw(groups, self.actions, rng)
            ask = {name: partial(question, clip, rng) for name, question in clips.QUESTIONS.items()}
            return Drawn(lambda path: clips.write_clip(path, clip, game, rng), partial(clips.captions, clip), ask)

        return draw


class ImageCaptioning(Captioning, _Image):
    """Captions of pictures of one or two emoji on a coloured background."""

    name = "img_cap"
    description = "caption pictures of one or two emoji (Noto Color Emoji, SIL Open Font License 1.1)"
    instruction = "Describe the picture."
    picture = staticmethod(pictures.draw_captioned)


class ImageQA(QuestionAnswering, _Image):
    """Questions about kind, place, number and background of one to four emoji."""

    name = "img_qa"
    description = "answer questions about pictures of up to four emoji (Noto Color Emoji, SIL Open Font License 1.1)"
    picture = staticmethod(pictures.draw_questioned)


class AudioCaptioning(Captioning, _Audio):
    """Captions of one or two phrases of recorded instruments."""

    name = "aud_cap"
    description = "caption short phrases of recorded instruments (Fluid R3 sound font, MIT)"
    instruction = "Describe the sound."
    two = 0.4


class AudioQA(QuestionAnswering, _Audio):
    """Questions about family, pattern and number of notes of recorded instruments."""

    name = "aud_qa"
    description = "answer questions about short phrases of recorded instruments (Fluid R3 sound font, MIT)"
    two = 0.25


class VideoCaptioning(Captioning, _Video):
    """Captions of animated people and animals that walk, work or stand."""

    name = "vid_cap"
    description = "caption clips of animated people and animals (Widelands, GPL 2 or later)"
    instruction = "Describe the clip."
    actions = (clips.WALKS, clips.WALKS, clips.WORKS, clips.STANDS)


class VideoQA(QuestionAnswering, _Video):
    """Questions about figure, action, direction and ground."""

    name = "vid_qa"
    description = "answer questions about clips of animated people and animals (Widelands, GPL 2 or later)"
    actions = (clips.WALKS, clips.WORKS, clips.STANDS)
