from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from micl_cli.store import Store


def test_a_folder_becomes_a_task_in_the_store(micl: Any, own_folders: Path, isolated: Path) -> None:
    code, out, err = micl("prepare", own_folders / "img_cap", own_folders / "aud_qa")
    assert code == 0
    assert err == "".join(f"preparing {own_folders / name}\n" for name in ("img_cap", "aud_qa"))
    head, first, second = out.splitlines()
    assert head.split() == ["task", "modalities", "type", "train", "val", "test", "skipped", "sha256", "folder"]
    assert first.split()[:7] == ["own/img_cap", "image", "captioning", "12", "4", "6", "0"]
    assert second.split()[0] == "own/aud_qa"
    with Store.open(f"sqlite:///{isolated / 'micl.db'}") as store:
        task = store.task("own/img_cap")
    assert task is not None
    assert task.sha256.startswith(first.split()[7])
    assert task.counts == {"train": 12, "val": 4, "test": 6}


def test_registered_tasks_are_prepared_by_name(micl: Any, isolated: Path, little_mini: Any) -> None:
    done = micl("prepare", "img_cap,aud_qa", "mini/vid_qa", "--json")
    tasks = json.loads(done.out)["tasks"]
    assert [task["name"] for task in tasks] == ["mini/img_cap", "mini/aud_qa", "mini/vid_qa"]
    assert tasks[0]["counts"] == little_mini
    assert tasks[0]["folder"] == str(isolated / "tasks" / "mini" / "img_cap")
    assert [task["refused"] for task in tasks] == [[]] * 3
    again = json.loads(micl("prepare", "img_cap", "--json").out)["tasks"]
    assert again == tasks[:1]


def test_examples_that_were_left_out_are_named(micl: Any, own_folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(own_folders / "img_cap", tmp_path / "copy"))
    (folder / "media" / "2.png").unlink()
    done = micl("prepare", folder, "--on-error", "skip")
    assert done.code == 0
    assert "warning: own/img_cap: 1 examples skipped\n  2: media/2.png: " in done.err
    assert done.out.splitlines()[1].split()[3:7] == ["11", "4", "6", "1"]


def test_an_interrupt_leaves_nothing_half_done(
    micl: Any, isolated: Path, little_mini: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from micl_modalities.image import Image

    def inspect(self: Any, path: Path) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image, "inspect", inspect)
    for words in (("prepare", "img_qa"), ("learn", "--strategy", "finetune", "--tasks", "img_qa")):
        done = micl(*words)
        assert (done.code, done.out) == (130, "")
        assert "interrupted; mini/img_qa was not prepared\nhint: Run the same command again.\n" in done.err
    assert not [path for path in isolated.rglob("*") if path.suffix == ".png"]


def test_unknown_tasks_name_the_nearest(micl: Any) -> None:
    done = micl("prepare", "img_cpa")
    assert (done.code, done.out) == (3, "")
    assert "Did you mean 'mini/img_cap'?" in done.err


def test_a_bar_is_drawn_on_a_terminal(micl: Any, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert "example/s]" in micl("prepare", own_folders / "img_cap").err


def test_tasks_of_several_modalities_and_of_text_alone(micl: Any, own_folders: Path, tmp_path: Path) -> None:
    toml = 'type = "choice"\nmetric = "accuracy"\n'
    mixed = Path(shutil.copytree(own_folders / "img_cap", tmp_path / "mixed"))
    (mixed / "task.toml").write_text(f'name = "mixed"\nmodalities = ["image", "audio"]\n{toml}')
    shutil.copy(own_folders / "aud_qa/media/1.wav", mixed / "media")
    content = [{"image": "media/1.png"}, {"image": "media/2.png"}, {"audio": "media/1.wav"}, "Which one?"]
    line = {"references": ["A"], "choices": ["A", "B"], "source": "web"}
    splits = [{"id": split, "split": split} for split in ("train", "test")]
    text = "".join(json.dumps({**split, **line, "content": content}) + "\n" for split in splits)
    (mixed / "manifest.jsonl").write_text(text)
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "task.toml").write_text(f'name = "plain"\n{toml}')
    (plain / "manifest.jsonl").write_text("".join(json.dumps({**s, **line, "prompt": "A?"}) + "\n" for s in splits))
    done = micl("prepare", mixed, plain)
    assert done.code == 0
    assert "own/mixed: 2 lines have extra keys, stored as metadata: source\n" in done.err
    rows = [row.split()[:3] for row in done.out.splitlines()[1:]]
    assert rows == [["own/mixed", "audio+image", "choice"], ["own/plain", "text", "choice"]]
    tasks = json.loads(micl("prepare", mixed, plain, "--json").out)["tasks"]
    assert [task["modalities"] for task in tasks] == [["audio", "image"], []]
    assert tasks[0]["notes"] == ["2 lines have extra keys, stored as metadata: source"]
    assert [task["leaks"] for task in tasks] == [
        [{"splits": ["train", "test"], "media": 3, "examples": 1}],
        [{"splits": ["train", "test"], "media": 0, "examples": 1}],
    ]
    leak = "3 media are in both train and test; 1 example of test with the same media and text as in train"
    assert f"own/mixed: {leak}\n" in done.err


def test_misspelt_keys_are_refused(micl: Any, own_folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(own_folders / "img_cap", tmp_path / "copy"))
    manifest = folder / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"references"', '"refrences"'))
    done = micl("prepare", folder)
    assert (done.code, done.out) == (4, "")
    assert "Did you mean 'references'?" in done.err


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ('metric = "cider"', 'metric = "cidr"', "unknown metric 'cidr'", "Did you mean 'cider'?"),
        (
            'type = "captioning"',
            'type = "vqa"',
            "unknown type 'vqa'",
            "Did you mean 'qa'? Known types: ",
        ),
        (
            'benchmark = "own"',
            'benchmark = "mini"',
            "benchmark 'mini' is that of registered",
            "Choose another",
        ),
        ('benchmark = "own"', 'benchmrak = "own"', "unknown key 'benchmrak'", "Did you mean 'benchmark'?"),
    ],
)
def test_unknown_words_are_refused(
    micl: Any, own_folders: Path, tmp_path: Path, isolated: Path, old: str, new: str, message: str, hint: str
) -> None:
    folder = Path(shutil.copytree(own_folders / "img_cap", tmp_path / "copy"))
    text = (folder / "task.toml").read_text()
    assert old in text
    (folder / "task.toml").write_text(text.replace(old, new))
    done = micl("prepare", folder)
    assert (done.code, done.out) == (4, "")
    assert message in done.err
    assert hint in done.err
    assert not (isolated / "tasks").exists()


def test_metrics_and_types_of_plugins_are_accepted(micl: Any, own_folders: Path, tmp_path: Path, install: Any) -> None:
    source = """
from micl_cli.api import Metric, Score, hookimpl

@hookimpl
def micl_register_metrics(register):
    register("half", "half_plugin:Half")
    register("broken", "half_plugin:Nothing")

class Half(Metric):
    name = "half"
    task_types = frozenset({"translation"})

    def score(self, answers, references):
        return Score(0.5, tuple(0.5 for _ in answers))
"""
    install("micl-half", entry_points="[micl]\nhalf = half_plugin\n", files={"half_plugin.py": source})
    folder = Path(shutil.copytree(own_folders / "img_cap", tmp_path / "copy"))
    text = (folder / "task.toml").read_text().replace('"cider"', '"half"').replace('"captioning"', '"translation"')
    (folder / "task.toml").write_text(text)
    assert micl("prepare", folder).code == 0


def test_registered_task_is_not_shadowed_by_a_folder(micl: Any, own_folders: Path, isolated: Path) -> None:
    assert micl("prepare", own_folders / "img_cap").code == 0
    folder = isolated / "tasks/mini/img_cap"
    folder.parent.mkdir()
    shutil.copytree(isolated / "tasks/own/img_cap", folder)
    done = micl("learn", "--strategy", "finetune", "--tasks", "mini/img_cap", "--dry-run")
    assert (done.code, done.out) == (4, "")
    assert "mini/img_cap is the name of a registered task, but was prepared from" in done.err
    assert str(folder) in done.err


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
@pytest.mark.parametrize("name", ["task.toml", "manifest.jsonl", "media/2.png"])
def test_pipes_are_refused_without_waiting(micl: Any, own_folders: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(own_folders / "img_cap", tmp_path / "copy"))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    done = micl("prepare", folder)
    assert (done.code, done.out) == (4, "")
    assert "it is not a regular file" in done.err
