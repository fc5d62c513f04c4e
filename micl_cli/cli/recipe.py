"""Recipes: files with a strategy, a task order, and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from micl_cli.errors import UsageError, nearest
from micl_cli.io.text import read_toml

FOLDER = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe. Missing entries are taken from the command line.

    ``options`` are those of the strategy, with "3:name" for the third task only. ``training`` and ``evaluation`` hold
    settings by field name of :class:`micl_cli.plan.Training` and :class:`micl_cli.plan.Evaluation`.
    """

    summary: str = ""
    strategy: str = ""
    tasks: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)


def recipe_names() -> list[str]:
    """Return the names of the built-in recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """Return a recipe by name, or from a TOML file. Raises UsageError if it is missing or malformed."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists() or (not name.endswith(".toml") and name not in recipe_names()):
        hint = nearest(name, recipe_names()) or f"Recipes: {', '.join(recipe_names())}; or a path to a .toml file."
        raise UsageError(f"no recipe {name!r}", hint)
    try:
        data = read_toml(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{path} is not a recipe: {reason}", "A recipe is a TOML file with strategy and tasks."
        ) from error
    known = {f.name for f in fields(Recipe)}
    if unknown := sorted(data.keys() - known):
        hint = nearest(unknown[0], known) or f"Known: {', '.join(sorted(known))}."
        raise UsageError(f"{path}: unknown key {unknown[0]!r}", hint)
    if isinstance(data.get("tasks"), list):
        data["tasks"] = ",".join(map(str, data["tasks"]))
    for key, value in data.items():
        if not isinstance(value, type(getattr(Recipe(), key))):
            expected = "a table" if isinstance(getattr(Recipe(), key), dict) else "a string"
            raise UsageError(f"{path}: {key} is {value!r}", f"It must be {expected}.")
    return Recipe(**{**data, "options": _flat(data.get("options", {}))})


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by name; those in a table ``3`` are named ``3:name``."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        flat |= {f"{name}:{inner}": v for inner, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat
