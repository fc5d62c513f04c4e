from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import PlanError, Row, TaskSource
from micl_cli.data.preparation import prepare_source
from micl_modalities.audio import Audio
from micl_modalities.image import Image
from micl_modalities.video import Video
from micl_tasks.open import pictures, sounds, tasks
from micl_tasks.open.packages import fetch_package, packages
from micl_tasks.open.tasks import COUNTS, OpenTask

from .test_pictures import Discs
from .test_sounds import FAMILIES

TASKS = (
    tasks.ImageCaptioning,
    tasks.ImageQA,
    tasks.AudioCaptioning,
    tasks.AudioQA,
    tasks.VideoCaptioning,
    tasks.VideoQA,
)
"""All tasks of open."""
QA = (tasks.ImageQA, tasks.AudioQA, tasks.VideoQA)
READERS: dict[str, Any] = {"image": Image, "audio": Audio, "video": Video}


@pytest.fixture
def data(tmp_path: Path, game: Path, sound_font: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of unpacked packages, small ones."""
    sound_font([name for names in FAMILIES.values() for name in names])
    monkeypatch.setattr(pictures, "EmojiFont", lambda path: Discs())
    return tmp_path / "data"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks have a few examples."""
    monkeypatch.setattr(tasks, "COUNTS", {"train": 8, "val": 4, "test": 4})


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_same_data_gives_the_same_task(task: type[OpenTask], data: Path, few: None, tmp_path: Path) -> None:
    prepared = [
        prepare_source(task(data), f"open/{task.name}", tmp_path / home, lambda name: READERS[name]())
        for home in ("one", "two")
    ]
    assert prepared[0].task.sha256 == prepared[1].task.sha256
    assert prepared[0].task.counts == {"train": 8, "val": 4, "test": 4}
    assert not prepared[0].leaks


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks write no media."""
    monkeypatch.setattr(Discs, "write", lambda *_: None)
    monkeypatch.setattr(sounds, "write_sound", lambda *_: None)
    monkeypatch.setattr(tasks.clips, "write_clip", lambda *_: None)


def best_blind(rows: Iterable[Row]) -> float:
    """Return the test accuracy of each question's most frequent training answer."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    hits = []
    for row in rows:  # training examples come first
        if row.split == "train":
            answers[row.prompt][row.references[0]] += 1
        elif row.split == "test":
            hits.append(answers[row.prompt].most_common(1)[0][0] == row.references[0])
    return sum(hits) / len(hits)


@pytest.mark.parametrize("task", QA, ids=lambda task: task.name)
def test_questions_alone_say_little(
    task: type[OpenTask], data: Path, unwritten: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "COUNTS", {"train": 600, "val": 1, "test": 1200})  # so many that luck does not matter
    assert best_blind(task(data).rows(tmp_path)) < 0.25


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_has_its_counts_and_each_type_of_question_equally_often(
    task: type[OpenTask], data: Path, unwritten: None, tmp_path: Path
) -> None:
    rows = list(task(data).rows(tmp_path))
    assert Counter(row.split for row in rows) == COUNTS
    assert len({row.media[0].path for row in rows}) == len(rows)
    for split in COUNTS:
        types = Counter(row.meta.get("category") for row in rows if row.split == split)
        assert max(types.values()) - min(types.values()) <= 1
    if task.type == "captioning":
        assert {len(row.references) for row in rows} == {4}
        assert max(Counter(row.references[0] for row in rows).values()) < len(rows) / 10


def test_a_task_is_prepared_from_a_folder_of_packages(
    make_deb: Any,
    pinned: Any,
    data: Path,
    few: None,
    micl: Any,
    isolated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    package = pinned(make_deb(files, name="game.deb"), name="game")
    monkeypatch.setattr(tasks, "packages", lambda: {"animations": package, "instruments": package})
    done = micl("prepare", "open/vid_qa", "--json")
    assert (done.code, "MICL_OPEN_PACKAGES=DIR" in done.err) == (4, True)
    monkeypatch.setenv("MICL_OPEN_PACKAGES", str(tmp_path))
    assert micl("prepare", "open/vid_qa,open/aud_cap").code == 0
    assert (isolated / "downloads" / "open" / "game-1.0-2").is_dir()
    monkeypatch.setenv("MICL_OPEN_PACKAGES", str(tmp_path / "gone"))
    assert micl("prepare", "open/vid_cap").code == 0  # the unpacked package is shared


def test_a_task_that_is_not_prepared_says_how(micl: Any) -> None:
    done = micl("learn", "--strategy", "finetune", "--tasks", "open/img_cap", "--dry-run")
    assert done.code == 4
    assert "micl prepare open/img_cap" in done.err


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("apt-get"), reason="needs apt")
def test_the_real_font_shows_every_emoji(tmp_path: Path) -> None:
    try:
        folder = fetch_package(packages()["pictures"], tmp_path, lambda name, done, total: None)
    except PlanError as error:
        pytest.skip(f"the package cannot be fetched: {error.message}")
    font = pictures.EmojiFont(folder / pictures.FONT)
    for split in COUNTS:
        for emoji in pictures.EmojiSet(split).emoji:
            assert len(font._glyph(emoji.character).getcolors(1 << 16) or ()) > 8, emoji


def test_sources_that_need_no_download_fetch_nothing(tmp_path: Path) -> None:
    class Plain(TaskSource):
        def rows(self, folder: Path) -> Iterable[Row]:
            return ()

    plain = Plain()
    assert plain.fetch(tmp_path / "downloads", lambda name, done, total: None) is plain
    assert not (tmp_path / "downloads").exists()
