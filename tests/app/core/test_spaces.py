"""Ranges are what a search may draw from, and every method's declared ones are ranges of its parameters."""

import math
import random
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.catalogue.unions import METHODS
from app.core.params import MethodParams
from app.core.spaces import AnyRange, Choices, FloatRange, Space, Value
from app.methods.certified_removal import CertifiedRemovalParams
from app.methods.noisy_finetune import NoisyFinetuneParams
from tests.app.web.rig import Rig

SEARCHED = [method for method in METHODS if method.space]
DRAWS = 50
RANGE: TypeAdapter[AnyRange] = TypeAdapter(AnyRange)


def draw(rng: random.Random, space: Space) -> dict[str, Value]:
    return {name: _one(rng, asked) for name, asked in space.items()}


def _one(rng: random.Random, asked: AnyRange) -> Value:
    if isinstance(asked, Choices):
        return rng.choice(asked.values)
    low, high = (math.log(asked.low), math.log(asked.high)) if asked.log else (asked.low, asked.high)
    value = rng.uniform(low, high)
    value = min(max(math.exp(value) if asked.log else value, asked.low), asked.high)
    return value if isinstance(asked, FloatRange) else round(value)


@pytest.mark.parametrize("method", SEARCHED, ids=lambda method: method.model_fields["name"].default)
def test_whatever_is_drawn_from_a_declared_space_is_accepted(method: type[MethodParams]) -> None:
    rng = random.Random(3)  # noqa: S311
    ends = [dict(zip(method.space, at, strict=True)) for at in zip(*(r.ends[:2] for r in method.space.values()))]  # noqa: B905
    for wish in [*ends, *(draw(rng, method.space) for _ in range(DRAWS))]:
        found = method.model_validate(wish)
        assert {name: getattr(found, name) for name in wish} == wish


@pytest.mark.parametrize("method", SEARCHED, ids=lambda method: method.model_fields["name"].default)
def test_a_measured_default_lies_within_the_space(method: type[MethodParams]) -> None:
    for name, asked in method.space.items():
        default = method.model_fields[name].default
        if default is None or isinstance(asked, Choices):
            continue
        assert asked.low <= default <= asked.high, name


def test_all_but_a_few_methods_can_be_searched_and_some_must_not_be() -> None:
    assert len(SEARCHED) > 10
    # Their guarantees hold only if their parameters were chosen without D_f.
    bound = [method for method in METHODS if "chosen without D_f" in " ".join(method.guarantee.split())]
    assert bound == [CertifiedRemovalParams, NoisyFinetuneParams]
    assert not any(method.space for method in bound)


def test_every_method_without_a_proof_that_has_a_number_to_choose_can_be_searched() -> None:
    rest = {method.model_fields["name"].default for method in METHODS} - {
        method.model_fields["name"].default for method in SEARCHED
    }
    # amnesiac needs recorded training, which no rehearsal has; the others are exact, proven, or have nothing to choose.
    exact, proven, fixed = (
        {"retrain", "sisa"},
        {"certified_removal", "noisy_finetune"},
        {"truncation", "single_gradient"},
    )
    assert rest == exact | proven | fixed | {"amnesiac"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "float", "low": 2, "high": 1},
        {"kind": "float", "low": 0, "high": 1, "log": True},
        {"kind": "int", "low": 0, "high": 3, "log": True},
        {"kind": "int", "low": 1, "high": 2.5},
        {"kind": "float", "low": float("nan"), "high": 1},
        {"kind": "float", "low": 0, "high": float("inf")},
        {"kind": "choices", "values": []},
        {"kind": "choices", "values": ["a\x00"]},
        {"kind": "float", "low": 0, "high": 1, "step": 0.1},
    ],
)
def test_what_is_no_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RANGE.validate_python(wrong)


def test_choices_keep_their_types() -> None:
    asked = RANGE.validate_python({"kind": "choices", "values": [True, 1, 1.5, "zero", None]})
    assert [type(value) for value in asked.ends] == [bool, int, float, str, type(None)]


def test_the_catalogue_says_where_a_search_looks(lone: Rig) -> None:
    space = lone.get("/methods/ssd").json()["space"]
    assert space["fraction"] == {"kind": "float", "low": 0.005, "high": 0.3, "log": True}
    assert lone.get("/methods/retrain").json()["space"] == {}
