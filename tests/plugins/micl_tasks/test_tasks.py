from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from micl_cli.api import Row
from micl_cli.data.preparation import prepare_source
from micl_modalities.audio import Audio
from micl_modalities.image import Image
from micl_tasks.mini import media, tasks
from micl_tasks.mini.scenes import Scene
from micl_tasks.mini.tasks import COUNTS, QUESTIONS, MiniTask

TASKS = (
    tasks.ImageCaptioning,
    tasks.ImageQA,
    tasks.AudioCaptioning,
    tasks.AudioQA,
    tasks.VideoCaptioning,
    tasks.VideoQA,
    tasks.PatternCaptioning,
    tasks.PatternQA,
    tasks.MelodyCaptioning,
    tasks.MelodyQA,
    tasks.LampCaptioning,
    tasks.LampQA,
)
QA = tuple(task for task in TASKS if task.type == "qa")


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Let tasks write no files; gives the scenes of each file's split, by modality."""
    scenes: dict[str, list[str]] = defaultdict(list)

    def note(path: Path, scene: Scene, rng: object) -> None:
        scenes[path.name.split("-")[0]].append(scene.words)

    for task in TASKS:
        monkeypatch.setattr(task, "write", staticmethod(note))
    return scenes


def medium(folder: Path, row: Row) -> Path:
    """The file of a row's only medium."""
    (found,) = row.media
    assert found.path
    return folder / found.path


def best_blind(rows: list[Row]) -> float:
    """The test accuracy of the best predictor that sees the prompt alone."""
    by_prompt: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for row in rows:
        if row.split == "train":
            by_prompt[row.prompt][row.references[0]] += 1
            overall[row.references[0]] += 1
    test = [row for row in rows if row.split == "test"]
    guesses = [(by_prompt.get(row.prompt) or overall).most_common(1)[0][0] for row in test]
    return sum(guess == row.references[0] for guess, row in zip(guesses, test, strict=True)) / len(test)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_no_test_or_val_scene_occurs_in_train(
    task: type[MiniTask], tmp_path: Path, unwritten: dict[str, list[str]]
) -> None:
    asked = QUESTIONS if task.type == "qa" else dict.fromkeys(COUNTS, 1)
    assert Counter(row.split for row in task().rows(tmp_path)) == {s: COUNTS[s] * asked[s] for s in COUNTS}
    assert {split: len(words) for split, words in unwritten.items()} == COUNTS
    train, val, test = (set(unwritten[split]) for split in ("train", "val", "test"))
    assert not train & val and not train & test and not val & test


@pytest.mark.parametrize("pair", [TASKS[i : i + 2] for i in range(0, len(TASKS), 2)], ids=lambda pair: pair[0].name)
def test_nor_in_the_other_task_of_the_modality(
    pair: tuple[type[MiniTask], ...], tmp_path: Path, unwritten: dict[str, list[str]]
) -> None:
    for task in pair:
        list(task().rows(tmp_path))
    assert not set(unwritten["train"]) & (set(unwritten["test"]) | set(unwritten["val"]))


@pytest.mark.parametrize("task", QA, ids=lambda task: task.name)
def test_a_blind_model_stays_far_below_a_seeing_one(
    task: type[MiniTask], tmp_path: Path, unwritten: dict[str, list[str]]
) -> None:
    assert best_blind(list(task().rows(tmp_path))) < 0.45


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_rows_are_the_same_each_time(task: type[MiniTask], tmp_path: Path, unwritten: dict[str, list[str]]) -> None:
    assert list(task().rows(tmp_path)) == list(task().rows(tmp_path / "again"))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_files_are_the_same_each_time(task: type[MiniTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "COUNTS", {"train": 4, "val": 2, "test": 2})
    first, second = (list(task().rows(tmp_path / name)) for name in ("a", "b"))
    assert first == second
    for row in first:
        assert medium(tmp_path / "a", row).read_bytes() == medium(tmp_path / "b", row).read_bytes()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_says_what_it_is(task: type[MiniTask]) -> None:
    assert task.embedded
    assert task.benchmark == ("mini-tuning" if task.name.startswith(("mel", "lamp")) else "mini")
    assert task.modalities == {task.field.modality}
    assert (task.type, task.metric) in {("captioning", "mini_attributes"), ("qa", "accuracy")}
    assert bool(task.instruction) == (task.type == "captioning")


def test_patterns_share_modality_and_instruction_with_shapes() -> None:
    for pattern, shape in ((tasks.PatternCaptioning, tasks.ImageCaptioning), (tasks.PatternQA, tasks.ImageQA)):
        assert (pattern.modalities, pattern.instruction) == (shape.modalities, shape.instruction)


def test_tuning_tasks_share_no_scene_with_the_others(tmp_path: Path, unwritten: dict[str, list[str]]) -> None:
    scenes: dict[str, set[str]] = {}
    for benchmark in ("mini", "mini-tuning"):
        unwritten.clear()
        for task in TASKS:
            if task.benchmark == benchmark:
                list(task().rows(tmp_path))
        scenes[benchmark] = {words for split in unwritten.values() for words in split}
    assert not scenes["mini"] & scenes["mini-tuning"]


def test_captioning_rows_share_the_instruction_and_have_several_references(
    tmp_path: Path, unwritten: dict[str, list[str]]
) -> None:
    rows = list(tasks.ImageCaptioning().rows(tmp_path))
    assert {row.prompt for row in rows} == {"describe the image."}
    assert {len(row.references) for row in rows} == {4}


def test_sounds_are_between_one_and_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import soundfile

    monkeypatch.setattr(tasks, "COUNTS", {"train": 20, "val": 0, "test": 0})
    for row in tasks.AudioQA().rows(tmp_path):
        assert 0.99 <= soundfile.info(medium(tmp_path, row)).duration <= media.SECONDS


@pytest.mark.parametrize("task", QA, ids=lambda task: task.name)
def test_questions_about_one_medium_differ(
    task: type[MiniTask], tmp_path: Path, unwritten: dict[str, list[str]]
) -> None:
    rows = list(task().rows(tmp_path))
    assert len({row.content for row in rows}) == len(rows)
    assert len({row.id for row in rows}) == len(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "sha256"),
    [
        (tasks.ImageCaptioning, "e01eb29071fa4cd7ab5e1599b57a29cd1fe330e06c13aee96841b0bfdf123088"),
        (tasks.AudioQA, "83b3bc7e98ba00bc8590f247fd79808ef64b436ceca2e9b02ffce208e681d7d3"),
    ],
    ids=["img_cap", "aud_qa"],
)
def test_data_is_the_same_in_each_version(task: type[MiniTask], sha256: str, tmp_path: Path) -> None:
    """Files depend on the encoders that are installed; these values hold for the pinned versions."""
    readers = {"image": Image, "audio": Audio}
    prepared = prepare_source(task(), f"mini/{task.name}", tmp_path, lambda name: readers[name]())
    assert prepared.task.sha256 == sha256
