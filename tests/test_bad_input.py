"""A failure ends in one message with the way out and the right exit code, and nothing finished is lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from micl_cli.io import files
from micl_cli.io.lock import locked_folder

PARTS = """
from micl_cli.api import Strategy, hookimpl
from micl_cli.testing import ToyBackbone

@hookimpl
def micl_register_strategies(register):
    register("telepathy", "odd_plugin:Telepathy")
    register("exploding", "odd_plugin:Exploding")

@hookimpl
def micl_register_backbones(register):
    register("deaf", "odd_plugin:Deaf")
    register("late-deaf", "odd_plugin:LateDeaf")

class Telepathy(Strategy):
    needs = frozenset({"adapters", "thoughts"})

class Exploding(Strategy):
    def loss(self, batch):
        return super().loss(batch) * (float("nan") if self.stage.position == 2 else 1.0)

class Deaf(ToyBackbone):
    modalities = frozenset({"image", "video"})

    def enable_gradient_checkpointing(self):
        raise TypeError("not here")

class LateDeaf(ToyBackbone):
    modalities = frozenset()

    def __init__(self, preset="", **options):
        super().__init__(preset, **options)
        self.modalities = frozenset({"image"})
"""


@pytest.fixture
def odd(install: Any) -> Any:
    """A plugin with strategies and backbones that do not fit."""
    return install("micl-odd", entry_points="[micl]\nodd = odd_plugin\n", files={"odd_plugin.py": PARTS})


def failed(done: Any, code: int, message: str, hint: str = "") -> None:
    """Assert that a command ended with ``code``, wrote nothing to stdout, and one error with its hint to stderr."""
    lines = done.err.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("error: ")), None)
    assert start is not None, done.err
    error = "\n".join(lines[start:])
    assert (done.code, done.out) == (code, "")
    assert message in error
    assert "\nhint: " in error
    assert hint in error.partition("\nhint: ")[2]
    assert "Traceback" not in done.err


def state(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (home / "runs").rglob("*") if path.is_file()}


# Names


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("--tasks", "img_cpa"), 3, "no task 'mini/img_cpa'", "Did you mean 'mini/img_cap'?"),
        (("--tasks", "own/img_cpa"), 3, "no task 'own/img_cpa'", "Did you mean 'own/img_cap'?"),
        (("--tasks", "own/IMG cap"), 4, "'own/img cap' is not a valid task name", "lowercase letters"),
        (("--tasks", " , "), 2, "no task is named", "--tasks img_cap,aud_qa"),
        (("--tasks", "own/img_cap,own/img_cap"), 2, "own/img_cap is named twice", "once"),
        (("--strategy", "moincle"), 3, "no strategy 'moincle'", "Did you mean 'moincl'?"),
        (("--backbone", "tinny"), 3, "no backbone 'tinny'", "Did you mean 'tiny'?"),
        (("--backbone", "composed:nothing"), 4, "no preset 'nothing'", "tiny"),
        (("--strategy", "moincl", "-o", "alhpa", "1"), 2, "no option 'alhpa'", "Did you mean 'alpha'?"),
        (
            ("--strategy", "moincl", "-o", "alpha", "much"),
            2,
            "expects a number, at least 0 and at most 1, not 'much'",
            "alpha",
        ),
        (("--strategy", "moincl", "-o", "3:alpha", "1"), 2, "option for task 3, but there are 2", "position"),
        (("--strategy", "moincl", "-o", "x:alpha", "1"), 2, "'x' is not the position of a task", "-o 3:NAME"),
        (("-b", "rnak", "4"), 2, "backbone toy has no option 'rnak'", "Did you mean 'rank'?"),
        (("--recipe", "micl-order-3"), 2, "no recipe 'micl-order-3'", "Did you mean 'micl-order-"),
        (("--resume", "nothing"), 2, "no run 'nothing'", "micl learn"),
        (("--device", "cuda"), 4, "no CUDA device", "--device cpu"),
    ],
)
def test_unknown_names(learn: Any, home: Path, words: Any, code: int, message: str, hint: str) -> None:
    if "cuda" in words:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
    failed(learn(*words), code, message, hint)
    assert not (home / "micl.db-wal").exists()
    assert learn("--dry-run").code == 0


@pytest.mark.parametrize("command", ["report", "eval", "runs show"])
def test_unknown_runs(micl: Any, isolated: Path, command: str) -> None:
    failed(micl(*command.split(), "@last"), 2, "no run '@last'", "micl learn")
    assert not isolated.exists()  # looking for a run makes no store


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strategy = ", "is not a recipe"),
        ("strategi = 'joint'", "unknown key 'strategi'"),
        ("strategy = 3", "strategy is 3"),
        ("options = 'alpha'", "options is 'alpha'"),
        ("[training]\nepoch = 3", "unknown key 'epoch' in [training]"),
        ("[training]\nepochs = 'three'", "expects a whole number, at least 1, not 'three'"),
        ("[training]\nepochs = 0", "expects a whole number, at least 1, not 0"),
        ("[evaluation]\nsplit = 'train'", "expects one of test, val"),
    ],
)
def test_malformed_recipes(learn: Any, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    tasks = ("--strategy", "finetune", "--tasks", "own/img_cap")
    failed(learn("--recipe", "mine.toml", *tasks), 2, message)


# Parts that do not fit


def test_a_strategy_that_needs_what_the_backbone_lacks(learn: Any, odd: Any) -> None:
    failed(learn("--strategy", "telepathy"), 4, "strategy 'telepathy' needs thoughts, which backbone 'toy' does not")


@pytest.mark.parametrize("backbone", ["deaf", "late-deaf"])
def test_a_backbone_that_cannot_take_a_modality(learn: Any, odd: Any, backbone: str) -> None:
    failed(learn("--backbone", backbone), 4, f"backbone {backbone!r} does not support audio, as task own/aud_qa")
    assert learn("--backbone", backbone, "--tasks", "own/img_cap").code == 0


def test_a_backbone_that_cannot_checkpoint_gradients(learn: Any, odd: Any) -> None:
    words = ("--backbone", "deaf", "--tasks", "own/img_cap", "--gradient-checkpointing")
    failed(learn(*words), 4, "'deaf' does not support gradient checkpointing", "Leave out")


def test_a_run_cannot_be_scored_on_what_its_backbone_cannot_take(learn: Any, micl: Any, odd: Any) -> None:
    run = learn("--backbone", "late-deaf", "--tasks", "own/img_cap").out.strip()
    failed(micl("eval", run, "--tasks", "own/aud_qa"), 4, "does not support audio")


def test_a_loss_that_is_no_number(learn: Any, micl: Any, odd: Any, home: Path) -> None:
    done = learn("--strategy", "exploding", "--name", "boom")
    failed(done, 1, "the loss is nan at step 1 of task 2", "--learning-rate")
    (run,) = json.loads(micl("runs", "--json").out)["runs"]
    assert (run["status"], run["error"]) == ("failed", "the loss is nan at step 1 of task 2")
    (report,) = json.loads(micl("report", "boom", "--json").out)["runs"]
    assert report["matrix"][0][0] is not None
    assert report["matrix"][1] == [None, None]
    assert micl("eval", "boom").code == 0  # by the stage that is learnt


# Data


@pytest.fixture
def own_copy(own_folders: Path, tmp_path: Path, micl: Any) -> Path:
    """The folder of a task of the user's own, to be spoilt."""
    return Path(shutil.copytree(own_folders / "img_cap", tmp_path / "copy"))


def rename(folder: Path) -> None:
    file = folder / "task.toml"
    file.write_text(file.read_text().replace('"own"', '"copy"'))


def test_data_that_changed_since_it_was_prepared(learn: Any, micl: Any, own_copy: Path, home: Path) -> None:
    rename(own_copy)
    assert micl("prepare", own_copy).code == 0
    run = learn("--tasks", "copy/img_cap").out.strip()
    kept, medium = state(home), own_copy / "media" / "3.png"
    before = medium.read_bytes()
    shutil.copy(own_copy / "media" / "4.png", medium)
    for words in (("--tasks", "copy/img_cap"), ("--resume", run)):
        failed(
            learn(*words), 4, "copy/img_cap has changed since it was prepared: media/3.png (changed)", "micl prepare"
        )
    failed(micl("eval", run), 4, "has changed since it was prepared")
    assert state(home) == kept
    assert micl("report", run).code == 0
    medium.write_bytes(before)
    assert learn("--resume", run).out.strip() == run
    shutil.copy(own_copy / "media" / "4.png", medium)
    assert micl("prepare", own_copy).code == 0
    failed(learn("--resume", run), 4, f"the data of copy/img_cap has changed since run {run} started", "new run")
    other = learn("--tasks", "copy/img_cap")
    assert other.code == 0
    assert other.out.strip() != run


def video_without_frames(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        container.start_encoding()


@pytest.mark.parametrize(
    ("task", "spoil", "name", "reason"),
    [
        ("img_cap", lambda p: p.write_bytes(p.read_bytes()[:60]), "5.png", "5.png"),
        ("img_cap", lambda p: p.write_text("not a picture"), "5.png", "5.png"),
        ("aud_qa", lambda p: p.write_bytes(b""), "5.wav", "5.wav"),
        ("aud_qa", lambda p: p.write_bytes(p.read_bytes()[:44]), "5.wav", "5.wav"),
        ("aud_qa", lambda p: p.unlink(), "5.wav", "the file does not exist"),
    ],
)
def test_media_that_cannot_be_read(
    micl: Any, own_folders: Path, tmp_path: Path, isolated: Path, task: str, spoil: Any, name: str, reason: str
) -> None:
    folder = Path(shutil.copytree(own_folders / task, tmp_path / "copy"))
    spoil(folder / "media" / name)
    done = micl("prepare", folder)
    failed(done, 4, "1 of 22 media files cannot be used", "--on-error skip")
    assert f"media/{name}: " in done.err
    assert reason in done.err
    assert not list((isolated / "tasks").rglob("prepared.json"))
    skipped = micl("prepare", folder, "--on-error", "skip", "--json")
    assert json.loads(skipped.out)["tasks"][0]["refused"][0]["path"] == f"media/{name}"


def test_a_video_without_frames(micl: Any, own_copy: Path) -> None:
    (own_copy / "task.toml").write_text(
        'name = "clips"\nbenchmark = "own"\nmodality = "video"\ntype = "captioning"\nmetric = "cider"\n'
    )
    row = {"id": "1", "split": "train", "video": "media/a.mp4", "prompt": "?", "references": ["a"]}
    lines = [json.dumps(row), json.dumps({**row, "id": "2", "split": "test", "video": "media/b.mp4"})]
    (own_copy / "manifest.jsonl").write_text("\n".join(lines))
    video_without_frames(own_copy / "media" / "a.mp4")
    shutil.copy(own_copy / "media" / "1.png", own_copy / "media" / "b.mp4")  # not what its name says
    done = micl("prepare", own_copy)
    failed(done, 4, "2 of 2 media files cannot be used")
    assert "media/a.mp4: " in done.err
    assert "media/b.mp4: " in done.err


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("{not json", "manifest.jsonl:2: not JSON", "Write"),
        ('["a"]', "manifest.jsonl:2: not a JSON object", "Write"),
        (
            '{"id": "x"}',
            "manifest.jsonl:2: split, image, prompt, references missing",
            "Required keys: id, split, image",
        ),
        (
            '{"id": "x", "split": "train", "audio": "a.wav", "prompt": "?", "references": ["a"]}',
            "manifest.jsonl:2: the medium is under 'audio', and the task's modality is 'image'",
            'modality = "audio" in task.toml',
        ),
    ],
)
def test_a_malformed_manifest_line(
    micl: Any, own_copy: Path, isolated: Path, line: str, message: str, hint: str
) -> None:
    manifest = own_copy / "manifest.jsonl"
    first, *rest = manifest.read_text().splitlines()
    manifest.write_text("\n".join([first, line, *rest[1:]]))
    done = micl("prepare", own_copy)
    failed(done, 4, message, hint)
    assert not list(isolated.rglob("prepared.json"))


def test_a_folder_that_does_not_exist(micl: Any, tmp_path: Path) -> None:
    failed(micl("prepare", "./nowhere"), 2, "no folder ./nowhere", "task.toml")
    (tmp_path / "empty").mkdir()
    failed(micl("prepare", "empty"), 4, "task.toml")


# The store and the disk


def test_a_store_of_a_newer_version(finished: str, micl: Any, isolated: Path) -> None:
    kept = state(isolated)
    connection = sqlite3.connect(isolated / "micl.db")
    (head,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    for words in (("learn", "--resume", finished), ("report", finished), ("runs",), ("eval", finished)):
        failed(micl(*words), 1, "newer")
    connection.execute("UPDATE alembic_version SET version_num = ?", (head,))
    connection.commit()
    connection.close()
    assert micl("report", finished).code == 0
    assert state(isolated) == kept


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """No file can grow beyond ``limit`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_too_small_for_a_checkpoint(learn: Any, micl: Any, home: Path, tmp_path: Path) -> None:
    words = ("-b", "width", "512", "-b", "rank", "32", "--max-steps", "2")
    with small_disk(1_000_000):
        done = learn(*words)
    failed(done, 1, "cannot write ", "Free disk space")
    (run,) = json.loads(micl("runs", "--json").out)["runs"]
    assert run["status"] == "failed"
    assert run["error"].startswith("cannot write ")
    assert not [path for path in (home / "runs").rglob("*") if path.is_file() and path.name not in ("lock", "log.txt")]
    assert learn(*words).out.strip() == run["id"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("words", [("--save-seconds", "0"), ()])
def test_a_disk_that_fails_amid_the_second_task(
    learn: Any, home: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: tuple[str, ...]
) -> None:
    expected = learn("--again").out.strip()
    whole = state(home)
    shutil.rmtree(home / "runs")
    flush = files.flush

    def failing(path: Path) -> None:
        if "02" in str(path.parent.name) or "02" in path.name or "step-2" in str(path):
            raise OSError(number, os.strerror(number))
        flush(path)

    monkeypatch.setattr(files, "flush", failing)
    done = learn(*words)
    failed(done, 1, os.strerror(number), "run the same command. Finished tasks are saved")
    assert (home / "runs" / expected / "stages" / "01" / "stage.json").is_file()
    monkeypatch.setattr(files, "flush", flush)
    again = learn()
    assert again.out.strip() == expected
    assert "1/2 own/img_cap: already learnt" in again.err
    adapters = {path: data for path, data in whole.items() if path.endswith("adapters.safetensors")}
    assert {path: Path(path).read_bytes() for path in adapters} == adapters


def test_a_checkpoint_that_is_damaged(finished: str, micl: Any, isolated: Path) -> None:
    stage = isolated / "runs" / finished / "stages" / "02"
    whole = (stage / "adapters.safetensors").read_bytes()
    (stage / "adapters.safetensors").write_bytes(whole[:100])
    failed(micl("eval", finished), 1, "adapters.safetensors is damaged", f"micl learn --resume {finished}")
    assert micl("eval", finished, "--stage", "1").code == 0
    shutil.rmtree(stage)
    assert micl("learn", "--resume", finished).code == 0
    assert (stage / "adapters.safetensors").read_bytes() == whole


def test_two_processes_on_one_run(learn: Any, micl: Any, home: Path) -> None:
    run = learn("--max-steps", "1").out.strip()
    with locked_folder(home / "runs" / run):
        failed(learn("--max-steps", "1"), 1, f"process {os.getpid()} works on run {run}", "--again")
        failed(micl("runs", "rm", run, "--yes"), 1, f"works on run {run}")
        assert learn("--max-steps", "1", "--again").code == 0
        assert micl("report", run).code == 0
    assert learn("--max-steps", "1").code == 0


def test_a_home_that_is_a_file(micl: Any, isolated: Path) -> None:
    isolated.write_text("")
    done = micl("learn", "--strategy", "finetune", "--tasks", "img_qa")
    failed(done, 2, "is a file", "--help")
