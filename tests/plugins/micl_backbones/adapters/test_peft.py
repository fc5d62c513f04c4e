"""Several adapters in one batch, in layers of any kind; the contract of backbones tests whole models."""

from __future__ import annotations

import pytest
import torch
from micl_backbones.adapters.mixing import mixed_adapters
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

NAMES = ("one", "two")


class Flattening(nn.Module):
    """A layer that is given rows, and one that is given their vectors behind one another, as experts are."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.flat = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.flat(self.plain(x).flatten(0, 1)).unflatten(0, x.shape[:2])
        return made


@pytest.fixture
def model() -> PeftModel:
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["plain", "flat"], init_lora_weights=False)
    made = get_peft_model(Flattening(), config, adapter_name=NAMES[0])  # type: ignore[arg-type]
    made.add_adapter(NAMES[1], config)
    return made.eval()


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 2])
def test_each_row_passes_its_own_adapter(model: PeftModel, beams: int) -> None:
    names, x = ["two", "one", "two"], torch.randn(3 * beams, 5, 4)
    with mixed_adapters(model, names):
        mixed = model(x)
    for row, vectors in enumerate(x):
        model.set_adapter(names[row // beams])
        torch.testing.assert_close(mixed[row], model(vectors[None])[0])


@torch.no_grad()
def test_positions_of_a_row_may_belong_to_several(model: PeftModel) -> None:
    names, owner, x = ["two", "one"], torch.tensor([[0, 0, 1, 1, 0]]), torch.randn(1, 5, 4)
    with mixed_adapters(model, names) as mixture:
        mixture.computing(owner)
        mixed = model(x)
        mixture.computing(torch.tensor([1]))
        second = model(x)
    for place, example in enumerate(owner[0].tolist()):
        model.set_adapter(names[example])
        torch.testing.assert_close(mixed[:, place], model(x)[:, place])
    model.set_adapter("one")
    torch.testing.assert_close(second, model(x))
