"""Every method gives the same weights on another device, over the contract's tables: a new method is tested there too.

The device is a stand-in that every machine has: no GPU has been asked.
"""

import pytest
import torch
from torch import Tensor

from app.core.params import Kind, MethodParams
from app.methods.amun import AmunParams
from app.methods.consistency import ConsistencyParams
from app.methods.eu_k import EuKParams
from app.methods.gradient_ascent import GradientAscentParams
from app.methods.lcodec import LcodecParams
from app.methods.ntk_scrub import NtkScrubParams
from app.methods.salun import SalunParams
from app.methods.truncation import TruncationParams
from tests.worker.elsewhere import NAME, elsewhere
from tests.worker.methods.test_contract import CASES, OWN, PATTERNS, named
from worker import registry
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Pattern, Problem

FEWER: dict[type[MethodParams], MethodParams] = {
    AmunParams: AmunParams(attack_steps=5),
    ConsistencyParams: ConsistencyParams(steps=5),
    GradientAscentParams: GradientAscentParams(steps=5),
}
"""Parameters that take fewer steps: the stand-in takes its time."""
AT_HOME: dict[type[MethodParams], set[str]] = {
    EuKParams: {"cpu", NAME},  # one sample, to see how large its features are
    LcodecParams: {"cpu", NAME},  # Hessians and what they are chosen by, in float64
    NtkScrubParams: {"cpu", NAME},  # the Jacobian, in float64
    TruncationParams: set(),
}
"""Where networks are asked, if that is not on the device alone."""
MORE = [
    (SalunParams(variant="soft"), Kind.CLASS),
    (ConsistencyParams(surrogates="pool", pool_size=50, steps=5), Kind.BACKDOOR),
]
EVERY = [(FEWER.get(type(params), params), kind) for params, kind in CASES] + MORE


def at_home(outcome: Outcome) -> bool:
    return all(type(tensor) is Tensor and tensor.device.type == "cpu" for tensor in outcome.weights.values())


@pytest.mark.parametrize(("params", "kind"), EVERY, ids=named)
def test_a_method_gives_the_same_on_another_device(
    params: MethodParams, kind: Kind, problems: dict[Pattern, Problem]
) -> None:
    problem = problems[PATTERNS[kind]]
    own = OWN.get(type(params))
    given = own(problem) if own else problem

    here = registry.unlearn(given, params)
    with elsewhere() as asked_on:
        there = registry.unlearn(given, params)

    assert at_home(there)
    assert all(torch.equal(tensor, there.weights[name]) for name, tensor in here.weights.items())
    assert here.facts == there.facts
    expected = {"cpu", NAME} if (params, kind) == MORE[1] else AT_HOME.get(type(params), {NAME})
    assert asked_on == expected
