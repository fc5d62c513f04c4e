"""The spaces that the strategies declare for `micl tune`."""

from __future__ import annotations

import pytest

from micl_cli.api import options_of
from micl_cli.registry import Registry
from micl_cli.session import Request, Session
from micl_cli.settings import load_settings
from micl_cli.tune.space import space_of

EXPECTED = {
    "ewc": {"lambda_ewc"},
    "ewf": {"alpha"},
    "lwf": {"lambda_lwf"},
    "moincl": {"alpha", "lambda_kl", "lambda_text"},
    "olora": {"lambda_orthogonal"},
    "slm": {"top"},
}


@pytest.mark.parametrize("strategy", sorted(part.name for part in Registry.discover().parts("strategies")))
def test_defaults_are_inside_the_space_and_not_at_its_edge(strategy: str) -> None:
    session = Session(load_settings())
    options = options_of(session.registry.load("strategies", strategy))
    declared = {name for name, option in options.items() if option.search}
    assert declared == EXPECTED.get(strategy, set())
    plan = session.plan(Request(strategy=strategy, backbone="tiny", tasks=("own/a",)), ())
    space = space_of(plan, {}, (), session.registry)
    assert {dimension.name for dimension in space} == declared | {"learning_rate"}
    for dimension in space:
        assert dimension.contains(dimension.default)
        assert not dimension.edge(dimension.default)
