"""task.toml, as users write it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from micl_cli.data.description import LINE_KEYS, Description, description_text, is_full_name, read_description
from micl_cli.errors import ManifestError

SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
TOML = 'name = "birds"\nmodality = "image"\ntype = "captioning"\nmetric = "cider"\n'

texts = st.text(st.characters(codec="utf-8"))
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
modalities = names.filter(lambda name: name not in LINE_KEYS)


def test_reads_a_description(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text(TOML, encoding="utf-8-sig")
    description = read_description(tmp_path / "task.toml")
    assert description == Description("birds", frozenset({"image"}), "captioning", "cider")
    assert description.full_name == "own/birds"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", set()),
        ("modalities = []", set()),
        ('modalities = ["image"]', {"image"}),
        ('modalities = ["image", "audio"]', {"image", "audio"}),
    ],
)
def test_several_modalities_or_none(tmp_path: Path, line: str, expected: set[str]) -> None:
    (tmp_path / "task.toml").write_text(TOML.replace('modality = "image"', line))
    assert read_description(tmp_path / "task.toml").modalities == expected


@SHARED_FOLDER
@given(
    description=st.builds(
        Description,
        name=names,
        modalities=st.frozensets(modalities, max_size=3),
        type=names,
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
        (TOML.replace("modality", "modalty"), "unknown key 'modalty'", "Did you mean 'modality'?"),
        (TOML.replace('metric = "cider"', ""), "metric missing", "Required keys: name, type, metric"),
        (TOML + "description = 3", "description is not a string", "description ="),
        (TOML.replace("birds", "Birds of Prey"), "name = 'Birds of Prey' is not a valid name", "lowercase letters"),
        (TOML.replace("birds", "../birds"), "is not a valid name", "lowercase letters"),
        (TOML.replace("birds", "birds\\u0007"), "is not a valid name", "lowercase letters"),
        (TOML + 'benchmark = "a/b"', "benchmark = 'a/b' is not a valid name", "lowercase letters"),
        (TOML + 'benchmark = ""', "benchmark = '' is not a valid name", "lowercase letters"),
        (TOML + 'modalities = ["audio"]', "both modality and modalities", "one of them"),
        (TOML.replace('"image"', '["image"]'), "modality is not a string", "modalities = ["),
        (TOML.replace('modality = "image"', 'modalities = "image"'), "modalities is not a list", "modalities = ["),
        (TOML.replace('modality = "image"', "modalities = [3]"), "modalities is not a list", "modalities = ["),
        (TOML.replace('"image"', '"Still Image"'), "modality = 'Still Image' is not a valid name", "lowercase letters"),
        (TOML.replace('"image"', '"prompt"'), "'prompt' cannot be a modality", "keys of a manifest line"),
    ],
)
def test_malformed_description(tmp_path: Path, text: str, message: str, hint: str) -> None:
    (tmp_path / "task.toml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_description(tmp_path / "task.toml")
    assert str(tmp_path / "task.toml") in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_folder_without_a_description_names_the_files_that_belong_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"task\.toml does not exist\n.*manifest\.jsonl"):
        read_description(tmp_path / "task.toml")


@pytest.mark.parametrize(
    ("name", "good"),
    [("mini/img_cap", True), ("a/b-2", True), ("img_cap", False), ("a/b/c", False), ("../b", False), ("a/", False)],
)
def test_full_names(name: str, good: bool) -> None:
    assert is_full_name(name) is good
