"""Router isolation keeps every expert as it was, and answers through the one that the router names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from micl_cli.api import BASE, Example, OptionError, PlanError, Task, combine
from micl_cli.errors import PluginError
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.router import RouterIsolation

TASKS = [toy_task("image", "captioning"), toy_task("image", "qa"), toy_task("audio", "qa")]
ROUTERS = {"mllm": "samples=3,epochs=2", "prototype": "", "ridge": "", "rule": "", "oracle": ""}


def course(tasks: Sequence[Task] = TASKS, **options: Any) -> Course:
    return Course(RouterIsolation(ToyBackbone(), **options), tasks, options=options)


def learnt(tasks: Sequence[Task] = TASKS, **options: Any) -> Course:
    made = course(tasks, **options)
    for position in range(1, len(made.stages) + 1):
        made.learn(position)
    return made


def isolation(made: Course) -> RouterIsolation:
    assert isinstance(made.strategy, RouterIsolation)
    return made.strategy


def asked() -> list[Example]:
    """Test examples of every task, in turn."""
    return [example for row in zip(*(task.examples("test") for task in TASKS), strict=True) for example in row]


def as_bytes(made: Course, expert: str) -> Mapping[str, bytes]:
    return {name: w.numpy().tobytes() for name, w in made.strategy.backbone.adapters.state(expert).items()}


# Experts


@pytest.mark.parametrize("router", ROUTERS)
def test_a_stage_never_changes_an_earlier_expert(router: str) -> None:
    made = course(router=router, router_options=ROUTERS[router])
    before: dict[str, Mapping[str, bytes]] = {}
    for position in (1, 2, 3):
        made.learn(position)
        assert {name: as_bytes(made, name) for name in before} == before
        assert list(isolation(made).experts.values()) == [f"expert{i}" for i in range(1, position + 1)]
        before = {name: as_bytes(made, name) for name in isolation(made).experts.values()}
    assert len({json.dumps({n: b.hex() for n, b in one.items()}) for one in before.values()}) == 3


def test_each_expert_starts_from_the_base_model_alone() -> None:
    made, alone = learnt(TASKS, router="oracle"), ToyBackbone()
    alone.adapters.add("fresh", seed=0)
    fresh = alone.adapters.state("fresh")
    again = course(TASKS, router="oracle")
    again.learn(1)
    again.begin(2)
    started = again.strategy.backbone.adapters.state("expert2")
    assert all(torch.equal(started[name], fresh[name]) for name in fresh)
    # Nothing of task 1 reaches task 2: learnt without it, the expert is the same.
    lone = Course(RouterIsolation(ToyBackbone(), router="oracle"), TASKS)
    lone.learn(2)
    assert as_bytes(lone, "expert2") == as_bytes(made, "expert2")


# Routing


@pytest.mark.parametrize("router", ROUTERS)
def test_answers_are_those_of_the_chosen_expert_alone(router: str) -> None:
    made = learnt(router=router, router_options=ROUTERS[router])
    strategy, backbone = made.strategy, made.strategy.backbone
    routes = strategy.route(asked())
    assert routes is not None
    experts = [isolation(made).experts[route.task] for route in routes]
    assert [route.selection for route in routes] == experts
    with backbone.adapters.using(combine(experts)):
        together = backbone.generate(asked(), max_new_tokens=6)
    for example, expert, answer in zip(asked(), experts, together, strict=True):
        with backbone.adapters.using(expert):
            assert backbone.generate([example], max_new_tokens=6) == [answer]


def test_the_oracle_s_experts_are_the_tasks_own() -> None:
    routes = learnt(router="oracle").strategy.route(asked()) or []
    assert [route.selection for route in routes] == ["expert1", "expert2", "expert3"] * len(TASKS[0].examples("test"))
    assert {route.margin for route in routes} == {1.0}


@pytest.mark.parametrize("router", ROUTERS)
def test_only_experts_that_have_learnt_the_modalities_answer(router: str) -> None:
    order = [TASKS[2], TASKS[0], TASKS[1]]
    made = course(order, router=router, router_options=ROUTERS[router])
    seen: set[str] = set()
    for position, task in enumerate(order, 1):
        made.learn(position)
        seen |= task.modalities
        for example, route in zip(asked(), made.strategy.route(asked()) or [], strict=True):
            if example.modalities <= seen:
                (learnt,) = [each for each in order if each.name == route.task]
                assert example.modalities <= learnt.modalities
                assert route.selection == isolation(made).experts[route.task]
            else:
                assert (route.task, route.selection) == (BASE, None)


def test_before_anything_is_learnt_the_active_adapter_answers() -> None:
    assert course(router="oracle").strategy.route(asked()) is None


@pytest.mark.parametrize(("router", "passes"), [("mllm", 1), ("ridge", 0), ("prototype", 0), ("oracle", 0)])
def test_passes_of_the_language_model_are_counted(router: str, passes: int) -> None:
    made = course(TASKS[:1], router=router)
    made.learn(1)
    assert made.strategy.routed_by == (router, passes)


def test_routing_leaves_the_active_adapter_as_it_is() -> None:
    made = learnt(router="mllm", router_options=ROUTERS["mllm"])
    made.strategy.route(asked())
    assert made.strategy.backbone.adapters.active == "expert3"


@pytest.mark.parametrize("router", ROUTERS)
def test_a_resumed_one_routes_alike(router: str) -> None:
    options: dict[str, Any] = {"router": router, "router_options": ROUTERS[router]}
    made = course(**options)
    made.learn(1)
    made.learn(2)
    restored = course(**options)
    restored.resume(made.checkpoint(), finished=True)
    assert made.strategy.route(asked()) == restored.strategy.route(asked())
    assert made.learn(3) == restored.learn(3)
    assert made.strategy.route(asked()) == restored.strategy.route(asked())


def test_a_router_learns_in_a_pass_after_learning() -> None:
    made = course(TASKS, router="ridge")
    for position in (1, 2):
        made.begin(position)
        made.rest()
        made.end()
        before = len(made.progress)
        made.after()
        assert len(made.progress) > before


# Options


def test_the_router_s_options_are_parsed() -> None:
    made = course(router="mllm", router_options="samples=3, learning_rate = 0.5")
    router: Any = isolation(made).built_router
    assert (router.samples, router.learning_rate, router.epochs) == (3, 0.5, 40)


@pytest.mark.parametrize(
    ("router", "words", "told"),
    [
        ("mllm", "samples", "'samples' is not name=value"),
        ("mllm", "sample=3", "sample"),
        ("mllm", "samples=3, samples=4", "'samples' is given twice"),
        ("mllm", "samples=few", "few"),
        ("mllm", "samples=0", "at least 1"),
        ("mllm", "descriptions=/nowhere.toml", "a file that exists"),
        ("oracle", "samples=3", "samples"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_learnt(router: str, words: str, told: str) -> None:
    with pytest.raises(OptionError, match=told) as refused:
        course(router=router, router_options=words)
    assert refused.value.hint or f"router {router}" in refused.value.message


def test_an_unknown_router_is_refused_before_anything_is_learnt() -> None:
    with pytest.raises(PluginError, match="prototyp") as refused:
        course(router="prototyp")
    assert "prototype" in str(refused.value)


def test_a_router_that_needs_too_much_of_the_backbone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBackbone, "provides", frozenset({"adapters", "generate"}))
    with pytest.raises(PlanError, match="'ridge' needs features") as refused:
        course(router="ridge")
    assert "micl plugins --kind routers" in refused.value.hint


def test_a_run_reports_where_queries_went(learn: Any, micl: Any) -> None:
    run = learn("--strategy", "router", "-o", "router", "oracle").out.strip()
    (report,) = json.loads(micl("report", run, "--json").out)["runs"]
    assert report["routing"]["router"] == "oracle"
    assert report["routing"]["accuracy"] == 100
    wrong = learn("--strategy", "router", "-o", "router", "nobody")
    assert (wrong.code, wrong.out) == (3, "")
    assert "nobody" in wrong.err


def test_another_router_in_the_middle_is_refused_with_the_way_out() -> None:
    options = {"router": "oracle"}
    made = Course(
        RouterIsolation(ToyBackbone(), **options), TASKS, options=options, stage_options={2: {"router": "ridge"}}
    )
    made.learn(1)
    with pytest.raises(PlanError, match="cannot change") as refused:
        made.learn(2)
    assert "whole run" in refused.value.hint
