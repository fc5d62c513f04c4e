"""Every strategy that comes with micl keeps the contract that a stranger's must keep."""

from __future__ import annotations

from micl_cli.testing import StrategyContract
from micl_strategies.finetune import Finetune
from micl_strategies.joint import Joint
from micl_strategies.moincl import MoInCL


class TestFinetune(StrategyContract):
    strategy = Finetune


class TestJoint(StrategyContract):
    strategy = Joint


class TestMoInCL(StrategyContract):
    strategy = MoInCL


class TestMoInCLByType(StrategyContract):
    strategy = MoInCL
    options = {"pseudo_when": "type", "fuse_every": 2, "fuse_connectors": True}


class TestMoInCLWithoutAdditions(StrategyContract):
    strategy = MoInCL
    options = {"pseudo_num": 0, "text_instruct_num": 0, "alpha": 1.0}
