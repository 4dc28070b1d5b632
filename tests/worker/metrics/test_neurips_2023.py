"""Metric `neurips_2023`: on a network that learns by heart, doing nothing scores 0 and retraining the most."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from app.catalogue.unions import DEFAULT_METRICS
from app.metrics.neurips_2023 import Neurips2023Params
from tests.worker.test_crowd import Kept
from worker.epsilons import ceiling, epsilon, points
from worker.metrics.neurips_2023 import neurips_2023
from worker.numerics.concatenation import concatenated
from worker.numerics.errors import NonFinite
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.outcome import Again, Bench, Model
from worker.numerics.recipe import Recipe
from worker.numerics.run import Part, Quiet, Run
from worker.numerics.training import train

PARAMS = Neurips2023Params()
BY_HEART = Recipe(0.1, epochs=20, batch_size=20)
Make = Callable[[int, Run], Model]


def build(seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 2))
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    return network.eval()


def examples(n: int, seed: int, *, noisy: float) -> Examples:
    """The sign of the first input, and a label that is wrong for a share of them: to be learned by heart."""
    generator = torch.Generator().manual_seed(seed)
    inputs: Tensor = torch.randn(n, 10, generator=generator)
    wrong = torch.rand(n, generator=generator) < noisy
    return TensorExamples(inputs, ((inputs[:, 0] > 0) ^ wrong).long(), torch.arange(n))


SETS = {
    "forget": examples(24, 1, noisy=1.0),
    "retain": examples(60, 2, noisy=0.1),
    "test": examples(200, 3, noisy=0.1),
}


def learned(data: Examples, seed: int, run: Run) -> Model:
    return Model(build, train(build, BY_HEART, data, seed=seed, run=run))


BEFORE = learned(concatenated(SETS["forget"], SETS["retain"]), 0, Quiet())


def retrained(number: int, run: Run) -> Model:
    return learned(SETS["retain"], number, run)


def nothing_done(number: int, _: Run, *, size: float = 0.003) -> Model:
    generator = torch.Generator().manual_seed(number)
    moved = {name: w + size * torch.randn(w.shape, generator=generator) for name, w in BEFORE.weights.items()}
    return Model(build, moved)


def shaken(number: int, run: Run) -> Model:
    return nothing_done(number, run, size=0.2)


def shaken_elsewhere(number: int, run: Run) -> Model:
    return nothing_done(1000 + number, run, size=0.3)


def retrained_elsewhere(number: int, run: Run) -> Model:
    return learned(SETS["retain"], 1000 + number, run)


def bench(unlearned: Make, gold: Make = retrained, *, random: bool = True) -> Bench:
    run = Quiet()
    again = Again(unlearned, gold, random, run)
    return Bench(BEFORE, BEFORE, (), SETS, "samples", 2, 0, run, BY_HEART, again=again)


def test_doing_nothing_is_near_the_floor_and_retraining_near_the_top() -> None:
    idle, score = neurips_2023(bench(nothing_done), PARAMS)
    assert idle.after < 0.02
    assert score.after < 0.02
    gold, best = neurips_2023(bench(retrained_elsewhere), PARAMS)
    assert gold.after > 0.6 * ceiling(16)
    assert best.after == pytest.approx(gold.after, rel=0.1)  # the accuracies are those of retraining
    for found in (idle, score, gold, best):
        assert (found.before, found.no_op, found.gold, found.direction) == (0.0, 0.0, (), "higher")
        assert found.interval[0] <= found.after <= found.interval[1]
    assert (gold.measure, gold.on, gold.n) == ("forgetting_quality", "forget", 24)
    assert (best.measure, best.on, best.n) == ("challenge_score", "forget, retain, test", 284)


def test_the_score_is_that_of_a_loop_over_models_and_samples() -> None:
    """From the definitions: log-odds by softmax, mean accuracies, the mean over samples of H(ε)."""
    params = Neurips2023Params(models=8)
    quality, score = neurips_2023(bench(shaken, shaken_elsewhere), params)
    kinds = [[make(number, Quiet()) for number in range(1, 9)] for make in (shaken, shaken_elsewhere)]

    def answers(model: Model, name: str) -> tuple[Tensor, Tensor]:  # log p
        network = build(0)
        network.load_state_dict(dict(model.weights))
        (batch,) = SETS[name].batches(500)
        with torch.no_grad():
            return network(batch.inputs).double().log_softmax(1), batch.labels

    def phi(model: Model, sample: int) -> float:
        p, labels = answers(model, "forget")
        return float(p[sample, labels[sample]] - p[sample, 1 - labels[sample]])

    def accuracy(models: list[Model], name: str) -> float:
        return float(np.mean([(p.argmax(1) == y).double().mean() for p, y in (answers(m, name) for m in models)]))

    epsilons = [epsilon(*(np.array([phi(model, s) for model in models]) for models in kinds)) for s in range(24)]
    by_hand = points(np.array(epsilons), 8).mean()
    assert quality.after == pytest.approx(by_hand, abs=1e-6)
    kept = [accuracy(kinds[0], name) / accuracy(kinds[1], name) for name in ("retain", "test")]
    assert score.after == pytest.approx(by_hand * kept[0] * kept[1], abs=1e-6)


def test_it_says_what_few_models_cannot_show() -> None:
    quality, _ = neurips_2023(bench(shaken, shaken_elsewhere), Neurips2023Params(models=8))
    limit, top, samples = quality.caveats
    assert "no ε above ln 7 = 1.9" in limit
    assert "512" in limit
    assert f"about {ceiling(8):.2f}" in top
    assert "same models" in samples
    assert quality.attack_feature == "confidence of 8 models that the method made against that of 8 retrained ones"


def test_what_one_job_audits_shares_the_retrained_models_and_nothing_else() -> None:
    whole, made = Kept(), list[str]()

    def counted(kind: str, make: Make) -> Make:
        def count(number: int, run: Run) -> Model:
            made.append(kind)
            return make(number, run)

        return count

    params = Neurips2023Params(models=8)
    again = Again(counted("u", shaken), counted("r", shaken_elsewhere), random=True, whole=whole)
    first, second = (
        neurips_2023(replace(bench(shaken), run=Part(whole, rung), again=again), params)
        for rung in ("rung_1", "rung_2")
    )
    assert "".join(made) == 8 * "u" + 8 * "r" + 8 * "u"
    assert first == second


def fails(number: int, _: Run) -> Model:
    if number == 3:
        raise NonFinite("the loss became NaN")
    return BEFORE


@pytest.mark.parametrize(
    ("unlearned", "random", "reason"),
    [
        (nothing_done, False, "another seed gives the same model"),
        (lambda *_: BEFORE, True, "another seed gives the same model"),
        (fails, True, "the loss became NaN"),
    ],
)
def test_without_a_distribution_it_measures_nothing_and_says_why(unlearned: Make, random: bool, reason: str) -> None:  # noqa: FBT001 - of the table above
    made = list[int]()
    asked = bench(unlearned, random=random)
    assert asked.again is not None

    def counted(number: int, run: Run) -> Model:
        made.append(number)
        return retrained(number, run)

    run = Quiet()
    counting = replace(asked, run=run, again=asked.again._replace(retrained=counted))
    assert neurips_2023(counting, PARAMS) == []
    assert str(run.notes["neurips_2023.not_measured"]).startswith(reason)
    assert made == []  # it is known before anything is retrained


@pytest.mark.parametrize(
    "lacking", [{"again": None}, {"kind": "backdoor"}, {"sets": {"forget": SETS["forget"], "retain": SETS["retain"]}}]
)
def test_without_what_it_needs_there_is_no_finding(lacking: dict[str, object]) -> None:
    assert neurips_2023(replace(bench(nothing_done), **lacking), PARAMS) == []  # type: ignore[arg-type]


def test_it_is_asked_for_and_never_by_default() -> None:
    by_default: set[str] = {metric().name for metric in DEFAULT_METRICS}
    assert PARAMS.name not in by_default
    assert PARAMS.models == 16
    for models in (7, 513):
        with pytest.raises(ValidationError, match="models"):
            Neurips2023Params(models=models)
