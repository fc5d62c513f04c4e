"""Presets are data: what they say, and what is told where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import resources

from micl_backbones.composed.preset import preset_digest, preset_info, read_preset
from micl_backbones.hf.load import known_checkpoints
from micl_cli.api import PlanError

WHOLE = """
name = "mine"
[language]
path = "language"
[encoder.image]
family = "conv-image"
weights = "image.safetensors"
[lora]
r = 4
alpha = 8
targets = ["q_proj"]
"""


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_embedded_preset_names_files_that_are_there() -> None:
    preset = read_preset("tiny", resources())
    assert set(preset.encoders) == {"image", "audio", "video"}
    names = [
        preset.language["path"],
        preset.language["instructions"],
        *(e["weights"] for e in preset.encoders.values()),
    ]
    assert all((preset.folder / name).exists() for name in names)
    assert "{caption}" in preset.language["question_prompt"]


def test_a_path_to_a_file_is_a_preset(tmp_path: Path) -> None:
    preset = read_preset(write(tmp_path, WHOLE), resources())
    assert (preset.name, preset.folder, preset.lora["r"]) == ("mine", tmp_path, 4)
    assert preset.training == preset.connector == {}


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(PlanError, match="no preset 'huge'") as refused:
        read_preset("huge", resources())
    assert "tiny" in refused.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"absent\.toml"):
        read_preset(str(tmp_path / "absent.toml"), resources())


def test_what_is_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"mine\.toml is not TOML"):
        read_preset(write(tmp_path, "name = "), resources())


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(WHOLE, encoding="utf-8-sig")
    marked = read_preset(str(tmp_path / "mine.toml"), resources())
    assert marked == read_preset(write(tmp_path, WHOLE), resources())


@pytest.mark.parametrize("table", ["name", "language", "encoder", "lora"])
def test_what_a_preset_lacks_is_named(tmp_path: Path, table: str) -> None:
    with pytest.raises(PlanError, match=rf"mine\.toml lacks '{table}'"):
        read_preset(write(tmp_path, WHOLE.replace(table, f"{table}s")), resources())


def test_a_changed_preset_has_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    text = '[language]\npath = "language"\n[encoder]\n[lora]\nr = 4\n'
    path.write_text('name = "own"\n' + text)
    before = preset_digest(str(path), resources())
    assert preset_digest(str(path), resources()) == before
    path.write_text('name = "own"\n' + text.replace("4", "8"))
    assert preset_digest(str(path), resources()) != before


def test_other_weights_of_the_same_size_are_another_preset(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\n[language]\ncheckpoint = "words"\n[encoder]\n[lora]\nr = 4\n')
    (tmp_path / "words").mkdir()
    weights = tmp_path / "words" / "model.safetensors"
    digests = set()
    for content in (b"\0", b"\1"):
        weights.write_bytes(content * 5_000_000)
        digests.add(preset_digest(str(path), resources()))
    assert len(digests) == 2


FETCHED = """
name = "{name}"
[language]
path = "language"
[encoder]
[lora]
[[fetch]]
package = "{package}"
version = "1"
to = "{to}"
"""


@pytest.mark.parametrize(
    ("name", "package", "to", "message"),
    [
        ("../mine", "words", "language", "not a valid preset name"),
        ("/mine", "words", "language", "not a valid preset name"),
        ("smol", "words", "language", "is the name of an in-tree preset"),
        ("mine", "../words", "language", "not a plain name"),
        ("mine", "words", "../../language", "not a plain name"),
        ("mine", "words", "/language", "not a plain name"),
        ("mine", "words", "..", "not a plain name"),
    ],
)
def test_a_preset_writes_in_a_folder_of_its_own_only(
    name: str, package: str, to: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match=message):
        read_preset(write(tmp_path, FETCHED.format(name=name, package=package, to=to)), resources())
    read_preset(write(tmp_path, FETCHED.format(name="mine", package="words-1.0", to="image.safetensors")), resources())


def test_a_hubs_checkpoints_are_named_once_and_pinned() -> None:
    preset = read_preset("micl", resources())
    names = [name for name, _ in preset.checkpoints]
    assert names == [
        "meta-llama/Llama-3.2-1B-Instruct",
        "openai/clip-vit-large-patch14",
        "MIT/ast-finetuned-audioset-10-10-0.4593",
    ]
    assert all(len(revision) == 40 for _, revision in preset.checkpoints)
    info = preset_info(preset)
    assert (info.ready, info.fetchable) == (False, True)
    assert preset.fetch_command == "micl backbones fetch micl"


def test_a_folder_beside_the_file_comes_from_no_hub(tmp_path: Path) -> None:
    text = WHOLE.replace('path = "language"', 'checkpoint = "words"')
    preset = read_preset(write(tmp_path, text), resources())
    assert preset.checkpoints == [("words", "main")]
    assert preset.fetch_command == f"micl backbones fetch composed:{tmp_path / 'mine.toml'}"
    (tmp_path / "words").mkdir()
    assert preset.checkpoints == []
    assert preset.ready


def test_known_checkpoints_say_what_they_need() -> None:
    found = known_checkpoints()
    assert len({info.name for info in found}) == len(found) > 5
    for info in found:
        assert info.modalities and info.modalities <= {"image", "audio", "video"}
        assert info.bytes > info.parameters > 1e8
        assert info.licence and info.summary and info.fetchable
