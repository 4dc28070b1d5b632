import pytest

from app.core.errors import Conflict, Invalid
from app.core.params import FEATURE_KINDS, Kind, Need
from app.domain.lifecycle import ForbiddenArrow
from app.domain.lifecycle import RequestStatus as R
from app.forget_requests import service
from app.forget_requests.policy import LADDER, Stock, choose
from app.methods.deepclean import DeepCleanParams
from app.methods.rld import RldParams
from app.methods.truncation import TruncationParams

ALL = frozenset({Need.FISHER, Need.RECIPE, Need.INITIAL_WEIGHTS})


def _stock(*needs: Need, pending: bool = False) -> Stock:
    return Stock(frozenset(needs), fisher_pending=pending)


@pytest.mark.parametrize("kind", list(Kind))
def test_auto_takes_the_first_rung_and_says_why(kind: Kind) -> None:
    first, second = LADDER[kind]
    choice = choose(None, kind, Stock(ALL, fisher_pending=False))
    assert (choice.method, choice.chosen_by) == (first, "auto")
    fallback = choose(None, kind, _stock(Need.RECIPE))
    assert fallback.method == second
    assert "lacks fisher" in (fallback.reason or "")


@pytest.mark.parametrize("kind", list(Kind))
def test_auto_waits_for_a_fisher_diagonal_on_its_way(kind: Kind) -> None:
    with pytest.raises(Conflict) as caught:
        choose(None, kind, _stock(Need.RECIPE, Need.INITIAL_WEIGHTS, pending=True))
    assert (caught.value.code, caught.value.extra["retryable"]) == ("fisher_pending", True)


@pytest.mark.parametrize("kind", list(Kind))
def test_auto_says_what_is_missing_when_no_rung_holds(kind: Kind) -> None:
    with pytest.raises(Invalid) as caught:
        choose(None, kind, _stock())
    assert caught.value.code == "method_needs_unmet"
    assert "Fisher" in caught.value.detail


def test_a_pending_fisher_alone_does_not_help_where_more_is_missing() -> None:
    with pytest.raises(Invalid, match="recipe"):
        choose(DeepCleanParams(), Kind.SAMPLES, _stock(pending=True))


def test_the_callers_method_is_taken_or_refused_with_an_alternative() -> None:
    assert choose(RldParams(), Kind.CLASS, _stock(Need.FISHER)).chosen_by == "caller"
    with pytest.raises(Invalid, match="retrain"):
        choose(DeepCleanParams(), Kind.SAMPLES, _stock(Need.RECIPE))
    for kind in FEATURE_KINDS | {Kind.SAMPLES}:
        with pytest.raises(Invalid) as caught:
            choose(TruncationParams(), kind, Stock(ALL, fisher_pending=False))
        assert caught.value.code == "method_does_not_serve"


@pytest.mark.parametrize(
    ("source", "target", "way"),
    [
        (R.RUNNING, R.COMPLETED, [R.VERIFYING, R.COMPLETED]),
        (R.QUEUED, R.COMPLETED, [R.RUNNING, R.VERIFYING, R.COMPLETED]),
        (R.VERIFYING, R.RUNNING, [R.QUEUED, R.RUNNING]),
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
