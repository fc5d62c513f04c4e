"""Every router that comes with micl keeps the contract that a stranger's must keep."""

from __future__ import annotations

from micl_cli.testing import RouterContract
from micl_routers.mllm import MLLMRouter
from micl_routers.oracle import OracleRouter
from micl_routers.prototype import PrototypeRouter
from micl_routers.ridge import RidgeRouter
from micl_routers.rule import RuleRouter


class TestMLLM(RouterContract):
    router = MLLMRouter
    options = {"learning_rate": 0.01, "epochs": 40}


class TestOracle(RouterContract):
    router = OracleRouter
    accuracy = 1.0


class TestPrototype(RouterContract):
    router = PrototypeRouter


class TestRidge(RouterContract):
    router = RidgeRouter


class TestRule(RouterContract):
    router = RuleRouter
