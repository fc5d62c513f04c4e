"""The embedded weights keep the contract of every backbone."""

from __future__ import annotations

import pytest
from helpers import resources

from micl_backbones.composed.named import Tiny
from micl_cli.api import Backbone
from micl_cli.testing import BackboneContract


@pytest.mark.slow
class TestTiny(BackboneContract):
    def make(self) -> Backbone:
        return Tiny(resources=resources())
