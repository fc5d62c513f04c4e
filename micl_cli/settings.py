"""Where things are kept and what a user has set: flag > MICL_* > ./micl.toml > user config > default.

Flags and the MICL_* of single commands are the command line's affair; this module reads the
files, the home folder and the store's URL.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from micl_cli.errors import UsageError, nearest

PROJECT_FILE = "micl.toml"
USER_FILE = "config.toml"
OPTIONS = "options"
"""The table below a command's that holds the options of its parts, as ``-o`` does."""

_GENERAL = ("home", "store", "cache_limit")
_BOTH = "store"
"""A setting (a text, the URL) and a command (a table) of one name."""
_QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


@dataclass(frozen=True)
class ConfigFile:
    """One configuration file and what stands in it."""

    path: Path
    table: Mapping[str, Any]

    def section(self, command: str) -> Mapping[str, Any]:
        """The table of a command ("learn", "runs ls"), keys with underscores. Raises UsageError if it is none."""
        found: Any = self.table
        if command.split()[:1] == [_BOTH] and isinstance(found.get(_BOTH), str):
            return {}
        for word in command.split():
            found = found.get(word, {})
            if not isinstance(found, dict):
                raise UsageError(f"{self.path}: {word!r} is not a table", f"Write [{command.replace(' ', '.')}].")
        return {key.replace("-", "_"): value for key, value in found.items()}


DEFAULT_CACHE = "20GB"
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[KMGT]?B?)", re.IGNORECASE | re.ASCII)
_UNITS: Mapping[str, int] = {f"{unit}{b}": 1000**power for power, unit in enumerate(("", *"KMGT")) for b in ("", "B")}


@dataclass(frozen=True)
class Settings:
    """What holds for this process. ``files`` stand in order of precedence, the weakest first.

    ``sources`` tells where ``home``, ``store`` and ``cache_limit`` come from.
    """

    home: Path
    store_url: str
    files: tuple[ConfigFile, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    cache_limit: int = 20 * 1000**3
    """Bytes that what frozen encoders made of media may take on disk; 0: nothing is kept."""

    @property
    def runs(self) -> Path:
        """The folder of checkpoints, one folder a run."""
        return self.home / "runs"

    @property
    def tasks(self) -> Path:
        """The folder of prepared tasks, ``benchmark/name``."""
        return self.home / "tasks"

    @property
    def features(self) -> Path:
        """The folder of what frozen encoders made of media."""
        return self.home / "features"

    def values(self, command: str) -> dict[str, tuple[Any, str]]:
        """What the files set for a command ("learn", "runs ls"): (value, path of the file) by parameter.

        Options of parts come as ``options``: a list of (name, value) pairs, ``3:name`` for one step.
        """
        found: dict[str, tuple[Any, str]] = {}
        for file in self.files:
            for name, value in file.section(command).items():
                found[name] = (value, str(file.path))
        if OPTIONS in found:
            found[OPTIONS] = (list(self.options(command).items()), found[OPTIONS][1])
        return found

    def options(self, command: str) -> dict[str, Any]:
        """The options of parts that the files set for a command, by name; a nearer file goes first."""
        found: dict[str, Any] = {}
        for file in self.files:
            table = file.section(command).get(OPTIONS, {})
            if not isinstance(table, dict):
                raise UsageError(f"{file.path}: 'options' is not a table", f"Write [{command}.{OPTIONS}].")
            found |= _flat(table)
        return found

    def check(self, known: Mapping[str, Iterable[str]]) -> None:
        """Refuse what no command knows. ``known``: keys of each table by command; "" for the tables themselves.

        Raises UsageError naming the file, the key and the nearest known one.
        """
        for file in self.files:
            for command, names in known.items():
                self._check_section(file, command, {*names, *(() if command else _GENERAL)})

    @staticmethod
    def _check_section(file: ConfigFile, command: str, names: set[str]) -> None:
        for key in file.section(command):
            if key not in names:
                where = f" in [{command.replace(' ', '.')}]" if command else ""
                hint = nearest(key, names) or f"Known: {', '.join(sorted(names))}."
                raise UsageError(f"{file.path}: unknown key {key!r}{where}", hint)


def load_settings() -> Settings:
    """Read the environment and the configuration files; writes nothing.

    Raises UsageError where a file cannot be read, is not TOML, or sets ``home`` or ``store``
    to what they cannot be.
    """
    files = tuple(file for path in config_paths() if (file := _read(path)))
    home, home_source = _first("home", files)
    root = Path(home).expanduser().absolute() if home else _default_home()
    url, url_source = _first("store", files)
    if url and "://" not in url:
        raise UsageError(
            f"the store {url!r} (from {url_source}) is not a database URL",
            f"For a file, write sqlite:///{Path(url).absolute()}",
        )
    limit, limit_source = _first("cache_limit", files)
    named = {"home": home_source, "store": url_source, "cache_limit": limit_source}
    sources = {name: source or "default" for name, source in named.items()}
    size = parse_size(limit or DEFAULT_CACHE, limit_source)
    return Settings(root, url or f"sqlite:///{root / 'micl.db'}", files, sources, size)


def parse_size(text: str, source: str = "") -> int:
    """Bytes from "20GB", "500 MB" or "0". Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        where = f" (from {source})" if source else ""
        raise UsageError(f"{text!r}{where} is no size", "Write for example 20GB, 500MB, or 0 to keep nothing.")
    return round(float(found["number"]) * _UNITS[found["unit"].upper()])


def config_paths() -> list[Path]:
    """Where configuration files are looked for, the weakest first."""
    return [_user_folder() / USER_FILE, Path.cwd() / PROJECT_FILE]


def prepare_process() -> None:
    """Set what libraries read from the environment when they are imported, unless the user has set it.

    Call it before torch is imported.
    """
    # It tells on import, and again at work, which fast routines it could not load.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    for name, value in {**_QUIET, "OMP_WAIT_POLICY": _wait_policy()}.items():
        os.environ.setdefault(name, value)


def _wait_policy(load: Path = Path("/proc/loadavg")) -> str:
    """How idle OpenMP threads wait for the next piece of work: spinning where nothing else runs, else asleep.

    Spinning saves a third of a step's time on two quiet cores; beside a busy process it makes small
    models many times slower.
    """
    try:
        running = int(load.read_text().split()[3].partition("/")[0])  # this process is one of them
    except (OSError, ValueError, IndexError):
        return "PASSIVE"
    return "ACTIVE" if running <= 1 else "PASSIVE"


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name; a table ``3`` among them holds those of step 3."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= {f"{key}:{name}": inner for name, inner in value.items()}
        else:
            found[key] = value
    return found


def _first(key: str, files: Iterable[ConfigFile]) -> tuple[str, str]:
    """(value, source) of a general setting; empty texts where nothing sets it."""
    variable = f"MICL_{key.upper()}"
    found, source = os.environ.get(variable, ""), variable
    if found:
        return found, source
    for file in files:
        if (value := file.table.get(key)) is not None:
            if key == _BOTH and isinstance(value, dict):
                continue
            if not isinstance(value, str) or not value:
                raise UsageError(f"{file.path}: {key} is {value!r}", f"{key} must be text, for example in quotes.")
            found, source = _anchored(key, value, file.path), str(file.path)
    return (found, source) if found else ("", "")


def _anchored(key: str, value: str, file: Path) -> str:
    """A home folder in a file is meant from that file's folder, wherever micl is started."""
    return str(file.parent / Path(value).expanduser()) if key == "home" else value


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("micl", appauthor=False)


def _user_folder() -> Path:
    if home := os.environ.get("MICL_HOME"):
        return Path(home).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path("micl", appauthor=False)


def _read(path: Path) -> ConfigFile | None:
    if not path.exists():
        return None
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return ConfigFile(path, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "Correct its permissions, or remove it."
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}", "Correct it; `micl config path` lists the files.") from error
