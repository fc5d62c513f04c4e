"""Router isolation, after MR-LoRA (Zhao et al., "MLLM-CL: Continual Learning for Multimodal Large
Language Models", arXiv 2506.05453).

Each task has an expert of its own, learnt from the base model alone and never touched again;
a router tells for each query which task it belongs to, and only that expert answers.
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
    Strategy,
    Task,
    parse_options,
)


class RouterIsolation(Strategy):
    """A fresh adapter for each task, and a router that chooses among them for each query."""

    needs = frozenset({"adapters", "generate"})

    def __init__(
        self,
        backbone: Backbone,
        *,
        router: Annotated[str, "what chooses: mllm, prototype, ridge, oracle, or another registered router"] = "mllm",
        router_options: Annotated[str, "the router's own options: name=value,name=value"] = "",
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.router, self.router_options = router, router_options
        self.experts: dict[str, str] = {}
        self._load_part: PartLoader
        self._built: tuple[tuple[str, str], Router] | None = None

    @property
    def chooser(self) -> Router:
        """The router itself, built when it is first needed. Raises PluginError, OptionError, PlanError."""
        wanted = (self.router, self.router_options)
        if self._built and self._built[0] != wanted and self.experts:
            hint = "Give -o router and -o router_options for the whole run, not for one task."
            raise PlanError("the router cannot change once it knows tasks: another one knows none of them", hint)
        if self._built is None or self._built[0] != wanted:
            self._built = wanted, self._build()
        return self._built[1]

    def _build(self) -> Router:
        cls = self._load_part("routers", self.router)
        if lacking := sorted(cls.needs - self.backbone.provides):
            hint = "Choose another router: `micl plugins --kind routers` lists them."
            raise PlanError(f"router {self.router!r} needs {', '.join(lacking)} of the backbone", hint)
        options = parse_options(cls, _split(self.router_options), owner=f"router {self.router}")
        made: Router = cls(self.backbone, **options)
        return made

    def stages(self, tasks: Sequence[Task], load_part: PartLoader) -> Sequence[Sequence[Task]]:
        self._load_part = load_part
        _ = self.chooser  # raises before anything is learnt
        return super().stages(tasks, load_part)

    def begin(self, stage: Stage) -> None:
        name = f"expert{stage.position}"
        if name not in self.backbone.adapters.names:
            self.backbone.adapters.add(name, seed=stage.seed)
        self.backbone.adapters.activate(name)

    def end(self, stage: Stage) -> None:
        self.experts |= {task.name: f"expert{stage.position}" for task in stage.tasks}

    def after(self, stage: Stage) -> Iterator[Progress]:
        context = RouterContext(experts=self.experts, rng=stage.rng, seed=stage.seed)
        for task in stage.tasks:
            yield from self.chooser.learn(task, task.examples("train"), context)

    def route(self, examples: Sequence[Example]) -> Sequence[Route] | None:
        if not self.experts:
            return None
        return [route._replace(selection=self.experts[route.task]) for route in self.chooser.route(examples)]

    @property
    def routed_by(self) -> tuple[str, int]:
        return self.router, self.chooser.passes

    def state(self) -> State:
        if not self.experts:
            return State()
        inner = self.chooser.state()
        tensors = {f"router/{name}": tensor for name, tensor in inner.tensors.items()}
        return State(tensors, {"experts": self.experts, "router": inner.data})

    def restore(self, state: State) -> None:
        self.experts = dict(state.data.get("experts", {}))
        self._built = None
        if self.experts:
            tensors = {n.removeprefix("router/"): t for n, t in state.tensors.items() if n.startswith("router/")}
            self.chooser.restore(State(tensors, state.data["router"]))


def _split(text: str) -> Mapping[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if wrong := [name for name, mark, _ in pairs if not mark]:
        raise OptionError(f"router_options: {wrong[0]!r} is no name=value", "For example: samples=20,epochs=40")
    return {name.strip(): value.strip() for name, _, value in pairs}
