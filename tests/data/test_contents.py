"""Tasks whose examples hold several media, none, or choices of their own, from the folder to the opened task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from micl_cli.api import Media, Row, TaskSource
from micl_cli.data.preparation import prepare_folder, prepare_source
from micl_cli.data.prepared import open_task
from micl_cli.errors import ManifestError, MediaError

BOTH = 'modalities = ["letter", "rune"]\ntype = "qa"\nmetric = "accuracy"'
TEXT = 'type = "qa"\nmetric = "accuracy"'
CHOICE = 'modality = "letter"\ntype = "choice"\nmetric = "accuracy"'
SPLITS = ("train", "val", "test")
ABC = {"a.txt": "a", "b.txt": "b", "c.txt": "c"}


def lines(**fields: Any) -> list[dict[str, Any]]:
    """One line a split, alike but for id and split."""
    return [{"id": split, "split": split, "references": ["yes"], **fields} for split in SPLITS]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_several_media_in_one_example(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    content = [{"letter": "media/a.txt"}, "or", {"letter": "media/b.txt"}, {"rune": "media/c.txt"}, "?"]
    folder = write_task(BOTH, lines(content=content), ABC)
    task = prepare_folder(folder, home, readers.__getitem__).task
    assert task == open_task("own/letters", home)
    assert task.modalities == {"letter", "rune"}
    example = task.examples("test")[0]
    assert [part if isinstance(part, str) else (part.modality, part.path) for part in example.content] == [
        ("letter", folder / "media/a.txt"),
        "or",
        ("letter", folder / "media/b.txt"),
        ("rune", folder / "media/c.txt"),
        "?",
    ]
    assert len({medium.digest for medium in example.media}) == 3
    assert (readers["letter"].opened, readers["rune"].opened) == (["a.txt", "b.txt"], ["c.txt"])


def test_a_file_is_inspected_once_for_each_modality(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    media = {"letter": "media/a.txt", "rune": "media/a.txt"}
    folder = write_task(BOTH, lines(**media, prompt="Same?"), ABC)
    prepared = prepare_folder(folder, home, readers.__getitem__)
    record = json.loads((prepared.folder / "prepared.json").read_text())
    assert record["media"]["media/a.txt"]["facts"] == {"letters": 1, "strokes": 3}
    again = prepare_folder(folder, home, readers.__getitem__)
    assert again == prepared
    assert (readers["letter"].opened, readers["rune"].opened) == (["a.txt"], ["a.txt"])


def test_a_new_modality_of_known_files_is_inspected(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    prepare_folder(
        write_task(CHOICE.replace("choice", "qa"), lines(letter="media/a.txt", prompt="?"), ABC),
        home,
        readers.__getitem__,
    )
    toml = CHOICE.replace("choice", "qa").replace("letter", "rune")
    prepare_folder(write_task(toml, lines(rune="media/a.txt", prompt="?")), home, readers.__getitem__)
    assert readers["rune"].opened == ["a.txt"]


def test_an_example_with_one_bad_medium_is_left_out(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    good = lines(letter="media/a.txt", rune="media/b.txt", prompt="?")
    bad = {**good[0], "id": "odd", "letter": "media/d.txt", "rune": "media/c.txt"}
    folder = write_task(BOTH, [*good, bad], {**ABC, "c.txt": "bad", "d.txt": "d"})
    with pytest.raises(MediaError, match=r"1 of 4 media files cannot be used:\n  media/c\.txt: cannot be read"):
        prepare_folder(folder, home, readers.__getitem__)
    prepared = prepare_folder(folder, home, readers.__getitem__, on_error="skip")
    assert [(refused.id, refused.path) for refused in prepared.refused] == [("odd", "media/c.txt")]
    (folder / "media/d.txt").unlink()  # belongs to no accepted example
    assert open_task("own/letters", home).counts == {"train": 1, "val": 1, "test": 1}


def test_text_alone(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    folder = write_task(TEXT, lines(prompt="Is it?"))
    prepared = prepare_folder(folder, home, readers.__getitem__, registered=readers)
    task = open_task("own/letters", home)
    assert task == prepared.task
    assert (task.modalities, task.answers) == (frozenset(), ("yes",))
    assert task.examples("train")[0].content == ("Is it?",)
    assert json.loads((prepared.folder / "prepared.json").read_text())["media"] == {}


def test_registered_modality_that_is_not_declared(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    folder = write_task(TEXT, lines(prompt="Is it?", letter="media/a.txt"), ABC)
    with pytest.raises(ManifestError, match="the medium is under 'letter', and the task declares no modality"):
        prepare_folder(folder, home, readers.__getitem__, registered=readers)
    prepared = prepare_folder(folder, home, readers.__getitem__, registered=("image",))
    assert prepared.task.examples("train")[0].meta == {"letter": "media/a.txt"}


def test_choices_reach_the_examples(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    folder = write_task(CHOICE, lines(letter="media/a.txt", prompt="?", choices=["no", "yes"]), ABC)
    task = prepare_folder(folder, home, readers.__getitem__).task
    assert task.examples("val")[0].choices == ("no", "yes")
    assert (task.type, task.answers) == ("choice", ())


def test_extra_keys_are_reported_and_stored(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    some = lines(letter="media/a.txt", prompt="?", choices=["no", "yes"])
    some = [{**some[0], "source": "web"}, {**some[1], "width": 3, "source": "book"}, {**some[2], "meta": {"page": 4}}]
    folder = write_task(CHOICE, some, ABC)
    prepared = prepare_folder(folder, home, readers.__getitem__)
    assert prepared.notes == ("2 lines have extra keys, stored as metadata: source, width",)
    found = [prepared.task.examples(split)[0].meta for split in SPLITS]
    assert found == [{"source": "web"}, {"width": 3, "source": "book"}, {"page": 4}]
    assert prepare_folder(folder, home, readers.__getitem__).notes == prepared.notes


def test_single_line_and_many_keys_in_a_note(write_task: Callable[..., Path], readers: Any, home: Path) -> None:
    some = lines(prompt="?")
    folder = write_task(TEXT, [{**some[0], **{f"x{n}": n for n in range(10)}}, *some[1:]])
    (note,) = prepare_folder(folder, home, readers.__getitem__).notes
    assert note == "1 line has extra keys, stored as metadata: x0, x1, x2, x3, x4, x5, x6, x7 and 2 more"


@pytest.mark.parametrize(
    "change",
    [
        {"content": [{"rune": "media/b.txt"}, {"letter": "media/a.txt"}, "?"]},
        {"content": [{"letter": "media/a.txt"}, {"letter": "media/b.txt"}, "?"]},
        {"content": ["?", {"letter": "media/a.txt"}, {"rune": "media/b.txt"}]},
        {"content": [{"letter": "media/a.txt"}, {"rune": "media/b.txt"}, "?"], "choices": ["yes", "no"]},
        {"content": [{"letter": "media/a.txt"}, {"rune": "media/b.txt"}, "?"], "meta": {"page": 1}},
    ],
)
def test_sha256_covers_order_modality_choices_and_meta(
    write_task: Callable[..., Path], readers: Any, home: Path, change: dict[str, Any]
) -> None:
    folder = write_task(BOTH, lines(letter="media/a.txt", rune="media/b.txt", prompt="?"), ABC)
    short = prepare_folder(folder, home, readers.__getitem__).task.sha256
    content = [{"letter": "media/a.txt"}, {"rune": "media/b.txt"}, "?"]
    long = prepare_folder(write_task(BOTH, lines(content=content)), home, readers.__getitem__).task.sha256
    assert long == short
    assert prepare_folder(write_task(BOTH, lines(**change)), home, readers.__getitem__).task.sha256 != short


class Pairs(TaskSource):
    """Two letters in each example."""

    benchmark, name, modalities, type, metric = "toy", "pairs", frozenset({"letter", "rune"}), "choice", "accuracy"
    second = "rune"

    def rows(self, folder: Path) -> Iterator[Row]:
        for number, split in enumerate(SPLITS):
            (folder / f"{number}.txt").write_text(str(number))
            media = Media("letter", Path(f"{number}.txt")), Media(self.second, Path(f"{number}.txt"))
            yield Row(split, split, (*media, "Same?"), ("yes",), ("yes", "no"), {"number": number})


def test_source_with_several_modalities(readers: Any, home: Path) -> None:
    task = prepare_source(Pairs(), "toy/pairs", home, readers.__getitem__).task
    example = open_task("toy/pairs", home).examples("val")[0]
    assert [medium.modality for medium in example.media] == ["letter", "rune"]
    assert (example.choices, example.meta, task.modalities) == (
        ("yes", "no"),
        {"number": 1},
        frozenset({"letter", "rune"}),
    )


def test_source_with_an_undeclared_modality(readers: Any, home: Path) -> None:
    class Odd(Pairs):
        second = "smell"

    with pytest.raises(ManifestError, match="toy/pairs: example 1: 'smell' is not a modality of the task"):
        prepare_source(Odd(), "toy/pairs", home, readers.__getitem__)
