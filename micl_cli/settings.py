"""Settings and their precedence: flag > MICL_* > ./micl.toml > user config > default.

This module reads the configuration files, the home folder and the store's URL. Flags and the MICL_* variables of
single commands are read by the command line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from micl_cli.errors import UsageError, nearest
from micl_cli.io.text import read_toml
from micl_cli.redaction import redact_url, remember_secrets

PROJECT_FILE = "micl.toml"
USER_FILE = "config.toml"
OPTIONS = "options"
"""The subtable of a command's table with strategy options, as ``-o`` sets them."""
SECTIONS = ("training", "evaluation")
"""The subtables with the settings of training and evaluation, by their names in a plan."""
LISTEN = "listen"
"""The table with the options of listeners, in one subtable each: ``[listen.NAME]``."""

Form = Callable[[Mapping[str, Any], str], Mapping[str, Any]]
"""Returns the table of a file, whose path it receives for messages, in another form."""
_BACKBONE = "backbone"
"""The name of a backbone and its argument, which may be a path relative to the file that sets it."""
TRUST = "trust_remote_code"
"""The option that lets a checkpoint run its own code."""
_TOP_LEVEL = ("home", "store", "cache_limit", "judge_model", LISTEN)
_STORE = "store"
"""The name of both a setting (a string, the URL) and a command (a table)."""
_LIBRARY_DEFAULTS = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file and its parsed content."""

    path: Path
    table: Mapping[str, Any]

    def section(self, command: str) -> Mapping[str, Any]:
        """Return the table of a command ("learn", "runs ls"), with underscores in its keys.

        Raises UsageError if the value is not a table.
        """
        table: Any = self.table
        if command.split()[:1] == [_STORE] and isinstance(table.get(_STORE), str):
            return {}
        for word in command.split():
            table = table.get(word, {})
            if not isinstance(table, dict):
                raise UsageError(f"{self.path}: {word!r} is not a table", f"Write [{command.replace(' ', '.')}].")
        return {key.replace("-", "_"): value for key, value in table.items()}


DEFAULT_CACHE = "20GB"
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[KMGT]?B?)", re.IGNORECASE | re.ASCII)
_UNITS: Mapping[str, int] = {f"{unit}{b}": 1000**power for power, unit in enumerate(("", *"KMGT")) for b in ("", "B")}


@dataclass(frozen=True)
class Settings:
    """The settings of one command. ``files`` are in order of precedence, lowest first.

    ``sources`` holds the sources of ``home``, ``store``, ``cache_limit`` and ``judge_model``.
    """

    home: Path
    store_url: str
    files: tuple[ConfigFile, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    cache_limit: int = 20 * 1000**3
    """The maximum size of the encoder feature cache in bytes; 0 disables it."""
    judge_model: str = ""
    """The folder or hub id of the language model that judges answers, or empty if none is set."""

    @property
    def runs(self) -> Path:
        """The folder of run checkpoints, one subfolder per run."""
        return self.home / "runs"

    @property
    def tasks(self) -> Path:
        """The folder of prepared tasks, ``benchmark/name``."""
        return self.home / "tasks"

    @property
    def recipes(self) -> Path:
        """The folder of the user's own recipes, such as those of ``micl tune freeze``."""
        return self.home / "recipes"

    @property
    def features(self) -> Path:
        """The folder of cached encoder features."""
        return self.home / "features"

    @property
    def downloads(self) -> Path:
        """The folder of data that registered tasks download, one subfolder per benchmark."""
        return self.home / "downloads"

    def values(self, command: str, form: Form | None = None) -> dict[str, tuple[Any, str]]:
        """Return the values that the files set for a command ("learn", "runs ls") as (value, file path) by parameter.

        Strategy options are returned as ``options``, a list of (name, value) pairs, with ``3:name`` for the third task.
        ``form`` is applied to the command's table of each file before the tables are merged.
        """
        values = self._values(command, form)
        if _BACKBONE in values:
            value, source = values[_BACKBONE]
            values[_BACKBONE] = (located_backbone(value, Path(source).parent), source)
        if OPTIONS in values:
            values[OPTIONS] = (list(self.options(command).items()), values[OPTIONS][1])
        return values

    @property
    def listener_names(self) -> tuple[str, ...]:
        """The listeners for which the files have a ``[listen.NAME]`` table."""
        tables = [file.table[LISTEN] for file in self.files if file.section(LISTEN)]
        return tuple(dict.fromkeys(name for table in tables for name in table))

    def listener_options(self, name: str) -> dict[str, tuple[Any, str]]:
        """Return the options in ``[listen.NAME]`` of the files as (value, file path) by name."""
        return self._values(f"{LISTEN} {name}")

    def _values(self, section: str, form: Form | None = None) -> dict[str, tuple[Any, str]]:
        tables = [(file.section(section), str(file.path)) for file in self.files]
        formed = [(form(table, path) if form else table, path) for table, path in tables]
        return {key: (value, path) for table, path in formed for key, value in table.items()}

    def options(self, command: str) -> dict[str, Any]:
        """Return the strategy options that the files set for a command by name; ``micl.toml`` takes precedence."""
        options: dict[str, Any] = {}
        for file in self.files:
            table = file.section(command).get(OPTIONS, {})
            if not isinstance(table, dict):
                raise UsageError(f"{file.path}: 'options' is not a table", f"Write [{command}.{OPTIONS}].")
            options |= _flat(table)
        return options

    def check(self, known: Mapping[str, Iterable[str]]) -> None:
        """Raise UsageError for a key that is not in ``known``, with the file and a similar known key.

        ``known`` maps commands to the keys of their tables, and "" to the names of the tables.
        """
        for file in self.files:
            for command, names in known.items():
                self._check_section(file, command, {*names, *(() if command else _TOP_LEVEL)})

    @staticmethod
    def _check_section(file: ConfigFile, command: str, names: set[str]) -> None:
        for key in file.section(command):
            if key not in names:
                where = f" in [{command.replace(' ', '.')}]" if command else ""
                hint = nearest(key, names) or f"Known: {', '.join(sorted(names))}."
                raise UsageError(f"{file.path}: unknown key {key!r}{where}", hint)


def load_settings(home: Path | None = None) -> Settings:
    """Read the environment and the configuration files, without writing anything.

    ``home`` is the home folder from the command line, which takes precedence. Raises UsageError if a file cannot be
    read, is not TOML, or has an invalid ``home``, ``store``, ``cache_limit`` or ``judge_model``.
    """
    files = tuple(file for path in config_paths(home) if (file := _read(path)))
    for file in files:
        if file.path.name == PROJECT_FILE:
            refuse_trust(file.table, file.path)
    chosen, home_source = (str(home), "flag --home") if home else _first("home", files)
    root = Path(chosen).expanduser().absolute() if chosen else _default_home()
    url, url_source = _first("store", files)
    remember_secrets(url)
    if url and "://" not in url:
        raise UsageError(
            f"the store {redact_url(url)!r} (from {url_source}) is not a database URL",
            f"For a file, write {redact_url(file_url(Path(url)))}",
        )
    limit, limit_source = _first("cache_limit", files)
    judge, judge_source = _first("judge_model", files)
    by_name = {"home": home_source, "store": url_source, "cache_limit": limit_source, "judge_model": judge_source}
    sources = {name: source or "default" for name, source in by_name.items()}
    size = parse_size(limit or DEFAULT_CACHE, limit_source)
    return Settings(root, url or file_url(root / "micl.db"), files, sources, size, judge)


def file_url(path: Path) -> str:
    """Return the SQLAlchemy URL of an SQLite file; characters of the path that mean something in a URL are escaped."""
    # URL.create does the same, but SQLAlchemy takes longer to import than most commands.
    text = str(path.absolute())
    for character in "%?#":
        text = text.replace(character, f"%{ord(character):02X}")
    return f"sqlite:///{text}"


def parse_size(text: str, source: str = "") -> int:
    """Return the number of bytes for "20GB", "500 MB" or "0". Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        where = f" (from {source})" if source else ""
        raise UsageError(f"{text!r}{where} is not a size", "Examples: 20GB, 500MB, or 0 to disable the cache.")
    return round(float(match["number"]) * _UNITS[match["unit"].upper()])


def config_paths(home: Path | None = None) -> list[Path]:
    """Return the paths of the configuration files, lowest precedence first."""
    return [_user_folder(home) / USER_FILE, Path.cwd() / PROJECT_FILE]


def prepare_process() -> None:
    """Set the environment variables that libraries read on import, unless the user has set them.

    Must be called before torch is imported.
    """
    # bitsandbytes logs which native routines it could not load, on import and in use.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    if not sys.warnoptions:
        # FutureWarnings of libraries are for developers, not for users of micl.
        warnings.simplefilter("ignore", FutureWarning)
    for name, value in {**_LIBRARY_DEFAULTS, "OMP_WAIT_POLICY": _wait_policy()}.items():
        os.environ.setdefault(name, value)


@contextmanager
def library_messages(shown: bool = False) -> Iterator[None]:
    """Hide the warnings and log messages of libraries during the block, unless ``shown``."""
    if shown:
        yield
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # read when transformers is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _wait_policy(load: Path = Path("/proc/loadavg")) -> str:
    """Return the wait policy of idle OpenMP threads: spinning on an idle machine, else sleeping.

    Spinning saves a third of a step's time on two idle cores, but makes small models many times slower on a busy
    machine.
    """
    try:
        running = int(load.read_text().split()[3].partition("/")[0])  # this process is one of them
    except (OSError, ValueError, IndexError):
        return "PASSIVE"
    return "ACTIVE" if running <= 1 else "PASSIVE"


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by name; those in a table ``3``, for the third task, are named ``3:name``."""
    options: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            options |= {f"{key}:{name}": inner for name, inner in value.items()}
        else:
            options[key] = value
    return options


def _first(key: str, files: Iterable[ConfigFile]) -> tuple[str, str]:
    """Return (value, source) of a top-level setting; empty strings if nothing sets it."""
    variable = f"MICL_{key.upper()}"
    if value := os.environ.get(variable, ""):
        return value, variable
    setting, source = "", ""
    for file in files:
        entry = file.table.get(key)
        if entry is None or (key == _STORE and isinstance(entry, dict)):
            continue
        if not isinstance(entry, str) or not entry:
            raise UsageError(f"{file.path}: {key} is {entry!r}", f"{key} must be a string in quotes.")
        setting, source = _resolved(key, entry, file.path), str(file.path)
    return setting, source


def _resolved(key: str, value: str, file: Path) -> str:
    """Return ``value``; paths of the home folder and of a judge are resolved relative to the file that sets them."""
    path = file.parent / Path(value).expanduser()
    return str(path) if key == "home" or (key == "judge_model" and path.is_dir()) else value


def located_backbone(backbone: Any, folder: Path) -> Any:
    """Return a backbone ``NAME:PATH`` with the path resolved relative to ``folder``; anything else is unchanged."""
    if not isinstance(backbone, str):
        return backbone
    name, colon, argument = backbone.rpartition(":")
    path = folder / Path(argument).expanduser()
    return f"{name}:{path}" if colon and argument and (argument.endswith(".toml") or path.exists()) else backbone


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("micl", appauthor=False)


def _user_folder(home: Path | None) -> Path:
    if chosen := home or os.environ.get("MICL_HOME"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path("micl", appauthor=False)


def refuse_trust(table: Mapping[str, Any], path: Path) -> None:
    """Raise UsageError if a file of a folder or of a run, which may come from others, lets checkpoints run code."""
    if _mentions(table, TRUST):
        kind = "the configuration of a folder" if path.name == PROJECT_FILE else "such a file"
        raise UsageError(
            f"{path}: {TRUST} cannot be set by {kind}",
            f"Use the flag --trust-remote-code, or set it in your own {USER_FILE} (see `micl config path`).",
        )


def _mentions(value: Any, word: str) -> bool:
    """Whether a key or text within ``value`` contains ``word``, written with "-" or "_"."""
    if isinstance(value, Mapping):
        return any(_mentions(item, word) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple)):
        return any(_mentions(item, word) for item in value)
    return isinstance(value, str) and word in value.replace("-", "_").lower()


def _read(path: Path) -> ConfigFile | None:
    try:
        return ConfigFile(path, read_toml(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "Correct its permissions, or remove it."
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}", "Correct it; `micl config path` lists the files.") from error
