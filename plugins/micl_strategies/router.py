"""Router isolation, after MR-LoRA (Zhao et al., "MLLM-CL: Continual Learning for Multimodal Large
Language Models", arXiv 2506.05453).

Each task has an expert of its own, learnt from the base model alone and never touched again;
a router tells for each query which task it belongs to, and only that expert answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from micl_cli.api import Backbone, Example, OptionError, PlanError, Router, State, Strategy, Task, parse_options


class RouterIsolation(Strategy):
    """A fresh adapter for each task, and a router that chooses among them for each query."""

    needs = frozenset({"adapters", "generate"})

    def __init__(
        self,
        backbone: Backbone,
        *,
        router: Annotated[str, "who chooses: mllm, prototype, ridge, oracle, or another registered router"] = "mllm",
        router_options: Annotated[str, "the router's own options: name=value,name=value"] = "",
        **options: Any,
    ) -> None:
        super().__init__(backbone, **options)
        self.router, self.router_options = router, router_options
        self.experts: dict[str, str] = {}
        self._built: tuple[tuple[str, str], Router] | None = None

    @property
    def chooser(self) -> Router:
        """The router itself, built when it is first needed. Raises PluginError, OptionError, PlanError."""
        wanted = (self.router, self.router_options)
        if self._built and self._built[0] != wanted and self.experts:
            hint = "Give -o router and -o router_options for the whole run, not for one task."
            raise PlanError("the router cannot change once it knows tasks: another one knows none of them", hint)
        if self._built is None or self._built[0] != wanted:
            cls = self.load_part("routers", self.router)
            if lacking := sorted(cls.needs - self.backbone.provides):
                hint = "Choose another router: `micl plugins --kind routers` lists them."
                raise PlanError(f"router {self.router!r} needs {', '.join(lacking)} of the backbone", hint)
            options = parse_options(cls, _split(self.router_options), owner=f"router {self.router}")
            self._built = wanted, cls(self.backbone, **options)
        made = self._built[1]
        made.experts, made.rng, made.seed = self.experts, self.rng, self.seed
        return made

    def stages(self, tasks: Sequence[Task]) -> Sequence[Sequence[Task]]:
        _ = self.chooser  # that it cannot be had is told before anything is learnt
        return super().stages(tasks)

    def begin(self, task: Task) -> None:
        name = f"expert{self.position}"
        if name not in self.backbone.adapters:
            self.backbone.add_adapter(name, seed=self.seed)
        self.backbone.activate(name)

    def end(self, task: Task) -> None:
        self.experts[task.name] = f"expert{self.position}"
        self.chooser.learn(task, task.examples("train"))

    def route(self, examples: Sequence[Example]) -> Sequence[str] | None:
        if not self.experts:
            return None
        chooser = self.chooser
        self.routes, self.routing_passes = chooser.route(examples), chooser.passes
        return [self.experts[task] for task, _ in self.routes]

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
