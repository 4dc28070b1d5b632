import itertools
from collections.abc import Collection

import pytest

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.sisa import SisaNetworkParams as SisaArchitecture
from app.architectures.small_cnn import SmallCnnParams
from app.core.errors import Conflict, Invalid
from app.core.params import FEATURE_KINDS, ArchitectureParams, Deployed, Kind, Need
from app.domain.lifecycle import ForbiddenArrow
from app.domain.lifecycle import RequestStatus as R
from app.forget_requests import service
from app.forget_requests.policy import Choice, Stock, choose, ladder_of
from app.methods.consistency import ConsistencyParams
from app.methods.deepclean import DeepCleanParams
from app.methods.retrain import RetrainParams
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from app.methods.sisa import SisaParams
from app.methods.truncation import TruncationParams

SCATTERED = frozenset({Kind.SAMPLES, Kind.SUBJECTS})
ALL = frozenset({Need.FISHER, Need.RECIPE, Need.INITIAL_WEIGHTS})


SHAPE = {"input_shape": (1, 28, 28), "classes": 10}
NETWORKS: dict[str, ArchitectureParams] = {
    "mlp": MlpParams(**SHAPE),
    "small_cnn": SmallCnnParams(**SHAPE),
    "resnet18": Resnet18Params(**SHAPE),
    "sisa": SisaArchitecture(**SHAPE, member=MlpParams(**SHAPE)),
}


def _stock(*needs: Need, pending: bool = False, architecture: str = "mlp", behind: Collection[str] = ()) -> Stock:
    deployed = Deployed(NETWORKS[architecture], 1000, frozenset(behind))
    return Stock(frozenset(needs), fisher_pending=pending, deployed=deployed)


def _names(choice: Choice) -> list[str]:
    return [rung.model_dump()["name"] for rung in choice.rungs]


@pytest.mark.parametrize(
    ("kind", "whole", "recipe_only"),
    [
        (Kind.SAMPLES, ["finetune", "eu_k", "retrain"], ["finetune", "eu_k", "retrain"]),
        (Kind.SUBJECTS, ["finetune", "eu_k", "retrain"], ["finetune", "eu_k", "retrain"]),
        (Kind.CLASS, ["ssd", "deepclean", "retrain"], ["retrain"]),
        (Kind.BACKDOOR, ["consistency", "retrain"], ["retrain"]),
        (Kind.LEAKAGE, ["consistency", "retrain"], ["retrain"]),
    ],
)
def test_auto_climbs_from_the_cheapest_to_retraining_and_says_what_it_leaves_out(
    kind: Kind, whole: list[str], recipe_only: list[str]
) -> None:
    choice = choose(None, kind, _stock(*ALL))
    assert (_names(choice), choice.chosen_by) == (whole, "auto")
    assert all(candidate.left_out is None for candidate in choice.candidates)
    assert choice.reason == f"{' then '.join(whole)}, until the audit passes"
    less = choose(None, kind, _stock(Need.RECIPE))
    assert _names(less) == recipe_only
    left_out = {c.method.model_dump()["name"]: c.left_out for c in less.candidates if c.left_out is not None}
    assert left_out.keys() == set(whole) - set(recipe_only)
    assert all("stored Fisher" in (why or "") for why in left_out.values())
    assert all(name in (less.reason or "") for name in left_out)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_rung_serves_the_kind_and_what_it_needs_is_there(kind: Kind) -> None:
    for architecture in NETWORKS:
        for needs in itertools.chain.from_iterable(itertools.combinations(sorted(ALL), n) for n in range(4)):
            stock = _stock(*needs, architecture=architecture)
            try:
                choice = choose(None, kind, stock)
            except Invalid:
                assert not any(kind in rung.serves and not stock.lacks(rung, kind) for rung in ladder_of(kind, stock))
                continue
            assert all(kind in rung.serves and not stock.lacks(rung, kind) for rung in choice.rungs)
            assert isinstance(choice.rungs[-1], RetrainParams) is (Need.RECIPE in needs)


def test_a_network_in_shards_forgets_exactly_and_stays_in_shards() -> None:
    for kind in set(Kind) - FEATURE_KINDS:
        assert _names(choose(None, kind, _stock(*ALL, architecture="sisa"))) == ["sisa", "retrain"]
        mixed = choose(None, kind, _stock(*ALL, architecture="sisa", behind={"rld"}))
        assert _names(mixed) == ["retrain"]
        assert "rld, which trained the members together" in (mixed.reason or "")
    with pytest.raises(Invalid, match="not shards") as caught:
        choose(SisaParams(), Kind.SAMPLES, _stock(*ALL))
    assert caught.value.code == "method_misfit"
    assert "sisa" not in caught.value.detail.split("would do: ")[1]


def test_without_a_recipe_a_class_is_forgotten_by_what_the_fisher_alone_can_do() -> None:
    assert _names(choose(None, Kind.CLASS, _stock(Need.FISHER))) == ["ssd", "rld"]


def test_the_surrogates_of_consistency_are_those_for_the_architecture() -> None:
    for architecture, surrogates in (("mlp", "augmented"), ("small_cnn", "pool"), ("resnet18", "pool")):
        first = choose(None, Kind.BACKDOOR, _stock(*ALL, architecture=architecture)).rungs[0]
        assert first == ConsistencyParams(surrogates=surrogates)


@pytest.mark.parametrize("kind", sorted(set(Kind) - SCATTERED))
def test_auto_waits_for_a_fisher_diagonal_on_its_way(kind: Kind) -> None:
    with pytest.raises(Conflict) as caught:
        choose(None, kind, _stock(Need.RECIPE, Need.INITIAL_WEIGHTS, pending=True))
    assert (caught.value.code, caught.value.extra["retryable"]) == ("fisher_pending", True)


@pytest.mark.parametrize("kind", sorted(SCATTERED))
def test_auto_forgets_scattered_samples_without_any_fisher_diagonal(kind: Kind) -> None:
    assert _names(choose(None, kind, _stock(Need.RECIPE, pending=True))) == ["finetune", "eu_k", "retrain"]


@pytest.mark.parametrize("asked", [RldParams, RndParams])
def test_a_method_that_holds_nothing_waits_for_no_fisher_diagonal(asked: type[RldParams] | type[RndParams]) -> None:
    assert _names(choose(asked(penalty_strength=0), Kind.CLASS, _stock(pending=True)))
    with pytest.raises(Conflict):
        choose(asked(), Kind.CLASS, _stock(pending=True))


@pytest.mark.parametrize("kind", list(Kind))
def test_auto_says_what_is_missing_when_no_rung_holds(kind: Kind) -> None:
    with pytest.raises(Invalid) as caught:
        choose(None, kind, _stock())
    assert caught.value.code == "method_needs_unmet"
    assert ("Fisher" in caught.value.detail) is (kind not in SCATTERED)
    assert "retrain lacks the training recipe" in caught.value.detail


def test_a_pending_fisher_alone_does_not_help_where_more_is_missing() -> None:
    with pytest.raises(Invalid, match="recipe"):
        choose(DeepCleanParams(), Kind.SAMPLES, _stock(pending=True))


def test_the_callers_method_is_taken_alone_or_refused_with_an_alternative() -> None:
    choice = choose(RldParams(), Kind.CLASS, _stock(*ALL))
    assert (choice.chosen_by, choice.rungs) == ("caller", (RldParams(),))
    with pytest.raises(Invalid, match="retrain"):
        choose(DeepCleanParams(), Kind.SAMPLES, _stock(Need.RECIPE))
    for kind in FEATURE_KINDS | {Kind.SAMPLES}:
        with pytest.raises(Invalid) as caught:
            choose(TruncationParams(), kind, _stock(*ALL))
        assert caught.value.code == "method_does_not_serve"


@pytest.mark.parametrize(
    ("source", "target", "way"),
    [
        (R.RUNNING, R.COMPLETED, [R.VERIFYING, R.COMPLETED]),
        (R.QUEUED, R.COMPLETED, [R.RUNNING, R.VERIFYING, R.COMPLETED]),
        (R.VERIFYING, R.RUNNING, [R.RUNNING]),
        (R.RUNNING, R.CANCELLED, [R.CANCELLING, R.CANCELLED]),
        (R.CANCELLING, R.COMPLETED, [R.COMPLETED]),
        (R.QUEUED, R.FAILED, [R.FAILED]),
        (R.RUNNING, R.RUNNING, []),
    ],
)
def test_a_report_that_skipped_a_state_is_caught_up_with(source: R, target: R, way: list[R]) -> None:
    assert service._way(source, target) == way


def test_there_is_no_way_back_from_the_end() -> None:
    with pytest.raises(ForbiddenArrow):
        service._way(R.COMPLETED, R.RUNNING)
