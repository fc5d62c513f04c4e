"""Metrics, modalities and tasks that come with micl keep the contracts that a stranger's must keep."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from micl_cli.testing import MetricContract, ModalityContract, TaskSourceContract
from micl_metrics.accuracy import Accuracy
from micl_metrics.anls import ANLS, ANLSStar
from micl_metrics.bleu import BLEU1, BLEU2, BLEU3
from micl_metrics.bleu4 import BLEU4
from micl_metrics.caption_mean import CaptionMean6
from micl_metrics.cider import CIDEr
from micl_metrics.contains import Contains
from micl_metrics.exact_upper import ExactUpper
from micl_metrics.f1 import F1
from micl_metrics.instruction_following import InstructionFollowing
from micl_metrics.iou50 import IoU50
from micl_metrics.rouge_l import RougeL
from micl_metrics.vqa_accuracy import VQAAccuracy
from micl_metrics.vqa_accuracy_simple import VQAAccuracySimple
from micl_modalities.audio import Audio
from micl_modalities.image import Image as ImageModality
from micl_modalities.video import Video
from micl_tasks.mini.tasks import AudioQA, ImageCaptioning


class TestAccuracy(MetricContract):
    metric = Accuracy


class TestExactUpper(MetricContract):
    metric = ExactUpper


class TestContains(MetricContract):
    metric = Contains


class TestF1(MetricContract):
    metric = F1


class TestVQAAccuracy(MetricContract):
    metric = VQAAccuracy


class TestVQAAccuracySimple(MetricContract):
    metric = VQAAccuracySimple


class TestANLS(MetricContract):
    metric = ANLS


class TestANLSStar(MetricContract):
    metric = ANLSStar


class TestIoU50(MetricContract):
    metric = IoU50
    references = (("[0, 0, 10, 10]",), ("[20, 20, 50, 60]",), ("[100, 0, 140, 40]",))


class TestInstructionFollowing(MetricContract):
    metric = InstructionFollowing
    references = (("three red boxes",), ("on the left",), ("a slow song",))


class TestBleu1(MetricContract):
    metric = BLEU1


class TestBleu2(MetricContract):
    metric = BLEU2


class TestBleu3(MetricContract):
    metric = BLEU3


class TestBleu4(MetricContract):
    metric = BLEU4


class TestCider(MetricContract):
    metric = CIDEr


class TestRougeL(MetricContract):
    metric = RougeL


class TestCaptionMean6(MetricContract):
    metric = CaptionMean6


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


class TestImage(ModalityContract):
    modality = ImageModality

    def write(self, folder: Path) -> Sequence[Path]:
        paths = [folder / name for name in ("colour.png", "grey.jpg", "clear.png")]
        for path, pixels in zip(paths, (noise(20, 30, 3), noise(8, 9), noise(7, 7, 4)), strict=True):
            Image.fromarray(pixels).save(path)
        return paths


class TestAudio(ModalityContract):
    modality = Audio

    def write(self, folder: Path) -> Sequence[Path]:
        sounds = {"mono.wav": (noise(4000) / 255 - 0.5, 8000), "stereo.flac": (noise(9000, 2) / 255 - 0.5, 44100)}
        for name, (samples, rate) in sounds.items():
            soundfile.write(folder / name, samples, rate)
        return [folder / name for name in sounds]


class TestVideo(ModalityContract):
    modality = Video

    def write(self, folder: Path) -> Sequence[Path]:
        path = folder / "clip.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=Fraction(8))
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for frame in noise(10, 24, 32, 3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
        return [path]


@pytest.mark.slow
class TestImageCaptioning(TaskSourceContract):
    source = ImageCaptioning


@pytest.mark.slow
class TestAudioQA(TaskSourceContract):
    source = AudioQA
