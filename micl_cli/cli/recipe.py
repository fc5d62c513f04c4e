"""Recipes: files with a strategy, a task order and options. Those of `micl tune freeze` cite their study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.errors import UsageError, nearest
from micl_cli.io.text import decode, parse_toml, read_bytes

if TYPE_CHECKING:
    from micl_cli.plan import Plan
    from micl_cli.settings import Settings

FOLDER = Path(__file__).parent.parent / "recipes"
_SUFFIX = ".toml"
_ORDER_PREFIX = "micl-"
"""The optional prefix of the recipes with MICL's orders (``order-1``)."""


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe. Missing entries are taken from the command line.

    ``options`` are those of the strategy, with "3:name" for the third task only. ``training`` and ``evaluation`` hold
    settings by field name of :class:`micl_cli.plan.Training` and :class:`micl_cli.plan.Evaluation`. ``citation`` says
    how the options were found, and ``edited`` is whether they are no longer those. ``name`` and ``sha256`` are those of
    the file.
    """

    summary: str = ""
    strategy: str = ""
    tasks: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    citation: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    sha256: str = ""
    edited: bool = False

    def is_for(self, strategy: str) -> bool:
        """Return whether the options are for a strategy."""
        return self.strategy in ("", strategy)


_KEYS = ("summary", "strategy", "tasks", "options", "training", "evaluation", "citation")


def recipe_names(settings: Settings | None = None) -> list[str]:
    """Return the names of the built-in recipes and, with ``settings``, of those in the home folder."""
    own = settings.recipes.glob(f"*{_SUFFIX}") if settings else ()
    return sorted({path.stem for path in (*FOLDER.glob(f"*{_SUFFIX}"), *own)})


def read_recipe(name: str, settings: Settings | None = None) -> Recipe:
    """Return a recipe by name, or from a TOML file. Raises UsageError if it is missing or malformed.

    With ``settings``, recipes in the home folder are found too; a built-in one of the same name takes precedence.
    """
    path = _recipe_path(name, settings)
    try:
        content = read_bytes(path)
        data = parse_toml(decode(content).replace("\r\n", "\n").replace("\r", "\n"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{path} is not a recipe: {reason}",
            "A recipe is a TOML file with options, and optionally a strategy and tasks.",
        ) from error
    if unknown := sorted(data.keys() - set(_KEYS)):
        hint = nearest(unknown[0], _KEYS) or f"Known: {', '.join(sorted(_KEYS))}."
        raise UsageError(f"{path}: unknown key {unknown[0]!r}", hint)
    if isinstance(data.get("tasks"), list):
        data["tasks"] = ",".join(map(str, data["tasks"]))
    for key, value in data.items():
        if not isinstance(value, type(getattr(Recipe(), key))):
            expected = "a table" if isinstance(getattr(Recipe(), key), dict) else "a string"
            raise UsageError(f"{path}: {key} is {value!r}", f"It must be {expected}.")
    edited = _is_edited(data)
    data["options"], data["citation"] = _flat(data.get("options", {})), _plain(data.get("citation", {}))
    return Recipe(**data, name=path.stem, sha256=sha256(content).hexdigest(), edited=edited)


def _is_edited(data: Mapping[str, Any]) -> bool:
    """Return whether the settings of a recipe are others than those that its citation is about."""
    cited = data.get("citation", {}).get("settings_sha256")
    if cited is None:
        return False
    from micl_cli.tune.recipes import settings_sha256

    return bool(cited != settings_sha256(data))


def _recipe_path(name: str, settings: Settings | None) -> Path:
    known = recipe_names(settings)
    if name.endswith(_SUFFIX):
        path = Path(name)
    else:
        folders = [FOLDER, settings.recipes] if settings else [FOLDER]
        paths = [folder / f"{name}{_SUFFIX}" for folder in folders if name in known]
        path = next((path for path in paths if path.exists()), Path())
    if not path.exists() or path == Path():
        hint = nearest(name, known) or f"Recipes: {', '.join(known)}; or a path to a .toml file."
        raise UsageError(f"no recipe {name!r}", hint)
    return path


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by name; those in a table ``3`` are named ``3:name``."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        flat |= {f"{name}:{inner}": v for inner, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def _plain(value: Any) -> Any:
    """Return a TOML value as JSON has it: dates and times become text."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, (date, datetime, time)) else value


# Orders and sets of recipes


def order_tasks(name: str, settings: Settings) -> str:
    """Return the tasks of an order: that of a recipe by name or file, or "order-1" for "micl-order-1"."""
    known = recipe_names(settings)
    short = {recipe.removeprefix(_ORDER_PREFIX) for recipe in known}
    if not name.endswith(_SUFFIX) and name.removeprefix(_ORDER_PREFIX) not in short:
        hint = nearest(name, short) or f"Known: {', '.join(sorted(short))}; or a recipe's .toml file; or use --tasks."
        raise UsageError(f"no order {name!r}", hint)
    recipe = read_recipe(name if name in known or name.endswith(_SUFFIX) else _ORDER_PREFIX + name, settings)
    if not recipe.tasks:
        raise UsageError(f"recipe {name} has no tasks", "Name them with --tasks.")
    return recipe.tasks


def recipe_set(prefix: str, strategies: Sequence[str], settings: Settings) -> dict[str, Recipe | None]:
    """Return the recipe ``PREFIX-STRATEGY`` of each strategy, or None where there is none.

    ``prefix`` may include a folder. Raises UsageError if no strategy has a recipe, or if a recipe is for another
    strategy.
    """
    found: dict[str, Recipe | None] = {}
    for strategy in dict.fromkeys(strategies):
        name = set_member(prefix, strategy)
        file = Path(f"{name}{_SUFFIX}")
        in_folder = file.parent != Path() and file.exists()
        known = in_folder or name in recipe_names(settings)
        recipe = read_recipe(str(file) if in_folder else name, settings) if known else None
        if recipe and recipe.strategy != strategy:
            problem = f"recipe {name} is for strategy {recipe.strategy or 'any'}, not {strategy}"
            raise UsageError(problem, "Name another --recipe-set.")
        found[strategy] = recipe
    if not any(found.values()):
        hint = nearest(prefix, {name.rpartition("-")[0] for name in recipe_names(settings)})
        raise UsageError(f"no recipe set {prefix!r}", hint or "`micl tune freeze STUDY --as NAME` writes one.")
    return found


def set_member(prefix: str, strategy: str) -> str:
    """Return the name of the recipe of a strategy in a set, which is also that of its file."""
    return f"{prefix}-{strategy.replace(':', '-')}"


# The use of a recipe by a run


def recipe_use(recipe: Recipe, plan: Plan) -> dict[str, str] | None:
    """Return what a run records of its recipe as text: name, sha256, and the citation, with what is different from it.

    None if the plan has nothing of the recipe: the options are for another strategy, and there are no other settings.
    """
    sections = {"training": plan.training, "evaluation": plan.evaluation}
    if not recipe.name or not (recipe.is_for(plan.strategy) or recipe.training or recipe.evaluation):
        return None
    options = recipe.options if recipe.is_for(plan.strategy) else {}
    changed = [name for name, value in options.items() if not _same(value, _planned(plan, name))]
    for section, planned in sections.items():
        given: Mapping[str, Any] = getattr(recipe, section)
        changed += [name for name, value in given.items() if not _same(value, getattr(planned, name, None))]
    remarks = (
        citation_text(recipe.citation),
        "edited after it was frozen" if recipe.edited else "",
        "" if recipe.is_for(plan.strategy) else f"for {recipe.strategy}, without its options",
        f"with other values of {', '.join(sorted(changed))}" if changed else "",
    )
    return {"name": recipe.name, "sha256": recipe.sha256, "citation": "; ".join(filter(None, remarks))}


def citation_text(citation: Mapping[str, Any]) -> str:
    """Return the citation of a recipe on one line: "8 trials x 2 seeds on mini-tuning, val"."""
    trials, seeds, tasks = (citation.get(key) for key in ("trials", "seeds", "task_set"))
    if isinstance(trials, int) and isinstance(seeds, list) and isinstance(tasks, str):
        return f"{trials} trials x {len(seeds)} seeds on {tasks}, {citation.get('split', '')}".rstrip(", ")
    return ""


def _planned(plan: Plan, name: str) -> Any:
    position, _, bare = name.rpartition(":")
    return plan.options_at(int(position)).get(bare) if position.isdecimal() else plan.strategy_options.get(bare)


def _same(given: Any, planned: Any) -> bool:
    return given == planned or str(given).strip().lower() == str(planned).lower()


def recipe_notes(recipe: Recipe, plan: Plan) -> list[str]:
    """Return notes on a plan with a tuned recipe: tasks that it was tuned on, and another backbone."""
    tuned, backbone = recipe.citation.get("tasks"), recipe.citation.get("backbone")
    notes = []
    if recipe.edited:
        notes.append(f"recipe {recipe.name} was edited after it was frozen: its citation is not about these settings")
    if not recipe.is_for(plan.strategy) and (given := {**recipe.training, **recipe.evaluation}):
        settings = ", ".join(sorted(given))
        notes.append(
            f"recipe {recipe.name} is for strategy {recipe.strategy}: {plan.strategy} gets its {settings} only"
        )
    if isinstance(tuned, Sequence) and (shared := [task for task in plan.tasks if task in tuned]):
        notes.append(f"recipe {recipe.name} was tuned on {', '.join(shared)}: scores on these tasks favour it")
    if isinstance(backbone, str) and backbone != plan.backbone:
        notes.append(f"recipe {recipe.name} was tuned with backbone {backbone}, not {plan.backbone}")
    return notes
