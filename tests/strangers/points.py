"""A new modality as a stranger brings it: point clouds from .npy files, and an encoder for the composed backbone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from micl_cli.api import Encoder, MediaError, Modality, hookimpl


class Points(Modality):
    """Point clouds: float32 [n, 3]."""

    name = "points"

    def read(self, path: Path) -> Any:
        try:
            cloud = np.load(path, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError, EOFError) as error:
            raise MediaError(f"{path}: no point cloud: {error}", "Save it by numpy.save, [n, 3].") from error
        if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
            raise MediaError(f"{path}: a point cloud is [n, 3], not {list(cloud.shape)}", "Save it by numpy.save.")
        return cloud

    def inspect(self, path: Path) -> Mapping[str, Any]:
        return {"points": len(self.read(path))}


class PointEncoder(Encoder):
    """A random but fixed projection of the points' mean, deviation and extent."""

    def __init__(self, *, tokens: int = 2, width: int = 16) -> None:
        super().__init__(tokens, width, {})
        drawn = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(tokens * width, 9, generator=drawn) / 9)
        self.bias = nn.Parameter(torch.randn(tokens * width, generator=drawn))

    def prepare(self, medium: Any) -> Tensor:
        cloud = torch.from_numpy(medium)
        return torch.cat([cloud.mean(0), cloud.std(0, correction=0), cloud.amax(0) - cloud.amin(0)])

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight.T + self.bias).tanh().view(len(x), self.tokens, self.width)


@hookimpl
def micl_register_modalities(register) -> None:
    register("points", f"{__name__}:Points", "point clouds")


@hookimpl
def micl_register_encoders(register) -> None:
    register("points-mlp", f"{__name__}:PointEncoder", "a fixed projection of point clouds")
