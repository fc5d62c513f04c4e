"""The strategy fulfils micl's contract for strategies."""

from __future__ import annotations

from micl_agem.strategy import AGEM

from micl_cli.testing import StrategyContract


class TestAGEM(StrategyContract):
    strategy = AGEM


class TestAGEMWithASmallMemory(StrategyContract):
    strategy = AGEM
    options = {"per_task": 3, "batch_size": 2}
