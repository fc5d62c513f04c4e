from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from micl_cli.cli import main
from micl_cli.cli.groups import Lazy
from micl_cli.errors import Interrupted, MiclError, PlanError

HEAVY = {"torch", "transformers", "sqlalchemy", "alembic", "numpy", "pluggy", "peft", "accelerate", "tqdm"}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command ``fail`` that raises what it is given."""

    def make(error: BaseException) -> None:
        @click.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(sys.modules[__name__], "fail", fail, raising=False)
        monkeypatch.setitem(main.COMMANDS, "fail", Lazy(f"{__name__}:fail", "Fail."))
        monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])

    return make


def python(code: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, check=False)


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from micl_cli.cli.main import run; code = run(['--help']);"
        f"sys.exit(code or ' '.join({HEAVY!r} & set(sys.modules)) or 0)"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    for name, lazy in main.COMMANDS.items():
        assert f"{name} " in done.stdout
        assert lazy.help in done.stdout
    assert "micl learn --strategy moincl --tasks img_cap,aud_qa" in done.stdout
    assert "MICL_HOME" in done.stdout


@pytest.mark.parametrize("name", [*main.COMMANDS])
def test_each_commands_help_is_light_and_gives_an_example(name: str) -> None:
    code = (
        "import sys; from micl_cli.cli.main import run; code = run([sys.argv[1], '--help']);"
        "sys.exit(code or ' '.join({'torch', 'transformers', 'sqlalchemy'} & set(sys.modules)) or 0)"
    )
    done = python(code, name)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example" in done.stdout
    assert f"micl {name}" in done.stdout.split("Example", 1)[1]


def test_version(micl: Any) -> None:
    assert micl("--version").out == "micl 0.1.0\n"


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "micl_cli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "micl 0.1.0\n"


def test_an_unknown_command_names_the_nearest(micl: Any) -> None:
    code, out, err = micl("lern")
    assert (code, out) == (2, "")
    assert err == "error: no command 'lern'\nhint: Did you mean 'learn'?\n"


def test_wrong_usage_is_told_in_two_lines(micl: Any) -> None:
    code, out, err = micl("plugins", "show", "--jsn")
    assert (code, out) == (2, "")
    assert err == ("error: no such option: --jsn\nhint: Did you mean '--json'? See `micl plugins show --help`.\n")


@pytest.mark.parametrize(
    ("words", "example"),
    [
        ("report", "micl report @last"),
        ("export", "micl export @last out"),
        ("export @last", "micl export @last out"),
        ("runs rm", "micl runs rm 3f2a --yes"),
    ],
)
def test_a_missing_argument_is_shown_by_an_example(micl: Any, words: str, example: str) -> None:
    code, out, err = micl(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: Missing argument ")
    assert err.endswith(f"hint: Example: {example}\n")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (PlanError("no such data", "Prepare it."), 4, "error: no such data\nhint: Prepare it.\n"),
        (MiclError("alone"), 1, "error: alone\n"),
        (MiclError("a\x1b[31m file"), 1, "error: a\\x1b[31m file\n"),
        (
            Interrupted("stopped at step 3", "Go on: micl learn --resume x"),
            130,
            "stopped at step 3\nhint: Go on: micl learn --resume x\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (EOFError(), 1, "aborted\n"),
    ],
)
def test_errors_say_what_and_the_way_out(micl: Any, failing: Any, error: Any, code: int, text: str) -> None:
    failing(error)
    done = micl("fail")
    assert (done.code, done.out, done.err.lstrip("\n")) == (code, "", text)


def test_what_was_not_foreseen_is_one_line_and_a_traceback_on_demand(
    micl: Any, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(ValueError("odd\nthing"))
    done = micl("fail")
    assert done.code == 1
    assert done.err.startswith("error: ValueError: odd thing\nhint: ")
    assert "--debug" in done.err
    assert "Traceback" in micl("--debug", "fail").err
    assert "Traceback" in micl("fail", "--debug").err
    assert "Traceback" not in micl("fail").err
    monkeypatch.setenv("MICL_DEBUG", "1")
    assert "Traceback" in micl("fail").err


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "import sys; from micl_cli.cli.main import main; sys.argv = ['micl', 'plugins', '--json']; main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


def test_a_narrow_encoding_is_no_error() -> None:
    code = "import sys; from micl_cli.cli.main import main; sys.argv = ['micl', 'l☃rn']; main()"
    done = python(code, PYTHONIOENCODING="latin-1")
    assert done.returncode == 2
    assert "\\u2603" in done.stderr


def test_home_moves_everything_for_this_command_only(micl: Any, isolated: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "other" / "config.toml") in micl("--home", "other", "config", "path").out
    assert str(isolated / "config.toml") in micl("config", "path").out


def test_home_is_passed_to_commands_and_not_put_into_the_environment(
    micl: Any, failing: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from micl_cli.cli.context import current_settings

    homes: list[tuple[Path, str]] = []

    @click.command()
    def show() -> None:
        homes.append((current_settings().home, os.environ["MICL_HOME"]))

    failing(ValueError())
    monkeypatch.setattr(sys.modules[__name__], "fail", show)
    before = os.environ["MICL_HOME"]
    assert micl("--home", "~/other", "fail").code == 0
    assert micl("fail").code == 0
    assert homes == [(tmp_path / "other", before), (Path(before), before)]


def test_files_in_the_home_of_the_flag_set_defaults(micl: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text('[plugins.list]\nkind = "metrics"\n')
    assert {line.split()[0] for line in micl("--home", "other", "plugins").out.splitlines()[1:]} == {"metrics"}
    assert len({line.split()[0] for line in micl("plugins").out.splitlines()[1:]}) > 1


def test_files_set_defaults_and_flags_and_variables_go_first(
    micl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "micl.toml").write_text('[plugins.list]\nkind = "strategies"\n')
    assert {line.split()[0] for line in micl("plugins").out.splitlines()[1:]} == {"strategies"}
    monkeypatch.setenv("MICL_PLUGINS_LIST_KIND", "metrics")
    assert {line.split()[0] for line in micl("plugins").out.splitlines()[1:]} == {"metrics"}
    assert {line.split()[0] for line in micl("plugins", "--kind", "task").out.splitlines()[1:]} == {"tasks"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lern]\n", "unknown key 'lern'\nhint: Did you mean 'learn'?"),
        ("[plugins.list]\nknd = 1\n", "unknown key 'knd' in [plugins.list]\nhint: Did you mean 'kind'?"),
        ("[plugins.list]\njson = 'perhaps'\n", "json cannot be 'perhaps'"),
        ("[plugins]\nlist = 3\n", "'list' is not a table"),
        ("plugins", "is not TOML"),
    ],
)
def test_mistakes_in_a_file_are_named(micl: Any, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "micl.toml").write_text(text)
    code, out, err = micl("plugins")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / 'micl.toml'}")
    assert message in err
    assert micl("plugins", "--help").code == 0
    assert micl("config", "path").code == 0


def test_a_distribution_adds_a_command(micl: Any, install: Any) -> None:
    source = "import click\n\n@click.command()\ndef hello():\n    click.echo('hello')\n"
    install(
        "micl-hello", entry_points="[micl.commands]\nhello = hello_command:hello\n", files={"hello_command.py": source}
    )
    assert "hello  From micl-hello." in micl("--help").out
    assert micl("hello").out == "hello\n"


@pytest.mark.parametrize("source", ["raise RuntimeError('no')", "import sys; sys.exit(3)", "bad = 3", ""])
def test_a_broken_command_costs_only_itself(micl: Any, install: Any, source: str) -> None:
    install("micl-bad", entry_points="[micl.commands]\nbad = bad_command:bad\n", files={"bad_command.py": source})
    code, _, err = micl("bad")
    assert code == 3
    assert err.startswith("error: command 'bad' of micl-bad ")
    assert "pip uninstall micl-bad" in err.splitlines()[1]
    assert micl("--help").code == 0
    assert micl("config", "path").code == 0


def complete(words: str, **env: str) -> list[str]:
    code = "import sys; from micl_cli.cli.main import main; sys.argv = ['micl']; main()"
    count = str(len(words.split(" ")) - 1)
    env = {"COMP_WORDS": words, "COMP_CWORD": count, "_MICL_COMPLETE": "bash_complete", **env}
    done = python(code, **env)
    assert done.stderr == ""
    return [line.split(",", 1)[1] for line in done.stdout.split()]


def test_the_shell_completes_commands_kinds_and_names() -> None:
    assert complete("micl pl") == ["plugins"]
    assert "strategy" in complete("micl plugins show s")
    assert complete("micl plugins show strategy moi") == ["moincl"]
    assert complete("micl completion z") == ["zsh"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("micl learn --strategy moincl -o fus", {"fusion"}),
        ("micl learn --strategy moincl -o fusion ", {"epoch", "gradual"}),
        ("micl learn --strategy moincl -o fusion = ", {"epoch", "gradual"}),
        ("micl learn --strategy moincl -o fusion = gr", {"gradual"}),
        ("micl learn --strategy moincl -o fusion=gr", {"fusion=gradual"}),
        ("micl learn --strategy = moincl -o 2 : alph", {"alpha", "alpha_rule"}),
        ("micl learn --strategy finetune -o pseudo", set()),
        ("micl learn --strategy moincl -o alpha = 0.3 --see", {"--seed"}),
        ("micl learn -b dty", {"dtype"}),
        ("micl learn -b dtype f", {"fp32"}),
        ("micl learn --recipe micl-order", {"micl-order-1", "micl-order-2"}),
        ("micl learn --benchmark mini", {"mini", "mini-tuning"}),
        ("micl backbones fetch smo", {"smol"}),
        ("micl sweep --strategy ewc,finetune -o lambda_e", {"lambda_ewc"}),
    ],
)
def test_the_shell_completes_options_and_their_values(words: str, offered: set[str]) -> None:
    assert set(complete(words)) >= offered
    assert offered or complete(words) == []


def test_the_shell_completes_names_tags_and_studies(finished: str, micl: Any) -> None:
    micl("runs", "rename", finished, "first")
    micl("runs", "tag", finished, "paper")
    assert complete("micl report fir") == ["first"]
    assert complete("micl runs --tag p") == ["paper"]
    assert complete("micl tune show x") == []


def test_the_shell_completes_what_learn_takes(tmp_path: Path) -> None:
    assert complete("micl learn --strategy fine") == ["finetune"]
    assert complete("micl learn --tasks img_cap,vid_c") == ["img_cap,vid_cap"]
    assert complete("micl learn --tasks mini/aud_q") == ["mini/aud_qa"]
    assert complete("micl report @") == []
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(micl: Any, shell: str) -> None:
    done = micl("completion", shell)
    assert done.code == 0
    assert "_MICL_COMPLETE" in done.out


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        yield from walk(inner, f"{path} {name}")


@pytest.mark.parametrize("name", [*main.COMMANDS])
def test_every_commands_help_names_its_variables_and_gives_an_example(micl: Any, name: str) -> None:
    command = main.micl.get_command(click.Context(main.micl), name)
    assert command is not None
    for path, inner in walk(command, name):
        done = micl(*path.split(), "--help")
        assert (done.code, done.err) == (0, "")
        assert "Example" in done.out
        for option in inner.params:
            if isinstance(option, click.Option) and option.expose_value:
                assert f"MICL_{path}_".replace(" ", "_").upper() in "".join(done.out.split())
                assert option.help


def test_memory_that_runs_out_in_any_command_is_told_with_remedies(failing: Any, micl: Any) -> None:
    import torch

    failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 GiB.\nMore"))
    code, _, err = micl("fail")
    assert code == 1
    assert err.startswith("error: out of memory: CUDA out of memory")
    assert "--quantize nf4" in err
