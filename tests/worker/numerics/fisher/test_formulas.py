"""Large products are squared in blocks of rows: the blocks make up the whole, whatever is left over."""

import pytest
import torch
from torch.nn.functional import unfold

from worker.numerics.fisher import formulas
from worker.numerics.fisher.formulas import add_squared_products, add_squared_unfolded

ONES = [1, 1]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


@pytest.mark.parametrize("rows", [1, 25, 65, 1000])
def test_products_with_positions(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(formulas, "BLOCK_FLOATS", rows * 200)
    g, a, out = drawn(3, 5, 130), drawn(3, 5, 200), torch.ones(130, 200, dtype=torch.float64)
    add_squared_products(g, a, out)
    torch.testing.assert_close(out, 1 + torch.bmm(g.mT, a).square().sum(0), rtol=1e-12, atol=0)


@pytest.mark.parametrize("outputs", [40, 20])  # as many as positions of all samples, and fewer
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_convolutions(monkeypatch: pytest.MonkeyPatch, rows: int, outputs: int) -> None:
    monkeypatch.setattr(formulas, "BLOCK_FLOATS", rows * 18)
    g, a, out = drawn(3, outputs, 9), drawn(3, 2, 3, 3), torch.ones(outputs, 2, 3, 3, dtype=torch.float64)
    add_squared_unfolded(g, a, out, ONES, ONES, ONES)
    each = torch.bmm(g, unfold(a, 3, padding=1).mT)
    torch.testing.assert_close(out, 1 + each.square().sum(0).view_as(out), rtol=1e-12, atol=0)
