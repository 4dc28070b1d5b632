"""What is kept of a model's answers can be compared, whatever the model says."""

import pytest
import torch
from torch import Tensor, nn

from worker.numerics.answers import LARGEST_LOSS, answered
from worker.numerics.examples import TensorExamples
from worker.numerics.outcome import Model
from worker.numerics.run import Quiet

ROWS = torch.tensor([[3e38, -3e38, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 0.0], [800.0, 0.0, 799.0]])


class Same(nn.Module):
    """Logits are the inputs."""

    def forward(self, inputs: Tensor) -> Tensor:
        """`(B, 3)` to `(B, 3)`."""
        return inputs.clone()


@pytest.mark.parametrize("silenced", [set(), {0}, {0, 2}])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_everything_is_finite_and_bounded(silenced: set[int], label: int) -> None:
    examples = TensorExamples(ROWS, torch.full((4,), label), torch.arange(4))
    found = answered(Model(lambda _: Same(), {}, silenced=frozenset(silenced)), examples, Quiet())
    for values in (found.loss, found.entropy, found.modified_entropy):
        assert values.shape == (4,)
        assert values.dtype == torch.float64
        assert values.isfinite().all()
        assert ((values >= 0) & (values <= LARGEST_LOSS)).all()
    assert (
        found.right.tolist()
        == (
            ROWS.index_fill(1, torch.tensor(sorted(silenced), dtype=torch.int64), -torch.inf).argmax(1) == label
        ).tolist()
    )
