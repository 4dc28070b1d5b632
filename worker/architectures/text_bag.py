"""`text_bag`: the mean of a text's word vectors, and two linear layers."""

from collections import OrderedDict

from torch import Tensor, nn

from app.architectures.text_bag import TextBagParams
from worker.numerics.randomness import drawn_from
from worker.numerics.words import PADDING

DEVIATION = 0.1


class Bag(nn.Module):
    """x ↦ Σ_t [x_t ≠ 0] E_{x_t} / Σ_t [x_t ≠ 0]: padding counts for nothing, a text without words is 0."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary, width)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, L)` of 0..V−1 to `(B, width)`."""
        there = (x != PADDING).unsqueeze(-1).to(self.vectors.weight.dtype)
        total: Tensor = (self.vectors(x) * there).sum(1)
        return total / there.sum(1).clamp(min=1)


def build(params: TextBagParams, seed: int) -> nn.Module:
    """Word vectors from N(0, 0.1²), their mean, two linear layers as torch draws them.

    Returns:
        `(B, L)` int64 to `(B, classes)`.

    Source: Iyyer et al., Deep Unordered Composition Rivals Syntactic Methods for Text Classification, 2015.
    """
    with drawn_from(seed):
        bag = Bag(params.vocabulary, params.width)
        nn.init.normal_(bag.vectors.weight, std=DEVIATION)
        return nn.Sequential(
            OrderedDict[str, nn.Module](
                bag=bag,
                hidden=nn.Linear(params.width, params.hidden),
                relu=nn.ReLU(),
                head=nn.Linear(params.hidden, params.classes),
            )
        )
