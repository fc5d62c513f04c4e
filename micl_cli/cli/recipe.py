"""Recipes: a strategy, an order of tasks and their options under one name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from micl_cli.errors import UsageError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """What a recipe sets; what it leaves out is as on the command line.

    ``options`` are the strategy's, with "3:name" for the third task only.
    """

    summary: str = ""
    strategy: str = ""
    tasks: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)


def recipe_names() -> list[str]:
    """The recipes that come with micl."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """A recipe by name, or from a TOML file. Raises UsageError where it is missing or malformed."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file() or (not name.endswith(".toml") and name not in recipe_names()):
        hint = nearest(name, recipe_names()) or f"Recipes: {', '.join(recipe_names())}; or a path to a .toml file."
        raise UsageError(f"no recipe {name!r}", hint)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no recipe: {error}", "A recipe is a TOML file with strategy and tasks.") from error
    known = {f.name for f in fields(Recipe)}
    if unknown := sorted(data.keys() - known):
        hint = nearest(unknown[0], known) or f"Known: {', '.join(sorted(known))}."
        raise UsageError(f"{path}: unknown key {unknown[0]!r}", hint)
    if isinstance(data.get("tasks"), list):
        data["tasks"] = ",".join(map(str, data["tasks"]))
    for key, value in data.items():
        if not isinstance(value, type(getattr(Recipe(), key))):
            wanted = "a table" if isinstance(getattr(Recipe(), key), dict) else "text"
            raise UsageError(f"{path}: {key} is {value!r}", f"It must be {wanted}.")
    return Recipe(**{**data, "options": _flat(data.get("options", {}))})


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in options.items():
        flat |= {f"{name}:{inner}": v for inner, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat
