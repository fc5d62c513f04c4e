from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from micl_cli.errors import UsageError
from micl_cli.settings import _wait_policy, config_paths, library_messages, load_settings, prepare_process


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_home_moves_everything(isolated: Path) -> None:
    settings = load_settings()
    assert settings.home == isolated
    assert settings.store_url == f"sqlite:///{isolated / 'micl.db'}"
    assert (settings.runs, settings.tasks, settings.features) == (
        isolated / "runs",
        isolated / "tasks",
        isolated / "features",
    )
    assert settings.sources == {
        "home": "MICL_HOME",
        **dict.fromkeys(("store", "cache_limit", "judge_model"), "default"),
    }
    assert not isolated.exists()


def test_without_a_home_the_platforms_folders_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MICL_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    settings = load_settings()
    assert settings.sources["home"] == "default"
    assert settings.home.name == "micl"
    assert config_paths()[0].parts[-2:] == ("micl", "config.toml")


def test_a_home_that_is_passed_goes_first(isolated: Path, tmp_path: Path) -> None:
    write(tmp_path / "other" / "config.toml", "[learn]\nseed = 3\n")
    write(isolated / "config.toml", "[learn]\nseed = 4\n")
    settings = load_settings(tmp_path / "other")
    assert (settings.home, settings.sources["home"]) == (tmp_path / "other", "flag --home")
    assert settings.store_url == f"sqlite:///{tmp_path / 'other' / 'micl.db'}"
    assert settings.values("learn")["seed"][0] == 3
    assert os.environ["MICL_HOME"] == str(isolated)


def test_listeners_have_tables_of_their_own(isolated: Path, tmp_path: Path) -> None:
    user = write(isolated / "config.toml", "[listen.my-log]\nat-most = 3\npath = 'a'\n[listen.bell]\n")
    project = write(tmp_path / "micl.toml", "[listen.my-log]\npath = 'b'\n")
    settings = load_settings()
    settings.check({"": ["learn"]})
    assert settings.listener_names == ("my-log", "bell")
    assert settings.listener_options("my-log") == {"at_most": (3, str(user)), "path": ("b", str(project))}
    assert settings.listener_options("none") == {}


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICL_HOME", "here")
    assert load_settings().home == tmp_path / "here"


def test_the_store_is_any_database_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICL_STORE", "postgresql://host/runs")
    assert load_settings().store_url == "postgresql://host/runs"
    monkeypatch.setenv("MICL_STORE", "runs.db")
    with pytest.raises(UsageError, match=r"write sqlite:///.*runs\.db"):
        load_settings()


def test_the_nearer_file_goes_first_and_the_environment_before_it(
    isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = write(isolated / "config.toml", 'store = "sqlite:///user.db"\n[learn]\nseed = 1\nstrategy = "joint"\n')
    project = write(tmp_path / "micl.toml", 'store = "sqlite:///project.db"\n[learn]\nstrategy = "moincl"\n')
    settings = load_settings()
    assert settings.store_url == "sqlite:///project.db"
    assert settings.sources["store"] == str(project)
    assert settings.values("learn") == {"seed": (1, str(user)), "strategy": ("moincl", str(project))}
    monkeypatch.setenv("MICL_STORE", "sqlite:///env.db")
    assert load_settings().store_url == "sqlite:///env.db"


def test_a_home_in_a_file_is_meant_from_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MICL_HOME")
    write(tmp_path / "micl.toml", 'home = "kept"\n')
    assert load_settings().home == tmp_path / "kept"


def test_options_of_parts_become_pairs(isolated: Path, tmp_path: Path) -> None:
    write(isolated / "config.toml", "[learn.options]\nalpha = 0.1\ntemperature = 2.0\n")
    write(tmp_path / "micl.toml", '[learn.options]\nalpha = 0.3\n"2:alpha" = 0.5\n[learn.options.3]\nalpha = 0.8\n')
    settings = load_settings()
    assert settings.options("learn") == {"alpha": 0.3, "temperature": 2.0, "2:alpha": 0.5, "3:alpha": 0.8}
    pairs, source = settings.values("learn")["options"]
    assert ("3:alpha", 0.8) in pairs
    assert source == str(tmp_path / "micl.toml")


def test_keys_may_be_written_like_flags(tmp_path: Path) -> None:
    write(tmp_path / "micl.toml", "[learn]\nmax-steps = 10\n[runs.ls]\nlimit = 3\n")
    assert load_settings().values("learn")["max_steps"][0] == 10
    assert load_settings().values("runs ls")["limit"][0] == 3


def test_unknown_keys_name_file_key_and_nearest(tmp_path: Path) -> None:
    file = write(tmp_path / "micl.toml", '[lern]\nstrategy = "joint"\n[runs]\nlimt = 3\n')
    settings = load_settings()
    with pytest.raises(UsageError) as caught:
        settings.check({"": ["learn", "runs"]})
    assert caught.value.message == f"{file}: unknown key 'lern'"
    assert caught.value.hint == "Did you mean 'learn'?"
    with pytest.raises(UsageError) as caught:
        settings.check({"runs": ["limit"]})
    assert (caught.value.message, caught.value.hint) == (
        f"{file}: unknown key 'limt' in [runs]",
        "Did you mean 'limit'?",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learn\n", "is not TOML"),
        ("store = 3\n", "store is 3"),
        ("home = ''\n", "home is ''"),
        ("\xff", "is not TOML"),
        ("learn." * 20_000 + "seed = 3", "is not TOML: a key or value has more than 16 levels"),
        ("n\0a\0=\x001\0", "is not TOML: it is UTF-16"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.delenv("MICL_HOME")
    (tmp_path / "micl.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=message) as caught:
        load_settings()
    assert str(tmp_path / "micl.toml") in caught.value.message


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "micl.toml").write_bytes(b"\xef\xbb\xbf[learn]\r\nseed = 3\r\n")
    assert load_settings().values("learn") == {"seed": (3, str(tmp_path / "micl.toml"))}


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "micl.toml")
    with pytest.raises(UsageError, match=r"cannot be read: it is not a regular file"):
        load_settings()


def test_a_folder_in_a_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "micl.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        load_settings()


@pytest.mark.parametrize("text", ["learn = 3\n", "[learn]\noptions = 3\n"])
def test_a_value_in_a_tables_place_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path / "micl.toml", text)
    with pytest.raises(UsageError, match="is not a table"):
        load_settings().values("learn")


def test_what_the_user_set_for_libraries_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    prepare_process()
    assert not logging.getLogger("bitsandbytes.cextension").isEnabledFor(logging.ERROR)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


@pytest.mark.parametrize(
    ("load", "policy"),
    [("0.13 1.09 1.58 1/90 4711\n", "ACTIVE"), ("0.13 1.09 1.58 2/90 4711\n", "PASSIVE"), ("", "PASSIVE")],
)
def test_threads_spin_only_where_nothing_else_runs(tmp_path: Path, load: str, policy: str) -> None:
    (tmp_path / "loadavg").write_text(load)
    assert _wait_policy(tmp_path / "loadavg") == policy
    assert _wait_policy(tmp_path / "none") == "PASSIVE"


def test_messages_of_libraries_are_hidden_unless_asked_for(recwarn: pytest.WarningsRecorder) -> None:
    with library_messages():
        warnings.warn("old", UserWarning, stacklevel=1)
    assert not recwarn.list
    with library_messages(shown=True), pytest.warns(UserWarning, match="old"):
        warnings.warn("old", UserWarning, stacklevel=1)


def test_settings_are_light() -> None:
    code = "import sys, micl_cli.settings; print({'click', 'pluggy', 'torch', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("file", ["micl.toml", "home/config.toml"])
def test_store_is_a_setting_as_text_and_a_command_as_a_table(tmp_path: Path, file: str) -> None:
    path = write(tmp_path / file, 'store = "sqlite:///mine.db"\n')
    settings = load_settings()
    assert (settings.store_url, settings.sources["store"]) == ("sqlite:///mine.db", str(path))
    assert settings.values("store check") == {}
    settings.check({"": ["learn", "store"], "store": ["check"], "store check": ["json"]})
    write(tmp_path / file, "[store.check]\njson = true\n")
    assert load_settings().sources["store"] == "default"
    assert load_settings().values("store check") == {"json": (True, str(path))}


def test_a_backbone_in_a_file_is_relative_to_that_file(isolated: Path, tmp_path: Path) -> None:
    write(isolated / "mine.toml", "")
    user = write(isolated / "config.toml", '[learn]\nbackbone = "composed:mine.toml"\n[sweep]\nbackbone = "hf:a/b"\n')
    settings = load_settings()
    assert settings.values("learn")["backbone"] == (f"composed:{isolated / 'mine.toml'}", str(user))
    assert settings.values("sweep")["backbone"] == ("hf:a/b", str(user)), "an id of a hub"
    project = write(tmp_path / "micl.toml", '[learn]\nbackbone = "micl-x:hf:model"\n')
    (tmp_path / "model").mkdir()
    assert load_settings().values("learn")["backbone"] == (f"micl-x:hf:{tmp_path / 'model'}", str(project))
    write(project, '[learn]\nbackbone = "tiny"\n')
    assert load_settings().values("learn")["backbone"] == ("tiny", str(project))


def test_a_judge_is_a_hub_id_or_a_folder_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().judge_model == ""
    write(tmp_path / "micl.toml", 'judge_model = "owner/judge"\n')
    assert load_settings().judge_model == "owner/judge"
    (tmp_path / "owner" / "judge").mkdir(parents=True)
    settings = load_settings()
    assert (settings.judge_model, settings.sources["judge_model"]) == (
        str(tmp_path / "owner" / "judge"),
        str(tmp_path / "micl.toml"),
    )
    settings.check({"": ["learn"]})
    monkeypatch.setenv("MICL_JUDGE_MODEL", "other/judge")
    assert load_settings().judge_model == "other/judge"
