"""Connectors without any change of the language model's layers, for adapters that share connectors with each other."""

from __future__ import annotations

from micl_cli.api import AdapterKind, Layer, LayerAdapter


class ConnectorsOnly(AdapterKind):
    """Connectors, and no change of the layers."""

    def layer(self, layer: Layer) -> LayerAdapter | None:
        return None
