"""Checkpoints of a hub: whole, checked, resumed, and used without a network then. The hub is on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoints import build
from hubsite import COMMIT, Hub, serving
from languages import write_encoders, write_language

FETCH = """
import json, sys
from micl_backbones.weights.hub import fetch_checkpoint, is_cached
from micl_cli.api import PlanError

for word in sys.argv[1:]:
    name, _, revision = word.partition("@")
    told = {"error": "", "hint": "", "told": []}
    try:
        fetch_checkpoint(name, revision or "main", lambda *now: told["told"].append(now))
    except PlanError as error:
        told |= {"error": error.message, "hint": error.hint}
    print(json.dumps({**told, "here": is_cached(name, revision or "main")}))
"""
MINE = f"""
name = "mine"
[language]
checkpoint = "test/words"
revision = "{COMMIT}"
[encoder.image]
family = "hf-vision"
checkpoint = "test/clip"
grid = 2
[encoder.video]
family = "hf-vision"
checkpoint = "test/clip"
grid = 2
frames = 2
[lora]
r = 4
alpha = 8
targets = ["q_proj"]
"""


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small checkpoint, and beside it what a hub's folder may hold besides."""
    folder = build("llava", tmp_path_factory.mktemp("hub") / "llava")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    (folder / "README.md").write_text("# A model")
    return folder


@pytest.fixture
def hub(llava: Path) -> Iterator[Hub]:
    with serving(Hub({"test/llava": llava})) as site:
        yield site


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python where this hub is the hub, with a cache of its own."""

    def call(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        hub_env = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        more = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **env}
        command = [sys.executable, *words]
        return subprocess.run(
            command, env={**os.environ, **hub_env, **more}, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture
def fetch(python: Any) -> Callable[..., list[dict[str, Any]]]:
    """Fetch checkpoints, ID or ID@REVISION: what was told of each."""

    def call(*names: str, **env: str) -> list[dict[str, Any]]:
        done = python("-c", FETCH, *names, **env)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return call


def cached(tmp_path: Path, name: str) -> Path:
    return tmp_path / "hf" / "hub" / f"models--{name.replace('/', '--')}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test/llava", f"test/llava@{COMMIT}"], ids=["newest", "pinned"])
def test_what_is_fetched_works_without_a_network(python: Any, hub: Hub, home: Path, name: str) -> None:
    fetched = python("-m", "micl_cli", "backbones", "fetch", f"hf:{name}")
    assert fetched.returncode == 0, fetched.stderr
    lines = fetched.stderr.splitlines()
    assert lines[-1] == f"{name} is downloaded and works without a network"
    assert sum(line.startswith("downloading test/llava (") for line in lines) == 1
    hub.folders.clear()
    learn = ["learn", "--strategy", "finetune", "--tasks", "own/img_cap", "--dry-run", "--backbone"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:1"}
    done = python("-m", "micl_cli", *learn, f"hf:{name}", **offline)
    assert done.returncode == 0, done.stderr
    assert f"hf:{name}" in done.stdout
    again = python("-m", "micl_cli", "backbones", "fetch", f"hf:{name}", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    other = python("-m", "micl_cli", *learn, "hf:test/llava@v9", **offline)
    assert other.returncode == 4
    assert "Fetch it: micl backbones fetch hf:test/llava@v9" in other.stderr


def test_only_what_is_read_is_fetched(fetch: Any, hub: Hub, llava: Path, tmp_path: Path) -> None:
    (told,) = fetch("test/llava")
    assert (told["error"], told["here"]) == ("", True)
    snapshot = cached(tmp_path, "test/llava") / "snapshots" / COMMIT
    left = {"pytorch_model.bin", "original", "README.md"}
    assert {path.name for path in snapshot.iterdir()} == {path.name for path in llava.iterdir()} - left
    assert (cached(tmp_path, "test/llava") / "refs" / "main").read_text() == COMMIT
    assert {asked.file for asked in hub.asked} == {"model.safetensors"}
    name, done, total = told["told"][-1]
    assert (name, done) == ("test/llava", total)
    assert total > (llava / "model.safetensors").stat().st_size


def test_a_broken_download_goes_on(fetch: Any, hub: Hub, llava: Path, tmp_path: Path) -> None:
    hub.most = 100_000
    size = (llava / "model.safetensors").stat().st_size
    assert size > 150_000
    (broken,) = fetch("test/llava")
    assert "the download of test/llava/model.safetensors failed: 100000 of" in broken["error"]
    assert "resumes the download" in broken["hint"]
    assert not broken["here"]
    assert not list((cached(tmp_path, "test/llava") / "snapshots").rglob("*.safetensors"))
    hub.most = 1 << 40
    (whole,) = fetch("test/llava")
    assert (whole["error"], whole["here"]) == ("", True)
    assert [asked.range for asked in hub.asked] == [None, "bytes=100000-"]
    assert whole["told"][0][1] > 100_000, "what was there counts"
    snapshot = cached(tmp_path, "test/llava") / "snapshots" / COMMIT
    assert (snapshot / "model.safetensors").read_bytes() == (llava / "model.safetensors").read_bytes()


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_other_bytes_than_stated_are_deleted(fetch: Any, hub: Hub, file: str, tmp_path: Path) -> None:
    hub.wrong = {file}
    (told,) = fetch("test/llava")
    assert f"{file} does not match " in told["error"]
    assert "It was deleted" in told["hint"]
    assert not told["here"]
    assert not list(cached(tmp_path, "test/llava").rglob(file))
    assert not [
        path for path in cached(tmp_path, "test/llava").rglob("*") if path.is_file() and not any(path.read_bytes())
    ]


def test_what_a_hub_refuses(fetch: Any, hub: Hub, llava: Path, tmp_path: Path) -> None:
    hub.folders["test/gated"] = llava
    hub.gated = {"test/gated"}
    only = tmp_path / "pickled"
    only.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (only / name).write_bytes((llava / name).read_bytes())
    hub.folders["test/pickled"] = only
    gated, unknown, revision, pickled, wrong = fetch(
        "test/gated", "test/none", "test/llava@v9", "test/pickled", "no/such/id"
    )
    assert gated["error"] == "the checkpoint test/gated is gated"
    assert f"{hub.address}/test/gated" in gated["hint"]
    assert "hf auth login" in gated["hint"]
    assert unknown["error"] == "the hub has no checkpoint test/none"
    assert revision["error"] == "the checkpoint test/llava has no revision v9"
    assert "has no safetensors" in pickled["error"]
    assert "is neither a hub id nor a folder" in wrong["error"]
    assert not hub.asked


def test_a_token_opens_what_is_gated_and_goes_to_the_hub_alone(fetch: Any, hub: Hub) -> None:
    hub.gated = {"test/llava"}
    (told,) = fetch("test/llava", HF_TOKEN="hf_secret")
    assert (told["error"], told["here"]) == ("", True)
    assert [asked.token for asked in hub.asked] == [None]


def test_no_network_and_no_wish_for_one(fetch: Any) -> None:
    (offline,) = fetch("test/llava", HF_HUB_OFFLINE="1")
    assert offline["error"] == "test/llava has not been fetched, and offline mode is set"
    assert "HF_HUB_OFFLINE" in offline["hint"]
    (nowhere,) = fetch("test/llava", HF_ENDPOINT="http://127.0.0.1:1")
    assert "cannot be fetched from http://127.0.0.1:1" in nowhere["error"]
    assert "network" in nowhere["hint"]


def test_weights_in_several_files(fetch: Any, hub: Hub, llava: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for name in weight_map.values():
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / "consolidated.safetensors").write_bytes(b"a copy")
    (folder / "config.json").write_bytes((llava / "config.json").read_bytes())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    hub.folders["test/shards"] = folder
    (told,) = fetch(f"test/shards@{COMMIT}")
    assert (told["error"], told["here"]) == ("", True)
    assert [asked.file for asked in hub.asked] == sorted(weight_map.values())
    snapshot = cached(tmp_path, "test/shards") / "snapshots" / COMMIT
    (snapshot / weight_map["b"]).unlink()
    (offline,) = fetch(f"test/shards@{COMMIT}", HF_HUB_OFFLINE="1")
    assert not offline["here"]


@pytest.mark.slow
def test_a_preset_of_ones_own_is_fetched_whole(python: Any, hub: Hub, home: Path, tmp_path: Path) -> None:
    write_language(tmp_path / "hub" / "words")
    write_encoders(tmp_path / "hub")
    hub.folders |= {f"test/{name}": tmp_path / "hub" / name for name in ("words", "clip")}
    (tmp_path / "mine.toml").write_text(MINE)
    words = ["learn", "--backbone", "composed:mine.toml", "--strategy", "finetune", "--tasks", "own/img_cap"]
    early = python("-m", "micl_cli", *words, "--dry-run", HF_HUB_OFFLINE="1")
    assert early.returncode == 4
    assert f"hint: Fetch them: micl backbones fetch composed:{tmp_path / 'mine.toml'}" in early.stderr
    fetched = python("-m", "micl_cli", "backbones", "fetch", "composed:mine.toml")
    assert fetched.returncode == 0, fetched.stderr
    assert [asked.file for asked in hub.asked] == ["model.safetensors"] * 2, "the encoders share one"
    done = python("-m", "micl_cli", *words, "--dry-run", HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr


LEARN = ("learn", "--strategy", "finetune", "--tasks", "own/img_cap", "--backbone")
RESOLVE = """
import json, sys
from pathlib import Path
from micl_backbones.composed.backbone import Composed
from micl_backbones.hf.backbone import HF
from micl_cli.api import PlanError, Resources
from micl_cli.registry import Registry

held = Resources(Path("home"), Registry.discover().load)
cls, preset = (Composed if sys.argv[1].endswith(".toml") else HF), sys.argv[1]
try:
    cls.download_missing(preset, lambda *told: None, held)
    print(json.dumps([cls.resolve(preset, held), cls.digest(preset, held), ""]))
except PlanError as error:
    print(json.dumps(["", "", str(error)]))
"""


@pytest.fixture
def resolve(python: Any) -> Callable[..., list[str]]:
    """Download what is missing of a base model: how a plan records it, its digest, and the error."""

    def call(preset: str, **env: str) -> list[str]:
        done = python("-c", RESOLVE, preset, **env)
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        return found

    return call


def test_a_plan_records_the_commit_of_a_hub_id(resolve: Any, fetch: Any, hub: Hub) -> None:
    assert resolve("test/llava", HF_HUB_OFFLINE="1") == ["test/llava", "test/llava", ""]
    first = [f"test/llava@{COMMIT}", f"test/llava@{COMMIT}", ""]
    assert resolve("test/llava") == first
    hub.commit = "b" * 40
    assert resolve("test/llava") == first, "a moved hub changes nothing by itself"
    fetch("test/llava")
    assert resolve("test/llava")[0] == f"test/llava@{hub.commit}"
    assert resolve(f"test/llava@{COMMIT}") == first, "the former commit is still there"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_what_a_run_downloads_is_checked_like_a_fetch(resolve: Any, hub: Hub, tmp_path: Path, file: str) -> None:
    hub.wrong = {file}
    assert f"{file} does not match" in resolve("test/llava")[2]
    assert not list(cached(tmp_path, "test/llava").rglob(file))


def test_weights_replaced_in_the_cache_are_refused(resolve: Any, tmp_path: Path) -> None:
    resolve("test/llava")
    (snapshot,) = (cached(tmp_path, "test/llava") / "snapshots").iterdir()
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    assert (
        "model.safetensors of the checkpoint test/llava has changed since it was downloaded" in resolve("test/llava")[2]
    )


def test_an_unpinned_part_of_a_preset_counts_by_its_commit(
    resolve: Any, fetch: Any, hub: Hub, llava: Path, tmp_path: Path
) -> None:
    hub.folders |= {"test/words": llava, "test/clip": llava}
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    name, first, error = resolve(str(path))
    assert (name, error) == (str(path), "")
    assert resolve(str(path)) == [name, first, ""]
    hub.commit = "b" * 40
    fetch("test/clip")
    assert resolve(str(path))[1] != first


@pytest.mark.slow
def test_learn_downloads_by_itself_and_records_the_commit(python: Any, hub: Hub, home: Path) -> None:
    done = python("-m", "micl_cli", *LEARN, "hf:test/llava", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("downloading test/llava (") == 1
    assert f"hf:test/llava@{COMMIT}" in done.stdout
    assert {asked.file for asked in hub.asked} == {"model.safetensors"}
