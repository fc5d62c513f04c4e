"""Recipes: files with a strategy, a task order and options. Those of `micl tune freeze` cite their study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micl_cli.cli.plan_options import flat_settings, take_settings
from micl_cli.cli.toml_files import SUFFIX, checked_options, plugin_options, read_table
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import Evaluation, Training
from micl_cli.settings import refuse_trust

if TYPE_CHECKING:
    from micl_cli.plan import Plan
    from micl_cli.registry import Registry
    from micl_cli.settings import Settings

FOLDER = Path(__file__).parent.parent / "recipes"
_ORDER_PREFIX = "micl-"
"""The optional prefix of the recipes with MICL's orders (``order-1``)."""


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe. Missing entries are taken from the command line.

    ``options`` are those of the strategy, with "3:name" for the third task only. ``training`` and ``evaluation`` hold
    settings by field name of :class:`micl_cli.plan.Training` and :class:`micl_cli.plan.Evaluation`. ``citation`` says
    how the options were found, and ``edited`` is whether they are no longer those. The
    ``name``, ``sha256`` and ``path`` are those of the file.
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
    path: Path = Path()

    def is_for(self, strategy: str) -> bool:
        """Return whether the options are for a strategy."""
        return self.strategy in ("", strategy)


_KEYS = ("summary", "strategy", "tasks", "options", "training", "evaluation", "citation")
_RUN_FILE_KEYS = ("backbone", "backbone_options", "benchmark", "name", "quantize", "recipe", "seed")


def recipe_names(settings: Settings | None = None) -> list[str]:
    """Return the names of the built-in recipes and, with ``settings``, of those in the home folder."""
    own = settings.recipes.glob(f"*{SUFFIX}") if settings else ()
    return sorted({path.stem for path in (*FOLDER.glob(f"*{SUFFIX}"), *own)})


def read_recipe(name: str, settings: Settings | None = None, *, of_run_file: bool = False) -> Recipe:
    """Return a recipe by name, or from a TOML file. Raises UsageError if it is missing or malformed.

    With ``settings``, recipes in the home folder are found too; a built-in one of the same name takes precedence. With
    ``of_run_file``, the file may have the other keys of run files, which are left out.
    """
    path = _recipe_path(name, settings)
    data, digest = read_table(path, "recipe")
    refuse_trust(data, path)
    flat = flat_settings(data, str(path))
    training, evaluation = take_settings(Training, flat), take_settings(Evaluation, flat)
    if unknown := sorted(flat.keys() - set(_KEYS)):
        if not of_run_file:
            raise _unknown_key(path, unknown[0])
        flat = {key: value for key, value in flat.items() if key in _KEYS}
    if isinstance(flat.get("tasks"), list):
        flat["tasks"] = ",".join(map(str, flat["tasks"]))
    for key, value in flat.items():
        if not isinstance(value, type(getattr(Recipe(), key))):
            expected = "a table" if isinstance(getattr(Recipe(), key), dict) else "a string"
            raise UsageError(f"{path}: {key} is {value!r}", f"It must be {expected}.")
    edited = _is_edited({**flat, "training": training})
    flat["options"], flat["citation"] = plugin_options(path, flat.get("options", {})), _plain(flat.get("citation", {}))
    flat |= {"training": training, "evaluation": evaluation}
    return Recipe(**flat, name=path.stem, sha256=digest, edited=edited, path=path)


def _unknown_key(path: Path, key: str) -> UsageError:
    """Return the error for a key that recipes do not have."""
    if key in _RUN_FILE_KEYS:
        return UsageError(f"{path}: {key} is a key of run files, not of recipes", f"As a run file: micl learn {path}")
    return UsageError(f"{path}: unknown key {key!r}", nearest(key, _KEYS) or f"Known: {', '.join(sorted(_KEYS))}.")


def checked_recipe(recipe: Recipe, strategy: str, registry: Registry) -> Recipe:
    """Return a recipe whose options are checked against those of the strategy, with absolute paths.

    The recipe of another strategy is returned as it is. Raises OptionError.
    """
    if not recipe.options or not recipe.is_for(strategy):
        return recipe
    classes = [(f"strategy {strategy}", registry.load("strategies", strategy))]
    return replace(recipe, options=checked_options(recipe.options, classes, recipe.path))


def _is_edited(data: Mapping[str, Any]) -> bool:
    """Return whether the settings of a recipe are others than those that its citation is about."""
    cited = data.get("citation", {}).get("settings_sha256")
    if cited is None:
        return False
    from micl_cli.tune.recipes import settings_sha256

    return bool(cited != settings_sha256(data))


def _recipe_path(name: str, settings: Settings | None) -> Path:
    known = recipe_names(settings)
    if name.endswith(SUFFIX):
        path = Path(name)
    else:
        folders = [FOLDER, settings.recipes] if settings else [FOLDER]
        paths = [folder / f"{name}{SUFFIX}" for folder in folders if name in known]
        path = next((path for path in paths if path.exists()), Path())
    if not path.exists() or path == Path():
        hint = nearest(name, known) or f"Recipes: {', '.join(known)}; or a path to a .toml file."
        raise UsageError(f"no recipe {name!r}", hint)
    return path


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
    if not name.endswith(SUFFIX) and name.removeprefix(_ORDER_PREFIX) not in short:
        hint = nearest(name, short) or f"Known: {', '.join(sorted(short))}; or a recipe's .toml file; or use --tasks."
        raise UsageError(f"no order {name!r}", hint)
    full = name if name in known or name.endswith(SUFFIX) else _ORDER_PREFIX + name
    recipe = read_recipe(full, settings, of_run_file=True)
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
        file = Path(f"{name}{SUFFIX}")
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
    changed = [name for name, value in options.items() if not same_value(value, _planned(plan, name))]
    for section, planned in sections.items():
        given: Mapping[str, Any] = getattr(recipe, section)
        changed += [name for name, value in given.items() if not same_value(value, getattr(planned, name, None))]
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


def same_value(given: Any, planned: Any) -> bool:
    """Return whether two values of an option are the same, one of them perhaps as text."""
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
