"""``micl push`` against a hub on this machine: what is uploaded, what is not, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uploads import Repository, UploadHub, taking_uploads

import micl_cli

FINETUNE = ("--strategy", "finetune")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[UploadHub]:
    """An empty hub that is the hub of this process, with the token of a user who may write."""
    with taking_uploads(UploadHub()) as site:
        for name, value in {
            "ENDPOINT": site.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": site.address + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        monkeypatch.setenv("HF_TOKEN", site.token)
        yield site


def test_an_export_is_uploaded_and_loaded_from_there(
    hub: UploadHub, at_home: Any, stored_answers: Any, micl: Any, preset: Path, tmp_path: Path
) -> None:
    run = at_home("composed", *FINETUNE)
    done = micl("push", run, "hf:me/colours", "--private")
    assert (done.code, done.out) == (0, f"{hub.address}/me/colours\n"), done.err
    repository = hub.repositories["me/colours"]
    assert repository.private
    expected = {"README.md", "micl.json", "adapter_config.json", "adapter_model.safetensors"}
    assert expected < set(repository.files)
    assert "micl_cli.load_export('me/colours')" in repository.files["README.md"].decode()
    assert not list((tmp_path / "home").glob(".push-*"))
    asked = stored_answers(run, "own/img_cap")[0]
    model = micl_cli.load_export("me/colours", base=f"composed:{preset}")
    assert model.answer(asked["prompt"], image=asked["path"]) == asked["answer"]


def test_no_folder_and_no_token_of_this_machine_is_uploaded_or_shown(
    hub: UploadHub, at_home: Any, micl: Any, preset: Path, tmp_path: Path
) -> None:
    run = at_home("composed", *FINETUNE)
    done = micl("--debug", "push", run, "hf:me/colours")
    assert done.code == 0
    assert hub.tokens == {hub.token}
    content = b"".join(hub.repositories["me/colours"].files.values())
    for secret in (hub.token, str(tmp_path), str(preset.parent)):
        assert secret.encode() not in content
        assert hub.token not in done.out + done.err
    assert json.loads(hub.repositories["me/colours"].files["micl.json"])["plan"]["backbone"] == "composed:small.toml"


def test_the_folder_of_a_checkpoint_is_named_without_its_place(
    hub: UploadHub, at_home: Any, micl: Any, folders: Any, tmp_path: Path
) -> None:
    run = at_home("hf", *FINETUNE)
    assert micl("push", run, "hf:me/colours").code == 0
    files = hub.repositories["me/colours"].files
    assert str(folders("llava").parent).encode() not in b"".join(files.values())
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "llava"
    assert "base, folder = 'llava', 'me/colours'" in files["README.md"].decode()


def test_a_later_export_replaces_the_files_of_an_earlier_one_only(hub: UploadHub, at_home: Any, micl: Any) -> None:
    run = at_home("composed", *FINETUNE)
    document = json.dumps({"files": {"expert[1]/adapter_config.json": {}}}).encode()
    old = {"micl.json": document, "expert[1]/adapter_config.json": b"{}", "README.md": b"old"}
    others = {".gitattributes": b"", "expert1/notes.txt": b"mine", "LICENSE": b"mine"}
    hub.repositories["me/colours"] = Repository(False, old | others)
    done = micl("push", run, "hf:me/colours", "--stage", "1")
    assert done.code == 0, done.err
    files = hub.repositories["me/colours"].files
    assert "expert[1]/adapter_config.json" not in files
    assert others.items() <= files.items()
    assert files["README.md"] != b"old"


def test_a_damaged_export_is_not_replaced(hub: UploadHub, at_home: Any, micl: Any) -> None:
    run = at_home("composed", *FINETUNE)
    old = {"micl.json": b"{}", "weights.safetensors": b"weights"}
    hub.repositories["me/colours"] = Repository(False, dict(old))
    done = micl("push", run, "hf:me/colours")
    assert done.code == 2
    assert "me/colours holds an export with a damaged micl.json" in done.err
    assert hub.repositories["me/colours"].files == old


@pytest.mark.parametrize(
    ("target", "words", "code", "message"),
    [
        ("hf:me/public", ("--private",), 2, "me/public exists and is public"),
        ("hf:me/public", (), 2, "me/public exists and is not an export of micl"),
        ("me/colours", (), 2, "'me/colours' does not name a repository on the hub"),
        ("hf:colours", (), 2, "does not name a repository on the hub"),
        ("hf:me/a..b", (), 2, "is not a valid id"),
        ("hf:me/colours", ("--format", "vllm"), 4, "vLLM cannot serve this model"),
    ],
    ids=["public", "other-files", "no-scheme", "no-owner", "invalid", "format"],
)
def test_what_cannot_be_uploaded_leaves_the_hub_as_it_is(
    target: str, words: tuple[str, ...], code: int, message: str, hub: UploadHub, at_home: Any, micl: Any
) -> None:
    run = at_home("composed", *FINETUNE)
    hub.repositories["me/public"] = Repository(False, {"model.safetensors": b"weights"})
    done = micl("push", run, target, *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "hint: " in done.err
    assert hub.repositories == {"me/public": Repository(False, {"model.safetensors": b"weights"})}


def test_a_wrong_token_is_told_and_not_shown(
    hub: UploadHub, at_home: Any, micl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = at_home("composed", *FINETUNE)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_and_secret_token")
    done = micl("push", run, "hf:me/colours")
    assert done.code == 1
    assert "the hub does not know who you are" in done.err
    assert "hf auth login" in done.err
    assert "hf_wrong_and_secret_token" not in done.err


def test_offline_mode_is_respected(hub: UploadHub, at_home: Any, micl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = at_home("composed", *FINETUNE)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = micl("push", run, "hf:me/colours")
    assert (done.code, done.out) == (1, "")
    assert "offline mode is set" in done.err
    assert not hub.repositories
