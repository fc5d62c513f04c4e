"""Tasks prepared by the previous version can be opened."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from micl_cli.data.preparation import prepare_folder
from micl_cli.data.prepared import open_task
from micl_cli.errors import PlanError

TOML = """benchmark = "own"
name = "letters"
modality = "letter"
type = "qa"
metric = "accuracy"
"""
MANIFEST = """{"id": "1", "split": "train", "letter": "media/1.txt", "prompt": "Größe?", "references": ["a", "A"]}
{"id": "2", "split": "train", "letter": "media/2.txt", "prompt": "", "references": ["b"]}
{"id": "3", "split": "test", "letter": "media/3.txt", "prompt": "Which?", "references": ["a"]}
"""
A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
B = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
RECORD: dict[str, Any] = {
    "format": 1,
    "sha256": "81413fd3ea14318f70776d1a4e07ae4ba6f172b50f5c7f4125244a82dc1df6b5",
    "counts": {"train": 2, "val": 0, "test": 1},
    "answers": ["A", "a", "b"],
    "media": {
        "media/1.txt": {"size": 1, "mtime_ns": 1795728422975044513, "sha256": A, "facts": {"letters": 1}},
        "media/2.txt": {"size": 1, "mtime_ns": 1795728422975147675, "sha256": B, "facts": {"letters": 1}},
        "media/3.txt": {"size": 1, "mtime_ns": 1795728422975252921, "sha256": A, "facts": {"letters": 1}},
    },
    "refused": [],
    "root": None,
    "manifest": None,
    "described": "",
}
OWN = {
    "manifest": {
        "size": 296,
        "mtime_ns": 1795728422975444088,
        "sha256": "f1bd12e522072a4e07a9b94166f750b75413cefe096f766468bf23ed0f29dbf3",
        "facts": {},
    },
    "described": "e0bad1cddf7f848eb64b056fe385f1c7548083d3dcc02128830436201dd97b9b",
}


def write(folder: Path, record: dict[str, Any], media: Path) -> None:
    """Write a prepared folder in the format of the previous version, and its media."""
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text(TOML, encoding="utf-8")
    (folder / "manifest.jsonl").write_text(MANIFEST, encoding="utf-8")
    (folder / "prepared.json").write_text(json.dumps(record), encoding="utf-8")
    (media / "media").mkdir(parents=True)
    for name, letter in (("1", "a"), ("2", "b"), ("3", "a")):
        (media / f"media/{name}.txt").write_text(letter)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home/tasks/own/letters"


def test_task_of_the_former_version(folder: Path, tmp_path: Path) -> None:
    write(folder, RECORD, folder)
    task = open_task("own/letters", tmp_path / "home")
    assert (task.modalities, task.type, task.answers) == (frozenset({"letter"}), "qa", ("A", "a", "b"))
    assert task.longest_reference in ("A", "a", "b")  # computed, as its record does not have it
    assert [example.prompt for example in task.examples("train")] == ["Größe?", ""]
    medium = task.examples("train")[1].media[0]
    assert (medium.modality, medium.path, medium.digest) == ("letter", folder / "media/2.txt", B)


def test_users_folder_prepared_by_the_former_version(folder: Path, tmp_path: Path, readers: Any) -> None:
    own = tmp_path / "own"
    write(folder, {**RECORD, **OWN, "root": str(own)}, own)
    (own / "task.toml").write_text(TOML.partition("\n")[2])
    lines = (json.loads(line) for line in MANIFEST.splitlines())
    (own / "manifest.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    task = open_task("own/letters", tmp_path / "home")
    assert task.sha256 == RECORD["sha256"]
    assert prepare_folder(own, tmp_path / "home", readers.__getitem__).task == task


def test_record_of_another_format_asks_to_prepare_anew(folder: Path, tmp_path: Path) -> None:
    write(folder, {**RECORD, "format": 99}, folder)
    with pytest.raises(PlanError, match=r"cannot be read: .*\nDelete the folder .* and prepare the task again"):
        open_task("own/letters", tmp_path / "home")


# Damage


def mutations(record: dict[str, Any], seed: int) -> Iterator[str]:
    """Yield damaged texts of a JSON document: other types, values and nesting, missing keys, cut and flipped bytes."""
    rng = random.Random(seed)
    values = [None, -1, 1 << 80, 1.5, float("nan"), True, "", "\0", "../x", [], [[]], {}, {"a": {}}]
    paths = list(places(record))
    for _ in range(180):
        damaged = copy.deepcopy(record)
        *above, last = rng.choice(paths)
        holder: Any = damaged
        for key in above:
            holder = holder[key]
        act = rng.choice(("delete", "replace", "replace", "nest", "rename"))
        if act == "delete":
            del holder[last]
        elif act == "nest":
            holder[last] = [holder[last]]
        elif act == "rename" and isinstance(holder, dict):
            holder[f"{last}x"] = holder.pop(last)
        else:
            holder[last] = rng.choice(values)
        yield json.dumps(damaged)
    text = json.dumps(record)
    for _ in range(60):
        cut = rng.randrange(len(text))
        yield rng.choice([text[:cut], text[:cut] + rng.choice("0{]\x00é") + text[cut + 1 :], text + text[cut:]])
    yield from ("", "[]", "3", "null", "[" * 100_000, '{"format": 2}', "\ufeff", "NaN")


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value inside a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from places(inner, (*above, key))


def test_damaged_record_is_refused_with_the_way_out(folder: Path, tmp_path: Path, readers: Any) -> None:
    source = tmp_path / "own"
    write(source, RECORD, source)
    prepare_folder(source, tmp_path / "home", readers.__getitem__)
    path = folder / "prepared.json"
    intact = path.read_text(encoding="utf-8")
    task = open_task("own/letters", tmp_path / "home")
    for text in mutations(json.loads(intact), seed=1):
        path.write_text(text, encoding="utf-8")
        same = text == intact or (text.startswith("{") and _canonical(text) == _canonical(intact))  # 1 is not true
        if same:
            assert open_task("own/letters", tmp_path / "home") == task
            continue
        with pytest.raises(PlanError) as caught:
            open_task("own/letters", tmp_path / "home")
        assert "repare" in caught.value.hint, text
    assert prepare_folder(source, tmp_path / "home", readers.__getitem__).task.sha256 == task.sha256
    assert path.read_text(encoding="utf-8") == intact


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return ""


def test_damaged_record_of_the_former_version_is_never_unforeseen(folder: Path, tmp_path: Path) -> None:
    write(folder, RECORD, folder)
    refused = 0
    for text in mutations(RECORD, seed=2):
        (folder / "prepared.json").write_text(text, encoding="utf-8")
        try:
            open_task("own/letters", tmp_path / "home")
        except PlanError as error:
            assert "repare" in error.hint, text
            refused += 1
    assert refused > 150


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("task.toml", 'name = "letters"', 'name = "others"'),
        ("task.toml", 'type = "qa"', 'type = "captioning"'),
        ("task.toml", 'type = "qa"', 'type = "qa"\ndescription = "other"'),
        ("task.toml", 'metric = "accuracy"', ""),
        ("manifest.jsonl", '"1"', '"9"'),
        ("manifest.jsonl", '"split": "train"', '"split": "val"'),
        ("manifest.jsonl", '"Größe?"', '"Farbe?"'),
        ("manifest.jsonl", "media/1.txt", "media/9.txt"),
        ("manifest.jsonl", "{", "["),
    ],
)
def test_damaged_files_of_a_prepared_task(
    folder: Path, tmp_path: Path, readers: Any, file: str, old: str, new: str
) -> None:
    source = tmp_path / "own"
    write(source, RECORD, source)
    prepare_folder(source, tmp_path / "home", readers.__getitem__)
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(PlanError, match=r"damaged\n.*micl prepare"):
        open_task("own/letters", tmp_path / "home")
