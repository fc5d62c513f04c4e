"""The tasks of ``mini``: captioning and question answering in three modalities.

The second edition scores captions by their attributes. Its tasks on patterns share modality and forms of prompts with
those on shapes, so a router has to look at the content. ``mini-tuning`` has other tasks, for choosing settings.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from numpy.random import Generator, default_rng

from micl_cli.api import CAPTIONING, QA, Media, Row, TaskSource
from micl_tasks.mini import lamps, language, media, melodies, patterns
from micl_tasks.mini.language import Field
from micl_tasks.mini.scenes import Scene

SEED = 20241
COUNTS = {"train": 800, "val": 100, "test": 200}
"""Number of media per split."""
QUESTIONS = {"train": 2, "val": 1, "test": 1}
"""Number of questions per medium in question answering tasks."""
Query = tuple[str, tuple[str, ...]]
"""A prompt and its references."""


class MiniTask(TaskSource):
    """A task of mini; all files and rows are determined by a seed and the task's name."""

    benchmark = "mini"
    embedded = True
    field: ClassVar[Field]
    suffix: ClassVar[str]

    @abstractmethod
    def draw(self, split: str, rng: Generator) -> tuple[Scene, list[Query]]:
        """Draw a scene of ``split`` with one or more queries about it."""

    @staticmethod
    @abstractmethod
    def write(path: Path, scene: Any, rng: Generator) -> None:
        """Render the scene to a file."""

    def rows(self, folder: Path) -> Iterator[Row]:
        """Write the media below ``folder``/media and yield a row for each, split by split."""
        (folder / "media").mkdir(parents=True, exist_ok=True)
        rng = default_rng([SEED, int.from_bytes(sha256(self.name.encode()).digest()[:4], "big")])
        for split, count in COUNTS.items():
            for number in range(count):
                scene, queries = self.draw(split, rng)
                file = f"media/{split}-{number:04d}{self.suffix}"
                self.write(folder / file, scene, rng)
                medium = Media(self.field.modality, Path(file))
                for letter, (prompt, references) in zip("abc", queries, strict=False):
                    yield Row(f"{split}-{number:04d}{letter}", split, (medium, prompt), references)


class Captioning(MiniTask):
    """Describe the medium; scored by the attributes that the caption names."""

    type = CAPTIONING
    metric = "mini_attributes"

    def draw(self, split: str, rng: Generator) -> tuple[Scene, list[Query]]:
        scene = language.draw(self.field, split, rng)
        return scene, [(self.instruction, language.references(self.field, scene, rng))]


class QuestionAnswering(MiniTask):
    """Answer a question in a word or two, from a closed set; scored by exact match."""

    type = QA
    metric = "accuracy"

    def draw(self, split: str, rng: Generator) -> tuple[Scene, list[Query]]:
        scene, first = language.draw_question(self.field, split, rng)
        questions = [first]
        while len(questions) < QUESTIONS[split]:
            questions.append(language.further_question(self.field, scene, questions, rng))
        return scene, [(question.text, (question.answer,)) for question in questions]


class _Image(MiniTask):
    modalities = frozenset({"image"})
    field = language.IMAGE
    suffix = ".png"
    write = staticmethod(media.write_image)


class _Audio(MiniTask):
    modalities = frozenset({"audio"})
    field = language.AUDIO
    suffix = ".wav"
    write = staticmethod(media.write_sound)


class _Video(MiniTask):
    modalities = frozenset({"video"})
    field = language.VIDEO
    suffix = ".mp4"
    write = staticmethod(media.write_video)


class ImageCaptioning(Captioning, _Image):
    """Captions of 48x48 images with one to three coloured shapes."""

    name = "img_cap"
    description = "caption small generated pictures of coloured shapes"
    instruction = language.IMAGE.instruction


class ImageQA(QuestionAnswering, _Image):
    """Questions about colour, shape, place, number and spatial relations in 48x48 images."""

    name = "img_qa"
    description = "answer questions about small generated pictures of coloured shapes"


class AudioCaptioning(Captioning, _Audio):
    """Captions of sequences of one to three sounds, up to two seconds long."""

    name = "aud_cap"
    description = "caption short generated sequences of sounds"
    instruction = language.AUDIO.instruction


class AudioQA(QuestionAnswering, _Audio):
    """Questions about order, number and pitch of one to three sounds."""

    name = "aud_qa"
    description = "answer questions about short generated sequences of sounds"


class VideoCaptioning(Captioning, _Video):
    """Captions of one-second clips of a moving shape."""

    name = "vid_cap"
    description = "caption short generated clips of moving shapes"
    instruction = language.VIDEO.instruction


class VideoQA(QuestionAnswering, _Video):
    """Questions about the moving and the still shape, direction and speed in one-second clips."""

    name = "vid_qa"
    description = "answer questions about short generated clips of moving shapes"


class _Pattern(MiniTask):
    modalities = frozenset({"image"})
    field = patterns.PATTERN
    suffix = ".png"
    write = staticmethod(patterns.write_pattern)


class PatternCaptioning(Captioning, _Pattern):
    """Captions of 48x48 patterns, with the instruction of the captions of shapes."""

    name = "pat_cap"
    description = "caption small generated pictures of patterns"
    instruction = patterns.PATTERN.instruction


class PatternQA(QuestionAnswering, _Pattern):
    """Questions about figure, colours and width of 48x48 patterns."""

    name = "pat_qa"
    description = "answer questions about small generated pictures of patterns"


class _Melody(MiniTask):
    benchmark = "mini-tuning"
    modalities = frozenset({"audio"})
    field = melodies.MELODY
    suffix = ".wav"
    write = staticmethod(melodies.write_melody)


class MelodyCaptioning(Captioning, _Melody):
    """Captions of one or two short phrases on instruments."""

    name = "mel_cap"
    description = "caption short generated melodies"
    instruction = melodies.MELODY.instruction


class MelodyQA(QuestionAnswering, _Melody):
    """Questions about instrument, contour and number of notes of short phrases."""

    name = "mel_qa"
    description = "answer questions about short generated melodies"


class _Lamp(MiniTask):
    benchmark = "mini-tuning"
    modalities = frozenset({"video"})
    field = lamps.LAMP
    suffix = ".mp4"
    write = staticmethod(lamps.write_lamps)


class LampCaptioning(Captioning, _Lamp):
    """Captions of one-second clips of one or two lamps."""

    name = "lamp_cap"
    description = "caption short generated clips of lamps"
    instruction = lamps.LAMP.instruction


class LampQA(QuestionAnswering, _Lamp):
    """Questions about colour, place and change of one or two lamps."""

    name = "lamp_qa"
    description = "answer questions about short generated clips of lamps"
