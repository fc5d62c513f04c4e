"""A sweep: the grid of strategies, orders and seeds. Each cell of it is an ordinary run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from micl_cli.api.options import options_of
from micl_cli.api.task import Task
from micl_cli.errors import UsageError, nearest
from micl_cli.plan import Plan
from micl_cli.registry import Registry
from micl_cli.session.lease import is_busy
from micl_cli.session.request import Request

if TYPE_CHECKING:
    from micl_cli.session.session import Session
    from micl_cli.session.library import Watch
    from micl_cli.settings import Settings
    from micl_cli.store import Store

State = Literal["finished", "busy", "partly", "new"]
"""How far a cell is; "busy" is one that another process or machine works on."""

_MOST_SEEDS = 1000
_SEEDS = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?", re.ASCII)
_EXAMPLE = "Write for example: finetune,ewc[lambda_ewc=10,form=online]"


@dataclass(frozen=True)
class Variant:
    """A strategy with options of its own, raw; ``label`` tells it from other variants of the strategy."""

    label: str
    strategy: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep: ``strategy`` and ``order`` are labels, the plan says all."""

    strategy: str
    order: str
    seed: int
    plan: Plan
    tasks: Sequence[Task]

    @property
    def title(self) -> str:
        """The cell in words."""
        return f"{self.strategy} {self.order} seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """What names the cell, JSON-ready."""
        return {"run": self.plan.id, "strategy": self.strategy, "order": self.order, "seed": self.seed}


# What the words mean


def parse_variants(text: str) -> list[Variant]:
    """Strategies from "finetune,ewc[lambda_ewc=10,form=online]", in order.

    A value that has commas stands in brackets itself: "router[router_options=[samples=5,epochs=9]]".
    Raises UsageError where none is named, brackets do not close, or one is named twice.
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
        raise UsageError(f"strategy {entry!r}: something stands after the bracket", _EXAMPLE)
    if not name:
        raise UsageError(f"strategy {entry!r} has options but no name", _EXAMPLE)
    options: dict[str, str] = {}
    for pair in _split(rest[:-1]):
        option, mark, value = (part.strip() for part in pair.partition("="))
        if not mark or not option:
            raise UsageError(f"strategy {name}: {pair!r} is no option=value", _EXAMPLE)
        if option in options:
            raise UsageError(f"strategy {name}: option {option!r} is given twice", "Give it once.")
        options[option] = value[1:-1] if _wrapped(value) else value
    told = ",".join(_split(rest[:-1]))
    return Variant(f"{name}[{told}]" if told else name, name, options)


def _split(text: str) -> list[str]:
    """The parts between commas that stand outside brackets, blank ones left out. Raises UsageError."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            raise UsageError(f"{text!r}: a bracket closes that was never opened", _EXAMPLE)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UsageError(f"{text!r}: a bracket is not closed", _EXAMPLE)
    return [part.strip() for part in parts if part.strip()]


def _wrapped(value: str) -> bool:
    """Whether one pair of brackets holds the whole value: "[a]" is, "[a][b]" is not."""
    if not (value.startswith("[") and value.endswith("]")):
        return False
    depth = 0
    for place, character in enumerate(value):
        depth += (character == "[") - (character == "]")
        if not depth:
            return place == len(value) - 1
    return False


def parse_seeds(text: str) -> list[int]:
    """Seeds from "0..2", "0,3,7" or "5", in order; a range has both its ends. Raises UsageError."""
    seeds: list[int] = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        found = _SEEDS.fullmatch(part)
        if not found:
            raise UsageError(f"{part!r} is no seed", "Write 5, 0,3,7 or 0..2.")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 0 <= last - first < _MOST_SEEDS:
            wrong = "ends before it begins" if last < first else f"has more than {_MOST_SEEDS} seeds"
            raise UsageError(f"the range {part} {wrong}", "0..2 is 0, 1 and 2.")
        seeds += range(first, last + 1)
    if not seeds:
        raise UsageError("no seed is named", "Write 5, 0,3,7 or 0..2.")
    if twice := [seed for seed in dict.fromkeys(seeds) if seeds.count(seed) > 1]:
        raise UsageError(f"seed {twice[0]} is named twice", "Name each seed once.")
    return seeds


# The grid


def options_for(
    variants: Sequence[Variant], asked: Mapping[str, Any], configured: Mapping[str, Any], registry: Registry
) -> list[dict[str, Any]]:
    """Each variant's raw options: of ``configured``, then of ``asked``, those that it has; then its own.

    Keys may be "3:name", for the third task. Raises UsageError for one asked for that no
    variant has, PluginError for an unknown strategy.
    """
    known = {v.strategy: options_of(registry.load("strategies", v.strategy)).keys() for v in variants}
    every = {name for names in known.values() for name in names}
    for name in map(_bare, asked):
        if name not in every:
            hint = f"{nearest(name, every)} `micl plugins show strategy NAME` lists a strategy's options.".strip()
            raise UsageError(f"no strategy of this sweep has the option {name!r}", hint)
    shared = {**configured, **asked}
    return [{**{n: v for n, v in shared.items() if _bare(n) in known[x.strategy]}, **x.options} for x in variants]


def _bare(name: str) -> str:
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
    """Every cell, strategies first, then orders, then seeds. Embedded tasks that are missing are prepared.

    ``requests`` holds a label and a request for each variant, ``orders`` tasks by label. Raises what
    Session.plan and Session.open_tasks raise, and UsageError where two cells are the same run.
    """
    asked = [
        (label, order, replace(request, tasks=tasks, seed=seed))
        for label, request in requests
        for order, tasks in orders.items()
        for seed in seeds
    ]
    for _, _, request in asked:
        session.plan(request, ())  # tells what is wrong with the words before any data is prepared
    names = dict.fromkeys(name for tasks in orders.values() for name in tasks)
    opened = {task.name: task for task in session.open_tasks(list(names), dry=dry, watch=watch)}
    cells = []
    for label, order, request in asked:
        tasks = [opened[name] for name in request.tasks]
        cells.append(Cell(label, order, request.seed, session.plan(request, tasks), tasks))
    _all_different(cells)
    return cells


def _all_different(cells: Sequence[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        if (other := seen.setdefault(cell.plan.id, cell)) is not cell:
            raise UsageError(f"{other.title} and {cell.title} are the same run", "Leave one of them out.")


def state_of(cell: Cell, store: Store, settings: Settings) -> State:
    """How far a cell is.

    One that the store calls finished, and of which nothing is here, was learnt on another machine.
    """
    from micl_cli.training.checkpoint import RunFolder

    folder, known = RunFolder(settings.runs / cell.plan.id), store.run(cell.plan.id)
    if known and known.status == "finished":
        whole = not folder.begun or folder.has_stages(len(store.details(cell.plan.id).stages))
        return "finished" if whole else "partly"
    if is_busy(cell.plan.id, store, settings):
        return "busy"
    return "partly" if known else "new"


# What it will take


@dataclass(frozen=True)
class CellEstimate:
    """What a cell will take: steps and seconds still to learn, None where no earlier run tells the time."""

    cell: Cell
    state: State
    steps: int
    seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return {**self.cell.as_json(), "status": self.state, "steps": self.steps, "seconds": self.seconds}


def cell_estimates(session: Session, cells: Sequence[Cell], device: str) -> Iterator[CellEstimate]:
    """What each cell will take; nothing is written. Seeds change none of it, so they are loaded once."""
    from micl_cli.session.estimate import RunEstimate
    from micl_cli.store import Store, check

    known: dict[tuple[str, str], RunEstimate] = {}
    url = session.settings.store_url
    there = check(url).state == "ok"
    for cell in cells:
        state: State = "new"
        if there:
            with Store.open(url) as store:
                state = state_of(cell, store, session.settings)
        if state == "finished":
            yield CellEstimate(cell, state, 0, 0.0)
            continue
        key = (cell.strategy, cell.order)
        if key not in known:
            known[key] = session.estimate(cell.plan, cell.tasks, device)
        yield _left(cell, state, known[key], session.settings)


def _left(cell: Cell, state: State, estimate: Any, settings: Settings) -> CellEstimate:
    from micl_cli.training.checkpoint import RunFolder

    folder = RunFolder(settings.runs / cell.plan.id)
    steps = sum(stage.steps for stage in estimate.stages if not folder.has_stage(stage.position))
    seconds = None if estimate.step_seconds is None else steps * estimate.step_seconds
    return CellEstimate(cell, state, steps, seconds)
