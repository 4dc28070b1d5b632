"""Which methods carry out a request: the caller's, if what it needs is there, or a ladder, the cheapest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.catalogue.unions import METHODS
from app.core.errors import Conflict, Invalid, invalid_field
from app.core.params import FEATURE_KINDS, Deployed, Kind, MethodParams, Need
from app.methods.consistency import ConsistencyParams
from app.methods.deepclean import DeepCleanParams
from app.methods.eu_k import EuKParams
from app.methods.finetune import FinetuneParams
from app.methods.retrain import RetrainParams
from app.methods.rld import RldParams
from app.methods.sisa import SisaParams
from app.methods.ssd import SsdParams

SAMPLES = (FinetuneParams(), EuKParams(), RetrainParams())
"""Fine-tuning is cheaper and often not enough; `eu_k` came nearest to retraining (docs/benchmarks.md)."""
CLASS = (SsdParams(), DeepCleanParams(), RetrainParams())
"""One pass over D_f; one epoch on D_r; the whole recipe."""
CLASS_WITHOUT_RETAIN = (SsdParams(), RldParams())
"""Where nobody knows how the model was trained: what the stored Fisher alone can do."""
SHARDS = (SisaParams(), RetrainParams())
"""Networks that never saw one another's samples: both are exact, and keep it so for the next request."""
TEXT_PARTS = (RldParams(), RetrainParams())
"""What texts hold: the surrogates of `consistency` are images or features."""
PERCEPTRONS = frozenset({"mlp"})
"""Architectures whose surrogates are made anew at every step of `consistency`; all others draw from a pool."""

ALWAYS = frozenset({Need.FORGET, Need.RETAIN, Need.FORGET_CLEAN})
"""What every accepted request brings: the last one only where it is needed."""

REMEDIES: Mapping[Need, str] = {
    Need.HELD_OUT: "held-out samples (split `validation` of the data set)",
    Need.FISHER: "the stored Fisher diagonal (POST …/versions/{v}/fisher)",
    Need.INITIAL_WEIGHTS: "the initial weights (PUT …/versions/{v}/initial-weights, or recipe.initial_seed)",
    Need.DELTAS: (
        "the recorded deltas (`unlearn train --record-deltas`, then deltas_path of POST …/versions; a version that"
        " another method made has none)"
    ),
    Need.RECIPE: "the training recipe of the model",
    Need.TRANSFORM: "the transform T that adds the information (target.transform)",
}


@dataclass(frozen=True)
class Candidate:
    """A method that was considered, and why it is not on the ladder; None if it is."""

    method: MethodParams
    left_out: str | None = None


@dataclass(frozen=True)
class Choice:
    """What will be tried, in order; who chose it, and why."""

    candidates: tuple[Candidate, ...]
    chosen_by: str
    reason: str | None = None

    @property
    def rungs(self) -> tuple[MethodParams, ...]:
        """The methods that will be tried until one passes; at least one."""
        return tuple(candidate.method for candidate in self.candidates if candidate.left_out is None)


@dataclass(frozen=True)
class Stock:
    """What is stored about the version that shall forget, and what the request brings beyond what every one does."""

    has: frozenset[Need]
    fisher_pending: bool
    deployed: Deployed

    def lacks(self, method: MethodParams, kind: Kind) -> frozenset[Need]:
        """What the method would need and is not there."""
        return method.needs(kind) - self.has - ALWAYS

    def why_not(self, method: MethodParams, kind: Kind) -> str | None:
        """What keeps a method from being tried, in words; None if nothing does."""
        if misfit := method.misfit(self.deployed):
            return f"does not fit: {misfit}"
        return f"lacks {_remedies(lacking)}" if (lacking := self.lacks(method, kind)) else None


def ladder_of(kind: Kind, stock: Stock) -> tuple[MethodParams, ...]:
    """What `auto` considers, cheapest first.

    A backdoor or a leaked feature is forgotten without D_r by `consistency`, which does better than `rld` in all that
    is judged; after it there is only retraining. Of texts it can make no surrogates: there `rld` comes first.
    """
    if kind in FEATURE_KINDS and stock.deployed.reads_text:
        return TEXT_PARTS
    if kind in FEATURE_KINDS:
        perceptron = stock.deployed.architecture.model_dump()["name"] in PERCEPTRONS
        return (ConsistencyParams(surrogates="augmented" if perceptron else "pool"), RetrainParams())
    if stock.deployed.architecture.isolated > 1:
        return SHARDS
    if kind is Kind.CLASS:
        return CLASS if Need.RECIPE in stock.has else (*CLASS_WITHOUT_RETAIN, *CLASS[1:])
    return SAMPLES


def choose(wanted: MethodParams | None, kind: Kind, stock: Stock) -> Choice:
    """The caller's method and no other, or with None the ladder.

    Raises:
        Problem: it cannot carry out the request; says which could.
    """
    return _asked(wanted, kind, stock) if wanted is not None else _ladder(kind, stock)


def _asked(method: MethodParams, kind: Kind, stock: Stock) -> Choice:
    if kind not in method.serves:
        raise invalid_field(
            "/method",
            f"{_name(method)} does not carry out requests of kind {kind}. {_would_do(kind, stock)}",
            code="method_does_not_serve",
        )
    if misfit := method.misfit(stock.deployed):
        message = f"{_name(method)} does not fit: {misfit}. {_would_do(kind, stock)}"
        raise invalid_field("/method", message, code="method_misfit")
    if stock.fisher_pending and stock.lacks(method, kind) == {Need.FISHER}:
        raise _pending()
    if lacking := stock.why_not(method, kind):
        raise _unmet(f"{_name(method)} {lacking}. {_would_do(kind, stock)}")
    return Choice((Candidate(method),), "caller")


def _ladder(kind: Kind, stock: Stock) -> Choice:
    considered = ladder_of(kind, stock)
    # A Fisher diagonal on its way is worth the wait: without it the ladder skips to what costs much more.
    if stock.fisher_pending and any(stock.lacks(method, kind) == {Need.FISHER} for method in considered):
        raise _pending()
    candidates = tuple(Candidate(method, stock.why_not(method, kind)) for method in considered)
    choice = Choice(candidates, "auto", _reason(candidates))
    if not choice.rungs:
        lacking = "; ".join(f"{_name(method)} {stock.why_not(method, kind)}" for method in considered)
        raise _unmet(f"No method of the ladder can: {lacking}. {_would_do(kind, stock)}")
    return choice


def _reason(candidates: Sequence[Candidate]) -> str:
    tried = " then ".join(_name(c.method) for c in candidates if c.left_out is None)
    without = [f"{_name(c.method)} {c.left_out}" for c in candidates if c.left_out is not None]
    return "; ".join([f"{tried}, until the audit passes", *without])


def _pending() -> Conflict:
    return Conflict(
        "The Fisher diagonal of the version is still being computed.", code="fisher_pending", retryable=True
    )


def _unmet(message: str) -> Invalid:
    return invalid_field("/method", message, code="method_needs_unmet")


def _would_do(kind: Kind, stock: Stock) -> str:
    names = [_name(method()) for method in METHODS if kind in method.serves and not stock.why_not(method(), kind)]
    return f"Methods that would do: {', '.join(names)}." if names else "No method would do as things are."


def _name(method: MethodParams) -> str:
    return str(type(method).model_fields["name"].default)


def _remedies(needs: frozenset[Need]) -> str:
    return " and ".join(REMEDIES[need] for need in sorted(needs))
