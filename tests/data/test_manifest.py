"""task.toml and manifest.jsonl, as users write them."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.api import Row
from micl_cli.data.manifest import (
    Description,
    check_name,
    description_text,
    parse_row,
    path_fault,
    read_description,
    read_manifest,
    row_text,
    write_manifest,
)
from micl_cli.errors import ManifestError

SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
TOML = 'name = "birds"\nmodality = "image"\ntype = "captioning"\nmetric = "cider"\n'
LINE = {"id": "a", "split": "train", "image": "media/a.png", "prompt": "What?", "references": ["A bird."]}

texts = st.text(st.characters(codec="utf-8"))
words = texts.filter(str.strip)
printable = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
paths = printable.filter(lambda text: not path_fault(text))
rows = st.builds(
    Row, printable, st.sampled_from(["train", "val", "test"]), paths, texts, st.lists(words, min_size=1).map(tuple)
)


def line(**changes: object) -> str:
    """The good line with fields changed; None takes a field away."""
    fields = {**LINE, **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not None})


# task.toml


def test_reads_a_description(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TOML, encoding="utf-8-sig")
    description = read_description(tmp_path / "task.toml")
    assert description == Description("birds", "image", "captioning", "cider")
    assert description.full_name == "own/birds"


@SHARED_FOLDER
@given(
    description=st.builds(
        Description,
        name=names,
        modality=names,
        kind=names,
        metric=names,
        benchmark=names,
        description=texts,
        instruction=texts,
    )
)
def test_description_survives_writing(tmp_path: Path, description: Description) -> None:
    path = tmp_path / "task.toml"
    path.write_text(description_text(description), encoding="utf-8", newline="\n")
    assert read_description(path) == description


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name = birds", "task.toml: not TOML", "line"),
        (TOML.replace("metric", "metrik"), "unknown key 'metrik'", "Did you mean 'metric'?"),
        (TOML.replace('metric = "cider"', ""), "metric missing", "Needed are name, modality, type, metric"),
        (TOML + "description = 3", "description is not a text", "description ="),
        (TOML.replace("birds", "Birds of Prey"), "name = 'Birds of Prey' is no name", "small letters"),
        (TOML.replace("birds", "../birds"), "is no name", "small letters"),
        (TOML.replace("birds", "birds\\u0007"), "is no name", "small letters"),
        (TOML + 'benchmark = "a/b"', "benchmark = 'a/b' is no name", "small letters"),
        (TOML + 'benchmark = ""', "benchmark = '' is no name", "small letters"),
    ],
)
def test_malformed_description(tmp_path: Path, text: str, message: str, hint: str) -> None:
    (tmp_path / "task.toml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_description(tmp_path / "task.toml")
    assert str(tmp_path / "task.toml") in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_folder_without_a_description_is_told_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"task\.toml does not exist\n.*manifest\.jsonl"):
        read_description(tmp_path / "task.toml")
    with pytest.raises(ManifestError, match=r"manifest\.jsonl does not exist"):
        list(read_manifest(tmp_path / "manifest.jsonl", "image"))


@pytest.mark.parametrize(
    ("name", "good"),
    [("mini/img_cap", True), ("a/b-2", True), ("img_cap", False), ("a/b/c", False), ("../b", False), ("a/", False)],
)
def test_full_names(name: str, good: bool) -> None:
    assert check_name(name) is good


# manifest.jsonl


def test_reads_rows_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"\ufeff{line()}\r\n\n{line(id='b', image='./media//b.png')}", encoding="utf-8")
    first, second = read_manifest(path, "image")
    assert first.row == Row("a", "train", "media/a.png", "What?", ("A bird.",))
    assert (first.line, second.line) == (1, 3)
    assert second.row.media == "media/b.png"


@given(row=rows, modality=names.filter(lambda name: name not in LINE or name == "image"))
def test_row_survives_writing(row: Row, modality: str) -> None:
    text = row_text(row, modality)
    again = parse_row(text, modality, "here")
    assert row_text(again, modality) == row_text(parse_row(row_text(again, modality), modality, "here"), modality)
    assert (again.id, again.split, again.prompt, again.references) == (row.id, row.split, row.prompt, row.references)
    assert "\n" not in text


@SHARED_FOLDER
@given(some=st.lists(rows, unique_by=lambda row: row.id, max_size=4))
def test_manifest_survives_writing(tmp_path: Path, some: list[Row]) -> None:
    write_manifest(tmp_path / "manifest.jsonl", some, "audio")
    found = [entry.row for entry in read_manifest(tmp_path / "manifest.jsonl", "audio")]
    assert [(row.id, row.prompt, row.references) for row in found] == [
        (row.id, row.prompt, row.references) for row in some
    ]


@SHARED_FOLDER
@given(content=st.binary() | st.text(st.sampled_from('{}[]":,\\u0trainge \n')).map(str.encode))
def test_any_bytes_give_rows_or_a_manifest_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(content)
    try:
        assert not list(read_manifest(path, "image"))
    except ManifestError as error:
        assert error.message.startswith(f"{path}:")
        assert error.hint


@pytest.mark.parametrize(
    ("bad", "message", "hint"),
    [
        ("{'id': 'a'}", "not JSON", '"references": ["…"]'),
        ("[" * 100_000, "not JSON", "A line reads"),
        ("[]", "not a JSON object", "A line reads"),
        ('{"id": "a", "id": "b"}', "not JSON: key 'id' stands twice", ""),
        (line(prompt=None), "prompt missing", "Needed are"),
        (line(references=None, refrences=["A bird."]), "unknown key 'refrences'", "Did you mean 'references'?"),
        (line(weather="fine"), "unknown key 'weather'", "Known are id, split, image"),
        (
            line(image=None, audio="a.wav"),
            "the medium is under 'audio', and the task's modality is 'image'",
            "set modal",
        ),
        (line(audio="a.wav"), "unknown key 'audio'", "Known are"),
        (line(id=3), "id is not a text", "in quotes"),
        (line(prompt=["What?"]), "prompt is not a text", "in quotes"),
        (line(references="A bird."), "references is not a list of texts", "references"),
        (line(references=["A bird.", 3]), "references is not a list of texts", "references"),
        (line(references=[]), "references are missing or empty", "at least one"),
        (line(references=["A bird.", " "]), "references are missing or empty", "at least one"),
        (line(split="validation"), "split 'validation' is unknown", "It is one of train, val, test."),
        (line(id=""), "id '' is empty", "printable"),
        (line(id="a\x1b[31m"), "control characters", "printable"),
        (line(image="/etc/passwd"), "the path '/etc/passwd' is absolute", "relative"),
        (line(image="C:/a.png"), "is absolute", "relative"),
        (line(image="media/../../a.png"), "leads out of its folder by '..'", "inside"),
        (line(image="media\\a.png"), "holds a backslash", "relative"),
        (line(image="a\0.png"), "control characters", "relative"),
        (line(image=""), "is empty", "relative"),
        (line(prompt="\ud800"), "surrogate", "UTF-8"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, bad: str, message: str, hint: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"{line(id='first')}\n{bad}\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        list(read_manifest(path, "image"))
    assert caught.value.message.startswith(f"{path}:2: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 4
    assert caught.value.message.replace("\n", "").isprintable()


def test_line_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(line().encode() + b"\n\xff\n")
    with pytest.raises(ManifestError, match=r"manifest\.jsonl:2: not UTF-8"):
        list(read_manifest(path, "image"))


def test_repeated_id_names_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(line(id=name) for name in string.ascii_lowercase[:3] + "b"))
    with pytest.raises(ManifestError, match=r"manifest\.jsonl:4: id 'b' is already that of line 2"):
        list(read_manifest(path, "image"))
