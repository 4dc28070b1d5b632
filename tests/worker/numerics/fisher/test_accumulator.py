"""Every kind of layer against the definition, and what no formula may get wrong silently."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.worker.numerics.fisher.zoo import CASES, CLASSES, FALLBACKS, Case, Through, examples, obvious, off
from worker.numerics.errors import Misfit, NonFinite, SamplesMixed
from worker.numerics.examples import TensorExamples
from worker.numerics.fisher import Accumulator, accumulator, definition, formulas
from worker.numerics.randomness import drawn_from


def built(case: Case, dtype: torch.dtype = torch.float64) -> nn.Module:
    with drawn_from(2):
        return case.build().to(dtype).eval()


def summed(network: nn.Module, inputs: Tensor, labels: Tensor, *, by: int = 4) -> tuple[dict[str, Tensor], str]:
    found = Accumulator(network, inputs[:by], labels[:by])
    for x, y in zip(torch.split(inputs, by), torch.split(labels, by), strict=True):
        found.add(x, y)
    return found.sums(), found.how


by_name = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@by_name
def test_every_layer_is_the_definition_in_float64(case: Case) -> None:
    network, data = built(case), examples(11, case.shape, tokens=case.tokens)
    found, how = summed(network, data.raw, data.labels)
    assert how.removeprefix("interception, but ") == FALLBACKS.get(case.name, "interception")
    assert off(found, obvious(network, data)) <= 1e-12


@by_name
def test_every_layer_is_close_to_the_definition_in_float32(case: Case) -> None:
    network, data = built(case, torch.float32), examples(11, case.shape, tokens=case.tokens)
    found, _ = summed(network, data.raw if case.tokens else data.raw.float(), data.labels)
    assert off(found, obvious(network.double(), data)) <= 1e-5


@by_name
def test_chunks_of_one_sample_change_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = built(case), examples(5, case.shape, tokens=case.tokens)
    whole, _ = summed(network, data.raw, data.labels, by=5)
    monkeypatch.setattr(formulas, "CHUNK_FLOATS", 1)
    monkeypatch.setattr(definition, "VMAP_FLOATS", 1)
    found, _ = summed(network, data.raw, data.labels, by=5)
    assert off(found, whole) <= 1e-12


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_an_even_kernel_is_padded_more_on_one_side() -> None:
    with drawn_from(2):
        network = nn.Sequential(
            nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2)), nn.Flatten(), nn.Linear(288, 5)
        )
    data = examples(5, (3, 9, 8))
    found, how = summed(network.double().eval(), data.raw, data.labels)
    assert how == "interception"
    assert off(found, obvious(network, data)) <= 1e-12


def linear(self: Through, x: Tensor) -> Tensor:
    return functional.linear(x, self.own["w"])


def through(function: Callable[[Through, Tensor], Tensor], **parameters: tuple[int, ...]) -> Through:
    with drawn_from(3):
        return Through(function, **(parameters or {"w": (4, 4)})).double().eval()


class Hidden(torch.autograd.Function):
    """x Wᵀ, where torch's functions do not show it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x @ w.T

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return g @ w, g.T @ x


def test_a_parameter_used_where_nothing_shows_it_is_done_one_by_one() -> None:
    network = through(lambda self, x: Hidden.apply(torch.tanh(linear(self, x)), self.own["v"]), w=(4, 4), v=(4, 4))  # type: ignore[no-untyped-call]
    data = examples(9, (4,))
    found, how = summed(network, data.raw, data.labels)
    assert how.startswith("interception, but one_by_one for own.v: 'own.v' is used where torch's functions do not")
    assert off(found, obvious(network, data)) <= 1e-12


def test_a_network_that_overwrites_what_it_needs_is_an_error() -> None:
    def overwriting(self: Through, x: Tensor) -> Tensor:
        x = 2 * x
        y = linear(self, x)
        x.mul_(3)
        return torch.relu(y) + x

    data = examples(9, (4,))
    with pytest.raises(Misfit, match="modified by an inplace operation"):
        Accumulator(through(overwriting), data.raw, data.labels)


def test_an_input_overwritten_only_in_some_batches_is_noticed() -> None:
    """Autograd does not see it, because it keeps no input for a weight gradient that it does not form."""

    def sometimes(self: Through, x: Tensor) -> Tensor:
        x = 2 * x
        y = linear(self, x)
        if len(x) == 6:
            x.mul_(3)
        return y

    network, data = through(sometimes), examples(6, (4,))
    found = Accumulator(network, data.raw, data.labels)
    found.add(data.raw, data.labels)
    assert off(found.sums(), obvious(network, data)) <= 1e-12


def test_a_batch_on_which_the_network_does_something_else_is_done_slowly() -> None:
    def otherwise(self: Through, x: Tensor) -> Tensor:
        if len(x) == 6:
            return torch.cat([linear(self, x[:3]), linear(self, x[3:])])
        return linear(self, x)

    network, data = through(otherwise), examples(10, (4,))
    found = Accumulator(network, data.raw[:4], data.labels[:4])
    found.add(data.raw[:6], data.labels[:6])
    found.add(data.raw[6:], data.labels[6:])
    assert off(found.sums(), obvious(network, data)) <= 1e-12
    assert found.how == "interception; one_by_one for 6 samples, on which the network went another way"


def test_a_weight_that_reads_the_batch_as_positions_is_not_mistaken() -> None:
    """As many samples as positions: only the trial's sizes tell them apart."""
    network, data = (
        through(lambda s, x: functional.linear(x.transpose(0, 1), s.own["w"]).mean(0), w=(4, 6)),
        examples(7, (7, 6)),
    )
    found, how = summed(network, data.raw, data.labels, by=7)
    assert how == "interception"
    assert off(found, obvious(network, data)) <= 1e-12


def mixing(self: Through, x: Tensor) -> Tensor:
    return linear(self, x - x.mean(0))


def random(self: Through, x: Tensor) -> Tensor:
    return linear(self, functional.dropout(x, training=True))


def batch_statistics(self: Through, x: Tensor) -> Tensor:
    return functional.batch_norm(linear(self, x), None, None, training=True) if len(x) > 1 else linear(self, x)


@pytest.mark.parametrize("function", [mixing, random, batch_statistics])
def test_samples_that_depend_on_each_other_are_an_error(function: Callable[[Through, Tensor], Tensor]) -> None:
    data = examples(9, (4,))
    with pytest.raises(SamplesMixed, match="other samples of its batch"):
        Accumulator(through(function), data.raw, data.labels)


@pytest.mark.parametrize(
    "network",
    [nn.Flatten(0), nn.Sequential(nn.Linear(4, 4), nn.Unflatten(0, (1, -1)), nn.Flatten(1)), nn.Unflatten(1, (2, 2))],
)
def test_a_batch_that_is_not_first_is_an_error(network: nn.Module) -> None:
    data = examples(9, (4,))
    with pytest.raises(Misfit, match=r"not \(samples, classes\)"):
        Accumulator(nn.Sequential(nn.Linear(4, 4), network).double().eval(), data.raw, data.labels)


def test_inputs_that_do_not_fit_are_an_error() -> None:
    data = examples(9, (3,))
    with pytest.raises(Misfit, match=r"cannot be run on inputs \(3,\)"):
        Accumulator(through(linear), data.raw, data.labels)


def test_a_network_that_insists_on_float32_is_compared_in_float32() -> None:
    with drawn_from(3):
        network = Through(lambda self, x: functional.linear(x.float() * torch.ones(4), self.own["w"]), w=(4, 4)).eval()
    data = examples(9, (4,), dtype=torch.float32)
    found, how = summed(network, data.raw, data.labels)
    assert how == "interception"
    assert off(found, obvious(network, data)) <= 1e-5


def test_samples_that_the_network_fits_keep_their_digits() -> None:
    """At a logit lead of 20, p_y − 1 in float32 is 0; the true residual is about −2·10⁻⁹ for each of the others."""
    head = nn.Linear(1, CLASSES)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[20.0], [0.0], [0.0], [0.0], [0.0]]))
        head.bias.zero_()
    inputs, labels = torch.ones(1, 1), torch.zeros(1, dtype=torch.int64)
    found, _ = summed(head.eval(), inputs, labels)
    exact = TensorExamples(inputs.double(), labels, torch.arange(1))
    torch.testing.assert_close(found["bias"], obvious(head.double(), exact)["bias"], rtol=1e-6, atol=0)


def test_squares_beyond_float32_are_named() -> None:
    network, data = through(linear).float(), examples(9, (4,), dtype=torch.float32)
    with torch.no_grad():
        network.head.weight.mul_(1e25)
        network.own["w"].mul_(1e-25)
    found = Accumulator(network, data.raw, data.labels)
    found.add(data.raw, data.labels, torch.arange(9) + 50)
    with pytest.raises(NonFinite, match=r"'own.w' is not finite for the sample at position 5\d"):
        found.sums()


def test_float32_sums_go_into_float64_before_they_lose_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """2²⁴ + 1 is 2²⁴ in float32."""
    monkeypatch.setattr(accumulator, "BATCHES_IN_FLOAT32", 1)
    network = nn.Linear(1, 2, bias=False).eval()
    nn.init.zeros_(network.weight)
    found = Accumulator(network, torch.ones(1, 1), torch.zeros(1, dtype=torch.int64))
    for size in (2**13, 2.0):  # the residual is 1/2: (size/2)²
        found.add(torch.full((1, 1), float(size)), torch.zeros(1, dtype=torch.int64))
    assert found.sums()["weight"].flatten().tolist() == [2.0**24 + 1] * 2


def test_uses_that_reach_nothing_leave_the_gradient_to_the_others() -> None:
    def twice(self: Through, x: Tensor) -> Tensor:
        outcomes: list[Tensor] = [x + self.own["b"] + self.own["c"] for _ in range(2)]
        return outcomes[1]  # the first was for nothing

    network, data = Through(twice, b=(4,), c=(4,)).double().eval(), examples(6, (4,))
    found = Accumulator(network, data.raw, data.labels)
    found.add(data.raw, data.labels)
    assert found.how == "interception"
    assert off(found.sums(), obvious(network, data)) <= 1e-12
