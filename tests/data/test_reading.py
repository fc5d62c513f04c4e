"""Preparation of tasks that a reader reads from a data set on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest

from micl_cli.api import Count, Media, Modality, Reader, ReaderTask, Row, Source, SourceRows, rows_of, text_field
from micl_cli.data.prepared import open_task, task_folder
from micl_cli.data.reading import ReadRequest, prepare_published
from micl_cli.data.record import read_record
from micl_cli.errors import ManifestError, PlanError, UsageError

Items = dict[str, list[Any]]
Write = Callable[..., Path]


class Alphabet(Reader):
    """A toy benchmark with one annotation file per split; "upper" prompts are in capitals."""

    benchmark = "abc"
    title = "Alphabet"
    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "letters": ReaderTask(
            modalities=frozenset({"letter"}),
            type="qa",
            scorers={"release": "accuracy", "strict": "vqa_accuracy"},
            prompts=("published", "file"),
            counts={"train": Count(4), "test": Count(9, verified=False)},
            max_new_tokens=16,
            note="Letters are hard.",
        )
    }

    def locate(self, task: str, source: Source) -> Mapping[str, Path]:
        return {split: source.find(f"{split}.json") for split in ("train", "test")}

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        def make(split: str) -> Callable[[str, Any], Row]:
            def row(where: str, item: Any) -> Row:
                text = text_field(item, "q", where)
                prompt = text.upper() if source.prompts == "published" else text
                medium = Media("letter", Path(text_field(item, "file", where)))
                return Row(f"{split}-{text_field(item, 'id', where)}", split, (medium, prompt), ("yes",))

            return row

        return chain(*(rows_of(source.json_items(path), make(split)) for split, path in files.items()))


class Extracting(Alphabet):
    """Writes the media itself, from the annotations."""

    tasks: ClassVar[Mapping[str, ReaderTask]] = {"letters": replace(Alphabet.tasks["letters"], extracts=True)}

    def rows(self, task: str, files: Mapping[str, Path], source: Source) -> SourceRows:
        for name in "abcd":
            (source.folder / f"{name}.txt").write_text(name)
        return super().rows(task, files, source)


class Exam(Alphabet):
    """For evaluation only."""

    tasks: ClassVar[Mapping[str, ReaderTask]] = {"letters": replace(Alphabet.tasks["letters"], evaluation_only=True)}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a data set with four letters: three for training, and one for testing; returns its root."""

    def call(**changed: Any) -> Path:
        root = tmp_path / "data"
        root.mkdir(exist_ok=True)
        for name in "abcd":
            (root / f"{name}.txt").write_text(name)
        items: Items = {"train": [example(name) for name in "abc"], "test": [example("d")], **changed}
        for split, lines in items.items():
            (root / f"{split}.json").write_text(json.dumps(lines, indent=0))
        return root

    return call


def example(name: str, **changed: Any) -> dict[str, Any]:
    return {"id": name, "q": f"is it {name}?", "file": f"{name}.txt", **changed}


Prepare = Callable[..., Any]


@pytest.fixture
def prepare(tmp_path: Path, readers: Mapping[str, Modality]) -> Prepare:
    """Prepare the task of the toy benchmark."""

    def call(root: Path, reader: type[Reader] = Alphabet, on_error: Any = "fail", **options: Any) -> Any:
        request = ReadRequest(root=root, **options)
        return prepare_published(
            reader(), "letters", request, tmp_path / "home", readers.__getitem__, on_error=on_error
        )

    return call


def test_media_stay_where_they_are(write: Write, prepare: Prepare, tmp_path: Path) -> None:
    root = write()
    task = prepare(root).task
    assert (task.name, task.prompts, task.scorer, task.source) == ("abc/letters", "published", "release", "abc")
    first = task.examples("train")[0]
    assert (first.prompt, first.media[0].path) == ("IS IT A?", root / "a.txt")
    assert not list((tmp_path / "home").rglob("*.txt"))


def test_media_that_the_reader_writes_belong_to_the_task(write: Write, prepare: Prepare, tmp_path: Path) -> None:
    task = prepare(write(), Extracting).task
    folder = task_folder("abc/letters", tmp_path / "home")
    assert task.examples("train")[0].media[0].path == folder / "a.txt"
    assert (folder / "a.txt").read_text() == "a"


def test_a_task_for_evaluation_only_needs_no_training_examples(write: Write, prepare: Prepare) -> None:
    with pytest.raises(PlanError, match="has no train examples"):
        prepare(write(train=[]))
    assert prepare(write(train=[]), Exam).task.counts == {"train": 0, "val": 0, "test": 1}
    with pytest.raises(UsageError, match="has no training examples to set aside"):
        prepare(write(train=[]), Exam, val=2)
    with pytest.raises(PlanError, match="has no test examples"):
        prepare(write(train=[], test=[]), Exam)


def test_counts_are_compared_with_the_published_ones(write: Write, prepare: Prepare) -> None:
    assert prepare(write()).notes == (
        "train: 3 of 4 published examples",
        "test: 1 examples; published: 9 (unverified)",
        "published answers have at most 16 tokens: --max-new-tokens 16",
        "Letters are hard.",
    )
    full = [example(name) for name in "abc"] + [example("e", file="a.txt")]
    assert "train" not in "".join(prepare(write(train=full), limit=1).notes)


def test_variants_are_part_of_the_data(write: Write, prepare: Prepare) -> None:
    root = write()
    default, prompts, scorer = (
        prepare(root).task,
        prepare(root, prompts="file").task,
        prepare(root, scorer="strict").task,
    )
    assert len({default.sha256, prompts.sha256, scorer.sha256}) == 3
    assert (prompts.examples("test")[0].prompt, scorer.metric) == ("is it d?", "vqa_accuracy")
    with pytest.raises(UsageError, match="no scorer variant 'strikt'") as caught:
        prepare(root, scorer="strikt")
    assert "Did you mean 'strict'?" in caught.value.hint


def test_a_part_for_validation_is_set_aside_before_the_limit(write: Write, prepare: Prepare) -> None:
    prepared = prepare(write(), val=1, limit=1)
    assert prepared.task.counts == {"train": 1, "val": 1, "test": 1}


def test_a_media_root_is_recorded(write: Write, prepare: Prepare, tmp_path: Path) -> None:
    root = write()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in "abcd":
        (root / f"{name}.txt").rename(elsewhere / f"{name}.txt")
    task = prepare(root, media_root=elsewhere).task
    assert task.examples("test")[0].media[0].path == elsewhere / "d.txt"
    (elsewhere / "d.txt").unlink()
    with pytest.raises(PlanError, match="missing") as caught:
        open_task("abc/letters", tmp_path / "home")
    assert f"micl prepare abc/letters --root {root} --media-root {elsewhere}" in caught.value.hint


def test_a_changed_annotation_is_noticed(write: Write, prepare: Prepare, tmp_path: Path) -> None:
    prepare(root := write())
    (root / "test.json").write_text(json.dumps([example("d", q="what is it?")]))
    with pytest.raises(PlanError, match=r"test.json \(changed\)"):
        open_task("abc/letters", tmp_path / "home")


FAULTS = [
    (example("x", file="x.txt"), "train.json:32: x.txt: the file does not exist"),
    (example("x", file="/etc/passwd"), "train.json:32: the path '/etc/passwd' is absolute"),
    (example("x", file="../x.txt"), "leads out of the folder"),
    (example("x", q=["a"]), "q is not a string"),
    ({"id": "x"}, "the key 'q' is missing"),
    (5, "it is not an object"),
    (example("a"), "id 'train-a' is also that of train.json:2"),
]


@pytest.mark.parametrize("fault, reason", FAULTS)
def test_an_example_that_cannot_be_used_stops_or_is_skipped(
    write: Write, prepare: Prepare, tmp_path: Path, fault: Any, reason: str
) -> None:
    good = [example(name) for name in "abc"] + [example(f"{n}", file="a.txt") for n in range(3)]
    root = write(train=[*good, fault])
    with pytest.raises(ManifestError) as caught:
        prepare(root)
    assert reason in caught.value.message and "1 of 8 examples cannot be used" in caught.value.message
    assert not (tmp_path / "home/tasks/abc/letters").exists()
    prepared = prepare(root, on_error="skip")
    assert (prepared.task.counts["train"], len(prepared.refused)) == (6, 1)


def test_a_link_out_of_the_data_set_is_refused(write: Write, prepare: Prepare, tmp_path: Path) -> None:
    root = write()
    (tmp_path / "secret.txt").write_text("s")
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ManifestError, match="a symbolic link leads out"):
        prepare(root)


def test_a_file_with_another_spelling_is_named(write: Write, prepare: Prepare) -> None:
    root = write()
    (root / "test.json").rename(root / "Test.json")
    with pytest.raises(ManifestError, match=r"has no test\.json") as caught:
        prepare(root)
    assert "Test.json" in caught.value.hint


def test_other_data_is_not_replaced(write: Write, prepare: Prepare) -> None:
    class Other(Alphabet):
        benchmark = "abc"

    prepare(root := write())
    assert prepare(root, Other).task.counts["train"] == 3  # the same reader by name


def test_a_task_is_prepared_again_only_if_something_changed(write: Write, prepare: Prepare, tmp_path: Path) -> None:
    root = write()
    prepare(root)
    record = task_folder("abc/letters", tmp_path / "home") / "prepared.json"
    before = record.stat().st_mtime_ns
    prepare(root)
    assert record.stat().st_mtime_ns == before
    assert read_record(record.parent).source.options == {"prompts": "published", "scorer": "release"}  # type: ignore[union-attr]


class Judged(Alphabet):
    """Has a second task with one scorer, in place of a judge."""

    tasks: ClassVar[Mapping[str, ReaderTask]] = {
        "letters": replace(Alphabet.tasks["letters"], scorers={"rules": "accuracy"}),
        "words": Alphabet.tasks["letters"],
    }


def test_a_task_with_one_variant_keeps_it_among_others(write: Write, prepare: Prepare) -> None:
    prepared = prepare(write(), Judged, scorer="strict")
    assert prepared.task.scorer == "rules"
    assert "scorer is rules, the only variant of this task" in prepared.notes
    with pytest.raises(UsageError, match="no scorer variant 'strikt'"):
        prepare(write(), Judged, scorer="strikt")
