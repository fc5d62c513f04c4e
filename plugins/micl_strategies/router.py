"""Router isolation, after MR-LoRA (Zhao et al., "MLLM-CL: Continual Learning for Multimodal Large
Language Models", arXiv 2506.05453).

Each task has its own expert (LoRA and connectors), learnt from the base model alone and frozen afterwards; a router
assigns each query to a task, and only that task's expert answers.

Deviations: queries are routed first and answered once; the authors' code lets every expert answer every query, then
picks one of the answers, at random if the router's reply is not a letter. The rank is the backbone's (the paper: 128).
A query goes only to experts whose task has all of its modalities; where there is none, the base model answers.
``-o router`` chooses another router than the paper's; deviations of the router itself stand in micl_routers/mllm.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from micl_cli.api import (
    Backbone,
    Example,
    OptionError,
    PartLoader,
    PlanError,
    Progress,
    Route,
    Router,
    RouterContext,
    Stage,
    State,
    Task,
    parse_options,
    route_readable,
)
from micl_strategies.task_adapters import TaskAdapters


class RouterIsolation(TaskAdapters):
    """Learn a new adapter for each task, and a router that selects one of them for each query."""

    needs = frozenset({"adapters", "generate"})

    def __init__(
        self,
        backbone: Backbone,
        *,
        router: Annotated[str, "mllm, prototype, ridge, rule, oracle, or another registered router"] = "mllm",
        router_options: Annotated[str, "options of the router: name=value,name=value"] = "",
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.router, self.router_options = router, router_options
        self._load_part: PartLoader
        self._built: tuple[tuple[str, str], Router] | None = None

    @property
    def built_router(self) -> Router:
        """The router, built on first use. Raises PluginError, OptionError, PlanError."""
        requested = (self.router, self.router_options)
        if self._built and self._built[0] != requested and self.experts:
            hint = "Set -o router and -o router_options for the whole run, not for one task."
            raise PlanError("the router cannot change after the first task: a new one has learnt none of them", hint)
        if self._built is None or self._built[0] != requested:
            self._built = requested, self._build()
        return self._built[1]

    def _build(self) -> Router:
        cls = self._load_part("routers", self.router)
        if missing := sorted(cls.needs - self.backbone.provides):
            hint = "Choose another router: `micl plugins --kind routers` lists them."
            raise PlanError(f"router {self.router!r} needs {', '.join(missing)}, which the backbone lacks", hint)
        options = parse_options(cls, _split(self.router_options), owner=f"router {self.router}")
        router: Router = cls(self.backbone, **options)
        return router

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        self._load_part = load_part
        _ = self.built_router  # raises before anything is learnt
        return super().stages(tasks, load_part)

    def after(self, stage: Stage) -> Iterator[Progress]:
        context = RouterContext(experts=self.experts, rng=stage.rng, seed=stage.seed)
        for task in stage.tasks:
            yield from self.built_router.learn(task, task.examples("train"), context)

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        if not self.experts:
            return None
        tasks = {task.name: task.modalities for task in (*self.stage.previous_tasks, *self.stage.tasks)}
        learnt = {name: tasks[name] for name in self.experts}
        routes = route_readable(self.built_router, examples, learnt)
        return [route._replace(selection=self.experts.get(route.task)) for route in routes]

    @property
    def routed_by(self) -> tuple[str, int]:
        return self.router, self.built_router.passes

    def state(self) -> State:
        return self._with_router(self.built_router.state()) if self.experts else State()

    def routing_state(self) -> State:
        return self._with_router(self.built_router.routing_state()) if self.experts else State()

    def _with_router(self, state: State) -> State:
        """Return the state of the strategy with that of its router."""
        tensors = {f"router/{name}": tensor for name, tensor in state.tensors.items()}
        return State(tensors, {**super().state().data, "router": state.data})

    def restore(self, state: State) -> None:
        super().restore(state)
        self._built = None
        if self.experts:
            tensors = {n.removeprefix("router/"): t for n, t in state.tensors.items() if n.startswith("router/")}
            self.built_router.restore(State(tensors, state.data["router"]))


def _split(text: str) -> Mapping[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if wrong := [name for name, mark, _ in pairs if not mark]:
        raise OptionError(f"router_options: {wrong[0]!r} is not name=value", "For example: samples=20,epochs=40")
    options = {name.strip(): value.strip() for name, _, value in pairs}
    if len(options) < len(pairs):
        twice = next(name for name in options if [each.strip() for each, _, _ in pairs].count(name) > 1)
        raise OptionError(f"router_options: {twice!r} is given twice", "Give it once.")
    return options
