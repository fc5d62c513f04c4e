"""The grid of a sweep over strategies, task orders and seeds. Each cell is an ordinary run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from micl_cli.api.options import options_of
from micl_cli.api.task import Task
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import Plan
from micl_cli.registry import Registry
from micl_cli.session.lease import is_busy
from micl_cli.session.request import Request

if TYPE_CHECKING:
    from micl_cli.session.estimate import RunEstimate
    from micl_cli.session.library import Watch
    from micl_cli.session.session import Session
    from micl_cli.settings import Settings
    from micl_cli.store import Store

CellState = Literal["finished", "busy", "partly", "new"]
"""The state of a cell. "busy" means that another process or machine works on it."""

_MAX_SEEDS = 1000
_SEEDS = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?", re.ASCII)
_EXAMPLE = "Write for example: finetune,ewc[lambda_ewc=10,form=online]"


@dataclass(frozen=True)
class Variant:
    """A strategy with its own unparsed options. ``label`` distinguishes variants of a strategy."""

    label: str
    strategy: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep. ``strategy`` and ``order`` are labels; ``recipe`` is what the run records of its recipe."""

    strategy: str
    order: str
    seed: int
    plan: Plan
    tasks: Sequence[Task]
    recipe: Mapping[str, str] | None = None

    @property
    def title(self) -> str:
        """The cell's name in messages."""
        return f"{self.strategy} {self.order} seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields that identify the cell."""
        return {"run": self.plan.id, "strategy": self.strategy, "order": self.order, "seed": self.seed}


# Parsing


def parse_variants(text: str) -> list[Variant]:
    """Return the strategies of "finetune,ewc[lambda_ewc=10,form=online]", in order.

    A value with commas needs brackets: "router[router_options=[samples=5,epochs=9]]". Raises UsageError if there is no
    strategy, a duplicate, or an unmatched bracket.
    """
    variants = [_variant(entry) for entry in _split(text)]
    if not variants:
        raise UsageError("no strategy is named", "Name some: --strategy finetune,lwf,ewc")
    for number, variant in enumerate(variants):
        if any((variant.strategy, variant.options) == (v.strategy, v.options) for v in variants[:number]):
            raise UsageError(f"strategy {variant.label} is named twice", "Name each once, or give it other options.")
    return variants


def _variant(entry: str) -> Variant:
    name, bracket, rest = entry.partition("[")
    name = name.strip()
    if bracket and not rest.endswith("]"):
        raise UsageError(f"strategy {entry!r}: unexpected text after the bracket", _EXAMPLE)
    if not name:
        raise UsageError(f"strategy {entry!r} has options but no name", _EXAMPLE)
    options: dict[str, str] = {}
    for pair in _split(rest[:-1]):
        option, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not option:
            raise UsageError(f"strategy {name}: {pair!r} is not option=value", _EXAMPLE)
        if option in options:
            raise UsageError(f"strategy {name}: option {option!r} is given twice", "Give it once.")
        options[option] = value[1:-1] if _is_bracketed(value) else value
    shown = ",".join(_split(rest[:-1]))
    return Variant(f"{name}[{shown}]" if shown else name, name, options)


def _split(text: str) -> list[str]:
    """Split ``text`` at commas outside brackets, and drop empty parts. Raises UsageError."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            raise UsageError(f"{text!r}: a closing bracket has no opening one", _EXAMPLE)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UsageError(f"{text!r}: a bracket is not closed", _EXAMPLE)
    return [part.strip() for part in parts if part.strip()]


def _is_bracketed(value: str) -> bool:
    """Return whether one pair of brackets encloses the whole value, as in "[a]" but not in "[a][b]"."""
    if not (value.startswith("[") and value.endswith("]")):
        return False
    depth = 0
    for index, character in enumerate(value):
        depth += (character == "[") - (character == "]")
        if not depth:
            return index == len(value) - 1
    return False


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of "0..2" (ends included), "0,3,7" or "5", in order. Raises UsageError."""
    seeds: list[int] = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        match = _SEEDS.fullmatch(part)
        if not match:
            raise UsageError(f"{part!r} is not a seed", "Write 5, 0,3,7 or 0..2.")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < _MAX_SEEDS:
            problem = "ends before it starts" if last < first else f"has more than {_MAX_SEEDS} seeds"
            raise UsageError(f"the range {part} {problem}", "0..2 is 0, 1 and 2.")
        seeds += range(first, last + 1)
    if not seeds:
        raise UsageError("no seed is named", "Write 5, 0,3,7 or 0..2.")
    if repeated := [seed for seed in dict.fromkeys(seeds) if seeds.count(seed) > 1]:
        raise UsageError(f"seed {repeated[0]} is named twice", "Name each seed once.")
    return seeds


# The grid


def options_for(
    variants: Sequence[Variant],
    given: Mapping[str, Any],
    configured: Mapping[str, Any],
    registry: Registry,
    of_recipes: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the unparsed options of each variant: those of ``configured``, its recipe and ``given`` that it has.

    Later sources take precedence, and the variant's own options over all. Keys may be "3:name", for the third task.
    ``of_recipes`` holds the options of a recipe for each variant. Raises UsageError for a given option that no variant
    has, PluginError for an unknown strategy.
    """
    known = {v.strategy: options_of(registry.load("strategies", v.strategy)).keys() for v in variants}
    options = {name for names in known.values() for name in names}
    for name in map(_without_position, given):
        if name not in options:
            hint = f"{nearest(name, options)} `micl plugins show strategy NAME` lists a strategy's options.".strip()
            raise UsageError(f"no strategy of this sweep has the option {name!r}", hint)
    options_of_each = []
    for variant, of_recipe in zip(variants, of_recipes, strict=True):
        names = known[variant.strategy]
        shared = [
            {name: value for name, value in source.items() if _without_position(name) in names}
            for source in (configured, given)
        ]
        options_of_each.append({**shared[0], **of_recipe, **shared[1], **variant.options})
    return options_of_each


def _without_position(name: str) -> str:
    return name.rpartition(":")[2]


def grid(
    session: Session,
    requests: Sequence[tuple[str, Request]],
    orders: Mapping[str, tuple[str, ...]],
    seeds: Sequence[int],
    *,
    dry: bool,
    watch: Watch,
) -> list[Cell]:
    """Return all cells, sorted by strategy, order and seed. Missing embedded tasks are prepared.

    ``requests`` holds a label and a request for each variant, ``orders`` the task orders by label. Raises UsageError if
    two cells are the same run, and any error of planning and opening tasks.
    """
    labelled = [
        (label, order, replace(request, tasks=tasks, seed=seed))
        for label, request in requests
        for order, tasks in orders.items()
        for seed in seeds
    ]
    for _, _, request in labelled:
        session.plan(request, ())  # reports invalid arguments before any data is prepared
    names = dict.fromkeys(name for tasks in orders.values() for name in tasks)
    opened = {task.name: task for task in session.tasks.open_tasks(list(names), dry=dry, watch=watch)}
    of_cells = [[opened[name] for name in request.tasks] for _, _, request in labelled]
    plans = [session.plan(request, tasks) for (_, _, request), tasks in zip(labelled, of_cells, strict=True)]
    cells = [
        Cell(label, order, request.seed, plan, tasks)
        for (label, order, request), plan, tasks in zip(
            labelled, session.with_earlier_digest(plans, dry=dry), of_cells, strict=True
        )
    ]
    _refuse_duplicates(cells)
    return cells


def sweep_name(file: str | None, cells: Sequence[Cell]) -> str:
    """Return the name of a sweep for listeners: that of its run file, else one that is derived from its cells."""
    if file:
        return Path(file).stem
    digest = sha256(" ".join(sorted(cell.plan.id for cell in cells)).encode()).hexdigest()
    return f"sweep-{digest[:8]}"


def _refuse_duplicates(cells: Sequence[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        if (other := seen.setdefault(cell.plan.id, cell)) is not cell:
            raise UsageError(f"{other.title} and {cell.title} are the same run", "Leave one of them out.")


def cell_state(cell: Cell, store: Store, settings: Settings) -> CellState:
    """Return the state of a cell.

    A run that is finished in the store but has no folder here was learnt on another machine.
    """
    from micl_cli.training.checkpoint import RunFolder

    folder, run = RunFolder(settings.runs / cell.plan.id), store.run(cell.plan.id)
    if run and run.status == "finished":
        complete = not folder.has_checkpoints or folder.has_stages(len(store.details(cell.plan.id).stages))
        return "finished" if complete else "partly"
    if is_busy(cell.plan.id, store, settings):
        return "busy"
    return "partly" if run else "new"


# Estimates


@dataclass(frozen=True)
class CellEstimate:
    """The remaining steps and seconds of a cell. ``seconds`` is None without an earlier run as a basis."""

    cell: Cell
    state: CellState
    steps: int
    seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {**self.cell.as_json(), "status": self.state, "steps": self.steps, "seconds": self.seconds}


def cell_estimates(session: Session, cells: Sequence[Cell], device: str) -> Iterator[CellEstimate]:
    """Yield the estimate of each cell; nothing is written. Cells that differ only by seed are loaded once."""
    from micl_cli.store import check

    estimates: dict[tuple[str, str], RunEstimate] = {}
    has_store = check(session.settings.store_url).has_runs
    for cell in cells:
        state: CellState = "new"
        if has_store:
            with session.store_to_read() as store:
                state = cell_state(cell, store, session.settings)
        if state == "finished":
            yield CellEstimate(cell, state, 0, 0.0)
            continue
        key = (cell.strategy, cell.order)
        if key not in estimates:
            estimates[key] = session.estimate(cell.plan, cell.tasks, device)
        yield _remaining(cell, state, estimates[key], session.settings)


def _remaining(cell: Cell, state: CellState, estimate: RunEstimate, settings: Settings) -> CellEstimate:
    from micl_cli.training.checkpoint import RunFolder

    folder = RunFolder(settings.runs / cell.plan.id)
    steps = sum(stage.steps for stage in estimate.stages if not folder.has_stage(stage.position))
    seconds = None if estimate.step_seconds is None else steps * estimate.step_seconds
    return CellEstimate(cell, state, steps, seconds)
