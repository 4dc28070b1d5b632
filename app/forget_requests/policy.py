"""Which method carries out a request: the caller's, if what it needs is there, or the cheapest that can."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.catalogue.unions import METHODS
from app.core.errors import Conflict, invalid_field
from app.core.params import Kind, MethodParams, Need
from app.methods.deepclean import DeepCleanParams
from app.methods.retrain import RetrainParams
from app.methods.rld import RldParams

LADDER: Mapping[Kind, tuple[MethodParams, ...]] = {
    Kind.SAMPLES: (DeepCleanParams(), RetrainParams()),
    Kind.SUBJECTS: (DeepCleanParams(), RetrainParams()),
    Kind.CLASS: (RldParams(), RetrainParams()),
    Kind.BACKDOOR: (RldParams(), RetrainParams()),
    Kind.LEAKAGE: (RldParams(), RetrainParams()),
}
"""What `auto` tries, cheapest first."""

ALWAYS = frozenset({Need.FORGET, Need.RETAIN, Need.FORGET_CLEAN})
"""What every accepted request brings: the last one only where it is needed."""

REMEDIES: Mapping[Need, str] = {
    Need.HELD_OUT: "held-out samples (split `validation` of the data set)",
    Need.FISHER: "the stored Fisher diagonal (POST …/versions/{v}/fisher)",
    Need.INITIAL_WEIGHTS: "the initial weights (PUT …/versions/{v}/initial-weights, or recipe.initial_seed)",
    Need.RECIPE: "the training recipe of the model",
    Need.TRANSFORM: "the transform T that adds the information (target.transform)",
}


@dataclass(frozen=True)
class Choice:
    """The method, who chose it, and why."""

    method: MethodParams
    chosen_by: str
    reason: str | None = None


@dataclass(frozen=True)
class Stock:
    """What is stored about the version that shall forget, and what the request brings beyond what every one does."""

    has: frozenset[Need]
    fisher_pending: bool

    def lacks(self, method: MethodParams, kind: Kind) -> frozenset[Need]:
        """What the method would need and is not there."""
        return method.needs(kind) - self.has - ALWAYS


def choose(wanted: MethodParams | None, kind: Kind, stock: Stock) -> Choice:
    """The caller's method, or with None the first rung of the ladder that holds.

    Raises:
        Problem: it cannot carry out the request; says which could.
    """
    return _asked(wanted, kind, stock) if wanted is not None else _climbed(kind, stock)


def _asked(method: MethodParams, kind: Kind, stock: Stock) -> Choice:
    if kind not in method.serves:
        raise invalid_field(
            "/method",
            f"{_name(method)} does not carry out requests of kind {kind}. {_would_do(kind, stock)}",
            code="method_does_not_serve",
        )
    _check(method, kind, stock)
    return Choice(method, "caller")


def _climbed(kind: Kind, stock: Stock) -> Choice:
    # A Fisher diagonal on its way is worth the wait: the next rung costs much more.
    soon = stock.has | ({Need.FISHER} if stock.fisher_pending else frozenset())
    able = [method for method in LADDER[kind] if not method.needs(kind) - soon - ALWAYS]
    method = able[0] if able else LADDER[kind][0]
    _check(method, kind, stock)
    passed_over = LADDER[kind][: LADDER[kind].index(method)]
    reasons = [f"{_name(rung)} lacks {_listed(stock.lacks(rung, kind))}" for rung in passed_over]
    return Choice(method, "auto", "; ".join([*reasons, f"{_name(method)} has all it needs"]))


def _check(method: MethodParams, kind: Kind, stock: Stock) -> None:
    lacking = stock.lacks(method, kind)
    if lacking == {Need.FISHER} and stock.fisher_pending:
        raise Conflict(
            "The Fisher diagonal of the version is still being computed.", code="fisher_pending", retryable=True
        )
    if lacking:
        missing = " and ".join(REMEDIES[need] for need in sorted(lacking))
        raise invalid_field(
            "/method", f"{_name(method)} lacks {missing}. {_would_do(kind, stock)}", code="method_needs_unmet"
        )


def _would_do(kind: Kind, stock: Stock) -> str:
    names = [_name(method()) for method in METHODS if kind in method.serves and not stock.lacks(method(), kind)]
    return f"Methods that would do: {', '.join(names)}." if names else "No method would do as things are."


def _name(method: MethodParams) -> str:
    return str(type(method).model_fields["name"].default)


def _listed(needs: frozenset[Need]) -> str:
    return " and ".join(sorted(needs))
