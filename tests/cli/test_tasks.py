"""The catalogue of tasks: listing, showing, creating and removing them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from micl_cli.data.description import DESCRIPTION, MANIFEST, read_description
from micl_cli.data.manifest import read_manifest


def listed(micl: Any, *words: str) -> dict[str, dict[str, Any]]:
    done = micl("tasks", "ls", "--json", *words)
    assert done.code == 0
    return {task["name"]: task for task in json.loads(done.out)["tasks"]}


def test_all_tasks_are_listed_with_origin_and_counts(home: Path, suite: Path, micl: Any) -> None:
    found = listed(micl)
    assert (found["mini/img_qa"]["origin"], found["mini/img_qa"]["state"]) == ("plugin micl-cli", "")
    assert (found["suite/one"]["origin"], found["suite/one"]["published"]) == (
        "reader suite",
        {"train": 2000, "test": 30},
    )
    own = found["own/aud_qa"]
    assert (own["origin"], own["state"], own["counts"]["train"], own["metric"]) == (
        "own data",
        "prepared",
        12,
        "accuracy",
    )
    assert set(listed(micl, "--prepared")) == {"own/aud_qa", "own/img_cap", "own/img_qa"}
    assert set(listed(micl, "--benchmark", "suite")) == {"suite/one"}


def test_the_list_is_the_default_and_a_table(home: Path, micl: Any) -> None:
    done = micl("tasks", "--prepared")
    head, row, *_ = done.out.splitlines()
    assert head.split() == ["task", "modalities", "type", "metric", "from", "state", "train", "val", "test"]
    assert row.split() == ["own/aud_qa", "audio", "qa", "accuracy", "own", "data", "prepared", "12", "4", "6"]


def test_counts_do_not_need_the_store(home: Path, micl: Any) -> None:
    (home / "micl.db").unlink()
    assert listed(micl)["own/aud_qa"]["counts"] == {"train": 12, "val": 4, "test": 6}


def test_a_damaged_task_is_listed_and_shown_as_such(home: Path, micl: Any) -> None:
    (home / "tasks/own/aud_qa/task.toml").write_text("name =")
    assert listed(micl)["own/aud_qa"]["state"] == "damaged"
    done = micl("tasks", "show", "own/aud_qa")
    assert (done.code, "damaged" in done.out, "not TOML" in done.out) == (0, True, True)


def test_a_task_is_shown_with_examples(home: Path, micl: Any, own_folders: Path) -> None:
    done = micl("tasks", "show", "own/aud_qa", "--examples", "1")
    assert done.code == 0
    assert f"media        {own_folders / 'aud_qa'}" in done.out
    blocks = done.out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks[2:]] == ["train 0", "val 12", "test 16"]
    assert blocks[2].splitlines()[1:] == [
        f"  audio       {own_folders / 'aud_qa' / 'media' / '0.wav'}",
        "  prompt      which one?",
        "  references  low",
    ]
    document = json.loads(micl("tasks", "show", "own/aud_qa", "--examples", "2", "--json").out)
    assert [(each["split"], each["id"]) for each in document["examples"]][:3] == [
        ("train", "0"),
        ("train", "1"),
        ("val", "12"),
    ]


def test_a_published_task_is_shown_with_its_facts(home: Path, suite: Path, micl: Any) -> None:
    out = " ".join(micl("tasks", "show", "suite/one").out.split())
    for text in (
        "prompt variants published, file",
        "scorer variants release (accuracy), strict (vqa_accuracy)",
        "answer length 16 tokens",
        "note its prompts depend on the answer",
        "licence CC BY 4.0",
        "citation Ada (2026)",
        "published 2,000 30 (unverified)",
        "state not prepared",
    ):
        assert text in out


def test_an_unknown_task(home: Path, micl: Any) -> None:
    done = micl("tasks", "show", "own/aud_qb")
    assert (done.code, "Did you mean 'own/aud_qa'?" in done.err) == (3, True)


@pytest.mark.parametrize("task_type", ["captioning", "qa", "choice"])
@pytest.mark.parametrize("modalities", [(), ("image",), ("image", "audio")])
def test_a_new_folder_is_a_valid_task(home: Path, micl: Any, tmp_path: Path, task_type: str, modalities: Any) -> None:
    folder = tmp_path / "My Task"
    words = [word for modality in modalities for word in ("--modality", modality)]
    done = micl("tasks", "new", folder, "--type", task_type, *words)
    assert (done.code, done.out.strip()) == (0, str(folder))
    description = read_description(folder / DESCRIPTION)
    assert (description.full_name, description.type, description.modalities) == (
        "own/my-task",
        task_type,
        frozenset(modalities),
    )
    rows = [entry.row for entry in read_manifest(folder / MANIFEST, description)]
    assert [row.split for row in rows] == ["train", "val", "test"]
    if not modalities and task_type != "captioning":
        assert micl("prepare", folder).code == 0


def test_a_new_task_never_changes_what_exists(home: Path, micl: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert micl("tasks", "new", folder).code == 0
    (folder / MANIFEST).write_text("mine")
    for name in (DESCRIPTION, ""):
        done = micl("tasks", "new", folder)
        assert (done.code, "exists already" in done.err) == (2, True)
        assert (folder / MANIFEST).read_text() == "mine"
        if name:
            (folder / name).unlink()
    assert not (folder / DESCRIPTION).exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--modality", "smell"), 3),
        (("--metric", "nothing"), 4),
        (("--type", "poem"), 2),
        (("--type", "poem", "--metric", "cider"), 4),
        (("--name", "../x"), 2),
    ],
)
def test_a_new_task_of_unknown_parts_is_refused(home: Path, micl: Any, tmp_path: Path, words: Any, code: int) -> None:
    done = micl("tasks", "new", tmp_path / "mine", *words)
    assert (done.code, (tmp_path / "mine").exists()) == (code, False)


def test_a_prepared_task_is_removed_and_its_media_stay(home: Path, micl: Any, own_folders: Path) -> None:
    before = sorted(own_folders.rglob("*"))
    done = micl("tasks", "rm", "own/aud_qa", "--yes")
    assert (done.code, done.err) == (0, "removed own/aud_qa\n")
    assert not (home / "tasks/own/aud_qa").exists()
    assert sorted(own_folders.rglob("*")) == before
    assert "own/aud_qa" not in listed(micl)
    again = micl("tasks", "rm", "own/aud_qa", "--yes")
    assert (again.code, "own/aud_qa is not prepared" in again.err) == (4, True)
    assert micl("prepare", own_folders / "aud_qa").code == 0


def test_a_task_that_a_run_uses_is_only_removed_by_force(finished: str, micl: Any, isolated: Path) -> None:
    done = micl("tasks", "rm", "own/aud_qa", "--yes")
    assert (done.code, f"used by run {finished}" in done.err, "--force" in done.err) == (4, True, True)
    assert (isolated / "tasks/own/aud_qa").exists()
    assert micl("tasks", "rm", "own/aud_qa", "--yes", "--force").code == 0
    assert micl("report", finished).code == 0


def test_a_removal_is_confirmed(home: Path, micl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert micl("tasks", "rm", "own/aud_qa").code == 2
    assert (home / "tasks/own/aud_qa").exists()


def test_a_damaged_task_is_removed_and_a_link_is_not_followed(home: Path, micl: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (home / "tasks/own/aud_qa/link").symlink_to(outside)
    (home / "tasks/own/aud_qa/prepared.json").write_text("{")
    assert micl("tasks", "rm", "own/aud_qa", "--yes").code == 0
    assert (outside / "file").exists()


def test_names_cannot_lead_out_of_the_home(home: Path, micl: Any) -> None:
    done = micl("tasks", "rm", "../../x", "own/..", "--yes")
    assert done.code == 1
    assert done.err.count("is not a valid task name") == 2


def test_listing_imports_no_torch(home: Path) -> None:
    program = (
        "import sys; from micl_cli.cli.main import run; code = run(['tasks']); "
        "print(code, sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_home_without_anything_lists_what_plugins_offer(isolated: Path, micl: Any) -> None:
    shutil.rmtree(isolated, ignore_errors=True)
    assert "mini/img_cap" in listed(micl)
    assert not isolated.exists()


def test_the_command_for_a_new_task_is_quoted_and_its_folder_is_told(
    micl: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "then: micl prepare 'my tasks/one'\n" in micl("tasks", "new", "my tasks/one").err
    assert micl("tasks", "new", "own/two").code == 0
    done = micl("learn", "--strategy", "finetune", "--tasks", "own/two", "--dry-run")
    assert done.code == 3
    assert "It is a folder; prepare the task in it: micl prepare own/two\n" in done.err
