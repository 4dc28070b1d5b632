"""Which claims an audit makes about a request of each kind, and what each is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from app.core.params import Kind

Side = Literal["near", "at_most", "at_least"]


@dataclass(frozen=True)
class Policy:
    """How much more than nothing is still nothing."""

    margin: float
    """A claim holds if the number lies no further than this from what never having seen the data would show."""
    slack: float = 0.02
    """Beyond this, above it, is a trace: real retrained models differ from each other by as much."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """By measure, where they are others than `margin`."""

    def of(self, measure: str) -> "Policy":
        """As it is for one measure."""
        return replace(self, margin=self.margins.get(measure, self.margin))


STANDARD = Policy(margin=0.05)
STRICT = Policy(margin=0.02)


@dataclass(frozen=True)
class Rule:
    """How one finding is judged: on which side, its claim in words, and the target where no gold was measured."""

    side: Side
    claim: str  # "{reference}" becomes what it is compared with
    fallback: str | float  # "before", another set's value of the same measure, or a number
    about_traces: bool = True  # False: it speaks of what must be kept or learned again

    def bound(self, policy: Policy) -> float:
        """From here on the claim is not so."""
        return policy.margin if self.side == "at_least" else policy.slack

    @property
    def sign(self) -> int:
        """−1 where less is worse."""
        return -1 if self.side == "at_least" else 1


FORGOTTEN_SAMPLES = Rule("near", "the forgotten samples are answered as well as by {reference}", "test")
USELESS_ATTACK = Rule("near", "telling forgotten from unseen samples works no better than with {reference}", 0.5)
FORGOTTEN_CLASS = Rule("at_most", "the forgotten class is answered no more often than by {reference}", 0.0)
KEPT = Rule("at_least", "what is kept is answered as well as by {reference}", "before", about_traces=False)
HARMLESS = Rule(
    "at_least", "with the feature added, answers are right at least as often as those of {reference}", "retain"
)
RELEARNED = Rule(
    "at_least", "the samples are answered without the feature as well as by {reference}", "retain", about_traces=False
)
ATTACKS: Mapping[tuple[str, str], Rule] = {
    (measure, "forget"): USELESS_ATTACK for measure in ("attack_auc", "reference_auc", "lira_auc", "rmia_auc")
}

RULES: Mapping[Kind, Mapping[tuple[str, str], Rule]] = {
    Kind.SAMPLES: {("accuracy", "forget"): FORGOTTEN_SAMPLES, **ATTACKS, ("accuracy", "retain"): KEPT},
    Kind.CLASS: {
        ("accuracy", "forget"): FORGOTTEN_CLASS,
        ("accuracy", "test_forget"): FORGOTTEN_CLASS,
        **ATTACKS,
        ("accuracy", "retain"): KEPT,
    },
    Kind.BACKDOOR: {
        ("accuracy", "retain_extra"): HARMLESS,
        ("accuracy", "forget_clean"): RELEARNED,
        ("accuracy", "retain"): KEPT,
    },
    Kind.LEAKAGE: {
        ("accuracy", "retain_extra"): HARMLESS,
        ("accuracy", "forget"): RELEARNED,
        ("accuracy", "retain"): KEPT,
    },
}
"""The judged findings of each kind; subjects are judged as samples are."""

REQUIRED: Mapping[Kind, tuple[frozenset[tuple[str, str]], ...]] = {
    Kind.SAMPLES: (frozenset({("accuracy", "forget")}), frozenset(ATTACKS)),
    Kind.CLASS: (frozenset({("accuracy", "forget")}), frozenset(ATTACKS)),
    Kind.BACKDOOR: (frozenset({("accuracy", "retain_extra")}),),
    Kind.LEAKAGE: (frozenset({("accuracy", "retain_extra")}), frozenset({("accuracy", "forget")})),
}
"""Of each group, at least one must have been measured for a pass."""

NAMES: Mapping[str, str] = {
    "retain": "the data that is kept (D_r)",
    "forget": "the data to be forgotten (D_f)",
    "forget_clean": "that data without the feature (D_f,clean)",
    "retain_extra": "kept data with the feature added (D_r,extra)",
    "test": "held-out data",
    "test_forget": "held-out data of the forgotten class",
    "test_extra": "held-out data with the feature added",
}


def rules_for(kind: Kind) -> Mapping[tuple[str, str], Rule]:
    """The judged findings of a kind."""
    return RULES[Kind.SAMPLES if kind is Kind.SUBJECTS else kind]


def required_for(kind: Kind) -> tuple[frozenset[tuple[str, str]], ...]:
    """What a pass needs."""
    return REQUIRED[Kind.SAMPLES if kind is Kind.SUBJECTS else kind]
