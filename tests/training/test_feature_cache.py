from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from micl_cli.api.task import Media
from micl_cli.training import feature_cache
from micl_cli.training.feature_cache import Features


def image(digest: str) -> Media:
    return Media("image", digest=digest)


class Encoder:
    """Counts what it is asked for; a medium's features are its digest's number."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, media: Sequence[Media]) -> Tensor:
        self.asked += [medium.digest for medium in media]
        return torch.stack([torch.full((2, 3), float(medium.digest or 7)) for medium in media])


def test_each_medium_is_computed_once_and_kept_for_the_next_process(tmp_path: Path) -> None:
    encoder, cache = Encoder(), Features(tmp_path)
    wanted = [image("1"), image("2"), image("1")]
    found = cache("key", wanted, encoder)
    assert found[:, 0, 0].tolist() == [1.0, 2.0, 1.0]
    assert encoder.asked == ["1", "2"]
    cache.flush()
    again = Features(tmp_path)
    assert torch.equal(again("key", wanted, encoder), found)
    assert again("key", [image("3")], encoder).shape == (1, 2, 3)
    assert encoder.asked == ["1", "2", "3"]
    again.flush()
    assert len(list((tmp_path / "key").iterdir())) == 2  # shards are only added


def test_other_keys_are_other_features(tmp_path: Path) -> None:
    encoder, cache = Encoder(), Features(tmp_path)
    for key in ("a", "b"):
        cache(key, [image("1")], encoder)
    assert encoder.asked == ["1", "1"]


def test_media_without_a_digest_are_computed_each_time(tmp_path: Path) -> None:
    encoder, cache = Encoder(), Features(tmp_path)
    for _ in range(2):
        assert cache("key", [image("")], encoder)[0, 0, 0] == 7
    cache.flush()
    assert encoder.asked == ["", ""]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_many_are_written_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "SHARD", 2)
    cache = Features(tmp_path)
    cache("key", [image("1"), image("2")], Encoder())
    assert list((tmp_path / "key").glob("*.safetensors"))
    assert cache("key", [image("2")], Encoder())[0, 0, 0] == 2


def test_one_flipped_bit_is_noticed_and_computed_again_once(tmp_path: Path) -> None:
    cache = Features(tmp_path)
    cache("key", [image("1"), image("2")], Encoder())
    cache.flush()
    (shard,) = (tmp_path / "key").iterdir()
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    for asked in (["2"], ["1"]):  # the damaged shard is gone, with what was intact in it
        encoder, again = Encoder(), Features(tmp_path)
        assert again("key", [image("1"), image("2")], encoder)[:, 0, 0].tolist() == [1, 2]
        assert encoder.asked == asked
        again.flush()


def test_features_without_a_digest_are_computed_again(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    save_file({"1": torch.zeros(2, 3)}, tmp_path / "key" / "old.safetensors")
    assert Features(tmp_path)("key", [image("1")], Encoder())[0, 0, 0] == 1
    assert not list((tmp_path / "key").iterdir())


@pytest.mark.parametrize("content", [b"", b"nonsense that is no header at all"])
def test_a_damaged_shard_is_computed_again(tmp_path: Path, content: bytes) -> None:
    cache = Features(tmp_path)
    cache("key", [image("1")], Encoder())
    cache.flush()
    (shard,) = (tmp_path / "key").iterdir()
    shard.write_bytes(content)
    encoder, again = Encoder(), Features(tmp_path)
    assert again("key", [image("1")], encoder)[0, 0, 0] == 1
    assert encoder.asked == ["1"]
    again.flush()
    assert Features(tmp_path)("key", [image("1")], Encoder())[0, 0, 0] == 1


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    """Each in an order of its own, in small shards, with a limit that makes both of them remove some."""
    code = """
import sys, torch
from pathlib import Path
from micl_cli.api.task import Media
from micl_cli.training import feature_cache
feature_cache.SHARD = 5
folder, order = Path(sys.argv[1]), int(sys.argv[2])
cache = feature_cache.Features(folder, limit=60_000)
for turn in range(3):
    for number in range(200)[::order]:
        image = Media("image", digest=str(number))
        found = cache("key", [image], lambda media: torch.full((1, 2, 3), float(media[0].digest)))
        assert (found == number).all(), (number, found)
cache.flush()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen([*command, order], stderr=subprocess.PIPE, text=True) for order in ("1", "-1")]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    encoder, again = Encoder(), Features(tmp_path)
    numbers = [str(number) for number in range(200)]
    found = again("key", [image(number) for number in numbers], encoder)
    assert found[:, 0, 0].tolist() == [float(number) for number in numbers]
    assert len(encoder.asked) < 200
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".safetensors"]


def test_a_folder_that_cannot_be_written_costs_speed_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    encoder, cache = Encoder(), Features(tmp_path / "file")
    for _ in range(2):
        assert cache("key", [image("1")], encoder)[0, 0, 0] == 1
        cache.flush()
    assert encoder.asked == ["1"]


def filled(folder: Path, *keys: str) -> None:
    """A shard of one medium for each key, the first used longest ago."""
    for age, key in enumerate(keys):
        cache = Features(folder)
        cache(key, [image("1")], Encoder())
        cache.flush()
        (path,) = (folder / key).iterdir()
        os.utime(path, (1_000_000 + age, 1_000_000 + age))


def test_the_cache_is_bounded_and_what_was_used_last_stays(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b", "c")
    size = feature_cache.stored_features(tmp_path)[0].bytes
    Features(tmp_path)("a", [image("1")], Encoder())  # used again
    bounded = Features(tmp_path, limit=3 * size)
    bounded("d", [image("1")], Encoder())
    bounded.flush()
    assert {each.key for each in feature_cache.stored_features(tmp_path)} == {"a", "c", "d"}
    assert sum(each.bytes for each in feature_cache.stored_features(tmp_path)) <= 3 * size


def test_a_full_cache_that_cannot_be_emptied_costs_speed_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, "a")
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: (_ for _ in ()).throw(PermissionError(path)))
    encoder, cache = Encoder(), Features(tmp_path, limit=feature_cache.stored_features(tmp_path)[0].bytes + 10)
    for _ in range(2):
        assert cache("b", [image("1")], encoder)[0, 0, 0] == 1
        cache.flush()
    assert encoder.asked == ["1"]


def test_what_cannot_be_written_is_not_prepared_for_it_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "SHARD", 2)
    monkeypatch.setattr(feature_cache, "save", lambda tensors: pytest.fail("there is no room for it"))
    cache = Features(tmp_path, limit=0)
    for _ in range(3):
        cache("key", [image("1"), image("2"), image("3")], Encoder())


@pytest.mark.parametrize("limit", [0, 10])
def test_a_limit_below_a_shard_keeps_nothing_and_changes_no_feature(tmp_path: Path, limit: int) -> None:
    encoder, cache = Encoder(), Features(tmp_path, limit)
    for _ in range(2):
        assert cache("key", [image("1")], encoder)[0, 0, 0] == 1
        cache.flush()
    assert encoder.asked == ["1"]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_more_media_than_there_is_room_for_leave_a_part_known(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    size = feature_cache.stored_features(tmp_path)[0].bytes
    cache = Features(tmp_path, limit=2 * size)
    for digest in "1234":
        cache("a", [image(digest)], Encoder())
        cache.flush()
    encoder, again = Encoder(), Features(tmp_path, limit=2 * size)
    again("a", [image(digest) for digest in "1234"], encoder)
    assert encoder.asked == ["3", "4"]


def test_memory_is_bounded_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = Encoder()([image("1")]).nbytes
    monkeypatch.setattr(feature_cache, "SHARD_BYTES", size)
    monkeypatch.setattr(feature_cache, "IN_MEMORY", 3 * size)
    encoder, cache = Encoder(), Features(tmp_path, limit=0)
    for digest in "1212312":
        assert cache("key", [image(digest)], encoder)[0, 0, 0] == int(digest)
    assert encoder.asked == ["1", "2", "3", "1", "2"]


def test_what_another_process_removed_is_still_read(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    encoder, cache = Encoder(), Features(tmp_path)
    cache("a", [image("1")], encoder)
    feature_cache.remove_features(tmp_path, "a")
    assert cache("a", [image("1")], encoder)[0, 0, 0] == 1
    assert encoder.asked == []
    assert Features(tmp_path)("a", [image("1")], encoder)[0, 0, 0] == 1
    assert encoder.asked == ["1"]


def test_only_what_lies_in_the_cache_is_forgotten(tmp_path: Path) -> None:
    filled(tmp_path / "features", "a")
    (tmp_path / "other").mkdir()
    for key in ("../other", "a/..", ""):
        feature_cache.remove_features(tmp_path / "features", key)
    assert (tmp_path / "other").exists()
    assert feature_cache.stored_features(tmp_path / "features")
