"""The model of a run, as far as no weights are needed."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from micl_cli.api import Strategy
from micl_cli.session.model import RunModel


class ByTask(Strategy):
    knows_task = True

    @property
    def task_adapters(self) -> Mapping[str, str]:
        return {}


class ByModality(Strategy):
    knows_task = True


@pytest.mark.parametrize(("strategy", "needed"), [(ByTask, True), (ByModality, False), (Strategy, False)])
def test_a_task_is_needed_only_by_methods_that_select_by_it(strategy: type[Strategy], needed: bool) -> None:
    nothing: Any = None
    components: Any = SimpleNamespace(strategy=strategy(nothing))
    assert RunModel(nothing, nothing, components, nothing, [0]).knows_task is needed
