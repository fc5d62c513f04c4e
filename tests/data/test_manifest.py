"""manifest.jsonl, as users write it."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.api import Media, Row
from micl_cli.data.description import LINE_KEYS, Description
from micl_cli.data.manifest import check_row, parse_row, path_fault, read_manifest, row_text, write_manifest
from micl_cli.errors import ManifestError

SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
LINE = {"id": "a", "split": "train", "image": "media/a.png", "prompt": "What?", "references": ["A bird."]}
REGISTERED = ("audio", "image", "video")


def task(*modalities: str, type: str = "qa") -> Description:
    return Description("birds", frozenset(modalities), type, "accuracy")


IMAGE, PAIR, TEXT, CHOICE = task("image"), task("image", "audio"), task(), task("image", type="choice")

texts = st.text(st.characters(codec="utf-8"))
words = texts.filter(str.strip)
printable = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True).filter(lambda name: name not in LINE_KEYS)
paths = printable.map(Path).filter(lambda path: not path_fault(path.as_posix()))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def rows(draw: st.DrawFn, modalities: frozenset[str]) -> Row:
    parts = texts.filter(bool)
    media = st.builds(Media, st.sampled_from(sorted(modalities)), paths, st.just("")) if modalities else st.nothing()
    return Row(
        draw(printable),
        draw(st.sampled_from(["train", "val", "test"])),
        tuple(draw(st.lists(media | parts, min_size=1, max_size=5))),
        tuple(draw(st.lists(words, min_size=1, max_size=3))),
        tuple(draw(st.lists(words, unique=True, max_size=3))),
        draw(st.dictionaries(texts, json_values, max_size=3)),
    )


def line(**changes: object) -> str:
    """The good line with fields changed; None takes a field away."""
    fields = {**LINE, **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not None})


def parsed(text: str, description: Description = IMAGE) -> Row:
    return parse_row(text, description, "here", REGISTERED)[0]


def media(modality: str, path: str) -> Media:
    return Media(modality, Path(path))


# Forms of a line


def test_reads_rows_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"\ufeff{line()}\r\n\n{line(id='b', image='./media//b.png')}", encoding="utf-8")
    first, second = read_manifest(path, IMAGE)
    assert first.row == Row("a", "train", (media("image", "media/a.png"), "What?"), ("A bird.",))
    assert (first.line, second.line) == (1, 3)
    assert second.row.media[0].path == Path("media/b.png")


def test_empty_prompt_is_no_content() -> None:
    assert parsed(line(prompt="")).content == (media("image", "media/a.png"),)


def test_several_modality_keys_keep_their_order() -> None:
    text = '{"id": "a", "split": "val", "audio": "a.wav", "image": "a.png", "prompt": "Same?", "references": ["no"]}'
    assert parsed(text, PAIR).content == (media("audio", "a.wav"), media("image", "a.png"), "Same?")
    reordered = text.replace('"audio": "a.wav", "image": "a.png"', '"image": "a.png", "audio": "a.wav"')
    assert parsed(reordered, PAIR).content[0].modality == "image"  # type: ignore[union-attr]


def test_text_alone() -> None:
    assert parsed(line(image=None), TEXT).content == ("What?",)
    assert parsed(line(image=None, prompt=None, content=["What?"]), IMAGE).content == ("What?",)


def test_content_of_any_order_and_number() -> None:
    content = ["First:", {"image": "a.png"}, "then", {"image": "b.png"}, "", {"audio": "c.wav"}]
    row = parsed(line(image=None, prompt=None, content=content), PAIR)
    expected = ("First:", media("image", "a.png"), "then", media("image", "b.png"), media("audio", "c.wav"))
    assert row.content == expected
    assert row.prompt == "First:\nthen"


def test_choices_and_meta() -> None:
    row = parsed(line(choices=["A bird.", "A cat."], meta={"source": "web", "size": [3, 4]}), CHOICE)
    assert row.choices == ("A bird.", "A cat.")
    assert row.meta == {"source": "web", "size": [3, 4]}
    assert parsed(line(choices=["one", "two", "three"])).choices == ("one", "two", "three")


def test_unknown_keys_are_kept_as_metadata(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join([line(), line(id="b", source="web", box=[1, 2], meta={"page": 3})]))
    first, second = read_manifest(path, IMAGE, REGISTERED)
    assert (first.row.meta, first.extra_keys) == ({}, ())
    assert second.row.meta == {"page": 3, "source": "web", "box": [1, 2]}
    assert second.extra_keys == ("source", "box")


@pytest.mark.parametrize("key", ["img", "question", "image_id", "metadata", "ids", "depth"])
def test_keys_that_resemble_no_known_one_are_metadata(key: str) -> None:
    assert parsed(line(**{key: "x"})).meta == {key: "x"}


# Writing


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            Row("a", "train", (media("image", "a.png"), "Größe?"), ("x", "y")),
            '{"id": "a", "split": "train", "image": "a.png", "prompt": "Größe?", "references": ["x", "y"]}',
        ),
        (
            Row("a", "train", (media("image", "a.png"),), ("x",)),
            '{"id": "a", "split": "train", "image": "a.png", "prompt": "", "references": ["x"]}',
        ),
        (
            Row("a", "test", (media("image", "a.png"), media("image", "b.png"), "?"), ("x",), ("x", "y"), {"n": 1}),
            '{"id": "a", "split": "test", "content": [{"image": "a.png"}, {"image": "b.png"}, "?"], '
            '"references": ["x"], "choices": ["x", "y"], "meta": {"n": 1}}',
        ),
        (
            Row("a", "test", ("?",), ("x",)),
            '{"id": "a", "split": "test", "content": ["?"], "references": ["x"]}',
        ),
    ],
)
def test_canonical_line(row: Row, expected: str) -> None:
    assert row_text(row) == expected


@given(data=st.data(), modalities=st.frozensets(names, max_size=3))
def test_row_survives_writing(data: st.DataObject, modalities: frozenset[str]) -> None:
    row = data.draw(rows(modalities))
    text = row_text(row)
    assert parse_row(text, task(*modalities), "here", modalities) == (row, ())
    assert "\n" not in text


@SHARED_FOLDER
@given(some=st.lists(rows(frozenset({"audio", "image"})), unique_by=lambda row: row.id, max_size=4))
def test_manifest_survives_writing(tmp_path: Path, some: list[Row]) -> None:
    write_manifest(tmp_path / "manifest.jsonl", some)
    assert [entry.row for entry in read_manifest(tmp_path / "manifest.jsonl", PAIR)] == some


# Malformed lines


@SHARED_FOLDER
@given(content=st.binary() | st.text(st.sampled_from('{}[]":,\\u0trainge \n')).map(str.encode))
def test_any_bytes_give_rows_or_a_manifest_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(content)
    try:
        assert not list(read_manifest(path, IMAGE))
    except ManifestError as error:
        assert error.message.startswith(f"{path}:")
        assert error.hint


@given(line=st.dictionaries(st.sampled_from([*LINE_KEYS, "image", "audio", "other"]), json_values | st.just("val")))
def test_any_object_gives_a_row_or_a_manifest_error(line: dict[str, Any]) -> None:
    try:
        row = parse_row(json.dumps(line), IMAGE, "here", REGISTERED)[0]
    except ManifestError as error:
        assert error.message.startswith("here: ")
        assert error.hint
    else:
        assert parse_row(row_text(row), IMAGE, "here") == (row, ())


@pytest.mark.parametrize(
    ("bad", "message", "hint"),
    [
        ("{'id': 'a'}", "not JSON", '"references": ["…"]'),
        ("[" * 100_000, "not JSON", "Write"),
        ("[]", "not a JSON object", "Write"),
        ('{"id": "a", "id": "b"}', "not JSON: duplicate key 'id'", ""),
        (line(weather=float("nan")), "not JSON: NaN", "Write"),
        (line(prompt=None), "prompt missing", "Required keys:"),
        (line(image=None), "image missing", 'without media, write "content": ["…"]'),
        (line(image=None, picture="a.png"), "image missing", "Required keys: id, split, image, prompt, references."),
        (line(references=None, refrences=["A bird."]), "unknown key 'refrences'", "Did you mean 'references'?"),
        (line(prompts=["What?"]), "unknown key 'prompts'", "Did you mean 'prompt'? For metadata"),
        (line(images=["a.png"]), "unknown key 'images'", "Did you mean 'image'?"),
        (
            line(image=None, audio="a.wav"),
            "the medium is under 'audio', and the task's modality is 'image'",
            'Write "image": "a.wav", or modality = "audio" in task.toml.',
        ),
        (line(audio="a.wav"), "the medium is under 'audio'", 'modalities = ["audio", "image"] in task.toml'),
        (line(id=3), "id is not a string", "in quotes"),
        (line(prompt=["What?"]), "prompt is not a string", "in quotes"),
        (line(references="A bird."), "references is not a list of strings", "references"),
        (line(references=["A bird.", 3]), "references is not a list of strings", "references"),
        (line(references=[]), "references are missing or empty", "at least one"),
        (line(references=["A bird.", " "]), "references are missing or empty", "at least one"),
        (line(split="validation"), "unknown split 'validation'", "Use one of train, val, test."),
        (line(id=""), "id '' is empty", "printable"),
        (line(id="a\x1b[31m"), "control characters", "printable"),
        (line(image="/etc/passwd"), "the path '/etc/passwd' is absolute", "relative"),
        (line(image="C:/a.png"), "is absolute", "relative"),
        (line(image="./C:/a.png"), "is absolute", "relative"),
        (line(image="media/../../a.png"), "leads out of the folder by '..'", "inside"),
        (line(image="\\\\server\\a.png"), "is absolute", "relative"),
        (line(image="media\\..\\..\\a.png"), "leads out of the folder by '..'", "inside"),
        (line(image="a\u202egnp.png"), "control characters", "relative"),
        (line(image="a\u2028b.png"), "control characters", "relative"),
        (line(id="a\u2066b"), "control characters", "printable"),
        (line(meta={"a": [[[[[[]]]]]]}).replace("[[]]", "[" * 200 + "]" * 200), "more than 100 levels", "Write"),
        (line(image="a\0.png"), "control characters", "relative"),
        (line(image=""), "is empty", "relative"),
        (line(prompt="\ud800"), "surrogate", "UTF-8"),
        (line(meta={"a": "\ud800"}), "surrogate", "UTF-8"),
        (line(content=["What?"]), "both content and 'prompt' are given", "Move it into content"),
        (line(prompt=None, content=["What?"]), "both content and 'image' are given", "Move it into content"),
        (line(prompt=None, image=None, content="What?"), "content is not a list", '"content": ['),
        (line(prompt=None, image=None, content=[]), "neither a medium nor a text", "at least one"),
        (line(prompt=None, image=None, content=[""]), "neither a medium nor a text", "at least one"),
        (line(prompt=None, image=None, content=["?", 3]), "item 2 of content is neither", "for a medium"),
        (line(prompt=None, image=None, content=[{"image": 3}]), "item 1 of content is neither", "for a medium"),
        (line(prompt=None, image=None, content=[{"image": "a", "b": "c"}]), "item 1 of content", "for a medium"),
        (
            line(prompt=None, image=None, content=[{"audio": "a.wav"}]),
            "'audio' is not a modality of the task",
            'write modalities = ["audio", "image"] in task.toml',
        ),
        (
            line(prompt=None, image=None, content=[{"imgae": "a.png"}]),
            "'imgae' is not a modality of the task",
            "Did you mean 'image'?",
        ),
        (line(prompt=None, image=None, content=[{"image": "../a"}]), "the path '../a' leads out", "relative"),
        (line(choices="A"), "choices is not a list of strings", "choices"),
        (line(choices=["A", "A"]), "a choice is empty or repeated", "once"),
        (line(choices=["A", " "]), "a choice is empty or repeated", "once"),
        (line(meta=["web"]), "meta is not an object", '"meta": {'),
        (line(source=1, meta={"source": 2}), "'source' is both in the line and in its meta", "Leave one"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, bad: str, message: str, hint: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"{line(id='first')}\n{bad}\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        list(read_manifest(path, IMAGE, REGISTERED))
    assert caught.value.message.startswith(f"{path}:2: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 4
    assert caught.value.message.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "Screenshot at 9.22.20\u202fPM.png",
        "v\u00a013.05.png",
        "写真\u3000一.png",
        "می\u200cخواهم.png",
        "family \U0001f468\u200d\U0001f469\u200d\U0001f467.png",
        "\u05d0\u200f.png",
        "t:1.png",
    ],
)
def test_names_of_ordinary_writing_are_accepted(name: str) -> None:
    row = parsed(line(id=name, image=name))
    assert (row.id, row.media[0].path) == (name, Path(name))


@pytest.mark.parametrize(
    ("path", "windows", "fault"),
    [
        ("a\\b.png", True, "contains a backslash (write / between folders)"),
        ("a\\b.png", False, ""),
        ("t:1.png", True, "is absolute"),
        ("t:1.png", False, ""),
        ("C:\\a.png", False, "is absolute"),
    ],
)
def test_separators_of_windows(path: str, windows: bool, fault: str) -> None:
    assert path_fault(path, windows) == fault


@pytest.mark.parametrize(
    ("bad", "description", "message", "hint"),
    [
        (line(), TEXT, "the medium is under 'image', and the task declares no modality", 'Write modality = "image" in'),
        (line(image=None, prompt=""), TEXT, "neither a medium nor a text", "at least one"),
        (line(image=None), PAIR, "audio or image missing", "Required keys: id, split, audio or image, prompt"),
        (
            line(video="a.mp4"),
            PAIR,
            "the task declares 'audio' and 'image'",
            'modalities = ["audio", "image", "video"]',
        ),
        (line(), CHOICE, "choices are missing", 'at least two: "choices"'),
        (line(choices=["A bird."]), CHOICE, "choices are missing", "at least two"),
        (
            line(choices=["A cat.", "A dog."]),
            CHOICE,
            "'A bird.' is not one of the choices",
            "one of 'A cat.', 'A dog.'",
        ),
    ],
)
def test_line_that_does_not_fit_its_task(bad: str, description: Description, message: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parsed(bad, description)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_metadata_of_a_source_must_be_json() -> None:
    row = Row("a", "train", ("?",), ("x",), meta={"path": Path("a")})
    with pytest.raises(ManifestError, match="meta cannot be written as JSON"):
        check_row(row, TEXT, "here")


def test_missing_manifest_names_the_files_that_belong_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.jsonl does not exist"):
        list(read_manifest(tmp_path / "manifest.jsonl", IMAGE))


def test_line_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(line().encode() + b"\n\xff\n")
    with pytest.raises(ManifestError, match=r"manifest\.jsonl:2: it is not UTF-8"):
        list(read_manifest(path, IMAGE))


def test_repeated_id_names_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(line(id=name) for name in string.ascii_lowercase[:3] + "b"))
    with pytest.raises(ManifestError, match=r"manifest\.jsonl:4: id 'b' is also the id of line 2"):
        list(read_manifest(path, IMAGE))
