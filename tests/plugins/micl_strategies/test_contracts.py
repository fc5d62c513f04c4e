"""Every strategy that comes with micl keeps the contract that a stranger's must keep."""

from __future__ import annotations

from micl_cli.testing import StrategyContract
from micl_strategies.connectors import Connectors
from micl_strategies.ewc import EWC
from micl_strategies.ewf import EWF
from micl_strategies.finetune import Finetune
from micl_strategies.joint import Joint
from micl_strategies.lwf import LwF
from micl_strategies.moincl import MoInCL
from micl_strategies.olora import OLoRA
from micl_strategies.pathweave import PathWeave
from micl_strategies.replay import Replay
from micl_strategies.router import RouterIsolation
from micl_strategies.single_task import SingleTask
from micl_strategies.slm import SLM


class TestFinetune(StrategyContract):
    strategy = Finetune


class TestJoint(StrategyContract):
    strategy = Joint


class TestConnectors(StrategyContract):
    strategy = Connectors


class TestConnectorsWithReplay(StrategyContract):
    strategy = Connectors
    options = {"replay": 6, "replay_batch": 2}


class TestSingleTask(StrategyContract):
    strategy = SingleTask
    adapter = None


class TestMoInCL(StrategyContract):
    strategy = MoInCL


class TestMoInCLAsInThePaper(StrategyContract):
    strategy = MoInCL
    options = {"loss": "mean_over_all", "pseudo_weight": 0.5}


class TestMoInCLByType(StrategyContract):
    strategy = MoInCL
    options = {"pseudo_when": "type", "fuse_every": 2, "fuse_connectors": True}


class TestMoInCLWithoutAdditions(StrategyContract):
    strategy = MoInCL
    options = {"pseudo_num": 0, "text_instruct_num": 0, "alpha": 1.0}


class TestMoInCLWithReplay(StrategyContract):
    strategy = MoInCL
    options = {"replay": 6, "replay_batch": 2}


class TestLwF(StrategyContract):
    strategy = LwF


class TestEWC(StrategyContract):
    strategy = EWC
    options = {"fisher_examples": 4}


class TestEWCOnline(StrategyContract):
    strategy = EWC
    options = {"fisher_examples": 4, "form": "online", "fisher_from": "labels", "normalise": "none"}


class TestEWF(StrategyContract):
    strategy = EWF


class TestEWFByEpoch(StrategyContract):
    strategy = EWF
    options = {"fuse_after": "epoch", "fuse_connectors": True}


class TestEWFAsInThePaper(StrategyContract):
    strategy = EWF
    options = {"alpha_rule": "tasks", "distill": 1.0}


class TestReplay(StrategyContract):
    strategy = Replay
    options = {"replay": 6, "replay_batch": 3}


class TestReplayByReservoir(StrategyContract):
    strategy = Replay
    options = {"replay": 6, "replay_policy": "reservoir", "replay_bytes": 4000}


class TestOLoRA(StrategyContract):
    strategy = OLoRA
    options = {"rank": 1}


class TestOLoRAWithAGrownAdapter(StrategyContract):
    strategy = OLoRA
    options = {"rank": 2}


class TestRouterIsolation(StrategyContract):
    strategy = RouterIsolation
    options = {"router": "ridge"}
    adapter = None


class TestRouterIsolationByTheModel(StrategyContract):
    strategy = RouterIsolation
    options = {"router": "mllm", "router_options": "samples=3,epochs=2"}
    adapter = None


class TestPathWeave(StrategyContract):
    strategy = PathWeave
    adapter = None


class TestSLM(StrategyContract):
    strategy = SLM
    options = {"key_steps": 20}
    adapter = None


class TestSLMWithOneSlot(StrategyContract):
    strategy = SLM
    options = {"slots": 1, "top": 4, "groups": 1, "masked": 0.0, "key_steps": 5, "key_examples": 3}
    adapter = None
