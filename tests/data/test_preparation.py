"""From a folder or a task source to a task whose data is pinned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import soundfile

from micl_cli.api import Media, Modality, Row, TaskSource
from micl_cli.data import preparation
from micl_cli.data.preparation import is_prepared, open_task, prepare_folder, prepare_source, prepared_tasks
from micl_cli.errors import ManifestError, MediaError, MiclError, PlanError
from micl_modalities.audio import Audio
from micl_modalities.image import Image
from micl_modalities.video import Video

SPLITS = ("train", "train", "val", "test")


class Letters(Modality):
    """A toy modality: a file holds one letter."""

    name = "letter"

    def __init__(self) -> None:
        self.opened: list[str] = []

    def read(self, path: Path) -> str:
        return path.read_text()

    def inspect(self, path: Path) -> Mapping[str, Any]:
        self.opened.append(path.name)
        if (text := self.read(path)) == "bad":
            raise MediaError(f"{path}: cannot be read as a letter: it has three")
        return {"letters": len(text)}


def letter_at(path: str) -> Media:
    return Media("letter", Path(path))


class Alphabet(TaskSource):
    """A toy source with four examples."""

    benchmark = "toy"
    name = "alphabet"
    modalities = frozenset({"letter"})
    type = "qa"
    metric = "accuracy"
    description = "Name the letter."
    embedded = True

    def __init__(self, letters: str = "abca") -> None:
        self.letters = letters

    def rows(self, folder: Path) -> Iterator[Row]:
        (folder / "media").mkdir()
        for number, (split, letter) in enumerate(zip(SPLITS, self.letters, strict=True)):
            (folder / f"media/{number}.txt").write_text(letter)
            yield Row(f"{split}-{number}", split, (letter_at(f"media/{number}.txt"), "Which letter?"), (letter,))


class Failing(Alphabet):
    """Breaks off after the first example."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def rows(self, folder: Path) -> Iterator[Row]:
        yield next(super().rows(folder))
        raise self.error


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with four letters."""
    return write_folder(tmp_path / "letters", ["a", "b", "c", "d"])


def write_folder(path: Path, media: Iterable[str | bytes], name: str = "{}.txt", **told: str) -> Path:
    told = {"name": "letters", "modality": "letter", "type": "captioning", "metric": "cider"} | told
    (path / "media").mkdir(parents=True)
    (path / "task.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in told.items()))
    lines = []
    for number, (split, content) in enumerate(zip(SPLITS, media, strict=True)):
        medium = path / "media" / name.format(number)
        medium.write_bytes(content if isinstance(content, bytes) else content.encode())
        prompt = "Name it." if number != 1 else "What is it?"
        entry = {"id": f"{number}", "split": split, told["modality"]: f"media/{medium.name}"}
        lines.append(json.dumps({**entry, "prompt": prompt, "references": [f"letter {number}"]}))
    (path / "manifest.jsonl").write_text("\n".join(lines))
    return path


def snapshot(path: Path) -> dict[str, tuple[int, bytes]]:
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(file.relative_to(path)): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def letters(_: str) -> Modality:
    return Letters()


def real(name: str) -> Modality:
    parts: dict[str, type[Modality]] = {"image": Image, "audio": Audio, "video": Video}
    return parts[name]()


# A user's folder


def test_folder_becomes_a_task(folder: Path, home: Path) -> None:
    before = snapshot(folder)
    prepared = prepare_folder(folder, home, letters)
    task = open_task("own/letters", home)
    assert task == prepared.task
    assert (task.modalities, task.type, task.metric) == (frozenset({"letter"}), "captioning", "cider")
    assert task.counts == {"train": 2, "val": 1, "test": 1}
    assert (prepared.folder, prepared.root, prepared.refused) == (home / "tasks/own/letters", folder, ())
    assert prepared_tasks(home) == ["own/letters"]
    assert snapshot(folder) == before
    example = task.examples("val")[0]
    assert (example.id, example.task, example.target) == ("2", "own/letters", "letter 2")
    digest = "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"
    assert example.content == (Media("letter", folder / "media/2.txt", digest), "Name it.")
    assert task.examples("val") is task.examples("val")


def test_instruction_is_the_shared_prompt_of_a_captioning_task(tmp_path: Path, home: Path) -> None:
    plain = write_folder(tmp_path / "plain", "abcd")
    assert prepare_folder(plain, home, letters).task.instruction == "Name it."
    stated = write_folder(tmp_path / "stated", "abcd", instruction="Say the letter.", benchmark="other")
    assert prepare_folder(stated, home, letters).task.instruction == "Say the letter."


def test_answers_of_a_closed_qa_task(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_folder(tmp_path / "qa", "abcd", type="qa")
    task = prepare_folder(path, home, letters).task
    assert task.answers == ("letter 0", "letter 1", "letter 2", "letter 3")
    assert task.instruction == ""
    monkeypatch.setattr(preparation, "MAX_ANSWERS", 3)
    assert prepare_folder(path, tmp_path / "other", letters).task.answers == ()


def test_sha256_is_the_same_wherever_and_whenever_the_data_is(folder: Path, home: Path, tmp_path: Path) -> None:
    sha256 = prepare_folder(folder, home, letters).task.sha256
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    (copy / "task.toml").write_text((copy / "task.toml").read_text() + 'description = "Letters."\n')
    assert prepare_folder(copy, tmp_path / "home2", letters).task.sha256 == sha256


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("media/0.txt", "a", "x"),
        ("manifest.jsonl", "letter 3", "letter three"),
        ("manifest.jsonl", "Name it.", "Name this."),
        ("task.toml", "cider", "rouge_l"),
    ],
)
def test_sha256_covers_media_rows_and_metric(folder: Path, tmp_path: Path, file: str, old: str, new: str) -> None:
    before = prepare_folder(folder, tmp_path / "home1", letters).task.sha256
    (folder / file).write_text((folder / file).read_text().replace(old, new))
    assert prepare_folder(folder, tmp_path / "home2", letters).task.sha256 != before


def test_untouched_media_are_not_opened_again(folder: Path, home: Path) -> None:
    first, second, third = Letters(), Letters(), Letters()
    sha256 = prepare_folder(folder, home, lambda _: first).task.sha256
    assert prepare_folder(folder, home, lambda _: second).task.sha256 == sha256
    (folder / "media/3.txt").write_text("xyz")
    assert prepare_folder(folder, home, lambda _: third).task.sha256 != sha256
    assert (len(first.opened), second.opened, third.opened) == (4, [], ["3.txt"])


def test_medium_shared_by_examples_is_opened_once(folder: Path, home: Path) -> None:
    lines = (folder / "manifest.jsonl").read_text()
    (folder / "manifest.jsonl").write_text(lines.replace("1.txt", "0.txt"))
    reader = Letters()
    prepare_folder(folder, home, lambda _: reader)
    assert reader.opened == ["0.txt", "2.txt", "3.txt"]


def test_new_description_is_taken_in(folder: Path, home: Path) -> None:
    prepare_folder(folder, home, letters)
    (folder / "task.toml").write_text((folder / "task.toml").read_text() + 'description = "Letters."\n')
    assert open_task("own/letters", home).description == ""
    assert prepare_folder(folder, home, letters).task.description == "Letters."


def test_task_without_validation_examples(folder: Path, home: Path) -> None:
    (folder / "manifest.jsonl").write_text((folder / "manifest.jsonl").read_text().replace('"val"', '"train"'))
    assert prepare_folder(folder, home, letters).task.counts == {"train": 3, "val": 0, "test": 1}


@pytest.mark.parametrize(("split", "other"), [("train", "val"), ("test", "val")])
def test_task_without_train_or_test_examples(folder: Path, home: Path, split: str, other: str) -> None:
    lines = (folder / "manifest.jsonl").read_text().replace(f'"{split}"', f'"{other}"')
    (folder / "manifest.jsonl").write_text(lines)
    with pytest.raises(PlanError, match=f"own/letters has no {split} examples"):
        prepare_folder(folder, home, letters)
    assert not home.exists()


def test_progress_is_told(folder: Path, home: Path) -> None:
    told: list[tuple[int, int | None]] = []
    prepare_folder(folder, home, letters, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_name_taken_by_another_folder(folder: Path, home: Path, tmp_path: Path) -> None:
    prepare_folder(folder, home, letters)
    other = write_folder(tmp_path / "other", "wxyz")
    with pytest.raises(PlanError, match=f"own/letters is already prepared from {folder}\nChoose another name"):
        prepare_folder(other, home, letters)
    shutil.rmtree(folder)
    assert prepare_folder(other, home, letters).root == other


def test_prepared_task_is_not_taken_for_a_users_folder(home: Path) -> None:
    prepare_source(Alphabet(), "toy/alphabet", home, letters)
    with pytest.raises(PlanError, match="is already a prepared task"):
        prepare_folder(home / "tasks/toy/alphabet", home, letters)


def test_name_of_a_registered_task_is_not_taken_over(home: Path, tmp_path: Path) -> None:
    prepare_source(Alphabet(), "toy/alphabet", home, letters)
    own = write_folder(tmp_path / "own", "abcd", benchmark="toy")
    (own / "task.toml").write_text((own / "task.toml").read_text().replace('"letters"', '"alphabet"'))
    with pytest.raises(PlanError, match="already prepared from the registered task"):
        prepare_folder(own, home, letters)


# Bad media


def test_all_bad_media_are_listed_and_nothing_is_written(tmp_path: Path, home: Path) -> None:
    path = write_folder(tmp_path / "bad", ["a", "bad", "bad", "d"])
    (path / "media/3.txt").unlink()
    with pytest.raises(MediaError) as caught:
        prepare_folder(path, home, letters)
    assert caught.value.message.splitlines() == [
        "own/letters: 3 of 4 media files cannot be used:",
        "  media/1.txt: cannot be read as a letter: it has three",
        "  media/2.txt: cannot be read as a letter: it has three",
        "  media/3.txt: the file does not exist",
    ]
    assert "--on-error skip" in caught.value.hint
    assert caught.value.exit_code == 4
    assert not home.exists()


def test_long_lists_of_bad_media_end_in_a_count(tmp_path: Path, home: Path) -> None:
    path = write_folder(tmp_path / "bad", "abcd")
    entry = {"split": "train", "prompt": "?", "references": ["x"]}
    rows = [json.dumps({"id": str(n), "letter": f"media/none-{n}.txt", **entry}) for n in range(25)]
    (path / "manifest.jsonl").write_text("\n".join(rows))
    with pytest.raises(MediaError) as caught:
        prepare_folder(path, home, letters)
    assert len(caught.value.message.splitlines()) == 22
    assert caught.value.message.endswith("  and 5 more")


def test_bad_media_are_left_out_counted_and_recorded(tmp_path: Path, home: Path) -> None:
    path = write_folder(tmp_path / "bad", ["a", "bad", "c", "d"])
    prepared = prepare_folder(path, home, letters, on_error="skip")
    assert prepared.task.counts == {"train": 1, "val": 1, "test": 1}
    assert [(refused.id, refused.path) for refused in prepared.refused] == [("1", "media/1.txt")]
    record = json.loads((prepared.folder / "prepared.json").read_text())
    assert record["refused"][0]["reason"] == "cannot be read as a letter: it has three"
    assert open_task("own/letters", home).sha256 == prepared.task.sha256
    (path / "media/1.txt").write_text("b")
    assert prepare_folder(path, home, letters, on_error="skip").refused == ()


def test_leaving_out_every_test_example_is_an_error(tmp_path: Path, home: Path) -> None:
    path = write_folder(tmp_path / "bad", ["a", "b", "c", "bad"])
    with pytest.raises(PlanError, match=r"has no test examples \(1 were skipped\)"):
        prepare_folder(path, home, letters, on_error="skip")


@pytest.mark.parametrize("target", ["../../outside.txt", "{tmp}/outside.txt", "../out/outside.txt"])
def test_link_that_leads_out_of_the_folder(folder: Path, home: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.txt").write_text("a")
    (folder / "out").symlink_to(tmp_path)
    (folder / "media/0.txt").unlink()
    (folder / "media/0.txt").symlink_to(target.format(tmp=tmp_path))
    with pytest.raises(MediaError, match=r"media/0\.txt: a symbolic link leads out of the task's folder"):
        prepare_folder(folder, home, letters)


def test_links_inside_the_folder_and_to_the_folder_are_fine(folder: Path, home: Path, tmp_path: Path) -> None:
    (folder / "media/0.txt").rename(folder / "first.txt")
    (folder / "media/0.txt").symlink_to("../first.txt")
    (tmp_path / "short").symlink_to(folder)
    assert prepare_folder(tmp_path / "short", home, letters).root == folder


def test_link_in_a_circle(folder: Path, home: Path) -> None:
    (folder / "media/0.txt").unlink()
    (folder / "media/0.txt").symlink_to("0.txt")
    with pytest.raises(MediaError, match=r"1 of 4 media files cannot be used:\n  media/0\.txt: .*(symbolic|Symlink)"):
        prepare_folder(folder, home, letters)


def png() -> bytes:
    buffer = BytesIO()
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def wav(path: Path, samples: int) -> bytes:
    soundfile.write(path, np.zeros(samples), 8000)
    return path.read_bytes()


def mp4(path: Path, frames: int) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        if frames:
            container.mux(stream.encode(None))
    return path.read_bytes()


def test_damaged_real_media_are_named_with_the_reason(tmp_path: Path, home: Path) -> None:
    good = {"image": png(), "audio": wav(tmp_path / "a.wav", 800), "video": mp4(tmp_path / "a.mp4", 3)}
    bad = {
        "image": [png()[:300], b"I am text", wav(tmp_path / "b.wav", 800)],
        "audio": [wav(tmp_path / "c.wav", 0), good["audio"][:-100], png()],
        "video": [mp4(tmp_path / "b.mp4", 0), good["video"][:-100], b""],
    }
    expected = {
        "image": ["truncated", "it holds text", "its content is WAV"],
        "audio": ["it holds no samples", "truncated", "its content is PNG"],
        "video": ["no frames|no video track|damaged", "truncated", "the file is empty"],
    }
    for modality, suffix in {"image": "png", "audio": "wav", "video": "mp4"}.items():
        media = [good[modality], *bad[modality]]
        path = write_folder(tmp_path / modality, media, f"{{}}.{suffix}", modality=modality)
        with pytest.raises(MediaError) as caught:
            prepare_folder(path, home, real)
        lines = caught.value.message.splitlines()
        assert lines[0] == "own/letters: 3 of 4 media files cannot be used:"
        for number, (line, reason) in enumerate(zip(lines[1:], expected[modality], strict=True), 1):
            assert line.startswith(f"  media/{number}.{suffix}: cannot be read as ")
            assert any(part in line for part in reason.split("|")), line


# Data that changes after it was prepared


def test_untouched_copy_with_other_times_opens(folder: Path, home: Path) -> None:
    prepare_folder(folder, home, letters)
    for path in folder.rglob("*.*"):
        os.utime(path, (1, 1))
    assert open_task("own/letters", home).counts["train"] == 2


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("media/0.txt", "x", r"media/0\.txt \(changed\)"),
        ("media/0.txt", "longer", r"media/0\.txt \(changed\)"),
        ("media/0.txt", None, r"media/0\.txt \(missing\)"),
        ("manifest.jsonl", "", r"manifest\.jsonl \(changed\)"),
        ("manifest.jsonl", None, r"manifest\.jsonl \(missing\)"),
        ("task.toml", "name = ", r"task\.toml \(changed\)"),
        ("task.toml", None, r"task\.toml \(missing\)"),
    ],
)
def test_changed_data_is_named(folder: Path, home: Path, file: str, content: str | None, named: str) -> None:
    prepare_folder(folder, home, letters)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
        os.utime(folder / file, (2, 2))
    with pytest.raises(PlanError, match=f"own/letters has changed since it was prepared: {named}") as caught:
        open_task("own/letters", home)
    assert f"micl prepare {folder}" in caught.value.hint
    assert caught.value.exit_code == 4
    assert open_task("own/letters", home, verify=False).counts["train"] == 2


def test_folder_that_is_gone_names_the_first_files(folder: Path, home: Path) -> None:
    prepare_folder(folder, home, letters)
    folder.rename(folder.with_name("moved"))
    with pytest.raises(PlanError, match=r"task\.toml \(missing\), manifest\.jsonl \(missing\), .* and 1 more"):
        open_task("own/letters", home)


@pytest.mark.parametrize("file", ["manifest.jsonl", "task.toml", "prepared.json"])
@pytest.mark.parametrize("content", [None, "", "{}", '{"format": 99}'])
def test_damaged_record_is_told_and_made_anew(folder: Path, home: Path, file: str, content: str | None) -> None:
    prepared = prepare_folder(folder, home, letters)
    if content is None:
        (prepared.folder / file).unlink()
    else:
        (prepared.folder / file).write_text(content)
    with pytest.raises(PlanError, match=r"is damaged|is not prepared|cannot be read"):
        open_task("own/letters", home)
    assert prepare_folder(folder, home, letters).task == open_task("own/letters", home) == prepared.task


def test_task_that_is_not_prepared(home: Path) -> None:
    with pytest.raises(PlanError, match="toy/alphabet is not prepared\nPrepare it: micl prepare toy/alphabet"):
        open_task("toy/alphabet", home)
    assert prepared_tasks(home) == []
    assert not is_prepared("toy/alphabet", home)
    for name in ("alphabet", "../alphabet", "toy/../alphabet", "/etc"):
        with pytest.raises(PlanError, match="is not a valid task name"):
            open_task(name, home)


# Registered tasks


def test_source_writes_its_media_into_its_own_folder(home: Path) -> None:
    prepared = prepare_source(Alphabet(), "toy/alphabet", home, letters)
    assert prepared.root == prepared.folder == home / "tasks/toy/alphabet"
    assert prepared.task.counts == {"train": 2, "val": 1, "test": 1}
    assert prepared.task.answers == ("a", "b", "c")
    assert prepared.task.description == "Name the letter."
    assert prepared.task.examples("test")[0].media[0].path == prepared.folder / "media/3.txt"
    assert is_prepared("toy/alphabet", home)
    assert [path.name for path in (home / "tasks/toy").iterdir() if path.name != ".alphabet.lock"] == ["alphabet"]


def test_home_can_be_moved(home: Path) -> None:
    prepare_source(Alphabet(), "toy/alphabet", home, letters)
    moved = home.rename(home.with_name("moved"))
    example = open_task("toy/alphabet", moved).examples("test")[0]
    assert example.media[0].path
    assert example.media[0].path.read_text() == "a"


def test_same_data_stays_as_it_is(home: Path) -> None:
    prepared = prepare_source(Alphabet(), "toy/alphabet", home, letters)
    before = snapshot(prepared.folder)
    assert prepare_source(Alphabet(), "toy/alphabet", home, letters) == prepared
    assert snapshot(prepared.folder) == before


def test_other_data_and_damaged_data_are_replaced(home: Path) -> None:
    first = prepare_source(Alphabet(), "toy/alphabet", home, letters)
    (first.folder / "media/0.txt").write_text("?")
    with pytest.raises(PlanError, match=r"media/0\.txt \(changed\)\n.*micl prepare toy/alphabet"):
        open_task("toy/alphabet", home)
    assert prepare_source(Alphabet(), "toy/alphabet", home, letters).task.sha256 == first.task.sha256
    assert open_task("toy/alphabet", home).sha256 == first.task.sha256
    second = prepare_source(Alphabet("xyzx"), "toy/alphabet", home, letters)
    assert open_task("toy/alphabet", home).answers == ("x", "y", "z")
    assert second.task.sha256 != first.task.sha256


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(28, "No space left on device"), MiclError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MediaError("the archive is broken"), MediaError),
    ],
)
def test_broken_off_preparation_leaves_what_was_there(home: Path, error: Exception, shown: type[Exception]) -> None:
    with pytest.raises(shown):
        prepare_source(Failing(error), "toy/alphabet", home, letters)
    assert prepared_tasks(home) == []
    first = prepare_source(Alphabet(), "toy/alphabet", home, letters)
    with pytest.raises(shown):
        prepare_source(Failing(error), "toy/alphabet", home, letters)
    assert open_task("toy/alphabet", home) == first.task
    assert sorted(path.name for path in (home / "tasks/toy").iterdir()) == [".alphabet.lock", "alphabet"]


def test_exchange_that_was_killed_half_way_is_undone(home: Path) -> None:
    prepared = prepare_source(Alphabet(), "toy/alphabet", home, letters)
    prepared.folder.rename(prepared.folder.with_name(".alphabet.old"))
    (prepared.folder.with_name(".alphabet.new") / "media").mkdir(parents=True)
    assert prepared_tasks(home) == []
    with pytest.raises(MiclError):
        prepare_source(Failing(OSError("full")), "toy/alphabet", home, letters)
    assert open_task("toy/alphabet", home) == prepared.task


def test_bad_rows_of_a_source(home: Path) -> None:
    class Escaping(Alphabet):
        def rows(self, folder: Path) -> Iterator[Row]:
            yield Row("1", "train", (letter_at("../../../etc/passwd"), "?"), ("a",))

    class Repeating(Alphabet):
        def rows(self, folder: Path) -> Iterator[Row]:
            yield from super().rows(folder)
            yield Row("train-0", "train", (letter_at("media/0.txt"), "?"), ("a",))

    with pytest.raises(ManifestError, match=r"toy/alphabet: example 1: .* leads out"):
        prepare_source(Escaping(), "toy/alphabet", home, letters)
    with pytest.raises(ManifestError, match="example 5: duplicate id 'train-0'"):
        prepare_source(Repeating(), "toy/alphabet", home, letters)


def test_source_with_bad_media(home: Path) -> None:
    class Bad(Alphabet):
        def rows(self, folder: Path) -> Iterator[Row]:
            for row in super().rows(folder):
                if row.id == "train-1":
                    (folder / "media/1.txt").write_text("bad")
                yield row

    with pytest.raises(MediaError, match=r"1 of 4 media files cannot be used:\n  media/1\.txt: cannot be read"):
        prepare_source(Bad(), "toy/alphabet", home, letters)
    prepared = prepare_source(Bad(), "toy/alphabet", home, letters, on_error="skip")
    assert [refused.id for refused in prepared.refused] == ["train-1"]


def test_home_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = pytest.raises(MiclError, match=r"cannot write .*: Not a directory\n.*--home")
    with refused:
        prepare_folder(folder, tmp_path / "file", letters)
    with refused:
        prepare_source(Alphabet(), "toy/alphabet", tmp_path / "file", letters)


def test_two_processes_at_once_make_it_once(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from micl_cli.api import Media, Modality, Row, TaskSource
        from micl_cli.data.preparation import prepare_source

        home, log = Path(sys.argv[1]), Path(sys.argv[2])

        class Plain(Modality):
            name = "letter"
            def read(self, path): return path.read_text()
            def inspect(self, path): return {}

        class Slow(TaskSource):
            benchmark, name, modalities, type, metric = "toy", "slow", frozenset({"letter"}), "qa", "accuracy"
            def rows(self, folder):
                with log.open("a") as file:
                    file.write("made\\n")
                for number in range(20):
                    (folder / f"{number}.txt").write_text(str(number))
                    medium = Media("letter", Path(f"{number}.txt"))
                    yield Row(str(number), ("train", "test")[number % 2], (medium, "?"), ("a",))
                    time.sleep(0.05)

        print(prepare_source(Slow(), "toy/slow", home, lambda _: Plain()).task.sha256)
        """)
    )
    log = tmp_path / "log"
    command = [sys.executable, str(script), str(home), str(log)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert printed == {open_task("toy/slow", home).sha256 + "\n"}
    assert log.read_text() == "made\n"


def test_preparing_imports_no_torch() -> None:
    code = "import sys, micl_cli.data.preparation; print(*{'torch', 'transformers', 'sqlalchemy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_missing_file_with_a_backslash_names_the_separator(tmp_path: Path, home: Path) -> None:
    folder = write_folder(tmp_path / "folder", ["a", "b", "c", "d"])
    manifest = folder / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace("media/", "media\\\\", 1))
    with pytest.raises(MediaError, match=r"no such file \(write / between folders\)"):
        prepare_folder(folder, home, letters)
