"""Every method gives the same weights on another device, over the contract's tables: a new method is tested there too.

The device is a stand-in that every machine has: no GPU has been asked.
"""

import pytest
import torch
from torch import Tensor

from app.core.params import Kind, MethodParams
from app.methods.amnesiac import AmnesiacParams
from app.methods.amun import AmunParams
from app.methods.consistency import ConsistencyParams
from app.methods.eu_k import EuKParams
from app.methods.gradient_ascent import GradientAscentParams
from app.methods.lcodec import LcodecParams
from app.methods.ntk_scrub import NtkScrubParams
from app.methods.truncation import TruncationParams
from tests.worker.elsewhere import NAME, elsewhere
from tests.worker.methods.test_contract import CASES, given, named
from worker import registry
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem

__all__ = ["given"]

FEWER: dict[type[MethodParams], dict[str, int]] = {
    AmunParams: {"attack_steps": 5},
    ConsistencyParams: {"steps": 5, "pool_size": 50},
    GradientAscentParams: {"steps": 5},
}
"""Fewer steps: the stand-in takes its time."""
BOTH = {"cpu", NAME}
AT_HOME: dict[type[MethodParams], set[str]] = {
    EuKParams: BOTH,  # one sample, to see how large its features are
    LcodecParams: BOTH,  # Hessians and what they are chosen by, in float64
    NtkScrubParams: BOTH,  # the Jacobian, in float64
    TruncationParams: set(),
}
"""Where networks are asked, if that is not on the device alone."""


def expected(params: MethodParams, kind: Kind) -> set[str]:
    """As the table says, and where settings make a difference."""
    if isinstance(params, AmnesiacParams) and not params.repair_epochs:
        return set()
    if isinstance(params, NtkScrubParams) and params.targets == "labels":
        return {"cpu"}
    if isinstance(params, ConsistencyParams) and params.settings(kind).refit:
        return BOTH
    return AT_HOME.get(type(params), {NAME})


def at_home(outcome: Outcome) -> bool:
    return all(type(tensor) is Tensor and tensor.device.type == "cpu" for tensor in outcome.weights.values())


@pytest.mark.parametrize(("params", "kind"), CASES, ids=named)
def test_a_method_gives_the_same_on_another_device(params: MethodParams, kind: Kind, given: Problem) -> None:
    fewer = params.model_copy(update=FEWER.get(type(params)))
    here = registry.unlearn(given, fewer)
    with elsewhere() as asked_on:
        there = registry.unlearn(given, fewer)

    assert at_home(there)
    assert all(torch.equal(tensor, there.weights[name]) for name, tensor in here.weights.items())
    assert here.facts == there.facts
    assert asked_on == expected(params, kind)
