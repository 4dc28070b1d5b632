from typing import Any

import pytest
from pydantic import ValidationError

from app.domain.policy import APPROVERS, RELEASERS, ModelPolicy, policy_of
from app.domain.rules import STANDARD, STRICT


def test_what_is_not_said_is_as_before_there_were_policies() -> None:
    policy = policy_of(None)
    assert (policy.approval, policy.release, policy.release_on) == ("none", "manual", ["pass"])
    assert (policy.override, policy.needs_gold) == (False, False)
    assert policy.judging == STANDARD
    assert (APPROVERS[policy.approval], RELEASERS[policy.release]) == (0, 0)


def test_the_margins_are_those_of_the_level_but_where_a_measure_has_its_own() -> None:
    judging = ModelPolicy(margin="strict", margins={"attack_auc": 0.1}).judging
    assert (judging.margin, judging.slack) == (STRICT.margin, STRICT.slack)
    assert (judging.of("accuracy").margin, judging.of("attack_auc").margin) == (0.02, 0.1)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"release_on": ["pass", "trace_found"]}, ("release_on", 1)),
        ({"release_on": []}, ("release_on",)),
        ({"margins": {"attack_auc": 0.5}}, ("margins", "attack_auc")),
        ({"margins": {"attack_auc": 0.0}}, ("margins", "attack_auc")),
        ({"margins": {"attack_auc": float("nan")}}, ("margins", "attack_auc")),
        ({"margins": {"probe_accuracy": 0.1}}, ("margins", "probe_accuracy", "[key]")),
        ({"approval": "two"}, ("approval",)),
        ({"realese": "auto"}, ("realese",)),
    ],
)
def test_a_wrong_policy_is_refused_where_it_is_wrong(wrong: dict[str, Any], where: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelPolicy.model_validate(wrong)
    assert where in [error["loc"] for error in refused.value.errors()]
